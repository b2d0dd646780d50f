import test from "ava";
import { parseEgressNetwork } from "../../../src/core/resource/egress-network.ts";
import { parseGrpcRoute } from "../../../src/core/resource/http-route.ts";
import { parseTcpRoute, parseTlsRoute } from "../../../src/core/resource/stream-route.ts";
import type { Fault, Result } from "../../../src/core/std/result.ts";

const metadata = { name: "r", namespace: "demo" };

function reasons(result: Result<unknown>): readonly string[] {
  return result.ok ? [] : result.faults.map(({ path, reason }: Fault) => `${path} ${reason}`);
}

test("parseTlsRoute() and parseTcpRoute() read backends with their weights", (t) => {
  const rules = [
    {
      backendRefs: [
        { name: "a", port: 1, weight: 3 },
        { name: "b", port: 2 },
      ],
    },
  ];
  const spec = { parentRefs: [{ group: "", kind: "Service", name: "a" }], rules };
  const tls = parseTlsRoute({ metadata, spec: { ...spec, hostnames: ["*.a.b"] } });
  t.like(tls, { ok: true, value: { kind: "TLSRoute", hostnames: ["*.a.b"] } });
  const tcp = parseTcpRoute({ metadata, spec });
  t.true(tcp.ok);
  if (tcp.ok)
    t.deepEqual(
      tcp.value.rules[0]?.backendRefs.map(({ weight }) => weight),
      [3, 1],
    );
});

test("parseTcpRoute() wants rules and ports", (t) => {
  t.deepEqual(reasons(parseTcpRoute({ metadata, spec: {} })), ["spec.rules is required"]);
  t.deepEqual(reasons(parseTcpRoute({ metadata, spec: { rules: [] } })), [
    "spec.rules must have at least one entry",
  ]);
  const rules = [{ backendRefs: [{ name: "a" }] }];
  t.deepEqual(reasons(parseTcpRoute({ metadata, spec: { rules } })), [
    "spec.rules[0].backendRefs[0].port is required for a Service",
  ]);
});

test("parseEgressNetwork() wants a policy, and networks that are some", (t) => {
  t.deepEqual(reasons(parseEgressNetwork({ metadata, spec: { networks: [] } })), [
    "spec.networks must have at least one entry, or be absent for everything outside the cluster",
    "spec.trafficPolicy is required",
  ]);
  t.true(parseEgressNetwork({ metadata, spec: { trafficPolicy: "Allow" } }).ok);
});

test("parseGrpcRoute() keeps what is wrong with a match in its rule", (t) => {
  const matches = (method: unknown): unknown => ({ matches: [{ method }] });
  const rules = [
    matches({ service: ".pkg.Shop", method: "Get" }),
    matches({ service: "a/b" }),
    matches({ type: "RegularExpression", service: "a/b" }),
    matches({}),
    {},
  ];
  const read = parseGrpcRoute({ metadata, spec: { rules } });
  t.true(read.ok);
  if (!read.ok) return;
  t.deepEqual(
    read.value.rules.map(({ state }) => state),
    ["valid", "broken", "valid", "broken", "valid"],
  );
  t.deepEqual(read.value.rules.at(-1)?.matches?.[0]?.rpc, {
    type: "Exact",
    service: "",
    method: "",
  });
});
