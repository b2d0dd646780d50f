import test from "ava";
import { resolveOutbound } from "../../../src/core/resolve/outbound.ts";
import { outboundLines } from "./summary.ts";
import { readBrokenStore, readStore, route, service, settings } from "./world.ts";

const toA = { kind: "authority", authority: "a.demo.svc.cluster.local:8080" } as const;
const client = { namespace: "demo", pod: "client" };

function linesOf(...texts: readonly string[]): readonly string[] {
  const resolution = resolveOutbound(readBrokenStore(...texts), settings, toA, client);
  if ("unknown" in resolution) throw new Error(resolution.unknown);
  return outboundLines(resolution.policy).map((line) => line.replace(/^[^:]*: /, ""));
}

/** The lines of one route with these rules, on Service a, beside Service b. */
const rules = test.macro({
  exec: (t, text: string, ...expected: readonly string[]) => {
    t.deepEqual(linesOf(service("a"), service("b"), route("r", "a", text)), expected);
  },
  title: (given = "") => `resolveOutboundRule() ${given}`,
});

const backend = "backendRefs: [{ name: b, port: 8080 }]";
const inB = "Service demo/b:8080 1";

test(
  "keeps every part of every match",
  rules,
  `[{ matches: [
      { path: { type: Exact, value: /x }, method: GET, headers: [{ name: X-A, value: v }] },
      { path: { type: RegularExpression, value: "/y/[0-9]+" }, headers: [{ name: x-b, type: RegularExpression, value: "a|b" }] },
      { path: { value: /z }, queryParams: [{ name: Q, value: one }, { name: p, type: RegularExpression, value: ".+" }] },
    ], ${backend} }]`,
  `GET exact /x header x-a=v or regex /y/[0-9]+ header x-b~a|b or prefix /z query Q=one query p~.+ → ${inB}`,
);
test(
  "takes every request when the rule has no matches",
  rules,
  `[{ ${backend} }]`,
  `prefix / → ${inB}`,
);
test(
  "keeps the weights",
  rules,
  "[{ backendRefs: [{ name: a, port: 8080, weight: 9 }, { name: b, port: 8080, weight: 1 }, { name: b, port: 8080, weight: 0 }] }]",
  "prefix / → Service demo/a:8080 9 | Service demo/b:8080 1 | Service demo/b:8080 0",
);
test(
  "answers 500 when every weight is 0",
  rules,
  "[{ backendRefs: [{ name: b, port: 8080, weight: 0 }] }]",
  "prefix / → 500 every backend of the rule has weight 0",
);
test(
  "answers 500 for a gateway rule without backendRefs",
  rules,
  "[{}]",
  "prefix / → 500 the rule has no backendRefs",
);
test(
  "lets a redirect answer alone",
  rules,
  "[{ filters: [{ type: RequestRedirect, requestRedirect: { hostname: other, statusCode: 307 } }] }]",
  "prefix / → redirect 307 other",
);
test(
  "honours header modifiers of a rule and of a backend",
  rules,
  `[{ filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { remove: [x-a] } }],
      backendRefs: [{ name: b, port: 8080, filters: [{ type: ResponseHeaderModifier, responseHeaderModifier: { set: [{ name: x-b, value: v }] } }] }] }]`,
  'prefix / → request-headers {"set":[],"add":[],"remove":["x-a"]}, Service demo/b:8080 1 response-headers {"set":[{"name":"x-b","value":"v"}],"add":[],"remove":[]}',
);
test(
  "honours a redirect of a backend",
  rules,
  "[{ backendRefs: [{ name: b, port: 8080, filters: [{ type: RequestRedirect, requestRedirect: { hostname: other } }] }] }]",
  `prefix / → ${inB} redirect 302 other`,
);
test(
  "keeps both timeouts",
  rules,
  `[{ timeouts: { request: 2s, backendRequest: 500ms }, ${backend} }]`,
  `prefix / → ${inB} within request 2000 ms, backendRequest 500 ms`,
);
test(
  "reads a timeout of 0s as none",
  rules,
  `[{ timeouts: { request: 0s, backendRequest: 3s }, ${backend} }, { timeouts: { request: 0s }, ${backend} }]`,
  `prefix / → ${inB} within backendRequest 3000 ms`,
  `prefix / → ${inB}`,
);

const toNowhere = test.macro({
  exec: (t, ref: string, message: string) => {
    const text = `[{ backendRefs: [{ name: b, port: 8080, weight: 3 }, { ${ref} }] }]`;
    const [line = ""] = linesOf(service("a"), service("b"), route("r", "a", text));
    t.true(line.startsWith("prefix / → Service demo/b:8080 3 | "), line);
    t.true(line.endsWith(` 1 500 ${message}`), line);
  },
  title: (_given, ref: string, message: string) =>
    `resolveBackend() answers 500 "${message}" for the share of { ${ref} }`,
});
test(toNowhere, "name: missing, port: 8080", "Service not found missing");
test(toNowhere, "name: b, namespace: other, port: 8080", "Service not found b");
test(toNowhere, "name: b, port: 9999", "port 9999 not found on Service b");
test(
  toNowhere,
  "group: example.com, kind: Bucket, name: b, port: 8080",
  "unsupported backend type example.com Bucket",
);
test(toNowhere, "kind: ConfigMap, name: b, port: 8080", "unsupported backend type core ConfigMap");

test("resolveBackend() answers 500 for an ExternalName Service", (t) => {
  const external = `---
apiVersion: v1
kind: Service
metadata: { name: b, namespace: demo }
spec: { type: ExternalName, externalName: www.example.com, ports: [{ port: 8080 }] }
`;
  t.deepEqual(linesOf(service("a"), external, route("r", "a", `[{ ${backend} }]`)), [
    "prefix / → Service demo/b:8080 1 500 Service not found b",
  ]);
});

test("resolveBackend() answers 500 for a port that carries no HTTP", (t) => {
  const opaque = service("b").replace("port: 8080", "port: 8080, appProtocol: linkerd.io/tcp");
  t.deepEqual(linesOf(service("a"), opaque, route("r", "a", `[{ ${backend} }]`)), [
    "prefix / → Service demo/b:8080 1 500 port 8080 of Service b is not HTTP (appProtocol linkerd.io/tcp)",
  ]);
});

test("resolveBackend() answers 500 for a Service that cannot be read", (t) => {
  const bad = service("b").replace("port: 8080", "port: 99999");
  const [line = ""] = linesOf(service("a"), bad, route("r", "a", `[{ ${backend} }]`));
  t.regex(line, /^prefix \/ → Service demo\/b:8080 1 500 Service demo\/b cannot be read: spec/);
});

test("resolveBackend() sends to another namespace and to a headless Service without ports", (t) => {
  const headless = `---
apiVersion: v1
kind: Service
metadata: { name: b, namespace: other }
spec: { clusterIP: None }
`;
  const text = "[{ backendRefs: [{ name: b, namespace: other, port: 7000 }] }]";
  t.deepEqual(linesOf(service("a"), headless, route("r", "a", text)), [
    "prefix / → Service other/b:7000 1",
  ]);
});

test("resolveMatches() takes every value where a regular expression cannot be used, and answers 500", (t) => {
  const text = `[{ matches: [
      { path: { type: RegularExpression, value: "/a(" } },
      { path: { value: /b }, headers: [{ name: x, type: RegularExpression, value: "(?=b)" }] },
    ], ${backend} }]`;
  const [line = "", ...more] = linesOf(service("a"), service("b"), route("r", "a", text));
  t.true(
    line.startsWith(
      "regex (?s).* or prefix /b header x~(?s).* → 500 matches[0].path: the regular expression cannot be used: ",
    ),
    line,
  );
  t.true(line.includes("; matches[1].headers: the regular expression cannot be used: "), line);
  t.deepEqual(more, []);
});

test("resolveOutboundRule() answers 500 for the matches of a rule that cannot be read, and lets the others go on", (t) => {
  const text = `[
    { matches: [{ path: { value: /x } }], timeouts: { request: soon }, ${backend} },
    { ${backend} },
  ]`;
  const [first = "", ...others] = linesOf(service("a"), service("b"), route("r", "a", text));
  t.regex(first, /^prefix \/x → 500 spec\.rules\[0\]\.timeouts\.request: /);
  t.deepEqual(others, [`prefix / → ${inB}`]);
});

test("resolveOutboundRule() answers 500 for every request when not even the matches can be read", (t) => {
  const text = `[{ matches: [{ path: { type: Glob, value: /x } }], ${backend} }]`;
  const [line = ""] = linesOf(service("a"), service("b"), route("r", "a", text));
  t.regex(line, /^prefix \/ → 500 spec\.rules\[0\]\.matches\[0\]\.path\.type: /);
});

test("resolveOutboundRule() sends to the parent when a policy.linkerd.io rule has no backendRefs", (t) => {
  const text = `---
apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: { name: r, namespace: demo }
spec:
  parentRefs: [{ group: core, kind: Service, name: a }]
  rules: [{ matches: [{ path: { value: /x } }] }]
`;
  t.deepEqual(linesOf(service("a"), text), ["prefix /x → first of Service demo/a:8080 1"]);
});

test("answerWith500() keeps what users wrote out of the syntax of headers, and short", (t) => {
  const value = `soon\\r\\nset-cookie: x${"y".repeat(600)}`;
  const text = `[{ timeouts: { request: "${value}" }, ${backend} }]`;
  const [line = ""] = linesOf(service("a"), service("b"), route("r", "a", text));
  const message = line.slice(line.indexOf("500 ") + 4);
  t.regex(message, /^[\x20-\x7e]+$/);
  t.true(message.length <= 512);
});

test("readStore() refuses what the tests do not mean to be broken", (t) => {
  t.throws(() => readStore(service("a").replace("8080", "99999")));
});
