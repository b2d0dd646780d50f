/** What only a sidecar of Weft is told, and what any other client is told in place of it. */
import { create, toJsonString } from "@bufbuild/protobuf";
import test from "ava";
import {
  OutboundPolicies,
  type OutboundPolicy,
  OutboundPolicySchema,
  TrafficSpecSchema,
} from "../../src/core/wire/gen/linkerd/outbound_pb.ts";
import { fromWireOutbound } from "../../src/core/wire/outbound.ts";
import { callUnary } from "../../src/edge/grpc/client.ts";
import { outboundLines } from "../core/resolve/summary.ts";
import { mesh } from "./files.ts";
import {
  startBench,
  watchEndpoints,
  watchOutbound,
  watchPort,
  weftClient,
  workload,
} from "./harness.ts";

function route(rule: string): string {
  return `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: r, namespace: demo }
spec: { parentRefs: [{ group: "", kind: Service, name: a }], rules: [${rule}] }
`;
}

const rewriting = route(
  "{ filters: [{ type: URLRewrite, urlRewrite: { hostname: other.example } }], backendRefs: [{ name: b, port: 8080 }] }",
);

function linesOf(message: OutboundPolicy): readonly string[] {
  return outboundLines(fromWireOutbound(message).value);
}

test("Watch tells a sidecar of Weft the fields of its own contract", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh, "route.yaml": rewriting });
  const message = await watchOutbound(bench, "a:8080", workload, weftClient).next();
  t.deepEqual(linesOf(message), [
    "HTTPRoute demo/r: prefix / → rewrite other.example undefined, Service demo/b:8080 1",
  ]);
});

for (const [name, metadata] of [
  ["says nothing", {}],
  ["speaks another version", { "weft-api": "2" }],
] as const) {
  test(`Watch tells a client that ${name} a 500 that names the field`, async (t) => {
    await using bench = await startBench({ "mesh.yaml": mesh, "route.yaml": rewriting });
    const [line = ""] = linesOf(await watchOutbound(bench, "a:8080", workload, metadata).next());
    t.regex(line, /→ 500 [^,]*URLRewrite/);
  });
}

test("Watch tells both kinds of clients each their own answer, and each change of it", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh, "route.yaml": rewriting });
  const ours = watchOutbound(bench, "a:8080", workload, weftClient);
  const theirs = watchOutbound(bench, "a:8080");
  t.notDeepEqual(linesOf(await ours.next()), linesOf(await theirs.next()));
  await bench.put("route.yaml", route("{ backendRefs: [{ name: b, port: 8080 }] }"));
  const expected = ["HTTPRoute demo/r: prefix / → Service demo/b:8080 1"];
  t.deepEqual(linesOf(await ours.next()), expected);
  t.deepEqual(linesOf(await theirs.next()), expected);
});

test("Get answers a sidecar of Weft and another client each in their own contract", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh, "route.yaml": rewriting });
  const target = { case: "authority", value: "a:8080" } as const;
  const request = create(TrafficSpecSchema, { sourceWorkload: workload, target });
  const ask = async (metadata: Readonly<Record<string, string>>): Promise<readonly string[]> => {
    const options = { deadlineMs: 5_000, metadata };
    const answer = await callUnary(bench.policy, OutboundPolicies.method.get, request, options);
    return answer.ok ? linesOf(answer.value) : [];
  };
  t.deepEqual(await ask(weftClient), [
    "HTTPRoute demo/r: prefix / → rewrite other.example undefined, Service demo/b:8080 1",
  ]);
  t.regex((await ask({}))[0] ?? "", /→ 500 [^,]*URLRewrite/);
});

const lambda = `apiVersion: v1
kind: Secret
metadata: { name: keys, namespace: demo }
stringData: { accessKey: AKIDEXAMPLE, secretKey: not-to-be-seen }
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: Backend
metadata: { name: function, namespace: demo }
spec: { aws: { auth: { type: Secret, secretRef: { name: keys } }, lambda: { functionName: hello } } }
---
${route("{ backendRefs: [{ group: gateway.kgateway.dev, kind: Backend, name: function }] }")}`;

test("the keys of a function go to sidecars of Weft only, and to no page and no log", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh, "lambda.yaml": lambda });
  const seen = (message: OutboundPolicy): boolean =>
    toJsonString(OutboundPolicySchema, message).includes("not-to-be-seen");
  t.true(seen(await watchOutbound(bench, "a:8080", workload, weftClient).next()));
  t.false(seen(await watchOutbound(bench, "a:8080").next()));
  for (const path of ["/status", "/metrics"]) {
    t.false((await (await bench.page(path)).text()).includes("not-to-be-seen"), path);
  }
  await bench.put("lambda.yaml", lambda.replace("not-to-be-seen }", '"not-to-be-seen " }'));
  await bench.logged("document_refused");
  t.false(JSON.stringify(bench.lines).includes("not-to-be-seen"));
});

const near = `apiVersion: v1
kind: Service
metadata: { name: near, namespace: demo }
spec: { clusterIP: 10.96.0.9, ports: [{ port: 80 }], trafficDistribution: PreferSameZone }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: near-1, namespace: demo, labels: { kubernetes.io/service-name: near } }
addressType: IPv4
ports: [{ port: 8080 }]
endpoints: [{ addresses: [10.2.0.1], nodeName: n1, zone: east }, { addresses: [10.2.0.2], nodeName: n2, zone: west }]
`;

test("Destination.Get tells the endpoints near a client, as soon as it is known where that is", async (t) => {
  const client = `apiVersion: v1
kind: Pod
metadata: { name: client, namespace: demo }
spec: { containers: [{ name: app }] }
`;
  await using bench = await startBench({ "near.yaml": near, "client.yaml": client });
  const path = "near.demo.svc.cluster.local:80";
  const token = JSON.stringify({ ns: "demo", nodeName: "n2", pod: "client" });
  const watch = watchEndpoints(bench, path, token);
  const stranger = watchEndpoints(bench, path);
  const count = async (reader: typeof watch): Promise<number> => {
    const { update } = await reader.next();
    return update.case === "add" || update.case === "remove" ? update.value.addrs.length : 0;
  };
  t.is(await count(watch), 2);
  t.is(await count(stranger), 2);
  await bench.put("client.yaml", client.replace("spec: {", "spec: { nodeName: n2,"));
  const removed = await watch.until(({ update }) => update.case === "remove");
  const [gone] = removed.update.case === "remove" ? removed.update.value.addrs : [];
  t.is(gone?.ip?.ip.case === "ipv4" ? gone.ip.ip.value & 255 : undefined, 1);
});

const tokens = `apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: web, namespace: demo }
spec: { podSelector: {}, port: http, proxyProtocol: HTTP/1 }
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: web, namespace: demo }
spec:
  targetRef: { group: policy.linkerd.io, kind: Server, name: web }
  requiredAuthenticationRefs: [{ group: weft.dev, kind: JWTAuthentication, name: people }]
---
apiVersion: weft.dev/v1alpha1
kind: JWTAuthentication
metadata: { name: people, namespace: demo }
spec: { issuer: a, audiences: [b], keys: { file: /keys.json } }
`;

test("WatchPort tells only a sidecar of Weft of an authorization that asks for tokens", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh, "tokens.yaml": tokens });
  const ours = await watchPort(bench, 8080, workload, weftClient).next();
  t.deepEqual(
    ours.authorizations.map((one) => one.tokens.map(({ issuer }) => issuer)),
    [["a"]],
  );
  const theirs = await watchPort(bench, 8080).next();
  t.deepEqual(theirs.authorizations, []);
});
