import { once } from "node:events";
import { connect, createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { StatusObject } from "@grpc/grpc-js";
import test from "ava";
import type { Retry } from "../../src/core/model/retry.ts";
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

/** A machine under load takes its time for a handshake, and none of these tests is about that. */
const patient = { connectTimeoutMs: 20_000, detectTimeoutMs: 20_000 };

const ca = new TestCa();
const frontend = ca.issue(["frontend.demo.id"]);
const web = ca.issue(["web.demo.id"]);
const appPort = 8080;

function webSidecar(hostPort: number, admits: string = "frontend.demo.id"): Promise<ShardInTest> {
  return ShardInTest.start({
    limits: patient,
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
    limits: patient,
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
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: allTo(server.port),
  });
  const session = connect(`http://127.0.0.1:${shard.port()}`);
  const stream = session.request(
    {
      ":method": "POST",
      ":path": "/demo.Echo/Unary",
      ":authority": "web",
      "content-type": "application/grpc",
      te: "trailers",
      "grpc-timeout": "200m",
    },
    // The call never becomes whole.
    { endStream: false },
  );
  const [head] = (await once(stream, "response")) as [Readonly<Record<string, unknown>>];
  t.is(head[":status"], 200);
  t.is(head["grpc-status"], "4");
  t.is(head["content-type"], "application/grpc");
  session.destroy();
});

const retry: Retry = {
  limit: 2,
  statuses: [],
  grpcCodes: [14],
  perTryMs: 0,
  backoff: { minMs: 1, maxMs: 1, jitter: 0 },
  maxBodyBytes: 1_024,
  budget: { percent: 0, intervalMs: 10_000, minPerSecond: 100 },
};

type Fields = Readonly<Record<string, string>>;

/** Answers by the next of these: fields of the head, and of the trailers if there are any. */
async function scripted(
  answers: readonly (readonly [Fields, Fields?])[],
): Promise<Http2Server & AsyncDisposable> {
  let at = 0;
  const server = createServer();
  server.on("stream", (stream: ServerHttp2Stream) => {
    const [head = {}, trailers] = answers[Math.min(at++, answers.length - 1)] ?? [];
    const type = { ":status": 200, "content-type": "application/grpc" };
    stream.respond(
      { ...type, ...head },
      trailers === undefined ? { endStream: true } : { waitForTrailers: true },
    );
    if (trailers === undefined) return;
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    stream.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

const retried = test.macro({
  exec: async (
    t,
    answers: readonly (readonly [Fields, Fields?])[],
    expected: { readonly code: number; readonly tries: number },
  ) => {
    await using server = await scripted(answers);
    const { port } = server.address() as AddressInfo;
    await using shard = await ShardInTest.start({
      limits: patient,
      snapshots: allTo(port, { retry }),
    });
    using client = new RpcClient(shard.port());
    const { code } = await client.call("spread", [word]);
    t.is(code, expected.code);
    const tries = shard.count("outbound_http_route_retry_requests_total");
    t.is(tries, expected.tries - 1);
    t.is(shard.count("response_total", { grpc_status: String(expected.code) }), 1);
  },
  title: (name = "") => `respondedOutbound() ${name}`,
});

const unavailable = { "grpc-status": "14" };
const good: readonly [Fields, Fields] = [{}, { "grpc-status": "0" }];
test("tries again for a status in the head", retried, [[unavailable], good], { code: 0, tries: 2 });
test("tries again for a status in the trailers", retried, [[{}, unavailable], good], {
  code: 0,
  tries: 2,
});
test(
  "passes on a status that the rule does not list",
  retried,
  [[{}, { "grpc-status": "9" }], good],
  {
    code: 9,
    tries: 1,
  },
);
test("passes on the status of the last try", retried, [[unavailable]], { code: 14, tries: 3 });
test(
  "does not try again when the server pushes back",
  retried,
  [[{ ...unavailable, "grpc-retry-pushback-ms": "-1" }], good],
  { code: 14, tries: 1 },
);

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

/** How the call ends. */
function statusOf(chat: ReturnType<RpcClient["chat"]>): Promise<StatusObject> {
  chat.on("error", () => {});
  return new Promise((resolve) => {
    chat.once("status", resolve);
  });
}

test("leaveCall() ends a chat that outlives the grace of a drain as unavailable, whichever sidecar goes", async (t) => {
  for (const goes of ["near", "far"]) {
    await using server = await RpcServer.start();
    await using far = await webSidecar(server.port);
    await using near = await frontendSidecar(far.port());
    using client = new RpcClient(near.port());
    const chat = client.chat();
    const status = statusOf(chat);
    chat.write(word);
    await once(chat, "data");
    const going = goes === "near" ? near : far;
    going.take({ kind: "drain", graceMs: 500 });
    const { code, details } = await status;
    t.deepEqual([code, details], [14, "the proxy in the way is shutting down"], goes);
    const { closedPolitely, cutOff } = await going.message("drained");
    t.deepEqual([closedPolitely.requests, cutOff.requests], [1, 0]);
  }
});

test("a chat whose endpoint is gone without a word ends as unavailable, not as cancelled", async (t) => {
  const sockets: Socket[] = [];
  await using server = await scripted([[{}, { "grpc-status": "0" }]]);
  server.on("connection", (socket: Socket) => sockets.push(socket));
  server.removeAllListeners("stream");
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => {});
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    stream.once("data", () => {
      for (const socket of sockets) socket.destroy();
    });
  });
  const { port } = server.address() as AddressInfo;
  await using shard = await ShardInTest.start({ limits: patient, snapshots: allTo(port) });
  using client = new RpcClient(shard.port());
  const chat = client.chat();
  const status = statusOf(chat);
  chat.write(word);
  t.is((await status).code, 14);
});
