import test from "ava";
import { noTimeouts } from "../../src/core/model/timeouts.ts";
import { TestCa } from "../harness/certificates.ts";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import {
  allTo,
  backend,
  demoTarget,
  endpoint,
  endpointSnapshot,
  outboundSnapshot,
  routed,
  rule,
  to,
  withHeader,
  withPath,
} from "../harness/policies.ts";
import { deadPort, withPort } from "../harness/port.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";

test("answerOutbound() sends a request where its header says", async (t) => {
  await using a = await EchoOrigin.start("a");
  await using b = await EchoOrigin.start("b");
  await using shard = await ShardInTest.start({
    snapshots: [
      endpointSnapshot("a", endpoint(a.port)),
      endpointSnapshot("b", endpoint(b.port)),
      outboundSnapshot(
        routed(
          rule({ backends: to(backend("a")) }),
          rule({
            matches: [withHeader("x-request-id", "alternative")],
            backends: to(backend("b")),
          }),
        ),
      ),
    ],
  });
  using client = await RawClient.open(shard.port());
  client.send("GET /x HTTP/1.1\r\nHost: web\r\n\r\n");
  t.is((await client.response()).body, "a GET /x");
  client.send("GET /x HTTP/1.1\r\nHost: web\r\nX-Request-ID: alternative\r\n\r\n");
  t.is((await client.response()).body, "b GET /x");
});

test("answerOutbound() takes the destination from an absolute target, and asks the origin in origin form with Host", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.send("GET http://WEB.demo/x?y=1 HTTP/1.1\r\nHost: web.demo:80\r\n\r\n");
  t.is((await client.response()).body, "a GET /x?y=1");
  t.is(origin.header("host"), "web.demo:80");
});

test("answerOutbound() switches to a new table on a connection that stays open", async (t) => {
  await using a = await EchoOrigin.start("a");
  await using b = await EchoOrigin.start("b");
  await using shard = await ShardInTest.start({
    snapshots: [endpointSnapshot("b", endpoint(b.port)), ...allTo(a.port)],
  });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).body, "a GET /");
  shard.take(outboundSnapshot(routed(rule({ backends: to(backend("b")) }))));
  t.is((await client.send(get).response()).body, "b GET /");
  t.false(client.isEnded);
  t.is(shard.count("tcp_open_total", { peer: "src" }), 1);
});

test("answerOutbound() follows endpoints that are replaced, on a connection that stays open", async (t) => {
  await using a = await EchoOrigin.start("a");
  await using b = await EchoOrigin.start("b");
  await using shard = await ShardInTest.start({ snapshots: allTo(a.port) });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).body, "a GET /");
  shard.take(endpointSnapshot("a", endpoint(b.port)));
  t.is((await client.send(get).response()).body, "b GET /");
});

test("answerOutbound() shares requests among backends by weight", async (t) => {
  await using a = await EchoOrigin.start("a");
  await using b = await EchoOrigin.start("b");
  await using shard = await ShardInTest.start({
    snapshots: [
      endpointSnapshot("a", endpoint(a.port)),
      endpointSnapshot("b", endpoint(b.port)),
      endpointSnapshot("never", endpoint(1)),
      outboundSnapshot(
        routed(
          rule({
            backends: to(
              backend("a", { weight: 9 }),
              backend("b", { weight: 1 }),
              backend("never", { weight: 0 }),
            ),
          }),
        ),
      ),
    ],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 1_000; i++) {
    t.is((await client.send(get).response()).status, 200);
  }
  // 100 are expected of 1,000; the bounds are five standard deviations away.
  t.true(b.seen.length > 52 && b.seen.length < 148, `${b.seen.length} of 1000`);
});

test("answerOutbound() balances over endpoints", async (t) => {
  await using a = await EchoOrigin.start("a");
  await using b = await EchoOrigin.start("b");
  await using shard = await ShardInTest.start({
    snapshots: [...allTo(a.port), endpointSnapshot("a", endpoint(a.port), endpoint(b.port))],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 100; i++) await client.send(get).response();
  t.true(a.seen.length > 0 && b.seen.length > 0);
});

test("answerOutbound() asks for a destination that it does not know, and answers when the policy comes", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start();
  using client = await RawClient.open(shard.port());
  client.send("POST /x HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\n\r\nabc");
  t.is((await shard.message("discover")).target, demoTarget);
  shard.take(...allTo(origin.port));
  t.is((await client.response()).body, "a POST /x");
  t.is(origin.seen[0]?.body, "abc");
});

test("answerOutbound() asks once for a destination, however many requests wait for it", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start();
  using one = await RawClient.open(shard.port());
  using two = await RawClient.open(shard.port());
  one.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
  await shard.message("discover");
  two.send("GET / HTTP/1.1\r\nHost: web.demo.svc:80\r\n\r\nGET ");
  // The second is known to be parked when it has been answered like the first.
  shard.take({ kind: "drop-outbound", target: "other" });
  two.send("/2 HTTP/1.1\r\nHost: web\r\n\r\n");
  shard.take(...allTo(origin.port));
  t.is((await one.response()).status, 200);
  t.is((await two.response()).status, 200);
  t.is((await two.response()).body, "a GET /2");
  t.is(shard.messages.filter(({ kind }) => kind === "discover").length, 1);
});

test("answerOutbound() asks again for a destination that was dropped while a request waits", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start();
  using client = await RawClient.open(shard.port());
  client.send(get);
  await shard.message("discover");
  shard.take({ kind: "drop-outbound", target: demoTarget });
  t.is(shard.messages.filter(({ kind }) => kind === "discover").length, 2);
  shard.take(...allTo(origin.port));
  t.is((await client.response()).status, 200);
});

test("answerOutbound() answers 504 when the policy service does not answer", async (t) => {
  await using shard = await ShardInTest.start({ limits: { discoveryTimeoutMs: 100 } });
  using client = await RawClient.open(shard.port());
  const response = await client.send(get).response();
  t.is(response.status, 504);
  t.is(response.headers.get("l5d-proxy-error"), "the policy service did not answer in time");
  t.is(response.body, "the policy service did not answer in time\n");
});

test("answerOutbound() answers 503 when too many requests wait for the policy service", async (t) => {
  await using shard = await ShardInTest.start({ limits: { maxWaitingForDiscovery: 1 } });
  using one = await RawClient.open(shard.port());
  using two = await RawClient.open(shard.port());
  one.send(get);
  await shard.message("discover");
  t.is((await two.send(get).response()).status, 503);
});

test("a client that goes makes room for another that waits for the policy service", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({ limits: { maxWaitingForDiscovery: 1 } });
  using one = await RawClient.open(shard.port());
  one.send(get);
  await shard.message("discover");
  one.socket.destroy();
  await shard.until(() => shard.count("tcp_open_connections") === 0);
  using two = await RawClient.open(shard.port());
  two.send(get);
  await shard.until(() => shard.count("tcp_open_connections") === 1);
  shard.take(...allTo(origin.port));
  t.is((await two.response()).status, 200);
});

test("answerOutbound() answers 502 for a destination that the policy service does not know", async (t) => {
  await using shard = await ShardInTest.start({
    snapshots: [
      {
        kind: "outbound",
        target: demoTarget,
        revision: 1,
        answer: { kind: "unknown", reason: "no such Service" },
      },
    ],
  });
  using client = await RawClient.open(shard.port());
  const response = await client.send(get).response();
  t.is(response.status, 502);
  t.is(
    response.headers.get("l5d-proxy-error"),
    'no such destination "web.demo.svc.cluster.local:80": no such Service',
  );
});

test("answerOutbound() tells which destinations are in use", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  await client.send(get).response();
  t.deepEqual((await shard.message("used")).targets, [demoTarget]);
});

const refusals = test.macro({
  exec: async (t, request: string, status: number, reason: string) => {
    await using origin = await EchoOrigin.start("a");
    await using shard = await ShardInTest.start({
      snapshots: allTo(origin.port, { matches: [withPath("/known")] }),
    });
    using client = await RawClient.open(shard.port());
    const response = await client.send(request).response();
    t.is(response.status, status);
    t.is(response.headers.get("l5d-proxy-error"), reason);
    t.is(origin.connections, 0);
  },
  title: (_given, request: string, status: number) =>
    `answerOutbound() answers ${status} to ${JSON.stringify(request.split("\r\n")[0])}`,
});

test(refusals, get, 404, "no route of Service demo/web matches this request");
test(
  refusals,
  "GET https://web/known HTTP/1.1\r\nHost: web\r\n\r\n",
  501,
  "only http:// targets are supported",
);
test(
  refusals,
  "GET /known HTTP/1.1\r\nHost: a..b\r\n\r\n",
  400,
  "name the destination in the target or in Host",
);
test(refusals, "GET /known HTTP/1.0\r\n\r\n", 400, "name the destination in the target or in Host");

test("answerOutbound() keeps the connection after a refusal", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, { matches: [withPath("/known")] }),
  });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).status, 404);
  client.send("GET /known HTTP/1.1\r\nHost: web\r\n\r\n");
  t.is((await client.response()).status, 200);
});

test("answerOutbound() answers 503 at once when the backend has no endpoints", async (t) => {
  await using shard = await ShardInTest.start({
    snapshots: [
      endpointSnapshot("a"),
      outboundSnapshot(routed(rule({ backends: to(backend("a")) }))),
    ],
  });
  using client = await RawClient.open(shard.port());
  const response = await client.send(get).response();
  t.is(response.status, 503);
  t.is(response.headers.get("l5d-proxy-error"), "the backend has no endpoints");
});

test("answerOutbound() answers 500 when all backends have weight 0", async (t) => {
  await using shard = await ShardInTest.start({
    snapshots: [outboundSnapshot(routed(rule({ backends: to(backend("a", { weight: 0 })) })))],
  });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).status, 500);
});

test("answerOutbound() answers 500 when a pattern that may match cannot be compiled", async (t) => {
  await using origin = await EchoOrigin.start("a");
  const broken = { ...withPath("/"), path: { kind: "regex", value: "(" } } as const;
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, { matches: [broken] }),
  });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).status, 500);
});

test("answerOutbound() takes the first backend that has endpoints when the policy says so", async (t) => {
  await using origin = await EchoOrigin.start("b");
  const backends = { kind: "first-available", backends: [backend("a"), backend("b")] } as const;
  await using shard = await ShardInTest.start({
    snapshots: [
      endpointSnapshot("a"),
      endpointSnapshot("b", endpoint(origin.port)),
      outboundSnapshot(routed(rule({ backends }))),
    ],
  });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).body, "b GET /");
});

test("failedOutbound() tries another endpoint when one cannot be connected to, and then passes it over", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    snapshots: [
      ...allTo(origin.port),
      endpointSnapshot("a", endpoint(deadPort), endpoint(origin.port)),
    ],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 50; i++) {
    const request = `POST /${i} HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\nok`;
    t.is((await client.send(request).response()).status, 200);
  }
  t.is(origin.seen.at(-1)?.body, "ok");
});

test("failedOutbound() does not dial an endpoint again and again that cannot be connected to", async (t) => {
  await using bad = await RawOrigin.start(() => {});
  bad.server.on("connection", (socket) => socket.destroy());
  await using good = await EchoOrigin.start("good");
  const ca = new TestCa();
  const tls = { identity: "bad.demo.id", serverName: "bad.demo.id" };
  await using shard = await ShardInTest.start({
    snapshots: [
      ca.issue(["client.demo.id"]),
      ...allTo(good.port),
      endpointSnapshot("a", endpoint(bad.port, { tls }), endpoint(good.port)),
    ],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 200; i++) t.is((await client.send(get).response()).status, 200);
  t.true(bad.sockets.length > 0 && bad.sockets.length < 10, `${bad.sockets.length} of 200`);
});

test("failedOutbound() answers 502 when no endpoint can be connected to", async (t) => {
  await using shard = await ShardInTest.start({ snapshots: allTo(deadPort) });
  using client = await RawClient.open(shard.port());
  const response = await client.send(get).response();
  t.is(response.status, 502);
  t.is(
    response.headers.get("l5d-proxy-error"),
    `127.0.0.1:${deadPort}: connecting failed: ECONNREFUSED`,
  );
});

test("failedOutbound() tries an endpoint again at once when there is no other", async (t) => {
  const port = await withPort((free) => Promise.resolve(free));
  await using shard = await ShardInTest.start({ snapshots: allTo(port) });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).status, 502);
  const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  await using _origin = await RawOrigin.start((socket) => socket.write(ok), { port });
  t.is((await client.send(get).response()).status, 200);
});

test("answerOutbound() answers 504 when an exchange takes longer than its rule allows", async (t) => {
  await using origin = await RawOrigin.start(() => {});
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, { timeouts: { ...noTimeouts, requestMs: 150 } }),
  });
  using client = await RawClient.open(shard.port());
  const response = await client.send(get).response();
  t.is(response.status, 504);
  t.is(response.headers.get("l5d-proxy-error"), "the request took longer than its rule allows");
  await origin.until(() => origin.openCount === 0);
});

test("answerOutbound() refuses more requests in flight than allowed", async (t) => {
  await using origin = await RawOrigin.start(() => {});
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port),
    limits: { maxInFlight: 1 },
  });
  using one = await RawClient.open(shard.port());
  using two = await RawClient.open(shard.port());
  one.send(get);
  await origin.until(() => origin.received !== "");
  t.is((await two.send(get).response()).status, 503);
});

test("acceptOutbound() refuses more connections than allowed", async (t) => {
  await using shard = await ShardInTest.start({ limits: { maxConnections: 1 } });
  using one = await RawClient.open(shard.port());
  one.send("GET ");
  using two = await RawClient.open(shard.port());
  await two.closed();
  t.false(one.isEnded);
});
