import test from "ava";
import { parseNetworkAuthentication } from "../../../src/core/resource/network-authentication.ts";
import { formatCidr } from "../../../src/core/std/ip.ts";
import {
  edit,
  faultsOf,
  networkAuthentication,
  parsed,
  type Refusal,
  titleOf,
} from "./manifests.ts";

function read(networks: unknown): unknown {
  const value = parsed(
    parseNetworkAuthentication(edit(networkAuthentication, "spec.networks", networks)),
  );
  return value.networks.map(({ cidr, except }) => [formatCidr(cidr), except.map(formatCidr)]);
}

test("parseNetworkAuthentication() reads networks, addresses and exceptions of both families", (t) => {
  t.deepEqual(
    read([
      { cidr: "10.0.0.0/8", except: ["10.1.0.0/16", "10.2.3.4"] },
      { cidr: "192.168.0.1" },
      { cidr: "fd00::/8", except: ["fd00:1::/32"] },
      { cidr: "0.0.0.0/0" },
    ]),
    [
      ["10.0.0.0/8", ["10.1.0.0/16", "10.2.3.4/32"]],
      ["192.168.0.1/32", []],
      ["fd00::/8", ["fd00:1::/32"]],
      ["0.0.0.0/0", []],
    ],
  );
});

function inside(except: string): string {
  return `spec.networks[0].except[0]: must be a smaller network inside "10.0.0.0/8", is ${JSON.stringify(except)}`;
}

const refused: readonly Refusal[] = [
  ["spec", undefined, "spec: is required"],
  ["spec.networks", undefined, "spec.networks: is required"],
  ["spec.networks", [], "spec.networks: must have at least one entry"],
  ["spec.networks[0].cidr", undefined, "spec.networks[0].cidr: is required"],
  [
    "spec.networks[0].cidr",
    "10.0.0.0/33",
    'spec.networks[0].cidr: must be a network like "10.0.0.0/8" or an IP address, is "10.0.0.0/33"',
  ],
  [
    "spec.networks[0].except[0]",
    "office",
    'spec.networks[0].except[0]: must be a network like "10.0.0.0/8" or an IP address, is "office"',
  ],
  ["spec.networks[0].except[0]", "10.0.0.0/8", inside("10.0.0.0/8")],
  ["spec.networks[0].except[0]", "0.0.0.0/0", inside("0.0.0.0/0")],
  ["spec.networks[0].except[0]", "11.0.0.0/16", inside("11.0.0.0/16")],
  ["spec.networks[0].except[0]", "fd00::/16", inside("fd00::/16")],
];

for (const refusal of refused) {
  const [path, value, fault] = refusal;
  test(`parseNetworkAuthentication() ${titleOf(refusal)}`, (t) => {
    t.deepEqual(faultsOf(parseNetworkAuthentication(edit(networkAuthentication, path, value))), [
      fault,
    ]);
  });
}
