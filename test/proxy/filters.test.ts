import test from "ava";
import type { Filter } from "../../src/core/model/filter.ts";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import {
  allTo,
  backend,
  outboundSnapshot,
  routed,
  rule,
  to,
  withPath,
} from "../harness/policies.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";

test("answerOutbound() answers in place of a backend that a rule fails", async (t) => {
  const failure: Filter = {
    kind: "failure",
    failure: { status: 418, message: "out of coffee", numerator: 1, denominator: 1 },
  };
  await using shard = await ShardInTest.start({
    snapshots: [outboundSnapshot(routed(rule({ filters: [failure] })))],
  });
  using client = await RawClient.open(shard.port());
  const response = await client.send(get).response();
  t.is(response.status, 418);
  t.is(response.headers.get("l5d-proxy-error"), "out of coffee");
});

test("answerOutbound() redirects when a rule says so", async (t) => {
  const redirect: Filter = {
    kind: "redirect",
    redirect: {
      scheme: "https",
      host: "example.com",
      port: 0,
      path: { kind: "prefix", value: "/new" },
      status: 301,
    },
  };
  await using shard = await ShardInTest.start({
    snapshots: [
      outboundSnapshot(routed(rule({ matches: [withPath("/old")], filters: [redirect] }))),
    ],
  });
  using client = await RawClient.open(shard.port());
  client.send("GET /old/x?q HTTP/1.1\r\nHost: web\r\n\r\n");
  const response = await client.response();
  t.is(response.status, 301);
  t.is(response.headers.get("location"), "https://example.com/new/x?q");
});

test("answerOutbound() changes headers as rule and backend say", async (t) => {
  await using origin = await EchoOrigin.start("a");
  const change = (name: string): readonly Filter[] => [
    {
      kind: "request-headers",
      modifier: { set: [{ name: "X-Set", value: name }], add: [], remove: ["X-Gone"] },
    },
    {
      kind: "response-headers",
      modifier: { set: [], add: [{ name: `X-From-${name}`, value: "ü" }], remove: ["x-origin"] },
    },
  ];
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, {
      filters: change("rule"),
      backends: to(backend("a", { filters: change("backend") })),
    }),
  });
  using client = await RawClient.open(shard.port());
  client.send("GET / HTTP/1.1\r\nHost: web\r\nx-set: app\r\nx-gone: 1\r\nx-kept: 2\r\n\r\n");
  const { headers } = await client.response();
  t.is(headers.get("x-origin"), undefined);
  t.is(headers.get("x-from-rule"), Buffer.from("ü").toString("latin1"));
  t.is(headers.get("x-from-backend"), Buffer.from("ü").toString("latin1"));
  t.is(origin.header("x-set"), "backend");
  t.is(origin.header("x-gone"), undefined);
  t.is(origin.header("x-kept"), "2");
});

test("answerOutbound() lets no filter touch the framing", async (t) => {
  const filter: Filter = {
    kind: "request-headers",
    modifier: { set: [{ name: "Content-Length", value: "3" }], add: [], remove: [] },
  };
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, { filters: [filter] }),
  });
  using client = await RawClient.open(shard.port());
  const response = await client.send(get).response();
  t.is(response.status, 500);
  t.is(
    response.headers.get("l5d-proxy-error"),
    "a filter may not change the header 'content-length'",
  );
  t.is(origin.seen.length, 0);
});

test("prepareRequest() removes what only proxies may say, and what ends at this hop", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  const spoofed = ["l5d-client-id", "L5D-Dst-Override", "l5d_client_id", "l5d-x", "L5d_X-y"];
  const lines = spoofed.map((name) => `${name}: me\r\n`).join("");
  const hop = "Connection: close, x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Authorization: x\r\n";
  client.send(`GET / HTTP/1.1\r\nHost: web\r\n${lines}${hop}X-End: 2\r\n\r\n`);
  t.is((await client.response()).status, 200);
  const names = origin.seen[0]?.rawHeaders.filter((_text, at) => at % 2 === 0);
  t.deepEqual(names, ["Host", "X-End"]);
});

test("writeResponseHead() removes what an application may not say in place of a proxy", async (t) => {
  await using origin = await RawOrigin.answering(
    "HTTP/1.1 200 OK\r\nl5d-proxy-error: mine\r\nL5D_x: 1\r\nContent-Length: 0\r\nX-A: 1\r\n\r\n",
  );
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  const { headers } = await client.send(get).response();
  t.deepEqual([...headers.keys()], ["content-length", "x-a"]);
});
