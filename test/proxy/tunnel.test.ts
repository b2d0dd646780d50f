import { once } from "node:events";
import { connect as dial } from "node:net";
import test from "ava";
import type { Filter } from "../../src/core/model/filter.ts";
import { everyRequest } from "../../src/core/model/match.ts";
import type { InboundTable } from "../../src/core/table/inbound.ts";
import type { ToWorker } from "../../src/thread/messages.ts";
import { authBy, authSnapshots } from "../harness/asking.ts";
import { TestCa } from "../harness/certificates.ts";
import { HandClock } from "../harness/hand-clock.ts";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import {
  admitting,
  allTo,
  anybody,
  authorization,
  backend,
  demoTarget,
  endpoint,
  endpointSnapshot,
  identities,
  inboundRoute,
  inboundSnapshot,
  outboundSnapshot,
  routed,
  rule,
  serverTable,
  to,
  withPath,
} from "../harness/policies.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const connect = "CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n";
const upgrade = "GET /ws HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
const established = "HTTP/1.1 200 OK\r\n\r\n";
const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";

/** Answers the head that opens a tunnel, and then every read by the same in capitals. */
function tunnelling(opening: string = established): Promise<RawOrigin> {
  let opened = "";
  return RawOrigin.start((socket, soFar) => {
    const from = soFar.indexOf("\r\n\r\n") + 4;
    if (from < 4) return;
    if (opened === "") socket.write(opening);
    socket.write(soFar.slice(Math.max(from, opened.length)).toUpperCase());
    opened = soFar;
  });
}

type Counted = { readonly open: number; readonly idle: number; readonly closed: number };

function tunnels(shard: ShardInTest, labels: Readonly<Record<string, string>> = {}): Counted {
  const closed = (cause: string): number =>
    shard.count("weft_tunnel_close_total", { ...labels, cause });
  return {
    open: shard.count("weft_tunnel_open_connections", labels),
    idle: closed("idle"),
    closed: closed("closed"),
  };
}

test("CONNECT is passed on as it came, and a 2xx opens the tunnel", async (t) => {
  await using origin = await tunnelling();
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  t.is(await client.send(connect).head(), "HTTP/1.1 200 OK");
  t.is(origin.received, connect);
  client.send("ping");
  await client.until((text) => text === "PING");
  t.deepEqual(tunnels(shard, { direction: "outbound", kind: "connect" }), {
    open: 1,
    idle: 0,
    closed: 0,
  });
  client.socket.end();
  await client.closed();
  await shard.until(() => shard.count("tcp_open_connections") === 0);
  t.deepEqual(tunnels(shard), { open: 0, idle: 0, closed: 1 });
  t.is(shard.count("response_total", { status_code: "200" }), 1);
});

test("what follows CONNECT waits for the 2xx, and goes into the tunnel", async (t) => {
  await using origin = await RawOrigin.start(() => {});
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.send(`${connect}GET /early HTTP/1.1\r\n\r\n`);
  await origin.until(() => origin.received === connect);
  origin.sockets[0]?.write("HTTP/1.1 100 Continue\r\n\r\n");
  t.is((await client.head()).split("\r\n")[0], "HTTP/1.1 100 Continue");
  t.is(origin.received, connect);
  origin.sockets[0]?.write(established);
  await origin.until(() => origin.received === `${connect}GET /early HTTP/1.1\r\n\r\n`);
  t.is(await client.head(), "HTTP/1.1 200 OK");
});

test("a 2xx to CONNECT has no body, whatever it says", async (t) => {
  await using origin = await tunnelling("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A: b\r\n\r\n");
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  t.is(await client.send(connect).head(), "HTTP/1.1 200 OK\r\nX-A: b");
  client.send("more than three");
  await client.until((text) => text === "MORE THAN THREE");
});

test("a CONNECT that is refused is answered like any request, and what followed it is no request", async (t) => {
  await using origin = await RawOrigin.start((socket, soFar) => {
    if (soFar.endsWith("\r\n\r\n")) {
      socket.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    }
  });
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.send(`${connect}GET /hidden HTTP/1.1\r\nHost: web\r\n\r\n`);
  const response = await client.response();
  t.is(response.status, 403);
  t.is(response.body, "no");
  t.is(response.headers.get("connection"), "close");
  client.send("GET /hidden HTTP/1.1\r\nHost: web\r\n\r\n");
  await client.closed();
  t.is(client.text, "");
  t.is(origin.received, connect);
  t.deepEqual(tunnels(shard), { open: 0, idle: 0, closed: 0 });
});

const refused = test.macro({
  exec: async (t, request: string, status: number) => {
    await using origin = await tunnelling();
    await using shard = await ShardInTest.start({
      snapshots: allTo(origin.port, { matches: [withPath("/known")] }),
    });
    using client = await RawClient.open(shard.port());
    const response = await client
      .send(`${request}GET /known HTTP/1.1\r\nHost: web\r\n\r\n`)
      .response();
    t.is(response.status, status);
    await client.closed();
    t.is(client.text, "");
    t.is(origin.sockets.length, 0);
  },
  title: (_given, request: string, status: number) => `${status} to ${JSON.stringify(request)}`,
});
// RFC 9110 §9.3.6: no path, so that only the prefix `/` takes it.
test(refused, connect, 404);
test(refused, "CONNECT web HTTP/1.1\r\nHost: web\r\n\r\n", 400);
test(refused, "CONNECT /known HTTP/1.1\r\nHost: web:80\r\n\r\n", 400);
test(refused, "CONNECT web:80/known HTTP/1.1\r\nHost: web:80\r\n\r\n", 400);
test(refused, "CONNECT http://web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n", 400);
test(refused, "CONNECT a@web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n", 400);
test(refused, "CONNECT web:80 HTTP/1.1\r\nHost: other:80\r\n\r\n", 400);
test(refused, "CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\nContent-Length: 3\r\n\r\n", 400);
test(refused, "CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\nTransfer-Encoding: chunked\r\n\r\n", 400);

test("CONNECT to an unknown destination is 502, as for other methods", async (t) => {
  await using shard = await ShardInTest.start();
  using client = await RawClient.open(shard.port());
  client.send(connect);
  await shard.message("discover");
  const answer = { kind: "unknown", reason: "no such Service" } as const;
  shard.take({ kind: "outbound", target: demoTarget, revision: 1, answer });
  t.is((await client.response()).status, 502);
});

test("the rule that takes CONNECT is chosen by method, and its filters count", async (t) => {
  await using origin = await tunnelling();
  await using other = await EchoOrigin.start("b");
  const set: Filter = {
    kind: "request-headers",
    modifier: { set: [{ name: "x-a", value: "1" }], add: [], remove: [] },
  };
  const rename: Filter = {
    kind: "url-rewrite",
    rewrite: { host: "inner", path: { kind: "full", value: "/never" } },
  };
  await using shard = await ShardInTest.start({
    snapshots: [
      endpointSnapshot("a", endpoint(origin.port)),
      endpointSnapshot("b", endpoint(other.port)),
      outboundSnapshot(
        routed(
          rule({
            matches: [{ ...everyRequest, method: "CONNECT" }],
            filters: [set, rename],
            backends: to(backend("a")),
          }),
          rule({ backends: to(backend("b")) }),
        ),
      ),
    ],
  });
  using client = await RawClient.open(shard.port());
  const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
  t.is((await client.send(get).response()).headers.get("x-origin"), "b");
  t.is(await client.send(connect).head(), "HTTP/1.1 200 OK");
  t.is(origin.received, "CONNECT inner:80 HTTP/1.1\r\nx-a: 1\r\nhost: inner:80\r\n\r\n");
});

test("101 is no answer to CONNECT", async (t) => {
  await using origin = await tunnelling(switched);
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.send(
    "CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
  );
  t.is((await client.response()).status, 502);
  t.false(origin.received.includes("Upgrade"));
});

test("CONNECT takes a connection of its own, since nothing else could be sent on it again", async (t) => {
  await using origin = await RawOrigin.start((socket, soFar) => {
    if (!soFar.endsWith("\r\n\r\n")) return;
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  t.is((await client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").response()).status, 200);
  await client.send(connect).head();
  t.is(origin.sockets.length, 2);
});

test("answerInbound() passes CONNECT on to the application, if it is authorized", async (t) => {
  await using origin = await tunnelling();
  const inFront = (table: ToWorker): Promise<ShardInTest> =>
    ShardInTest.start({
      listeners: [{ kind: "inbound-port", host: "127.0.0.1", port: 0 }],
      forwards: [{ port: 0, host: "127.0.0.1", hostPort: origin.port }],
      snapshots: [table],
    });
  await using open = await inFront(inboundSnapshot(0, admitting(anybody)));
  using client = await RawClient.open(open.port());
  t.is(await client.send(connect).head(), "HTTP/1.1 200 OK");
  client.send("ping");
  await client.until((text) => text === "PING");
  t.is(tunnels(open, { direction: "inbound", kind: "connect" }).open, 1);

  await using shut = await inFront(inboundSnapshot(0, admitting(identities("frontend.demo.id"))));
  using stranger = await RawClient.open(shut.port());
  const response = await stranger.send(`${connect}GET / HTTP/1.1\r\nHost: web\r\n\r\n`).response();
  t.is(response.status, 403);
  await stranger.closed();
  t.is(stranger.text, "");
  t.is(origin.sockets.length, 1);
});

test("two sidecars carry a tunnel over mutual TLS, and each side closes for itself", async (t) => {
  const ca = new TestCa();
  await using origin = await tunnelling();
  const table = admitting(identities("frontend.demo.id"));
  await using server = await ShardInTest.start({
    listeners: [{ kind: "inbound-mesh", host: "127.0.0.1", port: 0 }],
    forwards: [{ port: 8080, host: "127.0.0.1", hostPort: origin.port }],
    snapshots: [ca.issue(["web.demo.id"]), inboundSnapshot(8080, table)],
  });
  const tls = { identity: "web.demo.id", serverName: "web.demo.id" };
  await using sidecar = await ShardInTest.start({
    snapshots: [
      ca.issue(["frontend.demo.id"]),
      endpointSnapshot("a", endpoint(8080, { tls, inboundPort: server.port() })),
      outboundSnapshot(routed(rule({ backends: to(backend("a")) }))),
    ],
  });
  const socket = dial({ host: "127.0.0.1", port: sidecar.port(), allowHalfOpen: true });
  await once(socket, "connect");
  using client = new RawClient(socket);
  t.is(await client.send(connect).head(), "HTTP/1.1 200 OK");
  t.true(origin.received.includes("l5d-client-id: frontend.demo.id"));
  client.send("ping");
  await client.until((text) => text === "PING");
  // The application hears the end and may still answer.
  client.socket.end("last");
  await client.until((text) => text === "PINGLAST");
  await client.closed();
  await sidecar.until(() => tunnels(sidecar).closed === 1 && tunnels(server).closed === 1);
  t.is(sidecar.count("tcp_open_connections") + server.count("tcp_open_connections"), 0);
});

test("an authorization service over HTTP cannot be asked about CONNECT, which lets nobody in", async (t) => {
  await using origin = await tunnelling();
  await using authorizer = await EchoOrigin.start("auth");
  const auth = authBy({ protocol: "http" });
  await using shard = await ShardInTest.start({
    snapshots: [...authSnapshots({ app: origin.port, auth: [authorizer.port] }, [auth])],
  });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(connect).response()).status, 403);
  t.is(origin.sockets.length + authorizer.connections, 0);
});

const openings = [
  [connect, established],
  [upgrade, switched],
] as const;

for (const [request, opening] of openings) {
  const name = request.split(" ")[0];

  test(`a tunnel of ${name} is closed by each side for itself`, async (t) => {
    await using origin = await RawOrigin.start((socket, soFar) => {
      if (soFar.endsWith("\r\n\r\n")) socket.write(opening);
    });
    await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
    const socket = dial({ host: "127.0.0.1", port: shard.port(), allowHalfOpen: true });
    await once(socket, "connect");
    using client = new RawClient(socket);
    await client.send(request).head();
    // The server says that it has said everything, and still hears the client.
    origin.sockets[0]?.end("over");
    await client.closed();
    t.is(client.text, "over");
    client.send("still there");
    await origin.until(() => origin.received.endsWith("still there"));
    client.socket.end();
    await origin.until(() => origin.openCount === 0);
    await shard.until(() => tunnels(shard).closed === 1);
    t.is(shard.count("tcp_open_connections"), 0);
  });

  test(`a tunnel of ${name} ends when a policy no longer admits it, and stays with one that does`, async (t) => {
    const clock = new HandClock();
    await using origin = await tunnelling(opening);
    const policy = (table: InboundTable): ToWorker => inboundSnapshot(0, table);
    const keys = ["x-a", "x-b"].map((key) => ({ name: key, kind: "exact", value: "1" }) as const);
    const forThis = { ...(request === upgrade ? withPath("/ws") : everyRequest), headers: keys };
    const route = inboundRoute("this", forThis, [authorization("everyone", anybody)]);
    await using shard = await ShardInTest.start({
      clock,
      limits: { revocationGraceMs: 5_000 },
      listeners: [{ kind: "inbound-port", host: "127.0.0.1", port: 0 }],
      forwards: [{ port: 0, host: "127.0.0.1", hostPort: origin.port }],
      snapshots: [policy(serverTable({ routes: [route] }))],
    });
    // All but the first requests of connections are read into one buffer of the worker.
    const plain = `GET / HTTP/1.1\r\nHost: ${"web.".repeat(40)}\r\n\r\n`;
    using client = await RawClient.open(shard.port());
    t.is((await client.send(plain).response()).status, 404);
    await client.send(request.replace("\r\n\r\n", "\r\nX-A: 1\r\nX-B: 1\r\n\r\n")).head();
    using other = await RawClient.open(shard.port());
    for (let times = 0; times < 2; times++) {
      t.is((await other.send(plain).response()).status, 404);
    }
    shard.take(policy(serverTable({ routes: [route] })));
    client.send("a");
    await client.until((text) => text === "A");
    t.is(shard.count("inbound_tcp_authz_terminate_total"), 0);
    shard.take(policy(admitting(identities("frontend.demo.id"))));
    clock.pass(4_000);
    client.send("b");
    await client.until((text) => text === "AB");
    // The grace was for the next policy to admit it again.
    shard.take(policy(admitting(anybody)));
    clock.pass(6_000);
    client.send("c");
    await client.until((text) => text === "ABC");
    shard.take(policy(admitting(identities("frontend.demo.id"))));
    clock.pass(6_000);
    await client.closed();
    await shard.until(() => shard.count("weft_tunnel_close_total", { cause: "revoked" }) === 1);
    t.is(shard.count("inbound_tcp_authz_terminate_total", { srv_name: "web" }), 2);
    const notice = await shard.message("notice");
    t.is(notice.event, "inbound_connection_terminated");
    t.regex(String(notice.fields["reason"]), /127\.0\.0\.1 without mutual TLS does not meet/);
  });

  test(`a tunnel of ${name} ends when nothing has come for too long from either side`, async (t) => {
    const clock = new HandClock();
    await using origin = await tunnelling(opening);
    await using shard = await ShardInTest.start({
      clock,
      limits: { tunnelIdleTimeoutMs: 10_000, idleTimeoutMs: 2_000 },
      snapshots: allTo(origin.port),
    });
    using client = await RawClient.open(shard.port());
    await client.send(request).head();
    clock.pass(9_000);
    client.send("a");
    await client.until((text) => text === "A");
    clock.pass(9_000);
    origin.sockets[0]?.write("b");
    await client.until((text) => text === "Ab");
    clock.pass(9_000);
    t.is(tunnels(shard).open, 1);
    clock.pass(2_000);
    await client.closed();
    await origin.until(() => origin.openCount === 0);
    t.deepEqual(tunnels(shard), { open: 0, idle: 1, closed: 0 });
  });
}

test("a drain waits for a tunnel, and ends it with the grace period", async (t) => {
  const clock = new HandClock();
  await using origin = await tunnelling();
  const shard = await ShardInTest.start({ clock, snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  await client.send(connect).head();
  shard.take({ kind: "drain", graceMs: 30_000 });
  clock.pass(29_000);
  client.send("ping");
  await client.until((text) => text === "PING");
  clock.pass(2_000);
  await shard.drained();
  await client.closed();
  t.is((await shard.message("drained")).cutOff.tunnels, 1);
});

test("a tunnel passes 16 MiB both ways at once through ends that read slowly", async (t) => {
  const part = Buffer.alloc(1024 * 1024, "0123456789abcdef");
  const total = 16 * part.length;
  let received = 0;
  await using origin = await RawOrigin.start(() => {}, { readsNothing: true });
  origin.server.on("connection", (socket) => {
    let opened = false;
    socket.on("data", (bytes: Buffer) => {
      if (!opened) {
        opened = true;
        socket.write(established);
        for (let i = 0; i < 16; i++) socket.write(part);
        return;
      }
      received += bytes.length;
      socket.pause();
      setImmediate(() => socket.resume());
    });
    socket.on("end", () => socket.end());
  });
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  await client.send(connect).head();
  for (let i = 0; i < 16; i++) client.send(part);
  client.socket.end();
  await client.until((text) => text.length === total);
  await client.closed();
  t.is(received, total);
  t.is(client.text, part.toString("latin1").repeat(16));
});
