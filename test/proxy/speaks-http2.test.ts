import { createServer as createHttp2Server, type Http2Server } from "node:http2";
import { createServer, type Server, type Socket } from "node:net";
import test from "ava";
import type { BackendProtocol } from "../../src/core/model/backend.ts";
import type { Filter } from "../../src/core/model/filter.ts";
import type { OutboundTable } from "../../src/core/table/outbound.ts";
import type { ToWorker } from "../../src/thread/messages.ts";
import { TestCa } from "../harness/certificates.ts";
import { HandClock } from "../harness/hand-clock.ts";
import { H2Origin, Peer } from "../harness/http2-peers.ts";
import { EchoOrigin } from "../harness/origin.ts";
import {
  admitting,
  allTo,
  anybody,
  backend,
  endpoint,
  endpointSnapshot,
  inboundSnapshot,
  outboundSnapshot,
  routed,
  rule,
  to,
} from "../harness/policies.ts";
import { RawClient } from "../harness/raw-client.ts";
import { RpcClient, RpcServer } from "../harness/rpc.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

/** A machine under load takes its time for a handshake, and none of these tests is about that. */
const patient = { connectTimeoutMs: 20_000, detectTimeoutMs: 20_000 };

const get = "GET /x HTTP/1.1\r\nHost: web\r\n\r\n";

function speaking(name: string, protocol: BackendProtocol): ReturnType<typeof backend> {
  const share = backend(name);
  return { ...share, backend: { ...share.backend, protocol } };
}

function declared(
  port: number,
  own: BackendProtocol,
  protocol: OutboundTable["protocol"] = "detect",
): readonly ToWorker[] {
  const table = routed(rule({ backends: to(speaking("a", own)) }));
  return [endpointSnapshot("a", endpoint(port)), outboundSnapshot({ ...table, protocol })];
}

test("speaksHttp2() goes by the backend, whatever its destination is said to speak: h2c", async (t) => {
  await using origin = await H2Origin.start();
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: declared(origin.port, "http2", "http1"),
  });
  using client = await RawClient.open(shard.port());
  client.send(get);
  t.is((await client.response()).status, 200);
  t.is(origin.seen[0]?.[":path"], "/x");
});

test("speaksHttp2() goes by the backend, whatever its destination is said to speak: HTTP/1", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: declared(origin.port, "http1", "http2"),
  });
  using peer = new Peer(shard.port());
  t.is((await peer.ask({ ":path": "/x" })).body, "a GET /x");
  // Nothing else was tried.
  t.is(shard.count("tcp_open_total", { peer: "dst" }), 1);
});

test("speaksHttp2() keeps the client's protocol for a backend of which nobody has said anything", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using other = await H2Origin.start();
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: declared(origin.port, "detect", "http2"),
  });
  using client = await RawClient.open(shard.port());
  client.send(get);
  t.is((await client.response()).body, "a GET /x");
  shard.take(...declared(other.port, "detect", "http2"));
  using peer = new Peer(shard.port());
  t.is((await peer.ask({ ":path": "/y" })).head[":status"], 200);
  t.is(other.seen.length, 1);
});

test("speaksHttp2() keeps to HTTP/2 for calls of gRPC, whatever the port is said to speak", async (t) => {
  await using server = await RpcServer.start();
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: declared(server.port, "http1", "grpc"),
  });
  using client = new RpcClient(shard.port());
  t.is((await client.call("unary", [Buffer.from("x")])).code, 0);
});

test("Http1FromH2 keeps the trailers of a gRPC answer whose length was told before", async (t) => {
  const message = Buffer.from([0, 0, 0, 0, 0]);
  await using origin = await H2Origin.start((stream) => {
    const head = { "content-type": "application/grpc", "content-length": message.length };
    stream.respond(head, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "5" }));
    stream.end(message);
  });
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: declared(origin.port, "http2", "grpc"),
  });
  using peer = new Peer(shard.port());
  const call = { ":method": "POST", ":path": "/a.B/C", "content-type": "application/grpc" };
  // The second time the head is one that came before.
  for (const time of ["first", "second", "third"]) {
    const { trailers, body } = await peer.ask(call, "");
    t.is(trailers["grpc-status"], "5", time);
    t.is(Buffer.from(body, "latin1").length, message.length, time);
  }
});

test("noteOriginalProtocol() lets HTTP/1 become HTTP/2 for a backend behind a proxy that would undo it", async (t) => {
  const ca = new TestCa();
  await using origin = await H2Origin.start();
  await using far = await ShardInTest.start({
    limits: patient,
    listeners: [{ kind: "inbound-mesh", host: "127.0.0.1", port: 0 }],
    forwards: [{ port: 8080, host: "127.0.0.1", hostPort: origin.port }],
    snapshots: [ca.issue(["web.demo.id"]), inboundSnapshot(8080, admitting(anybody))],
  });
  const tls = { identity: "web.demo.id", serverName: "web.demo.id" };
  await using near = await ShardInTest.start({
    limits: patient,
    snapshots: [
      ca.issue(["frontend.demo.id"]),
      endpointSnapshot("a", endpoint(8080, { tls, inboundPort: far.port(), hint: "h2" })),
      outboundSnapshot(routed(rule({ backends: to(speaking("a", "http2")) }))),
    ],
  });
  using client = await RawClient.open(near.port());
  client.send(get);
  t.is((await client.response()).status, 200);
  t.is(origin.seen[0]?.[":path"], "/x");
});

function mirror(protocol?: BackendProtocol): Filter {
  const share = protocol === undefined ? backend("m") : speaking("m", protocol);
  return { kind: "mirror", mirror: { backend: share.backend, numerator: 1, denominator: 1 } };
}

function mirrored(shard: ShardInTest, result: string): number {
  return shard.count("outbound_http_route_mirror_total", { result });
}

test("mirrorRequest() copies calls of gRPC to a server of gRPC, which answers them", async (t) => {
  await using a = await RpcServer.start();
  await using m = await RpcServer.start();
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: [endpointSnapshot("m", endpoint(m.port)), ...allTo(a.port, { filters: [mirror()] })],
  });
  using client = new RpcClient(shard.port());
  const large = Buffer.alloc(200_000, "x");
  for (let i = 1; i <= 3; i++) {
    t.is((await client.call("unary", [large])).code, 0);
    await shard.until(() => mirrored(shard, "answered") === i);
    t.is(m.seen.length, i);
  }
  t.is((await client.call("gather", [large, large])).code, 0);
  await shard.until(() => mirrored(shard, "answered") === 4);
  t.deepEqual(m.seen, ["unary", "unary", "unary", "gather"]);
  // One to each of the two servers.
  t.is(shard.count("tcp_open_total", { peer: "dst" }), 2);
});

test("mirrorRequest() speaks what the mirror's port is said to speak", async (t) => {
  await using a = await EchoOrigin.start("a");
  await using m = await H2Origin.start();
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: [
      endpointSnapshot("m", endpoint(m.port)),
      ...allTo(a.port, { filters: [mirror("http2")] }),
    ],
  });
  using client = await RawClient.open(shard.port());
  client.send("POST /x HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nhello");
  t.is((await client.response()).body, "a POST /x");
  await shard.until(() => mirrored(shard, "answered") === 1);
  t.is(m.seen[0]?.[":path"], "/x");
});

test("MirrorConnection goes on with HTTP/1 for a mirror that does not speak the client's HTTP/2", async (t) => {
  await using a = await H2Origin.start();
  await using m = await EchoOrigin.start("m");
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: [endpointSnapshot("m", endpoint(m.port)), ...allTo(a.port, { filters: [mirror()] })],
  });
  using peer = new Peer(shard.port());
  for (let i = 1; i <= 2; i++) {
    await peer.ask({ ":path": "/x", ":method": "POST" }, "hello");
    await shard.until(() => mirrored(shard, "answered") === i);
    t.is(m.seen.length, i);
    t.is(m.seen.at(-1)?.body, "hello");
  }
});

/** Takes connections. Says nothing to a client of HTTP/2, and answers any other. */
class SilentOrigin implements AsyncDisposable {
  asked = 0;
  port = 0;
  /** From now on it speaks HTTP/2 like everybody else. */
  speaks = false;
  readonly #http2: Http2Server = createHttp2Server((request, response) => {
    response.end(request.url);
  });
  readonly #sockets: Set<Socket> = new Set();
  readonly #server: Server = createServer((socket) => {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    if (this.speaks) {
      this.#http2.emit("connection", socket);
      return;
    }
    socket.on("data", (bytes) => {
      if (bytes.includes("PRI * HTTP/2.0")) this.asked++;
      else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes");
    });
  });

  static async start(): Promise<SilentOrigin> {
    const origin = new SilentOrigin();
    await new Promise<void>((resolve) => {
      origin.#server.listen(0, "127.0.0.1", resolve);
    });
    const address = origin.#server.address();
    origin.port = typeof address === "object" && address !== null ? address.port : 0;
    return origin;
  }

  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.hangUp();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }
}

test("endSilence() lets a request go on as HTTP/1 where nobody has said that the backend speaks HTTP/2", async (t) => {
  const clock = new HandClock();
  await using origin = await SilentOrigin.start();
  await using shard = await ShardInTest.start({ clock, snapshots: allTo(origin.port) });
  using peer = new Peer(shard.port());
  const first = peer.ask({ ":path": "/1" });
  await shard.until(() => origin.asked === 1);
  clock.pass(1_100);
  t.is((await first).body, "yes");
  // Nobody waits a second time.
  t.is((await peer.ask({ ":path": "/2" })).body, "yes");
  t.is(origin.asked, 1);
  // It may have been busy: one request asks again, and the others do not wait for it.
  clock.pass(5_100);
  const next = peer.ask({ ":path": "/3" });
  await shard.until(() => origin.asked === 2);
  t.is((await peer.ask({ ":path": "/4" })).body, "yes");
  clock.pass(1_100);
  t.is((await next).body, "yes");
});

test("endSilence() fails calls of gRPC at once from then on, and says why", async (t) => {
  const clock = new HandClock();
  await using origin = await SilentOrigin.start();
  await using shard = await ShardInTest.start({ clock, snapshots: allTo(origin.port) });
  using client = new RpcClient(shard.port());
  const first = client.call("unary", [Buffer.from("x")]);
  await shard.until(() => origin.asked === 1);
  clock.pass(1_100);
  const failed = await first;
  t.is(failed.code, 14);
  t.true(failed.details.includes("it does not speak HTTP/2: it says nothing"), failed.details);
  const second = await client.call("unary", [Buffer.from("x")]);
  t.is(second.code, 14);
  t.true(second.details.includes("has said nothing to a client of HTTP/2 lately"));
  t.is(origin.asked, 1);
});

test("endSilence() is forgotten when the endpoint speaks HTTP/2 after all", async (t) => {
  const clock = new HandClock();
  await using origin = await SilentOrigin.start();
  await using shard = await ShardInTest.start({ clock, snapshots: declared(origin.port, "http2") });
  using peer = new Peer(shard.port());
  const first = peer.ask({ ":path": "/1" });
  await shard.until(() => origin.asked === 1);
  clock.pass(1_100);
  t.is((await first).head[":status"], 502);
  origin.speaks = true;
  t.is((await peer.ask({ ":path": "/2" })).head[":status"], 502);
  clock.pass(5_100);
  t.is((await peer.ask({ ":path": "/3" })).body, "/3");
  // Those who come while the next connection is being opened wait for it, as ever.
  origin.hangUp();
  await shard.until(() => shard.count("tcp_open_connections", { peer: "dst" }) === 0);
  const both = ["/4", "/5"].map((path) => peer.ask({ ":path": path }));
  t.deepEqual(
    (await Promise.all(both)).map(({ body }) => body),
    ["/4", "/5"],
  );
});
