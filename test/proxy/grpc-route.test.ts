/** GRPCRoutes from their text to the calls that they are about: every stage of the pipeline, then a listener. */
import test from "ava";
import { outboundStages } from "../../src/core/pipeline.ts";
import { readBrokenStore, service, settings } from "../core/resolve/world.ts";
import { HandClock } from "../harness/hand-clock.ts";
import { endpoint, endpointSnapshot, outboundSnapshot } from "../harness/policies.ts";
import { RpcClient, RpcServer } from "../harness/rpc.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const authority = (name: string): string => `${name}.demo.svc.cluster.local:8080`;
const word = Buffer.from("hello");

type Parts = { readonly metadata?: string; readonly rules: string };

function snapshotOf({ metadata = "", rules }: Parts): ReturnType<typeof outboundSnapshot> {
  const route = `---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: { name: calls, namespace: demo${metadata} }
spec:
  parentRefs: [{ group: "", kind: Service, name: a, port: 8080 }]
  rules: ${rules}
`;
  const store = readBrokenStore(service("a"), service("b"), route);
  const question = {
    workload: { namespace: "demo", pod: "client" },
    target: { kind: "authority" as const, authority: authority("a") },
  };
  const stages = outboundStages(store, settings, question);
  if ("unknown" in stages) throw new Error(stages.unknown);
  return outboundSnapshot(stages.policy.table, authority("a"));
}

function start(
  parts: Parts,
  ports: Readonly<Record<string, number>>,
  clock?: HandClock,
): Promise<ShardInTest> {
  return ShardInTest.start({
    ...(clock === undefined ? {} : { clock }),
    limits: { connectTimeoutMs: 20_000 },
    snapshots: [
      snapshotOf(parts),
      ...Object.entries(ports).map(([name, port]) =>
        endpointSnapshot(authority(name), endpoint(port)),
      ),
    ],
  });
}

test("a call goes where its service and method lead, and UNIMPLEMENTED is what is left", async (t) => {
  await using a = await RpcServer.start();
  await using b = await RpcServer.start();
  const rules = `
    - matches: [{ method: { service: demo.Echo, method: Unary } }]
      backendRefs: [{ name: a, port: 8080 }]
    - matches: [{ method: { service: "demo[.].*", method: "Gath.*", type: RegularExpression } }]
      backendRefs: [{ name: b, port: 8080 }]
    - matches: [{ method: { method: Spread }, headers: [{ name: x-to, value: a }] }]
      backendRefs: [{ name: a, port: 8080 }]`;
  await using shard = await start({ rules }, { a: a.port, b: b.port });
  using client = new RpcClient(shard.port(), authority("a"));
  t.is((await client.call("unary", [word])).code, 0);
  t.is((await client.call("gather", [word])).code, 0);
  t.is((await client.call("spread", [word], { metadata: { "x-to": "a" } })).code, 0);
  t.deepEqual([a.seen, b.seen], [["unary", "spread"], ["gather"]]);
  const missed = await client.call("spread", [word]);
  t.is(missed.code, 12);
  t.true(missed.details.includes("no route of Service demo/a:8080"), missed.details);
});

test("calls of a backend that is not there are UNAVAILABLE, and those of a broken rule INTERNAL", async (t) => {
  const rules = `
    - matches: [{ method: { method: Unary } }]
      backendRefs: [{ name: gone, port: 8080 }]
    - matches: [{ method: { method: Spread } }]
      filters: [{ type: RequestRedirect, requestRedirect: { hostname: b } }]
      backendRefs: [{ name: a, port: 8080 }]`;
  await using a = await RpcServer.start();
  await using shard = await start({ rules }, { a: a.port });
  using client = new RpcClient(shard.port(), authority("a"));
  const gone = await client.call("unary", [word]);
  t.is(gone.code, 14);
  t.true(gone.details.includes("Service not found gone"), gone.details);
  const refused = await client.call("spread", [word]);
  t.is(refused.code, 13);
  t.true(refused.details.includes("RequestRedirect"), refused.details);
  t.deepEqual(a.seen, []);
});

test("retry.linkerd.io/grpc is what is tried again, and nothing else", async (t) => {
  await using a = await RpcServer.start();
  const metadata =
    ', annotations: { retry.linkerd.io/grpc: "unavailable,internal", retry.linkerd.io/limit: "2" }';
  const rules = "[{ backendRefs: [{ name: a, port: 8080 }] }]";
  await using shard = await start({ metadata, rules }, { a: a.port });
  using client = new RpcClient(shard.port(), authority("a"));
  for (const [fail, tries] of [
    ["14", 3],
    ["13", 3],
    ["8", 1],
  ] as const) {
    const before = a.seen.length;
    const { code } = await client.call("unary", [word], { metadata: { fail } });
    t.is(code, Number(fail));
    t.is(a.seen.length - before, tries);
  }
  t.is(shard.count("outbound_http_route_retry_requests_total"), 4);
  t.is(shard.count("outbound_http_route_retry_limit_exceeded_total"), 2);
});

test("timeout.linkerd.io/request ends a call with DEADLINE_EXCEEDED, and its server is told", async (t) => {
  const clock = new HandClock();
  await using a = await RpcServer.start();
  const metadata = ', annotations: { timeout.linkerd.io/request: "300ms" }';
  const rules = "[{ backendRefs: [{ name: a, port: 8080 }] }]";
  await using shard = await start({ metadata, rules }, { a: a.port }, clock);
  using client = new RpcClient(shard.port(), authority("a"));
  const asked = client.call("unary", [word], { metadata: { fail: "never" } });
  await shard.until(() => a.seen.length === 1);
  clock.pass(400);
  t.is((await asked).code, 4);
  await shard.until(() => a.cancelled === 1);
});

test("RequestMirror of a GRPCRoute copies calls to a server of gRPC", async (t) => {
  await using a = await RpcServer.start();
  await using b = await RpcServer.start();
  const rules = `
    - filters: [{ type: RequestMirror, requestMirror: { backendRef: { name: b, port: 8080 } } }]
      backendRefs: [{ name: a, port: 8080 }]`;
  await using shard = await start({ rules }, { a: a.port, b: b.port });
  using client = new RpcClient(shard.port(), authority("a"));
  t.is((await client.call("unary", [word])).code, 0);
  const mirrored = "outbound_http_route_mirror_total";
  await shard.until(() => shard.count(mirrored, { result: "answered" }) === 1);
  t.deepEqual([a.seen, b.seen], [["unary"], ["unary"]]);
});
