import test from "ava";
import { parseEndpointSlice } from "../../../src/core/resource/endpoint-slice.ts";
import { edit, endpointSlice, faultsOf, parsed, type Refusal, titleOf } from "./manifests.ts";

test("parseEndpointSlice() fills in what a manifest leaves out", (t) => {
  const { meta: _, ...value } = parsed(parseEndpointSlice(endpointSlice));
  t.deepEqual(value, {
    kind: "EndpointSlice",
    group: "discovery.k8s.io",
    serviceName: "web",
    addressType: "IPv4",
    endpoints: [
      {
        addresses: ["10.1.0.1"],
        ready: true,
        serving: true,
        terminating: false,
        hostname: undefined,
        nodeName: undefined,
        zone: undefined,
        forZones: [],
        targetRef: undefined,
      },
    ],
    ports: [{ name: "http", port: 8080, protocol: "TCP", appProtocol: undefined }],
  });
});

test("parseEndpointSlice() reads an endpoint in full", (t) => {
  const endpoint = {
    addresses: ["10.1.0.2"],
    conditions: { ready: false, serving: true, terminating: true },
    hostname: "web-0",
    nodeName: "node-1",
    zone: "z1",
    hints: { forZones: [{ name: "z1" }, { name: "z2" }] },
    targetRef: { kind: "Pod", name: "web-0" },
  };
  const value = parsed(parseEndpointSlice(edit(endpointSlice, "endpoints[0]", endpoint)));
  t.deepEqual(value.endpoints, [
    {
      addresses: ["10.1.0.2"],
      ready: false,
      serving: true,
      terminating: true,
      hostname: "web-0",
      nodeName: "node-1",
      zone: "z1",
      forZones: ["z1", "z2"],
      targetRef: { kind: "Pod", namespace: "demo", name: "web-0" },
    },
  ]);
});

test("parseEndpointSlice() takes an endpoint that is not ready for not serving unless it says so", (t) => {
  const value = parsed(
    parseEndpointSlice(edit(endpointSlice, "endpoints[0].conditions", { ready: false })),
  );
  t.false(value.endpoints[0]?.serving);
});

test("parseEndpointSlice() reads IPv6 addresses in canonical form, and names as they are", (t) => {
  const six = { ...endpointSlice, addressType: "IPv6", endpoints: [{ addresses: ["FD00::0:2"] }] };
  t.deepEqual(parsed(parseEndpointSlice(six)).endpoints[0]?.addresses, ["fd00::2"]);
  const named = {
    ...endpointSlice,
    addressType: "FQDN",
    endpoints: [{ addresses: ["a.example"] }],
  };
  t.deepEqual(parsed(parseEndpointSlice(named)).endpoints[0]?.addresses, ["a.example"]);
});

test("parseEndpointSlice() takes a port without a number for all ports", (t) => {
  t.is(
    parsed(parseEndpointSlice(edit(endpointSlice, "ports[0].port", null))).ports[0]?.port,
    undefined,
  );
});

const refused: readonly Refusal[] = [
  ["addressType", undefined, "addressType: is required"],
  ["addressType", "ipv4", 'addressType: must be "IPv4", "IPv6" or "FQDN", is "ipv4"'],
  ["endpoints[0].addresses", [], "endpoints[0].addresses: must have at least one entry"],
  [
    "endpoints[0].addresses[0]",
    "web",
    'endpoints[0].addresses[0]: must be an IP address, is "web"',
  ],
  [
    "endpoints[0].addresses[0]",
    "fd00::1",
    'endpoints[0].addresses[0]: must be an IPv4 address like the slice, is "fd00::1"',
  ],
  [
    "endpoints[0].conditions.ready",
    "yes",
    'endpoints[0].conditions.ready: must be true or false, is "yes"',
  ],
  ["ports[0].port", 0, "ports[0].port: must be a whole number from 1 to 65535, is 0"],
];

for (const refusal of refused) {
  const [path, value, fault] = refusal;
  test(`parseEndpointSlice() ${titleOf(refusal)}`, (t) => {
    t.deepEqual(faultsOf(parseEndpointSlice(edit(endpointSlice, path, value))), [fault]);
  });
}
