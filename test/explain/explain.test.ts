import test from "ava";
import { makeWorld } from "../../src/explain/world.ts";
import { readContent, route, settings } from "../core/resolve/world.ts";
import { ask, backend, smallMesh, worldOf } from "./world-in-test.ts";

const toB = "backendRefs: [{ name: b, port: 8080 }]";
const header = "matches: [{ headers: [{ name: x-one, value: '1' }] }]";

test("explain() sends a request of a Service without routes to the Service", (t) => {
  const { verdict, outbound } = ask(worldOf(smallMesh), "/x");
  t.deepEqual(verdict, {
    kind: "forwarded",
    fates: [{ percent: 100, kind: "backend", status: null, by: "Service demo/a:8080", reason: "" }],
  });
  t.like(outbound?.backends[0], { state: "ready", endpoints: 1, meshed: 1, percent: 100 });
});

test("explain() tells for each entry the first criterion that fails, and what broke the tie", (t) => {
  const world = worldOf(
    smallMesh,
    route("r", "a", `[{ ${toB} }, { ${header}, ${toB} }, { matches: [{ method: POST }], ${toB} }]`),
  );
  const { outbound } = ask(world, "/x", { headers: ["x-one: 1"] });
  t.deepEqual(
    outbound?.considered.map(({ rule, outcome }) => [rule, outcome]),
    [
      [2, "method"],
      [1, "match"],
      [0, "match"],
    ],
  );
  t.like(outbound?.winner, {
    route: "HTTPRoute demo/r",
    rule: 1,
    before: { route: "HTTPRoute demo/r", rule: 0, match: 0 },
    criterion: "headers",
  });
  t.is(
    ask(world, "/x").outbound?.considered[1]?.text,
    "HTTPRoute demo/r rule 1 match 0: the header x-one is missing or differs",
  );
});

test("explain() says 404 and the nearest entry when no route matches", (t) => {
  const { verdict, outbound } = ask(
    worldOf(smallMesh, route("r", "a", `[{ ${header}, ${toB} }]`)),
    "/",
  );
  t.is(outbound?.winner, null);
  t.like(verdict.fates[0], { status: 404, kind: "refusal", by: "Service demo/a:8080" });
  t.regex(verdict.fates[0]?.reason ?? "", /^no route of 1 matches; the nearest is .*x-one/);
});

test("explain() gives each backend its share, and says which cannot be used and why", (t) => {
  const world = worldOf(
    smallMesh,
    route(
      "r",
      "a",
      "[{ backendRefs: [{ name: a, port: 8080, weight: 1 }, { name: gone, port: 8080, weight: 3 }, { name: b, port: 8080, weight: 0 }] }]",
    ),
  );
  const { verdict, outbound, conditions } = ask(world, "/");
  t.deepEqual(
    outbound?.backends.map(({ percent, state }) => [percent, state]),
    [
      [25, "ready"],
      [75, "invalid"],
      [0, "none"],
    ],
  );
  t.is(verdict.kind, "forwarded");
  t.deepEqual(
    verdict.fates.map(({ percent, status, reason }) => [percent, status, reason]),
    [
      [75, 500, "Service not found gone"],
      [25, null, ""],
    ],
  );
  t.like(conditions[0], {
    object: "HTTPRoute demo/r",
    type: "ResolvedRefs",
    reason: "BackendNotFound",
  });
});

test("explain() says 503 for a backend without endpoints", (t) => {
  const service = smallMesh.replace(
    "endpoints: [{ addresses: [10.1.0.1]",
    "endpoints: [{ conditions: { ready: false }, addresses: [10.1.0.1]",
  );
  const { verdict, outbound } = ask(worldOf(service), "/");
  t.like(verdict.fates[0], { status: 503, reason: "no endpoint is ready" });
  t.is(outbound?.backends[0]?.state, "no-endpoints");
});

test("explain() asks for the Service that was meant when there is none of the name", (t) => {
  const world = worldOf(smallMesh + backend("billing", { ip: "10.1.0.7" }));
  const { verdict, notes, outbound } = ask(world, "/", { to: "biling.demo:8080" });
  t.is(outbound, null);
  t.like(verdict.fates[0], { status: 502, reason: "Service demo/biling does not exist" });
  t.deepEqual(notes, ["there is no Service biling.demo: did you mean billing.demo?"]);
  t.deepEqual(ask(world, "/", { to: "billing.other:8080" }).notes, [
    "there is no Service billing.other: did you mean billing.demo?",
  ]);
});

test("explain() names the ports of a Service when it has not the one", (t) => {
  const { verdict, notes } = ask(worldOf(smallMesh), "/", { to: "a.demo" });
  t.like(verdict.fates[0], { status: 403, kind: "refusal" });
  t.deepEqual(notes, ["Service demo/a has no port 80: use 8080 (http)"]);
});

test("explain() notes a client that nobody is, and one without a sidecar", (t) => {
  t.deepEqual(ask(worldOf(smallMesh), "/", { from: "demo/clent", ip: "10.1.0.9" }).notes, [
    "no pod of the folder runs as demo/clent: did you mean demo/client?",
  ]);
  t.regex(ask(worldOf(smallMesh), "/", { from: "demo/b" }).notes[0] ?? "", /demo\/b has a sidecar/);
});

test("explain() tells which routes of the Service have no say, and why", (t) => {
  const other = route("r", "a", `[{ ${toB} }]`).replace("name: a }", "name: a, port: 9090 }");
  const service = smallMesh.replace(
    "metadata: { name: a, namespace: demo }\nspec: { selector: { app: a }, ports: [",
    "metadata: { name: a, namespace: demo }\nspec: { selector: { app: a }, ports: [{ name: more, port: 9090 }, ",
  );
  t.deepEqual(ask(worldOf(service, other), "/").outbound?.setAside, [
    { route: "HTTPRoute demo/r", reason: "it is for another port than 8080" },
  ]);
});

test("explain() tells producer routes from consumer routes", (t) => {
  const producer = route("producer", "a", `[{ ${toB} }]`);
  const consumer = route(
    "consumer",
    "a",
    "[{ backendRefs: [{ name: a, namespace: demo, port: 8080 }] }]",
  )
    .replace("namespace: demo }\nspec", "namespace: shop }\nspec")
    .replace("kind: Service, name: a }", "kind: Service, name: a, namespace: demo }");
  const world = worldOf(smallMesh, producer, consumer);
  t.deepEqual(ask(world, "/", { from: "shop/cart", ip: "10.1.0.8" }).outbound?.setAside, [
    {
      route: "HTTPRoute demo/producer",
      reason: "routes of the client's namespace replace those of the Service's",
    },
  ]);
  t.deepEqual(ask(world, "/").outbound?.setAside, [
    { route: "HTTPRoute shop/consumer", reason: "it holds for clients of the namespace shop" },
  ]);
});

test("explain() follows a redirect no further", (t) => {
  const filters =
    "filters: [{ type: RequestRedirect, requestRedirect: { hostname: example.com } }]";
  const { verdict } = ask(worldOf(smallMesh, route("r", "a", `[{ ${filters} }]`)), "/x?y");
  t.is(verdict.kind, "answered");
  t.like(verdict.fates[0], {
    kind: "answer",
    status: 302,
    by: "HTTPRoute demo/r rule 0",
    reason: "redirects to http://example.com:8080/x?y",
  });
});

const server = `---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: a-http, namespace: demo }
spec: { podSelector: { matchLabels: { app: a } }, port: http, proxyProtocol: HTTP/1 }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: a-read, namespace: demo }
spec:
  parentRefs: [{ group: policy.linkerd.io, kind: Server, name: a-http }]
  rules: [{ matches: [{ path: { type: PathPrefix, value: /read } }] }]
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: a-admits, namespace: demo }
spec:
  targetRef: { group: policy.linkerd.io, kind: HTTPRoute, name: a-read, }
  requiredAuthenticationRefs: [{ kind: ServiceAccount, name: client }]
`.replace("HTTPRoute, name: a-read, }", "Server, name: a-http }");

test("explain() asks the Server of the pod about the caller", (t) => {
  const world = worldOf(smallMesh, server);
  const admitted = ask(world, "/read");
  t.is(admitted.verdict.kind, "forwarded");
  t.like(admitted.inbound[0], {
    pods: ["demo/a-1"],
    server: "server a-http",
    enforced: true,
    admitted: true,
    reason: "AuthorizationPolicy demo/a-admits admits the client",
  });
  const denied = ask(world, "/read", { from: "demo/b" });
  t.is(denied.verdict.kind, "refused");
  t.like(denied.verdict.fates[0], { status: 403, by: "server a-http before Service demo/a:8080" });
  t.regex(
    denied.inbound[0]?.reason ?? "",
    /^client b\.demo\.serviceaccount.* is not among the identities/,
  );
});

test("explain() judges inbound routes by what the outbound side makes of the request", (t) => {
  const filters =
    "filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: x-one, value: '1' }] } }]";
  const outbound = route("r", "a", `[{ ${filters}, backendRefs: [{ name: a, port: 8080 }] }]`);
  const inbound = server.replace(
    "path: { type: PathPrefix, value: /read }",
    "headers: [{ name: x-one, value: '1' }]",
  );
  t.is(ask(worldOf(smallMesh, inbound, outbound), "/").verdict.kind, "forwarded");
  const { verdict } = ask(worldOf(smallMesh, inbound), "/");
  t.like(verdict.fates[0], { status: 404, kind: "refusal" });
});

test("explain() says that nobody asks in front of a pod without a sidecar", (t) => {
  const { inbound } = ask(worldOf(smallMesh), "/", { to: "b.demo:8080" });
  t.like(inbound[0], { pods: ["demo/b-1"], enforced: false, admitted: true });
});

test("explain() knows a default policy that admits nobody", (t) => {
  const closed = backend("a", {
    ip: "10.1.0.1",
    meshed: true,
    annotations: "config.linkerd.io/default-inbound-policy: deny",
  });
  const { verdict, inbound } = ask(
    worldOf(backend("client", { ip: "10.1.0.9", meshed: true }), closed),
    "/",
  );
  t.is(verdict.kind, "refused");
  t.is(inbound[0]?.server, "default deny");
});

test("explain() counts the pods that refuse as a share", (t) => {
  const two = smallMesh.replace(
    "endpoints: [{ addresses: [10.1.0.1]",
    "endpoints: [{ addresses: [10.1.0.2] }, { addresses: [10.1.0.1]",
  );
  const closed = server.replace("name: client }]", "name: nobody }]");
  const { verdict, inbound } = ask(worldOf(two, closed), "/read");
  t.deepEqual(
    verdict.fates.map(({ percent, kind }) => [percent, kind]),
    [
      [50, "refusal"],
      [50, "backend"],
    ],
  );
  t.is(inbound.length, 2);
});

test("explain() names conditions of policies that are near, and refused documents", (t) => {
  const dangling = server.replace(
    "kind: ServiceAccount, name: client",
    "group: policy.linkerd.io, kind: MeshTLSAuthentication, name: gone",
  );
  const report = {
    file: "a.yaml",
    document: 2,
    line: 7,
    object: "HTTPRoute demo/x",
    path: "spec",
    reason: "is required",
    severity: "refused",
  } as const;
  const content = readContent(smallMesh, dangling);
  const unserved = {
    ...report,
    object: "XBackend",
    path: "",
    reason: "why",
    severity: "unserved",
  } as const;
  const ignored = { ...report, severity: "ignored" } as const;
  const world = makeWorld(content, settings, [report, unserved, ignored]);
  const { conditions, refusedDocuments } = ask(world, "/read");
  t.like(conditions[0], {
    object: "AuthorizationPolicy demo/a-admits",
    type: "ResolvedRefs",
    reason: "AuthenticationNotFound",
  });
  t.deepEqual(refusedDocuments, [
    "a.yaml, document 2, line 7: HTTPRoute demo/x: spec: is required",
    "a.yaml, document 2, line 7: XBackend: why",
  ]);
});

test("explain() takes the address of the client from its pod, or from --ip", (t) => {
  t.is(ask(worldOf(smallMesh), "/").question.ip, "10.1.0.9");
  t.is(ask(worldOf(smallMesh), "/", { ip: "10.9.9.9" }).question.ip, "10.9.9.9");
  const { notes, question } = ask(worldOf(smallMesh), "/", { from: "shop/x" });
  t.is(question.ip, "10.0.0.0");
  t.true(notes.some((note) => note.endsWith("say which with --ip")));
});

test("explain() shows headers as they were typed", (t) => {
  const { question } = ask(worldOf(smallMesh), "/", { headers: ["x-one: ä"] });
  t.deepEqual(question.headers, [
    { name: "host", value: "a.demo:8080" },
    { name: "x-one", value: "ä" },
  ]);
});

const booksProfile = `---
apiVersion: linkerd.io/v1alpha2
kind: ServiceProfile
metadata: { name: a.demo.svc.cluster.local, namespace: demo }
spec:
  routes:
    - { name: other, condition: { method: POST } }
    - { name: books, condition: { pathRegex: "/books/.*" }, isRetryable: true, timeout: 1s }
  dstOverrides:
    - { authority: "a.demo.svc.cluster.local:8080", weight: 3 }
    - { authority: "b.demo.svc.cluster.local:8080", weight: 1 }
`;

test("explain() says that a ServiceProfile took over, and which of its routes takes the request", (t) => {
  const world = worldOf(smallMesh, route("r", "a", `[{ ${toB} }]`), booksProfile);
  const { outbound } = ask(world, "/books/1");
  const profile = "ServiceProfile demo/a.demo.svc.cluster.local";
  t.is(outbound?.profile, profile);
  t.like(outbound?.winner, { route: `${profile} "books"` });
  t.is(outbound?.timeouts.requestMs, 1_000);
  t.like(outbound?.retry, { limit: 10, budgetPercent: 20 });
  t.deepEqual(
    outbound?.backends.map(({ backend, percent }) => [backend, percent]),
    [
      ["Service demo/a:8080", 75],
      ["Service demo/b:8080", 25],
    ],
  );
  t.like(outbound?.setAside[0], {
    route: "HTTPRoute demo/r",
    reason: "a ServiceProfile speaks for the Service in place of HTTPRoutes",
  });
  t.is(ask(world, "/else").outbound?.winner?.route, profile);
  t.is(ask(worldOf(smallMesh), "/").outbound?.profile, "");
});

test("explain() complains of a ServiceProfile of the client's namespace", (t) => {
  const bad = booksProfile
    .replace("namespace: demo", "namespace: clients")
    .replace("books/.*", "(");
  const { conditions } = ask(worldOf(smallMesh, bad), "/", { from: "clients/client" });
  t.like(conditions[0], {
    object: "ServiceProfile clients/a.demo.svc.cluster.local",
    type: "PartiallyInvalid",
  });
});

const calls = `---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: { name: calls, namespace: demo }
spec:
  parentRefs: [{ group: "", kind: Service, name: a, port: 8080 }]
  rules:
    - backendRefs: [{ name: a, port: 8080 }]
    - { matches: [{ method: { service: shop.Cart } }], backendRefs: [{ name: b, port: 8080 }] }
`;

test("explain() follows a call of gRPC by its path, and names what a GRPCRoute puts aside", (t) => {
  const world = worldOf(smallMesh, calls, route("r", "a", `[{ ${toB} }]`));
  const { verdict, outbound } = ask(world, "POST /shop.Cart/Add");
  t.like(verdict.fates[0], { kind: "backend", by: "Service demo/b:8080" });
  t.like(outbound?.winner, { route: "GRPCRoute demo/calls", rule: 1, criterion: "rpc-service" });
  t.is(outbound?.backends[0]?.speaks, "HTTP/2");
  t.deepEqual(outbound?.setAside, [
    {
      route: "HTTPRoute demo/r",
      reason: "a GRPCRoute of the same parent comes before every HTTPRoute",
    },
  ]);
  t.like(ask(world, "GET /").verdict.fates[0], { status: 404 });
});

test("explain() names the service and the method of calls that miss, as they were written", (t) => {
  const named = `---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: { name: named, namespace: demo }
spec:
  parentRefs: [{ group: "", kind: Service, name: a, port: 8080 }]
  rules:
    - matches:
        - { method: { service: shop.Cart, method: Add } }
        - { method: { service: shop.Cart, method: "Re.*", type: RegularExpression } }
        - { method: { service: shop.Stock } }
        - { method: { method: Watch } }
      backendRefs: [{ name: a, port: 8080 }]
`;
  const world = worldOf(smallMesh, named);
  const texts = (request: string): readonly string[] =>
    ask(world, request).outbound?.considered.map(({ text }) => text) ?? [];
  t.deepEqual(texts("POST /shop.Cart/Empty").toSorted(), [
    "GRPCRoute demo/named rule 0 match 0: the call is not of service shop.Cart, method Add",
    "GRPCRoute demo/named rule 0 match 1: the call is not of service matched by shop.Cart, method matched by Re.*",
    "GRPCRoute demo/named rule 0 match 2: the call is not of service shop.Stock",
    "GRPCRoute demo/named rule 0 match 3: the call is not of method Watch",
  ]);
  t.true(
    texts("GET /shop.Cart/Add").includes(
      "GRPCRoute demo/named rule 0 match 0: it is no call of gRPC, which would be a POST",
    ),
  );
});
