import test from "ava";
import type { Cors, Filter } from "../../src/core/model/filter.ts";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import { allTo, outboundSnapshot, routed, rule } from "../harness/policies.ts";
import { RawClient, type RawResponse } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

function cors(parts: Partial<Cors>): Filter {
  const plain: Cors = {
    origins: ["https://www.foo.com", "https://*.bar.com"],
    credentials: false,
    methods: ["GET", "PUT"],
    headers: ["x-a", "x-b"],
    exposed: ["x-c"],
    maxAgeSeconds: 5,
  };
  return { kind: "cors", cors: { ...plain, ...parts } };
}

function preflightOf(origin: string, more: string = ""): string {
  return (
    `OPTIONS /x HTTP/1.1\r\nHost: web\r\nOrigin: ${origin}\r\n` +
    `Access-Control-Request-Method: PATCH\r\n${more}\r\n`
  );
}

/** The headers that are about CORS. */
function said({ headers }: RawResponse): Readonly<Record<string, string>> {
  const about = [...headers].filter(
    ([name]) => name.startsWith("access-control-") || name === "vary",
  );
  return Object.fromEntries(about);
}

test("answerPreflight() answers in place of the backend, and the connection goes on", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, { filters: [cors({ credentials: true })] }),
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 2; i++) {
    const response = await client.send(preflightOf("https://a.b.bar.com")).response();
    t.is(response.status, 204);
    t.deepEqual(said(response), {
      "access-control-allow-origin": "https://a.b.bar.com",
      "access-control-allow-credentials": "true",
      "access-control-allow-methods": "GET, PUT",
      "access-control-allow-headers": "x-a, x-b",
      "access-control-expose-headers": "x-c",
      "access-control-max-age": "5",
      vary: "Origin",
    });
    t.is(response.headers.get("l5d-proxy-error"), undefined);
  }
  t.is(origin.seen.length, 0);
});

const refused = test.macro({
  exec: async (t, stranger: string) => {
    await using origin = await EchoOrigin.start("a");
    await using shard = await ShardInTest.start({
      snapshots: allTo(origin.port, { filters: [cors({})] }),
    });
    using client = await RawClient.open(shard.port());
    const response = await client.send(preflightOf(stranger)).response();
    t.is(response.status, 204);
    t.deepEqual(said(response), {});
    t.is(origin.seen.length, 0);
    client.send(`GET /x HTTP/1.1\r\nHost: web\r\nOrigin: ${stranger}\r\n\r\n`);
    const actual = await client.response();
    t.is(actual.body, "a GET /x");
    t.deepEqual(said(actual), { vary: "Origin" });
  },
  title: (_given, stranger: string) => `passCors() gives ${stranger} no permission`,
});

test(refused, "https://bar.com");
test(refused, "https://foobar.com");
test(refused, "http://www.foo.com");
test(refused, "https://www.foo.com:8443");
test(refused, "null");

test("answerPreflight() echoes what was asked for where a wildcard meets credentials", async (t) => {
  const all = { origins: ["*"], methods: ["*"], headers: ["*"], exposed: ["*"] };
  await using shard = await ShardInTest.start({
    snapshots: [outboundSnapshot(routed(rule({ filters: [cors({ ...all, credentials: true })] })))],
  });
  using client = await RawClient.open(shard.port());
  const asked = "Access-Control-Request-Headers: X-One, x-two\r\n";
  t.deepEqual(said(await client.send(preflightOf("http://any.org:81", asked)).response()), {
    "access-control-allow-origin": "http://any.org:81",
    "access-control-allow-credentials": "true",
    "access-control-allow-methods": "PATCH",
    "access-control-allow-headers": "X-One, x-two",
    "access-control-max-age": "5",
    vary: "Origin",
  });
  t.is(
    said(await client.send(preflightOf("http://any.org")).response())[
      "access-control-allow-headers"
    ],
    undefined,
  );
});

test("passCors() adds to the response of an actual request, in place of what the backend said", async (t) => {
  await using origin = await RawOrigin.answering(
    "HTTP/1.1 200 OK\r\nVary: Accept\r\nAccess-Control-Allow-Origin: *\r\n" +
      "Access-Control-Allow-Credentials: true\r\nContent-Length: 0\r\n\r\n",
  );
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, { filters: [cors({})] }),
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 2; i++) {
    client.send("GET / HTTP/1.1\r\nHost: web\r\nOrigin: https://www.foo.com\r\n\r\n");
    const { head } = await client.response();
    const lines = head.toLowerCase().split("\r\n").slice(1).sort();
    t.deepEqual(lines, [
      "access-control-allow-origin: https://www.foo.com",
      "access-control-expose-headers: x-c",
      "content-length: 0",
      "vary: accept",
      "vary: origin",
    ]);
  }
});

test("passCors() forwards OPTIONS that is no preflight request", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, { filters: [cors({})] }),
  });
  using client = await RawClient.open(shard.port());
  client.send("OPTIONS /x HTTP/1.1\r\nHost: web\r\nOrigin: https://www.foo.com\r\n\r\n");
  const response = await client.response();
  t.is(response.body, "a OPTIONS /x");
  t.is(said(response)["access-control-allow-origin"], "https://www.foo.com");
});

test("prepareFilters() fails requests whose CORS filter would split a response", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, { filters: [cors({ exposed: ["x\r\ny: z"] })] }),
  });
  using client = await RawClient.open(shard.port());
  const { status } = await client.send(preflightOf("https://www.foo.com")).response();
  t.is(status, 500);
  t.is(origin.seen.length, 0);
});
