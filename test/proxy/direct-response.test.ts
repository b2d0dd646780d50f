import test from "ava";
import type { DirectResponse, Filter, HeaderModifier } from "../../src/core/model/filter.ts";
import { EchoOrigin } from "../harness/origin.ts";
import { allTo, backend, outboundSnapshot, routed, rule, to } from "../harness/policies.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

function direct(parts: Partial<DirectResponse> = {}): Filter {
  const plain = { status: 200, body: "grüß dich", contentType: "text/plain; charset=utf-8" };
  return { kind: "direct-response", response: { ...plain, ...parts } };
}

function onResponse(parts: Partial<HeaderModifier>): Filter {
  return { kind: "response-headers", modifier: { set: [], add: [], remove: [], ...parts } };
}

const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";

test("answerDirectly() answers with status, type and body, for a rule without backends", async (t) => {
  await using shard = await ShardInTest.start({
    snapshots: [outboundSnapshot(routed(rule({ filters: [direct()] })))],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 2; i++) {
    const response = await client.send(get).response();
    t.is(response.status, 200);
    t.is(Buffer.from(response.body, "latin1").toString("utf8"), "grüß dich");
    t.deepEqual(Object.fromEntries(response.headers), {
      "content-type": "text/plain; charset=utf-8",
      "content-length": "11",
    });
  }
  t.is(shard.count("outbound_http_errors_total"), 0);
  t.is(shard.count("response_total", { status_code: "200", classification: "success" }), 2);
});

test("answerDirectly() is no error of the proxy when its status is one", async (t) => {
  await using shard = await ShardInTest.start({
    snapshots: [outboundSnapshot(routed(rule({ filters: [direct({ status: 503 })] })))],
  });
  using client = await RawClient.open(shard.port());
  const { status, headers } = await client.send(get).response();
  t.is(status, 503);
  t.is(headers.get("l5d-proxy-error"), undefined);
  t.is(shard.count("outbound_http_errors_total"), 0);
});

test("answerDirectly() answers HEAD without the body, and the connection goes on", async (t) => {
  await using shard = await ShardInTest.start({
    snapshots: [outboundSnapshot(routed(rule({ filters: [direct()] })))],
  });
  using client = await RawClient.open(shard.port());
  client.send("HEAD / HTTP/1.1\r\nHost: web\r\n\r\n");
  t.is((await client.response(true)).headers.get("content-length"), "11");
  t.is((await client.send(get).response()).status, 200);
});

test("answerDirectly() sends no length with 204, and no type without a body", async (t) => {
  await using shard = await ShardInTest.start();
  using client = await RawClient.open(shard.port());
  const headersOf = async (parts: Partial<DirectResponse>): Promise<readonly string[]> => {
    shard.take(outboundSnapshot(routed(rule({ filters: [direct(parts)] }))));
    return [...(await client.send(get).response()).headers.keys()];
  };
  t.deepEqual(await headersOf({ status: 204, body: "" }), []);
  t.deepEqual(await headersOf({ status: 205 }), ["content-length"]);
  t.deepEqual(await headersOf({ status: 404, body: "" }), ["content-length"]);
});

test("answerDirectly() does not wait for the body of the request", async (t) => {
  await using shard = await ShardInTest.start({
    snapshots: [outboundSnapshot(routed(rule({ filters: [direct()] })))],
  });
  using client = await RawClient.open(shard.port());
  client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 100\r\n\r\nhalf");
  const { status, headers } = await client.response();
  t.is(status, 200);
  t.is(headers.get("connection"), "close");
  await client.closed();
});

test("answerDirectly() takes the response filters in front of it, and none behind it", async (t) => {
  await using shard = await ShardInTest.start({
    snapshots: [
      outboundSnapshot(
        routed(
          rule({
            filters: [
              onResponse({
                set: [{ name: "Content-Type", value: "text/html" }],
                add: [
                  { name: "X-A", value: "1" },
                  { name: "X-B", value: "ü" },
                ],
              }),
              onResponse({ remove: ["X-A"], add: [{ name: "X-C", value: "3" }] }),
              direct({ body: "hi" }),
              onResponse({ add: [{ name: "X-Late", value: "1" }] }),
            ],
          }),
        ),
      ),
    ],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 2; i++) {
    t.deepEqual(Object.fromEntries((await client.send(get).response()).headers), {
      "content-type": "text/html",
      "x-b": Buffer.from("ü").toString("latin1"),
      "x-c": "3",
      "content-length": "2",
    });
  }
});

test("answerDirectly() answers for a backend when that is picked", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, {
      filters: [onResponse({ add: [{ name: "X-Rule", value: "1" }] })],
      backends: to(
        backend("a", { weight: 0 }),
        backend("nowhere", { weight: 1, filters: [direct({ status: 418 })] }),
      ),
    }),
  });
  using client = await RawClient.open(shard.port());
  const { status, headers } = await client.send(get).response();
  t.is(status, 418);
  t.is(headers.get("x-rule"), "1");
  t.is(origin.seen.length, 0);
});

const refused = test.macro({
  exec: async (t, filter: Filter, reason: string) => {
    await using shard = await ShardInTest.start({
      snapshots: [outboundSnapshot(routed(rule({ filters: [filter] })))],
    });
    using client = await RawClient.open(shard.port());
    const { status, headers } = await client.send(get).response();
    t.is(status, 500);
    t.is(headers.get("l5d-proxy-error"), reason);
  },
  title: (given) => `prepareFilters() fails requests whose direct response ${given}`,
});

test(
  "is an interim one",
  refused,
  direct({ status: 101 }),
  "a filter answers with 101, which is no final status",
);
test(
  "has a type that ends its line",
  refused,
  direct({ contentType: "text/plain\r\nx: y" }),
  "a filter answers with a bad content type",
);
test(
  "is larger than a buffer",
  refused,
  direct({ body: "x".repeat(200_000) }),
  "a filter answers with more than 32768 bytes",
);
