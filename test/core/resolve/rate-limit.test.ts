/** A limit that cannot be read may have been low: it must not vanish in silence. */
import test from "ava";
import type { InboundPolicy } from "../../../src/core/model/inbound-policy.ts";
import { resolveInbound } from "../../../src/core/resolve/inbound.ts";
import { inboundLines } from "./summary.ts";
import { readBrokenStore, settings } from "./world.ts";

const pod = `---
apiVersion: v1
kind: Pod
metadata: { name: web-1, namespace: demo, labels: { app: web } }
spec: { containers: [{ name: app, ports: [{ containerPort: 8080 }], livenessProbe: { httpGet: { port: 8080, path: /live } } }] }
`;

function server(protocol: string): string {
  return `---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: web, namespace: demo }
spec: { podSelector: {}, port: 8080, proxyProtocol: ${protocol} }
`;
}

const route = `---
apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: { name: r, namespace: demo }
spec:
  parentRefs: [{ group: policy.linkerd.io, kind: Server, name: web }]
  rules: [{ matches: [{ path: { value: /a } }] }]
`;

function limit(name: string, spec: string): string {
  return `---
apiVersion: policy.linkerd.io/v1alpha1
kind: HTTPLocalRateLimitPolicy
metadata: { name: ${name}, namespace: demo }
spec: { ${spec} }
`;
}

const ofWeb = "targetRef: { group: policy.linkerd.io, kind: Server, name: web }";
const ofOther = "targetRef: { group: policy.linkerd.io, kind: Server, name: other }";
const zero = "total: { requestsPerSecond: 0 }";
const ten = "total: { requestsPerSecond: 10 }";

function policyOf(...texts: readonly string[]): InboundPolicy {
  const store = readBrokenStore(pod, ...texts);
  const found = resolveInbound(store, settings, { namespace: "demo", pod: "web-1" }, 8080);
  if (!("policy" in found)) throw new Error(found.unknown);
  return found.policy;
}

function refusals(policy: InboundPolicy): readonly string[] {
  return inboundLines(policy).filter((line) => line.includes("cannot be read"));
}

const http = server("HTTP/1");

test("resolveInbound() answers 500 behind a limit that cannot be read, to all but probes", (t) => {
  const { routes, rateLimit } = policyOf(http, route, limit("bad", `${ofWeb}, ${zero}`));
  t.is(rateLimit, undefined);
  const filters = routes.map(({ rules }) => rules.map((rule) => rule.filters.length));
  t.deepEqual(filters, [[0], [1]]);
  t.regex(
    JSON.stringify(routes[1]?.rules[0]?.filters),
    /HTTPLocalRateLimitPolicy demo\/bad cannot be read: spec\.total\.requestsPerSecond/,
  );
  t.is(refusals(policyOf(http, limit("bad", `${ofWeb}, ${zero}`))).length, 1);
});

test("resolveInbound() takes a limit for that of each Server whose name it may have had", (t) => {
  t.is(refusals(policyOf(http, limit("bad", `targetRef: web, ${ten}`))).length, 1);
  t.is(refusals(policyOf(http, limit("bad", `${ofOther}, ${zero}`))).length, 0);
});

test("resolveInbound() keeps to a limit that can be read beside one that cannot", (t) => {
  const policy = policyOf(
    http,
    limit("bad", `${ofWeb}, ${zero}`),
    limit("good", `${ofWeb}, ${ten}`),
  );
  t.is(policy.rateLimit?.totalPerSecond, 10);
  t.is(refusals(policy).length, 0);
});

test("resolveInbound() leaves a Server alone whose requests nobody could have limited", (t) => {
  const policy = policyOf(server("opaque"), limit("bad", `${ofWeb}, ${zero}`));
  t.deepEqual(policy.routes, []);
});
