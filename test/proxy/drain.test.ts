import test from "ava";
import { HandClock } from "../harness/hand-clock.ts";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import { allTo } from "../harness/policies.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const graceMs = 20_000;
const nothing = { requests: 0, tunnels: 0, opaque: 0 };
/** The ports stay open until nobody came for 5 s, or 10 s before the end. */
const unhurried = { kind: "drain", graceMs: 120_000, quietMs: 5_000, refuseMs: 10_000 } as const;

test("drain lets a request in flight finish, and tells the client to go", async (t) => {
  await using origin = await RawOrigin.start(() => {});
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.send(get);
  await origin.until(() => origin.received !== "");
  shard.take({ kind: "drain", graceMs });
  origin.sockets[0]?.write(ok);
  const response = await client.response();
  t.is(response.body, "ok");
  t.is(response.headers.get("connection"), "close");
  await client.closed();
  client.socket.end();
  await shard.drained();
  t.deepEqual(await shard.message("drained"), {
    kind: "drained",
    waitedFor: { requests: 1, tunnels: 0, opaque: 0 },
    accepted: 0,
    closedPolitely: nothing,
    cutOff: nothing,
  });
});

test("drain without a quiet time accepts no more connections", async (t) => {
  await using shard = await ShardInTest.start();
  const port = shard.port();
  shard.take({ kind: "drain", graceMs });
  await shard.drained();
  await t.throwsAsync(() => RawClient.open(port), { code: "ECONNREFUSED" });
});

test("drain answers one more request on an idle connection, so that none is lost on the way", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  await client.send(get).response();
  shard.take({ kind: "drain", graceMs });
  const response = await client.send(get).response();
  t.is(response.status, 200);
  t.is(response.headers.get("connection"), "close");
  await client.closed();
});

test("drain closes idle connections after a moment", async (t) => {
  await using shard = await ShardInTest.start();
  using client = await RawClient.open(shard.port());
  client.send("GET / HTTP/1.1\r\nHost: a..b\r\n\r\n");
  await client.response();
  shard.take({ kind: "drain", graceMs });
  await client.closed();
  await shard.drained();
  t.pass();
});

test("drain aborts what is in flight when its time is over, and reports how much", async (t) => {
  await using origin = await RawOrigin.start(() => {});
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.send(get);
  await origin.until(() => origin.received !== "");
  shard.take({ kind: "drain", graceMs: 100 });
  await shard.drained();
  t.like(await shard.message("drained"), { cutOff: { ...nothing, requests: 1 } });
  await client.closed();
  await origin.until(() => origin.openCount === 0);
});

test("drain goes on accepting, and tells each new client to go, until nobody came for the quiet time", async (t) => {
  const clock = new HandClock();
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port), clock });
  const port = shard.port();
  shard.take(unhurried);
  for (let late = 0; late < 3; late++) {
    clock.pass(4_000);
    using client = await RawClient.open(port);
    const response = await client.send(get).response();
    t.is(response.status, 200);
    t.is(response.headers.get("connection"), "close");
    await client.closed();
    client.socket.end();
    await shard.until(() => shard.count("tcp_open_connections", { peer: "src" }) === 0);
  }
  clock.pass(4_000);
  using last = await RawClient.open(port);
  await last.send(get).response();
  last.socket.end();
  await last.closed();
  await shard.until(() => shard.count("tcp_open_connections", { peer: "src" }) === 0);
  // Two steps: a timer that finds somebody came since is set again.
  clock.pass(4_000);
  clock.pass(2_000);
  await shard.drained();
  await t.throwsAsync(() => RawClient.open(port), { code: "ECONNREFUSED" });
  t.like(await shard.message("drained"), { waitedFor: nothing, accepted: 4, cutOff: nothing });
});

test("drain lets a connection that is idle bring its next request during the quiet time", async (t) => {
  const clock = new HandClock();
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port), clock });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).headers.get("connection"), undefined);
  shard.take(unhurried);
  clock.pass(3_000);
  const response = await client.send(get).response();
  t.is(response.status, 200);
  t.is(response.headers.get("connection"), "close");
  await client.closed();
  clock.pass(unhurried.graceMs);
  await shard.drained();
});

test("drain refuses new connections when the deadline nears, and still answers what has begun", async (t) => {
  const clock = new HandClock();
  await using origin = await RawOrigin.start(() => {});
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port), clock });
  const port = shard.port();
  using client = await RawClient.open(port);
  client.send(get);
  await origin.until(() => origin.received !== "");
  shard.take(unhurried);
  clock.pass(109_000);
  (await RawClient.open(port))[Symbol.dispose]();
  clock.pass(1_500);
  await t.throwsAsync(() => RawClient.open(port), { code: "ECONNREFUSED" });
  origin.sockets[0]?.write(ok);
  t.is((await client.response()).body, "ok");
  client.socket.end();
  await shard.drained();
  t.like(await shard.message("drained"), { cutOff: nothing });
});

test("drain of a short grace period keeps half of it for who came late", async (t) => {
  const clock = new HandClock();
  await using origin = await RawOrigin.start(() => {});
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port), clock });
  const port = shard.port();
  using client = await RawClient.open(port);
  client.send(get);
  await origin.until(() => origin.received !== "");
  shard.take({ ...unhurried, graceMs: 4_000 });
  clock.pass(1_900);
  (await RawClient.open(port))[Symbol.dispose]();
  clock.pass(200);
  await t.throwsAsync(() => RawClient.open(port), { code: "ECONNREFUSED" });
  clock.pass(2_000);
  await shard.drained();
  t.like(await shard.message("drained"), { cutOff: { ...nothing, requests: 1 } });
});
