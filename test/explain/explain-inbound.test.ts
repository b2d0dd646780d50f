import test from "ava";
import { explainInbound, type InboundWords } from "../../src/explain/explain-inbound.ts";
import type { Explanation } from "../../src/explain/explanation.ts";
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
