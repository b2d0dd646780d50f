import test from "ava";
import type { Filter, PathModifier } from "../../src/core/model/filter.ts";
import { everyRequest } from "../../src/core/model/match.ts";
import { EchoOrigin } from "../harness/origin.ts";
import { allTo, backend, to, withPath } from "../harness/policies.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

function rewrite(path: PathModifier | undefined, host: string = ""): Filter {
  return { kind: "url-rewrite", rewrite: { host, path } };
}

function prefix(value: string): PathModifier {
  return { kind: "prefix", value };
}

/** Gateway API HTTPPathModifier.replacePrefixMatch: request path, matched prefix, replacement, result. */
const rows: readonly (readonly [string, string, string, string])[] = [
  ["/foo/bar", "/foo", "/xyz", "/xyz/bar"],
  ["/foo/bar", "/foo", "/xyz/", "/xyz/bar"],
  ["/foo/bar", "/foo/", "/xyz", "/xyz/bar"],
  ["/foo/bar", "/foo/", "/xyz/", "/xyz/bar"],
  ["/foo", "/foo", "/xyz", "/xyz"],
  ["/foo/", "/foo", "/xyz", "/xyz/"],
  ["/foo/bar", "/foo", "", "/bar"],
  ["/foo/", "/foo", "", "/"],
  ["/foo", "/foo", "", "/"],
  ["/foo/", "/foo", "/", "/"],
  ["/foo", "/foo", "/", "/"],
  ["/foo/b%2Fc?q=%20", "/foo", "/xyz", "/xyz/b%2Fc?q=%20"],
  ["/foo?", "/foo", "/xyz", "/xyz?"],
];

const replaced = test.macro({
  exec: async (t, place: "rule" | "backend") => {
    await using origin = await EchoOrigin.start("a");
    await using shard = await ShardInTest.start();
    using client = await RawClient.open(shard.port());
    for (const [path, matched, replacement, result] of rows) {
      const filters = [rewrite(prefix(replacement))];
      const parts = place === "rule" ? { filters } : { backends: to(backend("a", { filters })) };
      shard.take(...allTo(origin.port, { matches: [withPath(matched)], ...parts }));
      // Twice on a connection that is kept, and once on a fresh one.
      for (let i = 0; i < 2; i++) {
        client.send(`GET ${path} HTTP/1.1\r\nHost: web\r\n\r\n`);
        t.is((await client.response()).body, `a GET ${result}`);
      }
      using fresh = await RawClient.open(shard.port());
      fresh.send(`POST ${path} HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\nhi`);
      t.is((await fresh.response()).body, `a POST ${result}`);
      t.is(origin.seen.at(-1)?.body, "hi");
      t.is(origin.header("host"), "web");
    }
  },
  title: (_given, place: string) => `rewriteRequest() replaces the matched prefix for a ${place}`,
});

test(replaced, "rule");
test(replaced, "backend");

test("rewriteRequest() replaces the whole path and keeps the query, also of an absolute target", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, { filters: [rewrite({ kind: "full", value: "/one" })] }),
  });
  using client = await RawClient.open(shard.port());
  client.send("GET /x/y?z=1&z=2 HTTP/1.1\r\nHost: web\r\n\r\n");
  t.is((await client.response()).body, "a GET /one?z=1&z=2");
  client.send("GET http://web/x?q HTTP/1.1\r\nHost: web\r\n\r\n");
  t.is((await client.response()).body, "a GET /one?q");
  client.send("GET http://web HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  t.is((await client.response()).body, "a GET /one");
  t.is(origin.header("host"), "web");
});

test("rewriteRequest() replaces Host once, whatever the request and other filters say", async (t) => {
  await using origin = await EchoOrigin.start("a");
  const setHost: Filter = {
    kind: "request-headers",
    modifier: { set: [{ name: "Host", value: "early" }], add: [], remove: [] },
  };
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, {
      filters: [setHost, rewrite(undefined, "one.example.org")],
    }),
  });
  using client = await RawClient.open(shard.port());
  for (const request of [
    "GET /x HTTP/1.1\r\nHost: web:80\r\n\r\n",
    "GET http://web/x HTTP/1.1\r\nHOST: web\r\n\r\n",
    "GET http://web/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
  ]) {
    t.is((await client.send(request).response()).body, "a GET /x");
    const { rawHeaders = [] } = origin.seen.at(-1) ?? {};
    const hosts = rawHeaders.filter((_text, at) => rawHeaders[at - 1]?.toLowerCase() === "host");
    t.deepEqual(hosts, ["one.example.org"]);
  }
});

test("rewriteRequest() starts from the request's own path for a backend too, and a backend's host alone leaves the rule's path", async (t) => {
  await using origin = await EchoOrigin.start("a");
  const run = async (ofBackend: Filter): Promise<string | undefined> => {
    await using shard = await ShardInTest.start({
      snapshots: allTo(origin.port, {
        matches: [withPath("/foo")],
        filters: [rewrite(prefix("/rule"), "rule.example.org")],
        backends: to(backend("a", { filters: [ofBackend] })),
      }),
    });
    using client = await RawClient.open(shard.port());
    client.send("GET /foo/x HTTP/1.1\r\nHost: web\r\n\r\n");
    return (await client.response()).body;
  };
  t.is(await run(rewrite(prefix("/backend"))), "a GET /backend/x");
  t.is(origin.header("host"), "rule.example.org");
  t.is(await run(rewrite(undefined, "backend.example.org")), "a GET /rule/x");
  t.is(origin.header("host"), "backend.example.org");
});

test("rewriteRequest() leaves OPTIONS * alone", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, { filters: [rewrite(prefix("/xyz"), "one.example.org")] }),
  });
  using client = await RawClient.open(shard.port());
  client.send("OPTIONS * HTTP/1.1\r\nHost: web\r\n\r\n");
  t.is((await client.response()).body, "a OPTIONS *");
  t.is(origin.header("host"), "one.example.org");
});

test("rewriteRequest() answers 500 where no prefix matched", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, {
      matches: [{ ...everyRequest, path: { kind: "exact", value: "/foo" } }],
      filters: [rewrite(prefix("/xyz"))],
    }),
  });
  using client = await RawClient.open(shard.port());
  client.send("GET /foo HTTP/1.1\r\nHost: web\r\n\r\n");
  const { status, headers } = await client.response();
  t.is(status, 500);
  t.is(headers.get("l5d-proxy-error"), "the rewrite of the rule cannot be made");
  t.is(origin.seen.length, 0);
});

const refused = test.macro({
  exec: async (t, filter: Filter, reason: string) => {
    await using origin = await EchoOrigin.start("a");
    await using shard = await ShardInTest.start({
      snapshots: allTo(origin.port, { filters: [filter] }),
    });
    using client = await RawClient.open(shard.port());
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
    const { status, headers } = await client.response();
    t.is(status, 500);
    t.is(headers.get("l5d-proxy-error"), reason);
    t.is(origin.seen.length, 0);
  },
  title: (given) => `prepareFilters() fails requests whose rewrite ${given}`,
});

test(
  "would split the request line",
  refused,
  rewrite(prefix("/a HTTP/1.1\r\nHost: x\r\n\r\nGET /")),
  "a filter rewrites the path to something that is not visible ASCII",
);
test(
  "would begin a query",
  refused,
  rewrite({ kind: "full", value: "/a?b" }),
  "a filter rewrites the path to something with a query or a fragment",
);
test(
  "names a host with a blank",
  refused,
  rewrite(undefined, "a b"),
  "a filter sets a host that is no host",
);
