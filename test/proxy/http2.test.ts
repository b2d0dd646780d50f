import { once } from "node:events";
import { constants, type ServerHttp2Stream } from "node:http2";
import test from "ava";
import { Frame } from "../../src/codec/http2/frames.ts";
import { frame, headers, word } from "../codec/http2/hand-made.ts";
import { TestCa } from "../harness/certificates.ts";
import { HandClock } from "../harness/hand-clock.ts";
import { echo, type Fields, H2Origin, Peer } from "../harness/http2-peers.ts";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import {
  admitting,
  allTo,
  anybody,
  authorization,
  backend,
  endpoint,
  endpointSnapshot,
  inboundRoute,
  inboundSnapshot,
  outboundSnapshot,
  routed,
  rule,
  serverTable,
  to,
  withPath,
} from "../harness/policies.ts";
import { withPort } from "../harness/port.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

/** A machine under load takes its time for a handshake, and none of these tests is about that. */
const patient = { connectTimeoutMs: 20_000, detectTimeoutMs: 20_000 };

function declared(port: number, protocol: "http1" | "http2"): ReturnType<typeof allTo> {
  const table = routed(rule({ backends: to(backend("a")) }));
  return [endpointSnapshot("a", endpoint(port)), outboundSnapshot({ ...table, protocol })];
}

test("serveHttp() takes HTTP/2 with prior knowledge, also to a backend that speaks HTTP/1", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: allTo(origin.port),
  });
  using peer = new Peer(shard.port());
  for (let at = 0; at < 3; at++) {
    const { head, body } = await peer.ask({ ":path": `/${at}`, ":method": "POST" }, "hi");
    t.is(head[":status"], 200);
    t.is(body, `a POST /${at}`);
    t.is(origin.seen.at(-1)?.body, "hi");
    t.is(origin.header("host"), "web");
  }
  t.is(shard.count("tcp_open_total", { peer: "src" }), 1);
});

test("forward() speaks HTTP/2 to the backend of a client that does, with one connection for all", async (t) => {
  await using origin = await H2Origin.start();
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: allTo(origin.port),
  });
  using peer = new Peer(shard.port());
  const asked = Array.from({ length: 50 }, (_, at) =>
    peer.ask({ ":path": `/${at}`, ":method": "POST" }, "x".repeat(at * 1_000)),
  );
  for (const [at, { head, trailers, body }] of (await Promise.all(asked)).entries()) {
    t.is(head["x-path"], `/${at}`);
    t.is(body.length, at * 1_000);
    t.is(trailers["x-sum"], String(at * 1_000));
  }
  t.is(origin.sessions, 1);
  t.is(origin.seen.length, 50);
});

test("forward() opens another connection when the streams of the first are taken", async (t) => {
  const held: ServerHttp2Stream[] = [];
  await using origin = await H2Origin.start((stream) => held.push(stream), {
    maxConcurrentStreams: 2,
  });
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: allTo(origin.port),
  });
  using peer = new Peer(shard.port());
  const asked = [1, 2, 3, 4, 5].map((at) => peer.ask({ ":path": `/${at}` }));
  await shard.until(() => held.length === 5);
  t.is(origin.sessions, 3);
  for (const stream of held) {
    stream.respond({ ":status": 204 }, { endStream: true });
  }
  for (const { head } of await Promise.all(asked)) t.is(head[":status"], 204);
});

test("forward() carries HTTP/1 to a backend that is said to speak HTTP/2, trailers included", async (t) => {
  await using origin = await H2Origin.start();
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: declared(origin.port, "http2"),
  });
  using client = await RawClient.open(shard.port());
  client.send("POST /x HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nhello");
  await client.until(() => client.text.includes("x-sum: 5\r\n\r\n"));
  t.true(client.text.startsWith("HTTP/1.1 200"));
  t.true(client.text.includes("\r\n5\r\nhello\r\n0\r\n"));
  t.is(origin.seen[0]?.[":authority"], "web");
});

test("forward() carries HTTP/2 to a backend that is said to speak HTTP/1", async (t) => {
  await using origin = await H2Origin.start();
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: declared(origin.port, "http1"),
  });
  using peer = new Peer(shard.port());
  t.is((await peer.ask({ ":path": "/" })).head[":status"], 502);
  t.is(origin.seen.length, 0);
});

test("a reset is carried across with its code, in both directions", async (t) => {
  const held: ServerHttp2Stream[] = [];
  await using origin = await H2Origin.start((stream) => held.push(stream));
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: allTo(origin.port),
  });
  using peer = new Peer(shard.port());
  const first = peer.open({ ":path": "/1" }, true);
  await shard.until(() => held.length === 1);
  first.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  await shard.until(() => held[0]?.closed === true);
  t.is(held[0]?.rstCode, constants.NGHTTP2_ENHANCE_YOUR_CALM);
  const settings = frame({ type: Frame.settings });
  const broken = Buffer.concat([
    headers(1, [[":status", "200"]], false),
    frame({ type: Frame.reset, stream: 1, payload: word(constants.NGHTTP2_INADEQUATE_SECURITY) }),
  ]);
  await using breaking = await RawOrigin.start((socket, soFar) => {
    if (socket.bytesWritten === 0) socket.write(settings);
    // Its settings, their acknowledgement and the head of a request.
    else if (soFar.includes("/2") && socket.bytesWritten === settings.length) socket.write(broken);
  });
  shard.take(endpointSnapshot("a", endpoint(breaking.port)));
  const second = peer.open({ ":path": "/2" }, true);
  second.resume();
  await shard.until(() => second.closed);
  t.is(second.rstCode, constants.NGHTTP2_INADEQUATE_SECURITY);
});

test("a request that the endpoint refused to begin with is sent again, whatever its method", async (t) => {
  let refused = 0;
  await using origin = await H2Origin.start((stream, headers) => {
    if (refused++ === 0) stream.close(constants.NGHTTP2_REFUSED_STREAM);
    else echo(stream, headers);
  });
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: allTo(origin.port),
  });
  using peer = new Peer(shard.port());
  const { head } = await peer.ask({ ":path": "/x", ":method": "POST", "content-length": "0" });
  t.is(head[":status"], 200);
  t.is(refused, 2);
});

test("an upload is as fast as the endpoint takes it, and no more than the windows are kept", async (t) => {
  let taken = 0;
  const begun = Promise.withResolvers<ServerHttp2Stream>();
  await using origin = await H2Origin.start((stream) => {
    stream.pause();
    begun.resolve(stream);
  });
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: allTo(origin.port),
  });
  using peer = new Peer(shard.port());
  const upload = peer.open({ ":path": "/", ":method": "POST" });
  const answered = once(upload, "response");
  const total = 4 * 1_024 * 1_024;
  upload.end(Buffer.alloc(total));
  const stream = await begun.promise;
  t.true(upload.writableLength > 0);
  stream.on("data", (bytes: Buffer) => {
    taken += bytes.length;
  });
  stream.on("end", () => stream.respond({ ":status": 204 }, { endStream: true }));
  stream.resume();
  await answered;
  t.is(taken, total);
});

test("extended CONNECT becomes an upgrade for a server of HTTP/1, and its bytes a tunnel", async (t) => {
  await using origin = await RawOrigin.start((socket, soFar) => {
    if (soFar.endsWith("\r\n\r\n")) {
      socket.write("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    } else {
      socket.write(`<${soFar.slice(soFar.indexOf("\r\n\r\n") + 4)}>`);
    }
  });
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: allTo(origin.port),
  });
  using peer = new Peer(shard.port());
  await once(peer.session, "remoteSettings");
  const stream = peer.open({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":path": "/ws",
    ":scheme": "http",
  });
  const [head] = (await once(stream, "response")) as [Fields];
  t.is(head[":status"], 200);
  t.true(/^GET \/ws HTTP\/1\.1\r\n/.test(origin.received));
  t.true(/sec-websocket-key: \S{24}\r\n/.test(origin.received));
  stream.write("hello");
  const [bytes] = (await once(stream, "data")) as [Buffer];
  t.is(bytes.toString(), "<hello>");
  stream.close();
});

test("Upgrade becomes extended CONNECT for a server that is said to speak HTTP/2", async (t) => {
  await using origin = await H2Origin.start((stream, headers) => {
    stream.respond({ ":status": 200, "x-protocol": headers[":protocol"] });
    stream.on("data", (bytes: Buffer) => stream.write(`<${bytes.toString()}>`));
  });
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: declared(origin.port, "http2"),
  });
  using client = await RawClient.open(shard.port());
  client.send(
    "GET /ws HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  );
  await client.until(() => client.text.includes("\r\n\r\n"));
  t.true(client.text.startsWith("HTTP/1.1 101"));
  t.true(client.text.includes("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
  client.send("hello");
  await client.until(() => client.text.endsWith("<hello>"));
  t.pass();
});

function inboundSidecar(
  hostPort: number,
  table: Parameters<typeof inboundSnapshot>[1] = admitting(anybody),
): Promise<ShardInTest> {
  return withPort((port) =>
    ShardInTest.start({
      limits: patient,
      listeners: [{ kind: "inbound-port", host: "127.0.0.1", port }],
      forwards: [{ port, host: "127.0.0.1", hostPort }],
      snapshots: [inboundSnapshot(port, table)],
    }),
  );
}

test("answerInbound() takes HTTP/2, and what another proxy has made of HTTP/1 goes on as that", async (t) => {
  await using modern = await H2Origin.start();
  await using old = await EchoOrigin.start("app");
  await using first = await inboundSidecar(modern.port);
  using peer = new Peer(first.port());
  t.is((await peer.ask({ ":path": "/a", "l5d-client-id": "me" })).head["x-path"], "/a");
  t.is(modern.seen[0]?.["l5d-client-id"], undefined);
  await using second = await inboundSidecar(old.port);
  using other = new Peer(second.port());
  t.is((await other.ask({ ":path": "/b", "l5d-orig-proto": "HTTP/1.1" })).body, "app GET /b");
  t.is(old.header("l5d-orig-proto"), undefined);
  t.is(old.connections, 1);
});

test("answerInbound() judges each stream of a connection alone", async (t) => {
  await using origin = await EchoOrigin.start("app");
  const everybody = [authorization("everybody", anybody)];
  const table = serverTable({ routes: [inboundRoute("open", withPath("/open"), everybody)] });
  await using shard = await inboundSidecar(origin.port, table);
  using peer = new Peer(shard.port());
  const [open, shut] = await Promise.all([
    peer.ask({ ":path": "/open" }),
    peer.ask({ ":path": "/shut" }),
  ]);
  t.is(open.head[":status"], 200);
  t.is(shut.head[":status"], 404);
});

test("an endpoint with the hint h2 is asked over HTTP/2, and told that it was HTTP/1", async (t) => {
  const ca = new TestCa();
  await using origin = await EchoOrigin.start("app");
  await using far = await ShardInTest.start({
    limits: patient,
    listeners: [{ kind: "inbound-mesh", host: "127.0.0.1", port: 0 }],
    forwards: [{ port: 8080, host: "127.0.0.1", hostPort: origin.port }],
    snapshots: [ca.issue(["web.demo.id"]), inboundSnapshot(8080, admitting(anybody))],
  });
  const tls = { identity: "web.demo.id", serverName: "web.demo.id" };
  const web = endpoint(8080, { tls, inboundPort: far.port(), hint: "h2" });
  await using near = await ShardInTest.start({
    limits: patient,
    snapshots: [
      ca.issue(["frontend.demo.id"]),
      endpointSnapshot("a", web),
      outboundSnapshot(routed(rule({ backends: to(backend("a")) }))),
    ],
  });
  using one = await RawClient.open(near.port());
  using two = await RawClient.open(near.port());
  for (const client of [one, two, one]) {
    client.send("GET /x HTTP/1.1\r\nHost: web\r\n\r\n");
    const response = await client.response();
    t.is(response.body, "app GET /x");
    t.is(response.headers.get("l5d-orig-proto"), undefined);
  }
  t.is(origin.header("l5d-orig-proto"), undefined);
  t.is(near.count("tcp_open_total", { peer: "dst" }), 1);
});

test("requests of 100 clients with one connection each are spread over 3 backends within 5 %", async (t) => {
  const origins = [await H2Origin.start(), await H2Origin.start(), await H2Origin.start()];
  await using stack = new AsyncDisposableStack();
  for (const origin of origins) stack.use(origin);
  await using shard = await ShardInTest.start({
    limits: patient,
    // All endpoints are equally fast.
    clock: new HandClock(),
    snapshots: [
      endpointSnapshot("a", ...origins.map(({ port }) => endpoint(port))),
      outboundSnapshot(routed(rule({ backends: to(backend("a")) }))),
    ],
  });
  const peers = Array.from({ length: 100 }, () => stack.use(new Peer(shard.port())));
  for (let round = 0; round < 30; round++) {
    await Promise.all(peers.map((peer) => peer.ask({ ":path": "/" })));
  }
  const share = 1_000;
  for (const { seen } of origins) {
    t.true(
      Math.abs(seen.length - share) <= 0.05 * share,
      origins.map((one) => one.seen.length).join(" "),
    );
  }
});

test("drain() tells clients of HTTP/2 to go, and ends with their last stream", async (t) => {
  const held: ServerHttp2Stream[] = [];
  await using origin = await H2Origin.start((stream) => held.push(stream));
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: allTo(origin.port),
  });
  using peer = new Peer(shard.port());
  const asked = peer.ask({ ":path": "/" });
  await shard.until(() => held.length === 1);
  const told = once(peer.session, "goaway");
  shard.take({ kind: "drain", graceMs: 20_000 });
  t.is((await told)[0], constants.NGHTTP2_NO_ERROR);
  held[0]?.respond({ ":status": 200 });
  held[0]?.end("late");
  t.is((await asked).body, "late");
  await shard.drained();
  t.pass();
});

test("a shard that has served HTTP/2 for a while keeps nothing of it", async (t) => {
  await using origin = await H2Origin.start();
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: allTo(origin.port),
  });
  {
    using peer = new Peer(shard.port());
    for (let at = 0; at < 20; at++) await peer.ask({ ":path": `/${at}` });
  }
  await shard.until(
    () => shard.count("tcp_open_connections", { direction: "outbound", peer: "src" }) === 0,
  );
  t.is(origin.sessions, 1);
});
