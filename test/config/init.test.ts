import test from "ava";
import { readInitConfig } from "../../src/config/init.ts";
import { parseCidr } from "../../src/core/std/ip.ts";

function faultsOf(
  environment: Readonly<Record<string, string>>,
  flags: Readonly<Record<string, string>> = {},
): readonly string[] {
  const read = readInitConfig(environment, new Map(Object.entries(flags)));
  return read.ok ? [] : read.faults.map(({ path, reason }) => `${path}: ${reason}`);
}

test("readInitConfig() has a default for everything", (t) => {
  t.deepEqual(readInitConfig({}, new Map()), {
    ok: true,
    value: {
      inboundPort: 4143,
      outboundPort: 4140,
      proxyUid: 2102,
      proxyGid: undefined,
      adminPorts: [
        { from: 4190, to: 4190 },
        { from: 4191, to: 4191 },
      ],
      skipInboundPorts: [],
      skipOutboundPorts: [],
      skipSubnets: [],
      skipOutboundSubnets: [],
      ipv4Only: false,
      iptablesMode: "auto",
    },
  });
});

test("readInitConfig() takes flags before variables", (t) => {
  const environment = {
    WEFT_INIT_PROXY_UID: "3000",
    WEFT_INIT_SKIP_OUTBOUND_PORTS: "25,8000-8100",
    WEFT_INIT_SKIP_SUBNETS: "10.0.0.0/8",
    WEFT_INIT_IPV4_ONLY: "true",
  };
  const read = readInitConfig(environment, new Map([["--proxy-uid", "4000"]]));
  t.true(read.ok);
  if (!read.ok) return;
  t.is(read.value.proxyUid, 4000);
  t.deepEqual(read.value.skipOutboundPorts, [
    { from: 25, to: 25 },
    { from: 8000, to: 8100 },
  ]);
  t.deepEqual(read.value.skipSubnets, [parseCidr("10.0.0.0/8")]);
  t.true(read.value.ipv4Only);
});

test("readInitConfig() refuses root as the sidecar's user", (t) => {
  t.regex(faultsOf({}, { "--proxy-uid": "0" })[0] ?? "", /^--proxy-uid: set a whole number from 1/);
});

test("readInitConfig() names what was written, flag or variable, and all of it", (t) => {
  const faults = faultsOf(
    { WEFT_INIT_SKIP_INBOUND_PORTS: "70000,10-5,x", WEFT_INIT_IPTABLES_MODE: "ipset" },
    { "--skip-subnets": "10.0.0.0/33", "--redirect-inbound-to": "4140" },
  );
  t.deepEqual(
    faults.map((text) => text.split(":")[0]),
    [
      "WEFT_INIT_REDIRECT_OUTBOUND_TO",
      "WEFT_INIT_SKIP_INBOUND_PORTS",
      "WEFT_INIT_SKIP_INBOUND_PORTS",
      "WEFT_INIT_SKIP_INBOUND_PORTS",
      "--skip-subnets",
      "WEFT_INIT_IPTABLES_MODE",
    ],
  );
  t.true(faults.some((text) => text.includes('"70000"')));
});
