import test from "ava";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import { allTo } from "../harness/policies.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

test("Upstream reads a response the same, wherever it is split", async (t) => {
  const response =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n";
  let at = 0;
  await using origin = await RawOrigin.start((socket) => {
    at++;
    socket.write(response.slice(0, at), "latin1");
    setImmediate(() => socket.write(response.slice(at), "latin1"));
  });
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  for (let i = 1; i < response.length; i++) {
    t.is((await client.send(get).response()).body, "5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n");
  }
  t.is(origin.sockets.length, 1);
});

test("Upstream keeps connections and uses them again", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  for (let i = 0; i < 5; i++) {
    using client = await RawClient.open(shard.port());
    for (let j = 0; j < 5; j++) t.is((await client.send(get).response()).status, 200);
  }
  t.is(origin.connections, 1);
});

test("Upstream leaves the pool when it is idle for too long", async (t) => {
  await using origin = await RawOrigin.answering(ok);
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port),
    limits: { poolIdleTimeoutMs: 100 },
  });
  using client = await RawClient.open(shard.port());
  await client.send(get).response();
  await origin.until(() => origin.openCount === 0);
  t.is((await client.send(get).response()).status, 200);
});

test("keepAliveMs() does not use a connection again that the endpoint is about to close", async (t) => {
  await using origin = await RawOrigin.answering(
    "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 0\r\n\r\n",
  );
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  await client.send(get).response();
  await client.send(get).response();
  t.is(origin.sockets.length, 2);
});

/** Answers the first request, and closes without an answer when the next one comes. */
function closesOnSecond(): Promise<RawOrigin> {
  let connections = 0;
  return RawOrigin.start((socket, soFar) => {
    const requests = soFar.split("HTTP/1.1\r\n").length - 1;
    if (requests === 1) {
      connections++;
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${connections}`);
    } else {
      socket.destroy();
    }
  });
}

test("failedOutbound() sends a request again that met a connection which the endpoint had closed", async (t) => {
  await using origin = await closesOnSecond();
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).body, "1");
  t.is((await client.send(get).response()).body, "2");
  client.send("PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\n\r\nabc");
  t.is((await client.response()).body, "3");
  t.is(origin.received.split("abc").length - 1, 2);
});

test("failedOutbound() does not send a request again that may have been carried out", async (t) => {
  await using origin = await closesOnSecond();
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  await client.send(get).response();
  client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\n\r\nabc");
  t.is((await client.response()).status, 502);
  t.is(origin.received.split("abc").length - 1, 1);
});

test("failedOutbound() answers 502 when a new connection is closed without an answer", async (t) => {
  await using origin = await RawOrigin.start((socket) => socket.destroy());
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).status, 502);
  t.is(origin.sockets.length, 1);
});

test("Upstream passes interim responses on, and what the client sends after 100", async (t) => {
  await using origin = await RawOrigin.start((socket, soFar) => {
    if (soFar.endsWith("\r\n\r\n")) {
      socket.write("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
    } else if (soFar.endsWith("hello")) {
      socket.write(ok);
    }
  });
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.send("POST / HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  t.is(await client.head(), "HTTP/1.1 103 Early Hints\r\nLink: </x>");
  t.is(await client.head(), "HTTP/1.1 100 Continue");
  client.send("hello");
  t.is((await client.response()).body, "ok");
  t.is((await client.send(get).head()).slice(0, 12), "HTTP/1.1 103");
});

test("Upstream stops an endless row of interim responses", async (t) => {
  await using origin = await RawOrigin.answering("HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000));
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.send(get);
  await client.until((text) => text.includes("502 Bad Gateway"));
  t.is(client.text.split("100 Continue").length - 1, 16);
});

test("Upstream does not give chunks to an HTTP/1.0 client", async (t) => {
  await using origin = await RawOrigin.answering(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  );
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.send("GET / HTTP/1.0\r\nHost: web\r\n\r\n");
  t.is((await client.response()).status, 502);
});

test("writeResponseHead() speaks HTTP/1.1 for an endpoint that speaks HTTP/1.0", async (t) => {
  await using origin = await RawOrigin.start((socket) => {
    socket.end("HTTP/1.0 200 Fine by me\r\nContent-Length: 2\r\n\r\nok");
  });
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  const response = await client.send(get).response();
  t.is(response.head, "HTTP/1.1 200 Fine by me\r\nContent-Length: 2");
  t.is((await client.send(get).response()).status, 200);
});

test("Upstream ends the connection after a body that ends by closing", async (t) => {
  await using origin = await RawOrigin.start((socket) => {
    socket.end("HTTP/1.1 200 OK\r\n\r\nuntil the end");
  });
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  const response = await client.send(get).response();
  t.is(response.headers.get("connection"), "close");
  t.is(response.body, "until the end");
});

test("Upstream takes no response that nobody asked for", async (t) => {
  await using origin = await RawOrigin.answering(
    `${ok}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged`,
  );
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).body, "ok");
  t.is((await client.send(get).response()).body, "ok");
  t.is(origin.sockets.length, 2);
});

test("Upstream leaves the pool when bytes come that nobody asked for", async (t) => {
  await using origin = await RawOrigin.answering(ok);
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).body, "ok");
  origin.sockets[0]?.write(ok);
  await origin.until(() => origin.openCount === 0);
  t.is((await client.send(get).response()).body, "ok");
  t.is(origin.sockets.length, 2);
});

test("Upstream ends the client's connection when a response breaks off", async (t) => {
  await using origin = await RawOrigin.start((socket) => {
    socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
  });
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.send(get);
  await client.closed();
  t.true(client.text.endsWith("half"));
});

test("Upstream answers early, and the connection is not used for what follows", async (t) => {
  await using origin = await RawOrigin.start((socket, soFar) => {
    if (!soFar.includes("hidden")) socket.write(ok);
  });
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  const hidden = "GET /hidden HTTP/1.1\r\nHost: web\r\n\r\n";
  client.send(`POST / HTTP/1.1\r\nHost: web\r\nContent-Length: ${hidden.length + 3}\r\n\r\nabc`);
  const response = await client.response();
  t.is(response.body, "ok");
  t.is(response.headers.get("connection"), "close");
  client.send(hidden);
  await client.closed();
  t.is(client.text, "");
  t.false(origin.received.includes("hidden"));
});

test("Downstream tunnels after 101, both ways, and closes each way by itself", async (t) => {
  await using origin = await RawOrigin.start((socket, soFar) => {
    if (soFar.endsWith("\r\n\r\n")) {
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi",
      );
    } else {
      socket.write("pong");
    }
  });
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.send(
    "GET /ws HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly",
  );
  const head = await client.head();
  t.true(head.startsWith("HTTP/1.1 101 "));
  t.true(head.toLowerCase().includes("upgrade: websocket"));
  t.true(head.toLowerCase().includes("connection: upgrade"));
  await client.until((text) => text === "hipong");
  t.true(origin.received.endsWith("early"));
  client.send("ping");
  await client.until((text) => text === "hipongpong");
  client.socket.end();
  await client.closed();
  await origin.until(() => origin.openCount === 0);
  await shard.until(() => shard.count("tcp_open_connections") === 0);
});

test("Downstream makes no tunnel when the endpoint answers otherwise", async (t) => {
  await using origin = await RawOrigin.answering(ok);
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.send("GET /ws HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  t.is((await client.response()).body, "ok");
  t.is((await client.send(get).response()).body, "ok");
});

test("Upstream is closed when the client goes", async (t) => {
  await using origin = await RawOrigin.start(() => {});
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.send(get);
  await origin.until(() => origin.received !== "");
  client.socket.destroy();
  await origin.until(() => origin.openCount === 0);
  await shard.until(() => shard.count("tcp_open_connections") === 0);
  t.pass();
});
