import test from "ava";
import type { Filter, PathModifier, Redirect } from "../../src/core/model/filter.ts";
import { EchoOrigin } from "../harness/origin.ts";
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

function redirect(parts: Partial<Redirect>): Filter {
  const plain = { scheme: "", host: "", port: 0, path: undefined, status: 302 };
  return { kind: "redirect", redirect: { ...plain, ...parts } };
}

/** Gateway API HTTPRequestRedirectFilter.port: port that was dialed, scheme and port of the filter, start of Location. */
const ports: readonly (readonly [number, string, number, string])[] = [
  [80, "", 0, "http://web"],
  [80, "", 8080, "http://web:8080"],
  [80, "https", 0, "https://web"],
  [80, "https", 443, "https://web"],
  [80, "https", 8443, "https://web:8443"],
  [8080, "", 0, "http://web:8080"],
  [8080, "", 80, "http://web"],
  [8080, "https", 0, "https://web"],
];

const portsOf = test.macro({
  exec: async (t, place: "rule" | "backend") => {
    await using shard = await ShardInTest.start();
    using kept = await RawClient.open(shard.port());
    for (const [dialed, scheme, port, location] of ports) {
      const filters = [redirect({ scheme, port })];
      const table = routed(
        rule(place === "rule" ? { filters } : { backends: to(backend("a", { filters })) }),
      );
      shard.take(outboundSnapshot(table, `web.demo.svc.cluster.local:${dialed}`));
      using fresh = await RawClient.open(shard.port());
      for (const client of [kept, fresh]) {
        client.send(`GET /a%2Fb?c=1 HTTP/1.1\r\nHost: web${dialed === 80 ? "" : ":8080"}\r\n\r\n`);
        const { status, headers, body } = await client.response();
        t.is(status, 302);
        t.is(headers.get("location"), `${location}/a%2Fb?c=1`);
        t.is(headers.get("l5d-proxy-error"), undefined);
        t.is(body, "");
      }
    }
  },
  title: (_given, place: string) => `redirect() names the port as the table says, for a ${place}`,
});

test(portsOf, "rule");
test(portsOf, "backend");

test("redirect() answers with every status there is, whatever the method, and reads on where the body ends", async (t) => {
  await using shard = await ShardInTest.start();
  using client = await RawClient.open(shard.port());
  for (const status of [301, 302, 303, 307, 308]) {
    shard.take(outboundSnapshot(routed(rule({ filters: [redirect({ status })] }))));
    for (const method of ["GET", "POST", "HEAD"]) {
      client.send(`${method} / HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\nhi`);
      const response = await client.response(method === "HEAD");
      t.is(response.status, status);
      t.is(response.headers.get("location"), "http://web/");
    }
  }
  t.false(client.isEnded);
});

test("redirect() replaces prefix, whole path and host", async (t) => {
  await using shard = await ShardInTest.start();
  using client = await RawClient.open(shard.port());
  const locationOf = async (path: PathModifier, prefix: string, asked: string): Promise<string> => {
    const filters = [redirect({ host: "example.org", path })];
    const table = routed(rule({ matches: [withPath(prefix)], filters }));
    shard.take(outboundSnapshot(table));
    client.send(`GET ${asked} HTTP/1.1\r\nHost: web\r\n\r\n`);
    return (await client.response()).headers.get("location") ?? "";
  };
  t.is(
    await locationOf({ kind: "prefix", value: "/xyz/" }, "/foo", "/foo/bar?q"),
    "http://example.org/xyz/bar?q",
  );
  t.is(await locationOf({ kind: "prefix", value: "/" }, "/foo", "/foo"), "http://example.org/");
  t.is(await locationOf({ kind: "full", value: "/x" }, "/", "/foo?q"), "http://example.org/x?q");
  t.is(
    await locationOf({ kind: "prefix", value: "/ü/日" }, "/foo", "/foo/x"),
    "http://example.org/%C3%BC/%E6%97%A5/x",
  );
});

test("redirect() takes OPTIONS * for a request without a path", async (t) => {
  await using shard = await ShardInTest.start({
    snapshots: [outboundSnapshot(routed(rule({ filters: [redirect({ host: "example.org" })] })))],
  });
  using client = await RawClient.open(shard.port());
  client.send("OPTIONS * HTTP/1.1\r\nHost: web\r\n\r\n");
  t.is((await client.response()).headers.get("location"), "http://example.org");
});

test("redirect() of a backend answers the share of requests that its weight says", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, {
      backends: to(
        backend("a", { weight: 1 }),
        backend("b", { weight: 1, filters: [redirect({ host: "example.org" })] }),
      ),
    }),
  });
  using client = await RawClient.open(shard.port());
  let redirected = 0;
  for (let i = 0; i < 400; i++) {
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
    if ((await client.response()).status === 302) redirected++;
  }
  t.is(origin.seen.length, 400 - redirected);
  // Five standard deviations of 10 on both sides of 200.
  t.true(redirected > 150 && redirected < 250, `${redirected} of 400`);
});
