import test from "ava";
import { explainInbound, type InboundWords } from "../../src/explain/explain-inbound.ts";
import type { Explanation } from "../../src/explain/explanation.ts";
import { keySet, makeSigner, makeToken, type Signer } from "../harness/tokens.ts";
import { backend, worldOf } from "./world-in-test.ts";

const policies = `---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: a-http, namespace: demo }
spec: { podSelector: { matchLabels: { app: a } }, port: http, proxyProtocol: HTTP/1 }
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: from-office, namespace: demo }
spec:
  targetRef: { group: policy.linkerd.io, kind: Server, name: a-http }
  requiredAuthenticationRefs: [{ group: policy.linkerd.io, kind: NetworkAuthentication, name: office }]
---
apiVersion: policy.linkerd.io/v1alpha1
kind: NetworkAuthentication
metadata: { name: office, namespace: demo }
spec: { networks: [{ cidr: 192.168.0.0/16 }] }
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: from-client, namespace: demo }
spec:
  targetRef: { group: policy.linkerd.io, kind: Server, name: a-http }
  requiredAuthenticationRefs: [{ group: policy.linkerd.io, kind: MeshTLSAuthentication, name: client }]
---
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: { name: client, namespace: demo }
spec: { identityRefs: [{ kind: ServiceAccount, name: client }] }
`;

const world = worldOf(
  backend("client", { ip: "10.1.0.9", meshed: true }) +
    backend("a", { ip: "10.1.0.1", meshed: true }) +
    policies,
);

type Words = Partial<Omit<InboundWords, "request">>;

function tell(request: string, words: Words): Explanation | string {
  const told = explainInbound(world, {
    at: "demo/a-http",
    from: "",
    identity: undefined,
    to: undefined,
    headers: [],
    ip: undefined,
    ...words,
    request: request.split(" "),
  });
  return told.ok ? told.value : told.faults.map(({ path, reason }) => `${path}: ${reason}`).join();
}

test("explainInbound() tells every authorization that was tried, with its first failing condition", (t) => {
  const denied = tell("GET /", { ip: "10.9.9.9" }) as Explanation;
  t.is(denied.verdict.kind, "refused");
  t.is(denied.verdict.fates[0]?.status, 403);
  const [view] = denied.inbound;
  t.like(view, { pods: ["demo/a-1"], port: 8080, server: "server a-http", admitted: false });
  t.deepEqual(
    new Map(view?.authorizations.map(({ authorization, obstacle }) => [authorization, obstacle])),
    new Map([
      ["AuthorizationPolicy demo/from-client", "tls"],
      ["AuthorizationPolicy demo/from-office", "network"],
    ]),
  );
  t.is(view?.reason, denied.verdict.fates[0]?.reason);
});

test("explainInbound() takes a client by its account, by its identity or by its address", (t) => {
  const stranger = "other.demo.serviceaccount.identity.linkerd.cluster.local";
  const verdicts = [
    tell("GET /", { from: "demo/client" }),
    tell("GET /", { from: "demo/other" }),
    tell("GET /", { identity: stranger, ip: "10.0.0.1" }),
    tell("GET /", { identity: stranger, ip: "192.168.1.1" }),
    tell("GET /", { ip: "192.168.1.1" }),
  ].map((told) => (typeof told === "string" ? told : told.verdict.kind));
  t.deepEqual(verdicts, ["forwarded", "refused", "refused", "forwarded", "forwarded"]);
});

test("explainInbound() asks a port of a pod, governed by a Server or by the default policy", (t) => {
  const own = tell("POST /x", { at: "demo/a-1:8080", from: "demo/client" }) as Explanation;
  t.is(own.inbound[0]?.server, "server a-http");
  const other = tell("GET /", { at: "demo/client-1:8080", ip: "10.0.0.1" }) as Explanation;
  t.regex(other.inbound[0]?.server ?? "", /^default /);
});

test("explainInbound() says what is admitted only because it is audited", (t) => {
  const audit = "config.linkerd.io/default-inbound-policy: audit";
  const mesh = worldOf(backend("b", { ip: "10.1.0.2", meshed: true, annotations: audit }));
  const told = explainInbound(mesh, {
    at: "demo/b-1:8080",
    from: "",
    identity: undefined,
    to: undefined,
    headers: [],
    ip: "10.0.0.1",
    request: ["/"],
  });
  t.true(told.ok);
  const [view] = told.ok ? told.value.inbound : [];
  t.like(view, { admitted: true, audited: true });
  t.true(view?.authorizations.some(({ isAudit }) => isAudit));
});

const refusals = test.macro({
  exec: (t, words: Words, expected: RegExp) => {
    const told = tell("GET /", words);
    t.regex(typeof told === "string" ? told : "no fault", expected);
  },
  title: (_given, words: Words) => `explainInbound() refuses ${JSON.stringify(words)}`,
});
test(refusals, {}, /^--from: say who asks/);
test(refusals, { at: "demo", ip: "10.0.0.1" }, /^--at: write NAMESPACE\/POD:PORT/);
test(
  refusals,
  { at: "demo/none", ip: "10.0.0.1" },
  /no port of a pod is governed by the Server demo\/none/,
);
test(refusals, { at: "demo/none:1", ip: "10.0.0.1" }, /there is no pod demo\/none/);
test(refusals, { ip: "ten" }, /^--ip: write an IP address/);
test(refusals, { from: "demo" }, /^--from: write NAMESPACE\/SERVICEACCOUNT/);
test(refusals, { from: "demo/a", identity: "x" }, /^--identity: leave out it or --from/);

const routed = `---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: a-http, namespace: demo }
spec: { podSelector: { matchLabels: { app: a } }, port: http, proxyProtocol: HTTP/1 }
---
apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: { name: admin, namespace: demo }
spec:
  parentRefs: [{ group: policy.linkerd.io, kind: Server, name: a-http }]
  rules: [{ matches: [{ path: { type: PathPrefix, value: /admin } }] }]
---
apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: { name: all, namespace: demo }
spec:
  parentRefs: [{ group: policy.linkerd.io, kind: Server, name: a-http }]
  rules: [{ matches: [{ path: { type: PathPrefix, value: / } }] }]
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: all, namespace: demo }
spec:
  targetRef: { group: policy.linkerd.io, kind: HTTPRoute, name: all }
  requiredAuthenticationRefs: []
`;

function inside(policy: string, request: string, words: Words = {}): Explanation {
  const told = explainInbound(worldOf(backend("a", { ip: "10.1.0.1", meshed: true }) + policy), {
    at: "demo/a-http",
    from: "",
    identity: undefined,
    to: undefined,
    headers: [],
    ip: "10.0.0.1",
    ...words,
    request: request.split(" "),
  });
  if (!told.ok) throw new Error(JSON.stringify(told.faults));
  return told.value;
}

test("explainInbound() refuses a path that an application may read as a forbidden one, as the sidecar does", (t) => {
  t.is(inside(routed, "/open").verdict.kind, "forwarded");
  for (const path of ["/open/../admin", "//admin", "/%61dmin", "/ADMIN"]) {
    const told = inside(routed, path);
    t.is(told.verdict.kind, "refused", path);
    t.is(told.verdict.fates[0]?.status, 403);
    t.regex(told.inbound[0]?.reason ?? "", /^the path may be read as "\/admin"/, path);
  }
});

const limit = `---
apiVersion: policy.linkerd.io/v1alpha1
kind: HTTPLocalRateLimitPolicy
metadata: { name: web, namespace: demo }
spec:
  targetRef: { group: policy.linkerd.io, kind: Server, name: a-http }
  total: { requestsPerSecond: 100 }
  identity: { requestsPerSecond: 20 }
  overrides: [{ requestsPerSecond: 25, clientRefs: [{ kind: ServiceAccount, name: client }] }]
`;

test("explainInbound() tells the rate that holds for the client", (t) => {
  t.is(inside(routed, "/open").inbound[0]?.rateLimit, "");
  const one = inside(routed + limit, "/open", { from: "demo/client" }).inbound[0];
  t.regex(
    one?.rateLimit ?? "",
    /^HTTPLocalRateLimitPolicy demo\/web lets 100 requests a second in all and 25 requests a second of client\.demo\./,
  );
  const plain = inside(routed + limit, "/open").inbound[0];
  t.regex(plain?.rateLimit ?? "", /20 requests a second of all clients without an identity/);
});

test("explainInbound() tells a refusal for every request while the limit of the Server cannot be read", (t) => {
  const told = inside(routed + limit.replace("100", "0"), "/open");
  t.is(told.verdict.fates[0]?.status, 500);
  t.regex(told.verdict.fates[0]?.reason ?? "", /HTTPLocalRateLimitPolicy demo\/web cannot be read/);
});

const signer = makeSigner();

function asksForToken(keys: string): string {
  return `---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: a-http, namespace: demo }
spec: { podSelector: { matchLabels: { app: a } }, port: http, proxyProtocol: HTTP/1 }
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: people, namespace: demo }
spec:
  targetRef: { group: policy.linkerd.io, kind: Server, name: a-http }
  requiredAuthenticationRefs: [{ group: weft.dev, kind: JWTAuthentication, name: people }]
---
apiVersion: weft.dev/v1alpha1
kind: JWTAuthentication
metadata: { name: people, namespace: demo }
spec: { issuer: us, audiences: [web], keys: ${keys}, claims: [{ name: role, values: [ops] }] }
`;
}

const inline = asksForToken(`{ inline: '${keySet(signer)}' }`);
const published = asksForToken("{ url: https://login.example/keys }");

function bearer(claims: Readonly<Record<string, unknown>>, by: Signer = signer): Words {
  const exp = Math.floor(Date.now() / 1_000) + 3_600;
  const token = makeToken(by, { iss: "us", aud: "web", exp, ...claims });
  return { headers: [`Authorization: Bearer ${token}`] };
}

test("explainInbound() judges a token by its signature and its claims, and does not tell it again", (t) => {
  const good = inside(inline, "/", bearer({ role: "ops" }));
  t.is(good.verdict.kind, "forwarded");
  t.deepEqual(good.notes, []);
  t.false(JSON.stringify(good).includes("eyJ"));
  for (const [words, reason] of [
    [{}, /no token was sent/],
    [bearer({ role: "dev" }), /claim role has none of the required values/],
    [bearer({ role: "ops", exp: 1 }), /the token has expired/],
    [bearer({ role: "ops" }, makeSigner()), /the signature of the token does not hold/],
  ] as const) {
    const told = inside(inline, "/", words);
    t.is(told.verdict.kind, "refused");
    t.regex(told.inbound[0]?.reason ?? "", reason);
    t.is(told.inbound[0]?.authorizations[0]?.obstacle, "token");
  }
});

test("explainInbound() says when it cannot check the signature of a token", (t) => {
  const told = inside(published, "/", bearer({ role: "ops" }, makeSigner()));
  t.is(told.verdict.kind, "forwarded");
  t.regex(
    told.notes.join(),
    /taken to hold: only the sidecar reads .* url https:\/\/login\.example/,
  );
  t.is(inside(published, "/", bearer({ role: "dev" })).verdict.kind, "refused");
});
