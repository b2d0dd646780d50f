import test from "ava";
import type { OutboundPolicy, OutboundTarget } from "../../../src/core/model/outbound-policy.ts";
import { resolveOutbound } from "../../../src/core/resolve/outbound.ts";
import type { Resolution } from "../../../src/core/resolve/settings.ts";
import type { Store } from "../../../src/core/resolve/store.ts";
import { outboundLines } from "./summary.ts";
import { readBrokenStore, readStore, route, service, settings } from "./world.ts";

const toA: OutboundTarget = { kind: "authority", authority: "a.demo.svc.cluster.local:8080" };

function resolve(
  store: Store,
  target: OutboundTarget = toA,
  namespace = "demo",
): Resolution<OutboundPolicy> {
  return resolveOutbound(store, settings, target, { namespace, pod: "client" });
}

function policyOf(store: Store, target: OutboundTarget = toA, namespace = "demo"): OutboundPolicy {
  const resolution = resolve(store, target, namespace);
  if ("unknown" in resolution) throw new Error(resolution.unknown);
  return resolution.policy;
}

function lines(store: Store, namespace = "demo"): readonly string[] {
  return outboundLines(policyOf(store, toA, namespace));
}

const toB = "[{ backendRefs: [{ name: b, port: 8080 }] }]";

test("resolveOutbound() sends to the Service itself when no route is attached", (t) => {
  const policy = policyOf(readStore(service("a")));
  t.deepEqual(outboundLines(policy), ["default http: prefix / → first of Service demo/a:8080 1"]);
  t.is(policy.protocol, "detect");
  t.like(policy.opaque, { meta: { name: "opaq" }, refusal: "" });
  t.is(policy.opaque.backends.kind, "first-available");
});

test("resolveOutbound() finds a Service by its cluster IP and by its name alike", (t) => {
  const store = readStore(service("a"), service("b"), route("r", "a", toB));
  const byAddress = policyOf(store, { kind: "address", ip: "10.96.0.97", port: 8080 });
  t.deepEqual(byAddress, policyOf(store));
});

test("resolveOutbound() replaces the Service by its routes", (t) => {
  const store = readStore(service("a"), service("b"), route("r", "a", toB));
  t.deepEqual(lines(store), ["HTTPRoute demo/r: prefix / → Service demo/b:8080 1"]);
});

test("resolveOutbound() merges the routes of both groups, oldest first, then by name", (t) => {
  const older = ', creationTimestamp: "2024-01-01T00:00:00Z"';
  const newer = ', creationTimestamp: "2024-01-02T00:00:00Z"';
  const store = readStore(
    service("a"),
    service("b"),
    route("first-by-name", "a", toB, newer),
    route("z-twin", "a", toB, older),
    route("a-twin", "a", toB, older),
    `---
apiVersion: policy.linkerd.io/v1beta2
kind: HTTPRoute
metadata: { name: m-twin, namespace: demo${older} }
spec:
  parentRefs: [{ group: core, kind: Service, name: a }]
  rules: ${toB}
`,
  );
  t.deepEqual(
    lines(store).map((line) => line.split(":")[0]),
    [
      "HTTPRoute demo/a-twin",
      "HTTPRoute demo/m-twin",
      "HTTPRoute demo/z-twin",
      "HTTPRoute demo/first-by-name",
    ],
  );
});

const consumerRoute = `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: consumer, namespace: client }
spec:
  parentRefs: [{ group: "", kind: Service, name: a, namespace: demo }]
  rules: [{ backendRefs: [{ name: b, namespace: demo, port: 8080 }] }]
`;

test("resolveOutbound() shows consumer routes to clients of their namespace, and only those", (t) => {
  const producer = route("producer", "a", "[{ backendRefs: [{ name: a, port: 8080 }] }]");
  const store = readStore(service("a"), service("b"), producer, consumerRoute);
  const ofConsumer = "HTTPRoute client/consumer: prefix / → Service demo/b:8080 1";
  const ofProducer = "HTTPRoute demo/producer: prefix / → Service demo/a:8080 1";
  t.deepEqual(lines(store, "client"), [ofConsumer]);
  t.deepEqual(lines(store, "demo"), [ofProducer]);
  t.deepEqual(lines(store, "elsewhere"), [ofProducer]);
});

const attachments = test.macro({
  exec: (t, parentRef: string, attached: readonly number[]) => {
    const ports = "ports: [{ name: http, port: 80 }, { name: alt, port: 8080 }]";
    const store = readStore(
      `---
apiVersion: v1
kind: Service
metadata: { name: a, namespace: demo }
spec: { ${ports} }
`,
      service("b"),
      `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: r, namespace: demo }
spec: { parentRefs: [{ ${parentRef} }], rules: ${toB} }
`,
    );
    const found = [80, 8080].filter((port) => {
      const target = { kind: "authority", authority: `a.demo.svc.cluster.local:${port}` } as const;
      const [first] = policyOf(store, target).httpRoutes;
      return first?.meta.type === "resource";
    });
    t.deepEqual(found, attached);
  },
  title: (_given, parentRef: string, attached: readonly number[]) =>
    `resolveOutbound() attaches { ${parentRef} } to ports [${attached.join(", ")}]`,
});
test(attachments, 'group: "", kind: Service, name: a', [80, 8080]);
test(attachments, "group: core, kind: Service, name: a", [80, 8080]);
test(attachments, 'group: "", kind: Service, name: a, port: 80', [80]);
test(attachments, 'group: "", kind: Service, name: a, sectionName: alt', [8080]);
test(attachments, 'group: "", kind: Service, name: a, sectionName: alt, port: 8080', [8080]);
test(attachments, 'group: "", kind: Service, name: a, sectionName: alt, port: 80', []);
test(attachments, 'group: "", kind: Service, name: a, port: 9999', []);
test(attachments, 'group: "", kind: Service, name: a, namespace: other', []);
test(attachments, "kind: Service, name: a", []);

test("resolveOutbound() refuses connections to a port that the Service does not declare", (t) => {
  const store = readStore(service("a"));
  const policy = policyOf(store, { kind: "address", ip: "10.96.0.97", port: 9999 });
  t.like(policy, { protocol: "opaque", httpRoutes: [] });
  t.like(policy.opaque, { meta: { name: "undefined-port" }, refusal: "forbidden" });
  t.deepEqual(policy.opaque.backends, { kind: "empty" });
});

const protocols = test.macro({
  exec: (t, appProtocol: string, protocol: string) => {
    const store = readStore(`---
apiVersion: v1
kind: Service
metadata: { name: a, namespace: demo }
spec: { clusterIP: 10.96.0.97, ports: [{ port: 8080, appProtocol: ${appProtocol} }] }
`);
    const policy = policyOf(store);
    t.is(policy.protocol, protocol as OutboundPolicy["protocol"]);
    t.is(policy.httpRoutes.length, protocol === "opaque" ? 0 : 1);
  },
  title: (_given, appProtocol: string, protocol: string) =>
    `resolveOutbound() reads appProtocol ${appProtocol} as ${protocol}`,
});
test(protocols, "http", "http1");
test(protocols, "kubernetes.io/h2c", "http2");
test(protocols, "linkerd.io/opaque", "opaque");
test(protocols, "linkerd.io/tcp", "opaque");
test(protocols, "example.com/unheard-of", "detect");

test("resolveOutbound() does not attach routes to a headless Service, which is a destination all the same", (t) => {
  const store = readStore(
    `---
apiVersion: v1
kind: Service
metadata: { name: a, namespace: demo }
spec: { clusterIP: None, ports: [{ port: 8080 }] }
`,
    service("b"),
    route("r", "a", toB),
  );
  t.deepEqual(lines(store), ["default http: prefix / → first of Service demo/a:8080 1"]);
});

test("resolveOutbound() knows no policy for pod addresses", (t) => {
  const store = readStore(`---
apiVersion: v1
kind: Pod
metadata: { name: a-1, namespace: demo }
spec: { containers: [{ name: app }] }
status: { podIPs: [{ ip: 172.20.0.1 }] }
`);
  const resolution = resolve(store, { kind: "address", ip: "172.20.0.1", port: 8080 });
  t.deepEqual(resolution, {
    unknown: "172.20.0.1 is a pod, which routes do not speak for",
  });
});

test("resolveOutbound() knows no policy for unused addresses inside the cluster networks", (t) => {
  const resolution = resolve(readStore(), { kind: "address", ip: "10.1.2.3", port: 80 });
  t.deepEqual(resolution, { unknown: "no Service has the cluster IP 10.1.2.3" });
});

test("resolveOutbound() forwards what leaves the cluster networks to where it was sent", (t) => {
  const policy = policyOf(readStore(), { kind: "address", ip: "192.0.2.7", port: 443 });
  t.deepEqual(outboundLines(policy), [
    "default egress-fallback: prefix / → first of default egress-fallback 1",
  ]);
  const [choice] = policy.opaque.backends.kind === "empty" ? [] : policy.opaque.backends.backends;
  t.like(choice?.backend.dispatch, { kind: "forward", endpoint: { ip: "192.0.2.7", port: 443 } });
});

test("resolveOutbound() knows no policy for names outside of the cluster", (t) => {
  const target = { kind: "authority", authority: "www.example.com:80" } as const;
  t.true("unknown" in resolve(readStore(), target));
});

test("resolveOutbound() knows no policy for a Service of type ExternalName", (t) => {
  const store = readStore(`---
apiVersion: v1
kind: Service
metadata: { name: a, namespace: demo }
spec: { type: ExternalName, externalName: www.example.com, ports: [{ port: 8080 }] }
`);
  t.deepEqual(resolve(store), { unknown: "Service demo/a is of type ExternalName" });
});

test("resolveOutbound() answers 500 for what is left by a route that cannot be read", (t) => {
  const broken = route("bad", "a", "[{ backendRefs: [{ name: b, port: 8080 }] }]").replace(
    "rules:",
    "hostnames: [NOT-A-HOST]\n  rules:",
  );
  const good = route(
    "good",
    "a",
    "[{ matches: [{ path: { value: /good } }], backendRefs: [{ name: b, port: 8080 }] }]",
  );
  const store = readBrokenStore(service("a"), service("b"), broken, good);
  const [first, second, ...more] = lines(store);
  t.is(first, "HTTPRoute demo/good: prefix /good → Service demo/b:8080 1");
  t.regex(
    second ?? "",
    /^HTTPRoute demo\/bad: prefix \/ → 500 HTTPRoute demo\/bad cannot be read: spec\.hostnames/,
  );
  t.deepEqual(more, []);
});

test("resolveOutbound() answers 500 for a Service that cannot be read", (t) => {
  const store = readBrokenStore(service("a").replace("port: 8080", "port: 99999"));
  const policy = policyOf(store);
  t.regex(
    outboundLines(policy).join("\n"),
    /^Service demo\/a:8080: prefix \/ → 500 Service demo\/a cannot be read: spec\.ports/,
  );
  t.is(policy.opaque.refusal, "invalid");
});
