import test from "ava";
import type { RouteBackend, StaticHost } from "../../src/core/model/backend.ts";
import { resourceMeta } from "../../src/core/model/meta.ts";
import { staticAuthority } from "../../src/core/table/static-hosts.ts";
import { H2Origin } from "../harness/http2-peers.ts";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import {
  endpoint,
  endpointSnapshot,
  outboundSnapshot,
  routed,
  rule,
  to,
} from "../harness/policies.ts";
import { deadPort } from "../harness/port.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const get = "GET /a?b=c HTTP/1.1\r\nHost: web\r\n\r\n";
const hosts: readonly StaticHost[] = [{ host: "api.example.com", port: 80 }];
const outside = staticAuthority(hosts);

function outsideBackend(): RouteBackend {
  const meta = resourceMeta({
    group: "gateway.kgateway.dev",
    kind: "Backend",
    namespace: "demo",
    name: "api",
  });
  return { backend: { meta, dispatch: { kind: "static", hosts } }, filters: [], weight: 1 };
}

const table = routed(rule({ backends: to(outsideBackend()) }));

test("a backend outside the mesh gets requests as the client wrote them, over plain HTTP", async (t) => {
  await using origin = await EchoOrigin.start("api");
  await using shard = await ShardInTest.start({
    snapshots: [endpointSnapshot(outside, endpoint(origin.port)), outboundSnapshot(table)],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 2; i++) {
    t.is((await client.send(get).response()).body, "api GET /a?b=c");
    t.is(origin.header("host"), "web");
  }
  t.is(origin.connections, 1);
});

test("a backend outside the mesh that is said to speak HTTP/2 is spoken to in it, also for a client of HTTP/1", async (t) => {
  await using origin = await H2Origin.start();
  const share = outsideBackend();
  const calls = { ...share, backend: { ...share.backend, protocol: "http2" as const } };
  await using shard = await ShardInTest.start({
    limits: { connectTimeoutMs: 20_000 },
    snapshots: [
      endpointSnapshot(outside, endpoint(origin.port)),
      outboundSnapshot(routed(rule({ backends: to(calls) }))),
    ],
  });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).status, 200);
  t.is(origin.seen[0]?.[":path"], "/a?b=c");
});

test("a backend outside the mesh is balanced over all of its addresses, and loses those that are dead", async (t) => {
  await using first = await EchoOrigin.start("first");
  await using second = await EchoOrigin.start("second");
  const all = [first.port, second.port, deadPort].map((port) => endpoint(port));
  await using shard = await ShardInTest.start({
    snapshots: [endpointSnapshot(outside, ...all), outboundSnapshot(table)],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 40; i++) t.is((await client.send(get).response()).status, 200);
  t.true(first.seen.length > 0 && second.seen.length > 0);
});

test("a backend outside the mesh moves when its names do", async (t) => {
  await using before = await EchoOrigin.start("before");
  await using after = await EchoOrigin.start("after");
  await using shard = await ShardInTest.start({
    snapshots: [endpointSnapshot(outside, endpoint(before.port)), outboundSnapshot(table)],
  });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).headers.get("x-origin"), "before");
  shard.take(endpointSnapshot(outside, endpoint(after.port)));
  t.is((await client.send(get).response()).headers.get("x-origin"), "after");
});

test("a backend outside the mesh whose names have no address answers 503", async (t) => {
  await using shard = await ShardInTest.start({
    snapshots: [endpointSnapshot(outside), outboundSnapshot(table)],
  });
  using client = await RawClient.open(shard.port());
  const response = await client.send(get).response();
  t.is(response.status, 503);
  t.is(response.headers.get("l5d-proxy-error"), "the backend has no endpoints");
});

test("a backend outside the mesh may take a connection over for WebSocket", async (t) => {
  await using origin = await RawOrigin.start((socket, soFar) => {
    if (soFar.endsWith("\r\n\r\n")) {
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
      );
    } else if (soFar.endsWith("ping")) socket.write("pong");
  });
  await using shard = await ShardInTest.start({
    snapshots: [endpointSnapshot(outside, endpoint(origin.port)), outboundSnapshot(table)],
  });
  using client = await RawClient.open(shard.port());
  client.send(
    "GET /chat HTTP/1.1\r\nHost: web\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
  );
  t.true((await client.head()).startsWith("HTTP/1.1 101 "));
  client.send("ping");
  await client.until((text) => text === "pong");
  t.pass();
});
