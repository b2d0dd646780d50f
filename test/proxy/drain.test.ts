import test from "ava";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import { allTo } from "../harness/policies.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const graceMs = 20_000;

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
  t.deepEqual(await shard.message("drained"), { kind: "drained", aborted: 0 });
});

test("drain accepts no more connections", async (t) => {
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
  t.deepEqual(await shard.message("drained"), { kind: "drained", aborted: 1 });
  await client.closed();
  await origin.until(() => origin.openCount === 0);
});
