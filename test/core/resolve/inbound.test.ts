import test from "ava";
import type { InboundPolicy } from "../../../src/core/model/inbound-policy.ts";
import { resolveInbound } from "../../../src/core/resolve/inbound.ts";
import type { ResolveSettings } from "../../../src/core/resolve/settings.ts";
import { buildStore, type Store } from "../../../src/core/resolve/store.ts";
import { admitsText, inboundLines } from "./summary.ts";
import { readBrokenStore, readContent, readStore, settings } from "./world.ts";

function pod(annotations = "", container = ""): string {
  return `---
apiVersion: v1
kind: Pod
metadata: { name: web-1, namespace: demo, labels: { app: web, tier: front }, annotations: { ${annotations} } }
spec: { containers: [{ name: app, ports: [{ name: http, containerPort: 8080 }, { name: dns, containerPort: 53, protocol: UDP }]${container} }] }
`;
}

function server(name: string, spec: string, metadata = ""): string {
  return `---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: ${name}, namespace: demo${metadata} }
spec: { ${spec} }
`;
}

const webHttp = "podSelector: { matchLabels: { app: web } }, port: http";

function policyOf(
  store: Store,
  port = 8080,
  changed: Partial<ResolveSettings> = {},
): InboundPolicy {
  const workload = { namespace: "demo", pod: "web-1" };
  const resolution = resolveInbound(store, { ...settings, ...changed }, workload, port);
  if ("unknown" in resolution) throw new Error(resolution.unknown);
  return resolution.policy;
}

function admits(policy: InboundPolicy): readonly string[] {
  return policy.authorizations.map(admitsText);
}

const everywhere = "0.0.0.0/0 ::/0";

test("resolveInbound() knows no policy for a pod that does not exist", (t) => {
  const resolution = resolveInbound(readStore(), settings, { namespace: "demo", pod: "x" }, 80);
  t.deepEqual(resolution, { unknown: "Pod demo/x does not exist" });
});

test("resolveInbound() lets the cluster's default policy hold on any port without a Server", (t) => {
  const policy = policyOf(readStore(pod()), 12_345);
  t.deepEqual(policy.server, { group: "", kind: "default", name: "all-unauthenticated" });
  t.deepEqual(admits(policy), [
    `default all-unauthenticated admits unauthenticated from ${everywhere}`,
  ]);
  t.like(policy, { protocol: "detect", detectTimeoutMs: 10_000, routes: [] });
});

const defaults = test.macro({
  exec: (t, name: string, ...expected: readonly string[]) => {
    const policy = policyOf(readStore(pod(`config.linkerd.io/default-inbound-policy: ${name}`)));
    t.deepEqual(admits(policy), expected);
    t.is(policy.server.name, name);
  },
  title: (_given, name: string, ..._expected: readonly string[]) =>
    `resolveInbound() lets a pod choose the default policy ${name}`,
});
const inCluster = "10.0.0.0/8 fd00::/8";
test(defaults, "deny");
test(defaults, "audit", `default audit admits unauthenticated from ${everywhere}`);
test(defaults, "all-authenticated", `default all-authenticated admits * from ${everywhere}`);
test(
  defaults,
  "cluster-unauthenticated",
  `default cluster-unauthenticated admits unauthenticated from ${inCluster}`,
);
test(defaults, "cluster-authenticated", `default cluster-authenticated admits * from ${inCluster}`);

const namespace = (policy: string): string => `---
apiVersion: v1
kind: Namespace
metadata: { name: demo, annotations: { config.linkerd.io/default-inbound-policy: ${policy} } }
`;

test("resolveInbound() lets the pod decide over its namespace, and that over the cluster", (t) => {
  const ofPod = pod("config.linkerd.io/default-inbound-policy: audit");
  t.is(policyOf(readStore(namespace("deny"), pod())).server.name, "deny");
  t.is(policyOf(readStore(namespace("deny"), ofPod)).server.name, "audit");
});

const everyDefault = [
  "all-unauthenticated",
  "all-authenticated",
  "cluster-unauthenticated",
  "cluster-authenticated",
  "deny",
  "audit",
] as const;

test("resolveInbound() goes by the nearest of the three default policies, whatever the others are", (t) => {
  const alone = new Map(
    everyDefault.map((name) => [
      name,
      admits(policyOf(readStore(pod()), 8080, { defaultInboundPolicy: name })),
    ]),
  );
  t.deepEqual(alone.get("deny"), []);
  t.is(new Set([...alone.values()].map((list) => list.join())).size, everyDefault.length);
  for (const ofCluster of everyDefault) {
    for (const ofNamespace of ["", ...everyDefault]) {
      for (const ofPod of ["", ...everyDefault]) {
        const annotation = ofPod && `config.linkerd.io/default-inbound-policy: ${ofPod}`;
        const texts = [pod(annotation), ...(ofNamespace ? [namespace(ofNamespace)] : [])];
        const found = policyOf(readStore(...texts), 8080, { defaultInboundPolicy: ofCluster });
        const nearest = everyDefault.find((one) => one === (ofPod || ofNamespace || ofCluster));
        const expected = nearest && alone.get(nearest);
        t.deepEqual(admits(found), expected, `${ofCluster} ${ofNamespace} ${ofPod}`);
      }
    }
  }
});

test("resolveInbound() admits nobody where a default policy is misspelt", (t) => {
  const policy = policyOf(readStore(namespace("open"), pod()));
  t.is(policy.server.name, "unreadable");
  t.deepEqual(policy.authorizations, []);
});

test("resolveInbound() asks for an identity on the ports that a pod lists", (t) => {
  const store = readStore(
    pod('config.linkerd.io/proxy-require-identity-inbound-ports: "9000-9010,http"'),
  );
  t.is(policyOf(store, 8080).server.name, "all-authenticated");
  t.is(policyOf(store, 9005).server.name, "all-authenticated");
  t.is(policyOf(store, 9011).server.name, "all-unauthenticated");
});

test("resolveInbound() admits nobody while a list of ports cannot be read", (t) => {
  const store = readStore(pod('config.linkerd.io/proxy-require-identity-inbound-ports: "80;81"'));
  t.deepEqual(policyOf(store).authorizations, []);
});

test("resolveInbound() passes on unread what a pod calls opaque", (t) => {
  const store = readStore(pod('config.linkerd.io/opaque-ports: "8080"'));
  t.is(policyOf(store, 8080).protocol, "opaque");
  t.is(policyOf(store, 8081).protocol, "detect");
});

test("resolveInbound() admits nobody on a Server without authorizations", (t) => {
  const policy = policyOf(readStore(pod(), server("s", webHttp)));
  t.deepEqual(policy.server, { group: "policy.linkerd.io", kind: "server", name: "s" });
  t.deepEqual(policy.authorizations, []);
});

const selections = test.macro({
  exec: (t, spec: string, port: number, isTaken: boolean) => {
    const policy = policyOf(readStore(pod(), server("s", spec)), port);
    t.is(policy.server.kind, isTaken ? "server" : "default");
  },
  title: (_given, spec: string, port: number, isTaken: boolean) =>
    `findServer() ${isTaken ? "lets" : "does not let"} { ${spec} } speak for port ${port}`,
});
test(selections, webHttp, 8080, true);
test(selections, webHttp, 8081, false);
test(selections, "podSelector: {}, port: 8080", 8080, true);
test(selections, "podSelector: {}, port: dns", 53, false);
test(selections, "podSelector: { matchLabels: { app: other } }, port: 8080", 8080, false);
test(
  selections,
  "podSelector: { matchExpressions: [{ key: tier, operator: In, values: [front, back] }] }, port: 8080",
  8080,
  true,
);
test(
  selections,
  "podSelector: { matchExpressions: [{ key: tier, operator: DoesNotExist }] }, port: 8080",
  8080,
  false,
);
test(selections, "externalWorkloadSelector: {}, port: 8080", 8080, false);

test("findServer() lets the older of two Servers speak, then the first by name", (t) => {
  const at = (day: number): string => `, creationTimestamp: "2024-01-0${day}T00:00:00Z"`;
  const byAge = readStore(pod(), server("a", webHttp, at(2)), server("b", webHttp, at(1)));
  const byName = readStore(pod(), server("b", webHttp, at(1)), server("a", webHttp, at(1)));
  t.is(policyOf(byAge).server.name, "b");
  t.is(policyOf(byName).server.name, "a");
});

const serverProtocols = test.macro({
  exec: (t, proxyProtocol: string, protocol: string) => {
    const store = readStore(pod(), server("s", `${webHttp}, proxyProtocol: ${proxyProtocol}`));
    t.is(policyOf(store).protocol as string, protocol);
  },
  title: (_given, proxyProtocol: string, protocol: string) =>
    `resolveInbound() reads proxyProtocol ${proxyProtocol} as ${protocol}`,
});
test(serverProtocols, "unknown", "detect");
test(serverProtocols, "HTTP/1", "http1");
test(serverProtocols, "HTTP/2", "http2");
test(serverProtocols, "gRPC", "grpc");
test(serverProtocols, "opaque", "opaque");
test(serverProtocols, "TLS", "tls");

function policy(name: string, target: string, refs: string): string {
  return `---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: ${name}, namespace: demo }
spec:
  targetRef: { ${target} }
  requiredAuthenticationRefs: [${refs}]
`;
}

const onServer = "group: policy.linkerd.io, kind: Server, name: s";

test("resolveInbound() adds what targets the Server, its namespace, and its access policy", (t) => {
  const store = readStore(
    pod(),
    server("s", `${webHttp}, accessPolicy: all-authenticated`),
    policy("of-namespace", "kind: Namespace, name: demo", ""),
    policy("of-server", onServer, ""),
    policy("of-another", "group: policy.linkerd.io, kind: Server, name: other", ""),
  );
  t.deepEqual(admits(policyOf(store)), [
    `AuthorizationPolicy demo/of-server admits unauthenticated from ${everywhere}`,
    `AuthorizationPolicy demo/of-namespace admits unauthenticated from ${everywhere}`,
    `default all-authenticated admits * from ${everywhere}`,
  ]);
});

test("resolveInbound() does not let a policy of a namespace open a port without a Server", (t) => {
  const store = readStore(
    namespace("deny"),
    pod(),
    policy("of-namespace", "kind: Namespace, name: demo", ""),
  );
  t.deepEqual(policyOf(store).authorizations, []);
});

function serverRoute(name: string, rules: string, spec = ""): string {
  return `---
apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: { name: ${name}, namespace: demo }
spec:
  parentRefs: [{ ${onServer} }]
  rules: ${rules}
${spec}`;
}

const onRoute = (name: string): string =>
  `group: policy.linkerd.io, kind: HTTPRoute, name: ${name}`;

test("resolveInbound() gives a route its own authorizations", (t) => {
  const store = readStore(
    pod(),
    server("s", webHttp),
    serverRoute("read", "[{ matches: [{ path: { value: /read }, method: GET }] }]"),
    serverRoute("rest", "[{}]"),
    policy("readers", onRoute("read"), ""),
  );
  const found = policyOf(store);
  t.deepEqual(inboundLines(found), [
    `HTTPRoute demo/read: GET prefix /read → AuthorizationPolicy demo/readers admits unauthenticated from ${everywhere}`,
    "HTTPRoute demo/rest: prefix / → ",
  ]);
  t.deepEqual(found.authorizations, []);
});

test("resolveInbound() tells routes of the two groups with one name apart", (t) => {
  const ofGateway = `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: read, namespace: demo }
spec: { parentRefs: [{ ${onServer} }], rules: [{ matches: [{ path: { value: /gateway } }] }] }
`;
  const store = readStore(
    pod(),
    server("s", webHttp),
    ofGateway,
    serverRoute("read", "[{}]"),
    policy("readers", onRoute("read"), ""),
  );
  t.deepEqual(inboundLines(policyOf(store)), [
    "HTTPRoute demo/read: prefix /gateway → ",
    `HTTPRoute demo/read: prefix / → AuthorizationPolicy demo/readers admits unauthenticated from ${everywhere}`,
  ]);
});

test("resolveInbound() honours the host names of a route", (t) => {
  const text = serverRoute("r", "[{}]", '  hostnames: ["*.example.com", "exact.example.org"]\n');
  t.deepEqual(inboundLines(policyOf(readStore(pod(), server("s", webHttp), text))), [
    "HTTPRoute demo/r: suffix host example.com exact host exact.example.org prefix / → ",
  ]);
});

test("resolveInbound() answers 500 for filters that an inbound rule cannot honour", (t) => {
  const text = `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: r, namespace: demo }
spec:
  parentRefs: [{ ${onServer} }]
  rules:
    - filters: [{ type: ResponseHeaderModifier, responseHeaderModifier: { remove: [x] } }]
    - filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { remove: [x] } }]
`;
  t.deepEqual(inboundLines(policyOf(readStore(pod(), server("s", webHttp), text))), [
    "HTTPRoute demo/r: prefix / → 500 filter ResponseHeaderModifier is not supported on a route to a Server",
    'HTTPRoute demo/r: prefix / → request-headers {"set":[],"add":[],"remove":["x"]}',
  ]);
});

test("resolveInbound() does not attach a route of another namespace, or with a port", (t) => {
  const other = serverRoute("r", "[{}]")
    .replace("namespace: demo }\nspec", "namespace: other }\nspec")
    .replace("name: s", "name: s, namespace: demo");
  const ported = serverRoute("p", "[{}]").replace("name: s", "name: s, port: 8080");
  t.deepEqual(policyOf(readStore(pod(), server("s", webHttp), other, ported)).routes, []);
});

test("resolveInbound() attaches no route to an opaque Server", (t) => {
  const opaque = server("s", `${webHttp}, proxyProtocol: opaque`);
  t.deepEqual(policyOf(readStore(pod(), opaque, serverRoute("r", "[{}]"))).routes, []);
});

const probes =
  ", livenessProbe: { httpGet: { path: /live, port: http } }, readinessProbe: { httpGet: { path: '/ready?full=1', port: 8080 } }, startupProbe: { httpGet: { path: /other, port: 9999 } }";
const probeLine = `default probe: GET exact /live or GET exact /ready → default probe admits unauthenticated from ${everywhere}`;

test("resolveInbound() always admits probes, in front of whatever routes there are", (t) => {
  const withoutRoutes = policyOf(readStore(pod("", probes), server("s", webHttp)));
  t.deepEqual(inboundLines(withoutRoutes), [probeLine, "default default: prefix / → "]);
  const withRoutes = readStore(
    pod("", probes),
    server("s", webHttp),
    serverRoute("r", "[{ matches: [{ path: { type: Exact, value: /live } }] }]"),
  );
  t.deepEqual(inboundLines(policyOf(withRoutes)), [probeLine, "HTTPRoute demo/r: exact /live → "]);
});

test("resolveInbound() admits nobody on ports that a broken Server may have meant", (t) => {
  const open = server("open", `${webHttp}, accessPolicy: all-unauthenticated`);
  const bad = server("bad", `${webHttp}, proxyProtocol: HTTP/9`);
  const found = policyOf(readBrokenStore(pod(), open, bad));
  t.deepEqual(found.server, { group: "policy.linkerd.io", kind: "server", name: "bad" });
  t.deepEqual(found.authorizations, []);
  t.is(policyOf(readBrokenStore(pod(), open, bad), 9000).server.name, "all-unauthenticated");
});

test("resolveInbound() closes all ports of the namespace for a Server whose pods cannot be read", (t) => {
  const bad = server("bad", "podSelector: [app], port: 8080");
  const found = policyOf(readBrokenStore(pod(), bad), 9000);
  t.is(found.server.name, "bad");
  t.deepEqual(found.authorizations, []);
});

test("resolveInbound() closes all ports of the selected pods for a Server whose port cannot be read", (t) => {
  const selected = server("bad", "podSelector: { matchLabels: { app: web } }, port: 0");
  const others = server("bad", "podSelector: { matchLabels: { app: other } }, port: 0");
  t.is(policyOf(readBrokenStore(pod(), selected), 9000).server.name, "bad");
  t.is(policyOf(readBrokenStore(pod(), others), 9000).server.kind, "default");
});

test("resolveInbound() admits nobody to a pod that cannot be read", (t) => {
  const found = policyOf(readBrokenStore(pod().replace("containerPort: 8080", "containerPort: 0")));
  t.like(found, { server: { kind: "default", name: "unreadable" }, authorizations: [] });
});

test("resolveInbound() admits nobody without a Server while the namespace cannot be read", (t) => {
  const bad = "---\napiVersion: v1\nkind: Namespace\nmetadata: { name: demo, labels: { a: 1 } }\n";
  t.is(policyOf(readBrokenStore(pod(), bad)).server.name, "unreadable");
});

test("resolveInbound() admits nobody without a Server while a document was never readable", (t) => {
  const content = { ...readContent(pod(), server("s", webHttp)), unreadableAtStart: true };
  t.is(policyOf(buildStore(content), 9000).server.name, "unreadable");
  t.deepEqual(policyOf(buildStore(content), 9000).authorizations, []);
  t.is(policyOf(buildStore(content), 8080).server.name, "s");
});

const badRoute = serverRoute("bad", "[{}]", '  hostnames: ["NOT A HOST"]\n');

test("resolveInbound() answers 500 for what is left by a route that cannot be read", (t) => {
  const store = readBrokenStore(
    pod(),
    server("s", webHttp),
    badRoute,
    serverRoute("good", "[{ matches: [{ path: { value: /good } }] }]"),
  );
  const [first = "", second = "", ...more] = inboundLines(policyOf(store));
  t.is(first, "HTTPRoute demo/good: prefix /good → ");
  t.regex(second, /^HTTPRoute demo\/bad: prefix \/ → 500 HTTPRoute demo\/bad cannot be read: /);
  t.deepEqual(more, []);
});

test("resolveInbound() refuses every request while one of an unreadable route could fall to a route that admits more", (t) => {
  const store = readBrokenStore(
    pod(),
    server("s", webHttp),
    badRoute,
    serverRoute("good", "[{ matches: [{ path: { value: /good } }] }]"),
    policy("anybody", onRoute("good"), ""),
  );
  const [line = "", ...more] = inboundLines(policyOf(store));
  t.regex(line, /^HTTPRoute demo\/bad: prefix \/ → 500 HTTPRoute demo\/bad cannot be read: /);
  t.deepEqual(more, []);
});

test("resolveInbound() refuses every request while one of an unreadable rule could fall to a route that admits more", (t) => {
  const unclear = serverRoute("unclear", "[{ matches: [{ path: { type: Glob, value: /x } }] }]");
  const good = serverRoute("good", "[{ matches: [{ path: { value: /good } }] }]");
  const open = readBrokenStore(
    pod(),
    server("s", webHttp),
    unclear,
    good,
    policy("p", onRoute("good"), ""),
  );
  t.deepEqual(inboundLines(policyOf(open)), [
    "HTTPRoute demo/unclear: prefix / → 500 a rule cannot be read, and another route would admit its requests",
  ]);
  const closed = readBrokenStore(pod(), server("s", webHttp), unclear, good);
  t.deepEqual(
    policyOf(closed).routes.map(({ rules }) => rules.length),
    [1, 1],
  );
});
