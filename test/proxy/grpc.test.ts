import { once } from "node:events";
import test from "ava";
import type { IdentitySnapshot } from "../../src/thread/messages.ts";
import { TestCa } from "../harness/certificates.ts";
import {
  admitting,
  allTo,
  backend,
  endpoint,
  endpointSnapshot,
  identities,
  inboundSnapshot,
  outboundSnapshot,
  routed,
  rule,
  to,
} from "../harness/policies.ts";
import { RpcClient, RpcServer } from "../harness/rpc.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const ca = new TestCa();
const frontend = ca.issue(["frontend.demo.id"]);
const web = ca.issue(["web.demo.id"]);
const appPort = 8080;

function webSidecar(hostPort: number, admits: string = "frontend.demo.id"): Promise<ShardInTest> {
  return ShardInTest.start({
    listeners: [{ kind: "inbound-mesh", host: "127.0.0.1", port: 0 }],
    forwards: [{ port: appPort, host: "127.0.0.1", hostPort }],
    snapshots: [web, inboundSnapshot(appPort, admitting(identities(admits)))],
  });
}

function frontendSidecar(
  inboundPort: number,
  identity: IdentitySnapshot = frontend,
): Promise<ShardInTest> {
  const tls = { identity: "web.demo.id", serverName: "web.demo.id" };
  return ShardInTest.start({
    snapshots: [
      identity,
      endpointSnapshot("a", endpoint(appPort, { tls, inboundPort })),
      outboundSnapshot(routed(rule({ backends: to(backend("a")) }))),
    ],
  });
}

const word = Buffer.from("hello");
const large = Buffer.alloc(1_500_000, "x");

test("calls of all four shapes go through two sidecars with mutual TLS", async (t) => {
  await using server = await RpcServer.start();
  await using far = await webSidecar(server.port);
  await using near = await frontendSidecar(far.port());
  using client = new RpcClient(near.port());
  const parts = [word, Buffer.from(" "), Buffer.from("world")];
  const unary = await client.call("unary", [word], { metadata: { trailing: "yes" } });
  t.is(unary.code, 0);
  t.deepEqual(unary.messages, [word]);
  t.deepEqual(unary.trailers.get("x-trailing"), ["yes"]);
  t.is(server.metadata.at(-1)?.get("l5d-client-id")[0], "frontend.demo.id");
  const gathered = await client.call("gather", parts);
  t.is(Buffer.concat(gathered.messages).toString(), "hello world");
  const spread = await client.call("spread", [word]);
  t.is(spread.messages.length, word.length);
  t.is(Buffer.concat(spread.messages).toString(), "hello");
  const chat = await client.call("chat", parts);
  t.deepEqual(chat.messages, parts);
  t.is(near.count("tcp_open_total", { peer: "dst", tls: "true" }), 1);
  t.is(near.count("response_total", { grpc_status: "0", classification: "success" }), 4);
});

test("a message that is larger than every window arrives whole, both ways", async (t) => {
  await using server = await RpcServer.start();
  await using far = await webSidecar(server.port);
  await using near = await frontendSidecar(far.port());
  using client = new RpcClient(near.port());
  const { messages, code } = await client.call("unary", [large]);
  t.is(code, 0);
  t.true(messages[0]?.equals(large));
});

test("rescue() tells a client of gRPC what is wrong by trailers alone", async (t) => {
  await using server = await RpcServer.start();
  await using far = await webSidecar(server.port, "somebody.else");
  await using near = await frontendSidecar(far.port());
  using client = new RpcClient(near.port());
  const denied = await client.call("unary", [word]);
  t.is(denied.code, 7);
  t.true(denied.details.includes("frontend.demo.id"));
  t.deepEqual(server.seen, []);
  near.take(endpointSnapshot("a"));
  t.is((await client.call("unary", [word])).code, 14);
  using lost = new RpcClient(near.port(), "not a host");
  t.is((await lost.call("unary", [word])).code !== 0, true);
});

test("answerOutbound() ends a call at its grpc-timeout, although its rule has no limit", async (t) => {
  await using server = await RpcServer.start();
  await using shard = await ShardInTest.start({ snapshots: allTo(server.port) });
  using client = new RpcClient(shard.port());
  const late = await client.call("unary", [word], {
    metadata: { fail: "never" },
    deadlineMs: 300,
  });
  t.is(late.code, 4);
  await shard.until(() => server.cancelled === 1);
  t.pass();
});

test("respondedOutbound() tries again for the status that a rule lists, and the client sees none of it", async (t) => {
  await using server = await RpcServer.start();
  await using shard = await ShardInTest.start({ snapshots: allTo(server.port) });
  using client = new RpcClient(shard.port());
  const failed = await client.call("unary", [word], { metadata: { fail: "14" } });
  t.is(failed.code, 14);
  t.is(shard.count("response_total", { grpc_status: "14", classification: "failure" }), 1);
});

test("a chat lives through a new policy and new endpoints", async (t) => {
  await using server = await RpcServer.start();
  await using other = await RpcServer.start();
  await using far = await webSidecar(server.port);
  await using near = await frontendSidecar(far.port());
  using client = new RpcClient(near.port());
  const chat = client.chat();
  const say = async (text: string): Promise<string> => {
    chat.write(Buffer.from(text));
    const [bytes] = (await once(chat, "data")) as [Buffer];
    return bytes.toString();
  };
  t.is(await say("one"), "one");
  near.take(
    endpointSnapshot("a", endpoint(other.port)),
    outboundSnapshot(routed(rule({ backends: to(backend("a")) }))),
    ca.issue(["frontend.demo.id"]),
  );
  far.take(ca.issue(["web.demo.id"]), inboundSnapshot(appPort, admitting(identities("nobody"))));
  t.is(await say("two"), "two");
  const next = await client.call("unary", [word]);
  t.is(next.code, 0);
  t.deepEqual(other.seen, ["unary"]);
  chat.end();
  await once(chat, "status");
});
