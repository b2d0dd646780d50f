import { once } from "node:events";
import test from "ava";
import type { Filter } from "../../src/core/model/filter.ts";
import { noTimeouts } from "../../src/core/model/timeouts.ts";
import { HandClock } from "../harness/hand-clock.ts";
import { EchoOrigin } from "../harness/origin.ts";
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
} from "../harness/policies.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";

/** No test waits that long. */
const foreverMs = 3_600_000;

function delay(delayMs: number, numerator: number = 1, denominator: number = 1): Filter {
  return { kind: "delay", delay: { delayMs, numerator, denominator } };
}

function failure(status: number, numerator: number = 1): Filter {
  const message = "made on purpose";
  return { kind: "failure", failure: { status, message, numerator, denominator: 100 } };
}

test("passFilters() holds a request back and then sends it on with its body, and the connection goes on", async (t) => {
  const clock = new HandClock();
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    clock,
    snapshots: allTo(origin.port, {
      filters: [delay(20_000)],
      backends: to(backend("a", { filters: [delay(10_000)] })),
    }),
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 2; i++) {
    client.send("POST /x HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nhello");
    await shard.until(() => shard.count("request_total") === i + 1);
    clock.pass(21_000);
    clock.pass(9_000);
    // Nothing was dialed either.
    t.is(shard.count("tcp_open_total", { peer: "dst" }), Math.min(i, 1));
    t.is(origin.seen.length, i);
    clock.pass(2_000);
    t.is((await client.response()).body, "a POST /x");
    t.is(origin.seen.at(-1)?.body, "hello");
  }
});

test("passFilters() holds back a request whose body is still coming", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, { filters: [delay(50)] }),
  });
  using client = await RawClient.open(shard.port());
  client.send("POST /x HTTP/1.1\r\nHost: web\r\nContent-Length: 300000\r\n\r\nhe");
  client.send("x".repeat(299_998));
  t.is((await client.response()).body, "a POST /x");
  t.is(origin.seen.at(-1)?.body.length, 300_000);
  t.is((await client.send(get).response()).body, "a GET /");
});

test("passFilters() leaves requests alone that are not among the share", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, { filters: [delay(foreverMs, 0, 100), failure(500, 0)] }),
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 50; i++) t.is((await client.send(get).response()).status, 200);
});

test("passFilters() counts a delay inside the time of the request", async (t) => {
  const clock = new HandClock();
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    clock,
    snapshots: allTo(origin.port, {
      filters: [delay(20_000)],
      timeouts: { ...noTimeouts, requestMs: 10_000 },
    }),
  });
  using client = await RawClient.open(shard.port());
  client.send(get);
  await shard.until(() => shard.count("request_total") === 1);
  clock.pass(11_000);
  const { status, headers } = await client.response();
  t.is(status, 504);
  t.is(headers.get("l5d-proxy-error"), "the request took longer than its rule allows");
  // The delay is over with its request: the next one waits for something else on the same timer.
  shard.take({ kind: "drop-outbound", target: demoTarget });
  client.send(get);
  await shard.message("discover");
  clock.pass(20_000);
  const reason = "the policy service did not answer in time";
  t.is((await client.response()).headers.get("l5d-proxy-error"), reason);
  t.is(origin.seen.length, 0);
});

test("a client that goes during a delay leaves nothing behind", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    limits: { maxInFlight: 1 },
    snapshots: allTo(origin.port, { filters: [delay(foreverMs)] }),
  });
  using client = await RawClient.open(shard.port());
  client.send(get);
  await shard.until(() => shard.count("request_total") === 1);
  client.socket.destroy();
  await once(client.socket, "close");
  await shard.until(() => shard.count("tcp_open_connections") === 0);
  // There is room for one request, and the one that left does not take it.
  shard.take(...allTo(origin.port));
  using other = await RawClient.open(shard.port());
  t.is((await other.send(get).response()).status, 200);
  t.is(origin.seen.length, 1);
});

test("passFilters() goes on with the rule that made the request wait when a new table comes", async (t) => {
  const clock = new HandClock();
  await using a = await EchoOrigin.start("a");
  await using b = await EchoOrigin.start("b");
  await using shard = await ShardInTest.start({
    clock,
    snapshots: [
      endpointSnapshot("b", endpoint(b.port)),
      ...allTo(a.port, { filters: [delay(1_000)] }),
    ],
  });
  using client = await RawClient.open(shard.port());
  client.send(get);
  await shard.until(() => shard.count("request_total") === 1);
  shard.take(outboundSnapshot(routed(rule({ backends: to(backend("b")) }))));
  clock.pass(2_000);
  t.is((await client.response()).body, "a GET /");
  t.is((await client.send(get).response()).body, "b GET /");
});

test("passFilters() fails the share of requests that a fault names", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, { filters: [failure(418, 20)] }),
  });
  using client = await RawClient.open(shard.port());
  let failed = 0;
  for (let i = 0; i < 500; i++) {
    const { status, headers } = await client.send(get).response();
    if (status !== 418) continue;
    failed++;
    t.is(headers.get("l5d-proxy-error"), "made on purpose");
  }
  // Gateway API judges shares at three standard deviations; five leave no chance.
  t.true(failed > 55 && failed < 145, `${failed} of 500`);
});

test("passFilters() fails a request after its delay", async (t) => {
  const clock = new HandClock();
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    clock,
    snapshots: allTo(origin.port, { filters: [delay(1_000), failure(503, 100)] }),
  });
  using client = await RawClient.open(shard.port());
  // The next request follows at once, and meets its own delay.
  client.send(get + get);
  for (let i = 1; i <= 2; i++) {
    await shard.until(() => shard.count("request_total") === i);
    t.is(shard.count("outbound_http_errors_total"), i - 1);
    clock.pass(2_000);
    t.is((await client.response()).status, 503);
  }
  t.is(origin.seen.length, 0);
});
