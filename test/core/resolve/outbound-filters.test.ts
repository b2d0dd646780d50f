/** The filters of outbound rules and of their backends, and what is refused instead of left out. */
import test from "ava";
import { resolveOutbound } from "../../../src/core/resolve/outbound.ts";
import { outboundLines } from "./summary.ts";
import { readBrokenStore, route, service, settings } from "./world.ts";

const toA = { kind: "authority", authority: "a.demo.svc.cluster.local:8080" } as const;

const objects = `---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: DirectResponse
metadata: { name: robots, namespace: demo }
spec: { status: 404, body: "no robots" }
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: DirectResponse
metadata: { name: empty, namespace: demo }
spec: { status: 204 }
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: DirectResponse
metadata: { name: formatted, namespace: demo }
spec: { status: 200, bodyFormat: { text: "%PATH%" } }
---
apiVersion: weft.dev/v1alpha1
kind: HTTPFault
metadata: { name: trouble, namespace: demo }
spec: { delay: { duration: 2s, percent: 10 }, abort: { status: 503, percent: 50 } }
---
apiVersion: weft.dev/v1alpha1
kind: HTTPFault
metadata: { name: trouble, namespace: other }
spec: { abort: { status: 418 } }
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: Backend
metadata: { name: outside, namespace: demo }
spec: { static: { hosts: [{ host: 192.0.2.1, port: 80 }] } }
`;

function linesOf(rules: string): readonly string[] {
  const store = readBrokenStore(service("a"), service("b"), objects, route("r", "a", rules));
  const resolution = resolveOutbound(store, settings, toA, { namespace: "demo", pod: "client" });
  if ("unknown" in resolution) throw new Error(resolution.unknown);
  return outboundLines(resolution.policy).map((line) => line.replace(/^[^:]*: prefix \/ → /, ""));
}

const extension = (kind: string, name: string, group = "gateway.kgateway.dev"): string =>
  `{ type: ExtensionRef, extensionRef: { group: ${group}, kind: ${kind}, name: ${name} } }`;
const fault = extension("HTTPFault", "trouble", "weft.dev");
const robots = extension("DirectResponse", "robots");
const mirror = (ref: string, more = ""): string =>
  `{ type: RequestMirror, requestMirror: { backendRef: { ${ref} }${more} } }`;
const ask = (ref: string, payload = "protocol: GRPC, grpc: {}"): string =>
  `{ type: ExternalAuth, externalAuth: { ${payload}, backendRef: { ${ref} } } }`;
const inB = "name: b, port: 8080";
const backend = `backendRefs: [{ ${inB} }]`;
const toB = "Service demo/b:8080 1";

const onRule = test.macro({
  exec: (t, filters: string, expected: string) => {
    t.deepEqual(linesOf(`[{ filters: [${filters}], ${backend} }]`), [`${expected}, ${toB}`]);
  },
  title: (given = "") => `resolveFilters() ${given}`,
});
test(
  "honours URLRewrite",
  onRule,
  "{ type: URLRewrite, urlRewrite: { hostname: other.example, path: { type: ReplacePrefixMatch, replacePrefixMatch: /x } } }",
  'rewrite other.example {"kind":"prefix","value":"/x"}',
);
test(
  "completes an empty replacement with the slash that it means",
  onRule,
  '{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: "" } } }',
  'rewrite  {"kind":"prefix","value":"/"}',
);
test("honours RequestMirror", onRule, mirror(inB), "mirror to Service demo/b:8080");
test(
  "honours RequestMirror by percent and by fraction, several times",
  onRule,
  `${mirror(inB, ", percent: 20")}, ${mirror(inB, ", fraction: { numerator: 1, denominator: 1000 }")}`,
  "mirror to Service demo/b:8080 for 20 of 100, mirror to Service demo/b:8080 for 1 of 1000",
);
test(
  "mirrors to hosts outside of the mesh",
  onRule,
  mirror("group: gateway.kgateway.dev, kind: Backend, name: outside"),
  "mirror to Backend demo/outside",
);
test(
  "honours CORS",
  onRule,
  '{ type: CORS, cors: { allowOrigins: ["https://*.example.com"], allowCredentials: true, allowMethods: [PUT], allowHeaders: [X-A], exposeHeaders: [X-B], maxAge: 60 } }',
  'cors {"origins":["https://*.example.com"],"credentials":true,"methods":["PUT"],"headers":["x-a"],"exposed":["x-b"],"maxAgeSeconds":60}',
);
test(
  "honours ExternalAuth over gRPC",
  onRule,
  ask(inB, "protocol: GRPC, grpc: { allowedHeaders: [X-A] }, forwardBody: { maxSize: 1024 }"),
  'ask Service demo/b:8080 {"requestHeaders":["x-a"],"maxBodyBytes":1024,"protocol":"grpc","pathPrefix":"","responseHeaders":[]}',
);
test(
  "honours ExternalAuth over HTTP, with one slash between prefix and path",
  onRule,
  ask(inB, "protocol: HTTP, http: { path: check/, allowedResponseHeaders: [X-B] }"),
  'ask Service demo/b:8080 {"requestHeaders":[],"maxBodyBytes":0,"protocol":"http","pathPrefix":"/check","responseHeaders":["x-b"]}',
);
test(
  "makes of an HTTPFault a delay and a failure",
  onRule,
  fault,
  "wait 2000 ms for 10 of 100, 503 injected by HTTPFault demo/trouble for 50 of 100",
);
test(
  "keeps the order of the list",
  onRule,
  `${mirror(inB)}, { type: RequestHeaderModifier, requestHeaderModifier: { remove: [x] } }, ${fault}, { type: CORS, cors: {} }`,
  'mirror to Service demo/b:8080, request-headers {"set":[],"add":[],"remove":["x"]}, wait 2000 ms for 10 of 100, 503 injected by HTTPFault demo/trouble for 50 of 100, cors {"origins":[],"credentials":false,"methods":[],"headers":[],"exposed":[],"maxAgeSeconds":5}',
);

const whole = test.macro({
  exec: (t, rule: string, expected: string) => t.deepEqual(linesOf(`[${rule}]`), [expected]),
  title: (given = "") => `resolveOutboundRules() ${given}`,
});
test(
  "leaves out a mirror that leads nowhere, and sends the request on",
  whole,
  `{ filters: [${mirror("name: gone, port: 1")}], ${backend} }`,
  toB,
);
test(
  "refuses what cannot be asked about",
  whole,
  `{ filters: [${ask("name: gone, port: 1")}], ${backend} }`,
  "500 Service not found gone",
);
test(
  "lets a DirectResponse answer alone",
  whole,
  `{ filters: [${robots}] }`,
  'answer 404 "no robots" text/plain',
);
test(
  "gives no type to no body",
  whole,
  `{ filters: [${extension("DirectResponse", "empty")}] }`,
  'answer 204 "" ',
);
test(
  "refuses a DirectResponse beside backends",
  whole,
  `{ filters: [${robots}], ${backend} }`,
  "500 a rule with a DirectResponse must have no backendRefs",
);
test(
  "refuses a second DirectResponse",
  whole,
  `{ filters: [${robots}, ${robots}] }`,
  "500 a rule must have at most one DirectResponse",
);
test(
  "refuses a DirectResponse beside a redirect",
  whole,
  `{ filters: [${robots}, { type: RequestRedirect, requestRedirect: { hostname: x } }] }`,
  "500 a rule must not have both DirectResponse and RequestRedirect",
);
test(
  "refuses a DirectResponse that does not exist",
  whole,
  `{ filters: [${extension("DirectResponse", "gone")}] }`,
  "500 DirectResponse not found gone",
);
test(
  "refuses a DirectResponse that cannot be read",
  whole,
  `{ filters: [${extension("DirectResponse", "formatted")}] }`,
  '500 DirectResponse demo/formatted cannot be read: spec.bodyFormat.text: must have no format operators such as "%PATH%": they are not supported',
);
test(
  "refuses an HTTPFault that does not exist",
  whole,
  `{ filters: [${extension("HTTPFault", "gone", "weft.dev")}], ${backend} }`,
  "500 HTTPFault not found gone",
);
test(
  "refuses a filter of a kind that nobody knows",
  whole,
  `{ filters: [${extension("Thing", "x", "example.com")}], ${backend} }`,
  "500 unknown filter example.com Thing x",
);
test(
  "refuses a Parameter on the rule",
  whole,
  `{ filters: [${extension("Parameter", "x")}], ${backend} }`,
  "500 a Parameter must be a filter of a backendRef, not of the rule",
);
test(
  "answers 500 after a fault that lets some requests go on to no backend",
  whole,
  `{ filters: [${fault}] }`,
  "wait 2000 ms for 10 of 100, 503 injected by HTTPFault demo/trouble for 50 of 100, 500 the rule has no backendRefs",
);
test(
  "honours every filter of a backend, in order",
  whole,
  `{ backendRefs: [{ ${inB}, filters: [${fault}, ${mirror(inB)}, { type: URLRewrite, urlRewrite: { hostname: x } }] }] }`,
  `${toB} wait 2000 ms for 10 of 100 503 injected by HTTPFault demo/trouble for 50 of 100 mirror to Service demo/b:8080 rewrite x undefined`,
);
test(
  "refuses the share of a backend with a filter that leads nowhere",
  whole,
  `{ backendRefs: [{ ${inB}, weight: 3 }, { name: a, port: 8080, filters: [${extension("HTTPFault", "gone", "weft.dev")}] }] }`,
  "Service demo/b:8080 3 | Service demo/a:8080 1 500 HTTPFault not found gone",
);
test(
  "refuses the share of a backend that has a DirectResponse",
  whole,
  `{ backendRefs: [{ ${inB}, filters: [${robots}] }] }`,
  `${toB} 500 a DirectResponse must be a filter of the rule, not of a backend`,
);
test(
  "names everything that it refuses in a rule",
  whole,
  `{ filters: [${extension("Thing", "x", "example.com")}, ${ask("name: gone, port: 1")}], ${backend} }`,
  "500 unknown filter example.com Thing x; Service not found gone",
);
