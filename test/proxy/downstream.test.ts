import test from "ava";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import { allTo } from "../harness/policies.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

test("Downstream answers pipelined requests in order, one at a time", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  const requests = Array.from({ length: 100 }, (_none, i) =>
    i % 2 === 0
      ? `GET /${i} HTTP/1.1\r\nHost: web\r\n\r\n`
      : `POST /${i} HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nhello`,
  );
  client.send(requests.join(""));
  for (let i = 0; i < 100; i++) {
    t.is((await client.response()).body, `a ${i % 2 === 0 ? "GET" : "POST"} /${i}`);
  }
  t.is(origin.connections, 1);
});

test("Downstream answers pipelined refusals without end", async (t) => {
  await using shard = await ShardInTest.start();
  using client = await RawClient.open(shard.port());
  client.send("GET / HTTP/1.1\r\nHost: a..b\r\n\r\n".repeat(2_000));
  for (let i = 0; i < 2_000; i++) t.is((await client.response()).status, 400);
});

const split = test.macro({
  exec: async (t, request: string, want: string, wantBody: string) => {
    await using origin = await EchoOrigin.start("a");
    await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
    using client = await RawClient.open(shard.port());
    for (let at = 1; at < request.length; at++) {
      client.send(request.slice(0, at));
      // The first part is in the proxy when a connection that was opened after it has been answered.
      using marker = await RawClient.open(shard.port());
      t.is((await marker.send("GET / HTTP/1.1\r\nHost: a..b\r\n\r\n").response()).status, 400);
      client.send(request.slice(at));
      t.is((await client.response()).body, want, `split at ${at}`);
      t.is(origin.seen.at(-1)?.body, wantBody, `split at ${at}`);
    }
  },
  title: (name = "") => `Downstream reads ${name} the same, wherever it is split`,
});

test("a request without a body", split, "GET /x?y HTTP/1.1\r\nHost: web\r\n\r\n", "a GET /x?y", "");
test(
  "a body with a length",
  split,
  "POST /x HTTP/1.1\r\nHost: web\r\nContent-Length: 11\r\n\r\nhello world",
  "a POST /x",
  "hello world",
);
test(
  "a chunked body with an extension and a trailer",
  split,
  "POST /x HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n5;e=1\r\nhello\r\n6\r\n world\r\n0\r\nX-T: 1\r\n\r\n",
  "a POST /x",
  "hello world",
);

test("Downstream forwards no body with HEAD, 204 and 304", async (t) => {
  await using origin = await RawOrigin.start((socket, soFar) => {
    const last = soFar.split("\r\n\r\n").at(-2) ?? "";
    const status = /\/(\d+)/.exec(last)?.[1] ?? "200";
    const length = status === "204" ? "" : "Content-Length: 5\r\n";
    const body = status === "200" && !last.includes("HEAD") ? "hello" : "";
    socket.write(`HTTP/1.1 ${status} X\r\n${length}\r\n${body}`);
  });
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  const ask = async (method: string, status: number): Promise<void> => {
    client.send(`${method} /${status} HTTP/1.1\r\nHost: web\r\n\r\n`);
    const response = await client.response(method === "HEAD");
    t.is(response.status, status);
    t.is(client.text, "");
  };
  await ask("HEAD", 200);
  await ask("GET", 204);
  await ask("GET", 304);
  await ask("GET", 200);
  t.is(origin.sockets.length, 1);
});

test("Downstream answers HEAD itself without a body", async (t) => {
  await using shard = await ShardInTest.start();
  using client = await RawClient.open(shard.port());
  const requests = ["HEAD", "GET"].map((method) => `${method} / HTTP/1.1\r\nHost: a..b\r\n\r\n`);
  client.send(requests.join(""));
  t.is((await client.response(true)).status, 400);
  t.is((await client.response()).body, "name the destination in the target or in Host\n");
});

test("Downstream serves HTTP/1.0: no interim responses, no chunks, one request", async (t) => {
  await using origin = await RawOrigin.start((socket) => {
    socket.end("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nall of it");
  });
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.send("GET / HTTP/1.0\r\nHost: web\r\nConnection: keep-alive\r\n\r\n");
  const response = await client.response();
  t.is(response.status, 200);
  t.is(response.headers.get("connection"), "close");
  t.is(response.body, "all of it");
  t.true(origin.received.startsWith("GET / HTTP/1.0\r\n"));
});

test("prepareRequest() asks no endpoint to upgrade to HTTP/2", async (t) => {
  await using origin = await RawOrigin.answering(ok);
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.send(
    "GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n",
  );
  t.is((await client.response()).body, "ok");
  t.is(origin.received, "GET / HTTP/1.1\r\nHost: web\r\n\r\n");
});

test("Downstream closes after a request that asks for it", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.send("GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n");
  t.is((await client.response()).headers.get("connection"), "close");
  await client.closed();
  t.is((await (await RawClient.open(shard.port())).send(get).response()).status, 200);
  t.is(origin.connections, 1);
});

test("Downstream answers 408 and closes when a head dribbles", async (t) => {
  await using shard = await ShardInTest.start({ limits: { headTimeoutMs: 200 } });
  using client = await RawClient.open(shard.port());
  const dribble = setInterval(() => client.send("a"), 20);
  client.send("GET / HTTP/1.1\r\nHost: web\r\nX: ");
  const response = await client.response();
  clearInterval(dribble);
  t.is(response.status, 408);
  await client.closed();
});

test("Downstream answers 408 when a body stops coming", async (t) => {
  await using origin = await RawOrigin.start(() => {});
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port),
    limits: { idleTimeoutMs: 200 },
  });
  using client = await RawClient.open(shard.port());
  client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 9\r\n\r\nhalf");
  t.is((await client.response()).status, 408);
  await origin.until(() => origin.openCount === 0);
});

test("Downstream does not time out a request whose answer takes its time", async (t) => {
  await using origin = await RawOrigin.start((socket) => {
    setTimeout(() => socket.write(ok), 500);
  });
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port),
    limits: { idleTimeoutMs: 100, headTimeoutMs: 100, poolIdleTimeoutMs: 100 },
  });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).body, "ok");
});

test("Downstream closes a connection that is idle for too long", async (t) => {
  await using shard = await ShardInTest.start({ limits: { idleTimeoutMs: 100 } });
  using client = await RawClient.open(shard.port());
  await client.closed();
  t.is(client.text, "");
});

test("Downstream passes heads on that are nearly as long as allowed", async (t) => {
  await using origin = await RawOrigin.answering(
    `HTTP/1.1 200 OK\r\nX: ${"y".repeat(60_000)}\r\nContent-Length: 0\r\n\r\n`,
  );
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.send(`GET / HTTP/1.1\r\nHost: web\r\nX: ${"x".repeat(60_000)}\r\n\r\n`);
  const response = await client.response();
  t.is(response.headers.get("x")?.length, 60_000);
  t.is(origin.received.length, 60_000 + "GET / HTTP/1.1\r\nHost: web\r\nX: \r\n\r\n".length);
});

test("Downstream refuses a head that is longer than allowed", async (t) => {
  await using shard = await ShardInTest.start();
  using client = await RawClient.open(shard.port());
  client.send(`GET / HTTP/1.1\r\nHost: web\r\nX: ${"x".repeat(70_000)}`);
  t.is((await client.response()).status, 431);
});

test("Downstream takes no request from the body of one that it refused", async (t) => {
  await using origin = await RawOrigin.answering(ok);
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.send(`POST / HTTP/1.1\r\nHost: a..b\r\nContent-Length: ${get.length + 1}\r\n\r\nx`);
  const response = await client.response();
  t.is(response.status, 400);
  t.is(response.headers.get("connection"), "close");
  client.send(get);
  await client.closed();
  t.is(client.text, "");
  t.is(origin.received, "");
});
