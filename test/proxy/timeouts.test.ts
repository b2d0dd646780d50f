import test from "ava";
import type { Retry } from "../../src/core/model/retry.ts";
import { defaultRetryBackoff, defaultRetryBudget } from "../../src/core/model/retry.ts";
import { noTimeouts, type Timeouts } from "../../src/core/model/timeouts.ts";
import { HandClock } from "../harness/hand-clock.ts";
import { RawOrigin } from "../harness/origin.ts";
import { allTo } from "../harness/policies.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/** A wheel turns in steps, and a limit is at most a step and what was left of one late. */
const lateMs = 200;

const retry: Retry = {
  limit: 1,
  statuses: [],
  perTryMs: 0,
  backoff: defaultRetryBackoff,
  maxBodyBytes: 1_024,
  budget: defaultRetryBudget,
};

function limits(parts: Partial<Timeouts>): { readonly timeouts: Timeouts } {
  return { timeouts: { ...noTimeouts, ...parts } };
}

const whole: readonly (readonly [keyof Timeouts, string])[] = [
  ["requestMs", "the request took longer than its rule allows"],
  ["backendRequestMs", "the endpoint took longer than the rule allows"],
  ["responseMs", "the response took longer than its rule allows"],
  ["idleMs", "nothing came for longer than the rule allows"],
];

for (const [name, reason] of whole) {
  test(`${name} ends in 504 and keeps the connection`, async (t) => {
    const clock = new HandClock();
    await using origin = await RawOrigin.start((socket, soFar) => {
      if (soFar.includes("/fast")) socket.write(ok);
    });
    await using shard = await ShardInTest.start({
      clock,
      snapshots: allTo(origin.port, limits({ [name]: 500 })),
    });
    using client = await RawClient.open(shard.port());
    for (let round = 1; round <= 2; round++) {
      client.send(get);
      await origin.until(() => origin.sockets.length === round);
      await origin.until(() => origin.received.split("\r\n\r\n").length === round + 1);
      clock.pass(400);
      t.is(client.text, "");
      clock.pass(100 + lateMs);
      const response = await client.response();
      t.is(response.status, 504);
      t.is(response.headers.get("l5d-proxy-error"), reason);
      await origin.until(() => origin.openCount === 0);
    }
    client.send("GET /fast HTTP/1.1\r\nHost: web\r\n\r\n");
    t.is((await client.response()).status, 200);
    const error = name === "idleMs" ? "idle timeout" : "response timeout";
    t.is(shard.count("outbound_http_errors_total", { error }), 2);
  });

  test(`${name} of 0 is no limit`, async (t) => {
    const clock = new HandClock();
    await using origin = await RawOrigin.start(() => {});
    await using shard = await ShardInTest.start({
      clock,
      snapshots: allTo(origin.port, limits({ [name]: 0 })),
    });
    using client = await RawClient.open(shard.port());
    client.send(get);
    await origin.until(() => origin.received !== "");
    clock.pass(60_000);
    origin.sockets[0]?.write(ok);
    t.is((await client.response()).status, 200);
  });

  test(`${name} resets the connection when a part of the response is out`, async (t) => {
    const clock = new HandClock();
    // Without a length only the way in which the connection ends tells that something is missing.
    await using origin = await RawOrigin.start((socket) =>
      socket.write("HTTP/1.1 200 OK\r\n\r\npart"),
    );
    await using shard = await ShardInTest.start({
      clock,
      snapshots: allTo(origin.port, limits({ [name]: 500 })),
    });
    using client = await RawClient.open(shard.port());
    client.send(get);
    await client.until((text) => text.endsWith("part"));
    clock.pass(500 + lateMs);
    await client.closed();
    t.is(client.error?.code, "ECONNRESET");
    await origin.until(() => origin.openCount === 0);
  });
}

test("a connection that is over leaves no timer behind, whatever its rules timed", async (t) => {
  const clock = new HandClock();
  await using origin = await RawOrigin.start((socket) => socket.end(`${ok}`));
  const hour = 3_600_000;
  const timeouts = { requestMs: hour, backendRequestMs: hour, responseMs: hour, idleMs: hour };
  await using shard = await ShardInTest.start({
    clock,
    snapshots: allTo(origin.port, limits(timeouts)),
  });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).status, 200);
  t.true(clock.isTicking);
  client.socket.destroy();
  await shard.until(() => shard.count("tcp_open_connections") === 0);
  clock.pass(10);
  t.false(clock.isTicking);
});

test("responseMs begins when the request has come to its end", async (t) => {
  const clock = new HandClock();
  await using origin = await RawOrigin.start((socket, soFar) => {
    if (soFar.endsWith("end")) socket.write(ok);
  });
  await using shard = await ShardInTest.start({
    clock,
    snapshots: allTo(origin.port, limits({ responseMs: 500 })),
  });
  using client = await RawClient.open(shard.port());
  client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 6\r\n\r\nabc");
  await origin.until(() => origin.received.endsWith("abc"));
  clock.pass(60_000);
  client.send("end");
  t.is((await client.response()).status, 200);
});

test("idleMs begins anew whenever something comes from either side", async (t) => {
  const clock = new HandClock();
  await using origin = await RawOrigin.start(() => {});
  await using shard = await ShardInTest.start({
    clock,
    snapshots: allTo(origin.port, limits({ idleMs: 500 })),
  });
  using client = await RawClient.open(shard.port());
  client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\n");
  await origin.until(() => origin.received !== "");
  clock.pass(400);
  client.send("a");
  await origin.until(() => origin.received.endsWith("a"));
  clock.pass(400);
  client.send("b");
  await origin.until(() => origin.received.endsWith("ab"));
  clock.pass(400);
  const [socket] = origin.sockets;
  socket?.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
  await client.until((text) => text.endsWith("\r\n\r\n"));
  clock.pass(400);
  socket?.write("o");
  await client.until((text) => text.endsWith("o"));
  clock.pass(400);
  socket?.write("k");
  t.is((await client.response()).body, "ok");
});

test("requestMs includes all tries and the pauses between them", async (t) => {
  const clock = new HandClock();
  await using origin = await RawOrigin.answering(
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
  );
  const patient = { ...retry, limit: 9, statuses: [{ start: 503, end: 503 }] };
  const backoff = { minMs: 300, maxMs: 300, jitter: 0 };
  await using shard = await ShardInTest.start({
    clock,
    snapshots: allTo(origin.port, {
      ...limits({ requestMs: 1_000 }),
      retry: { ...patient, backoff },
    }),
  });
  using client = await RawClient.open(shard.port());
  client.send(get);
  let tries = 0;
  while (client.text === "") {
    tries++;
    await origin.until(() => origin.received.split("GET").length > tries);
    await shard.until(() => shard.count("outbound_http_route_retry_requests_total") === tries);
    clock.pass(400);
    if (tries === 3) await client.until((text) => text !== "");
  }
  t.is(tries, 3);
  t.is((await client.response()).status, 504);
});

test("backendRequestMs cuts off a try, and another one follows", async (t) => {
  const clock = new HandClock();
  await using origin = await RawOrigin.start((socket) => {
    if (origin.sockets.length === 2) socket.write(ok);
  });
  await using shard = await ShardInTest.start({
    clock,
    snapshots: allTo(origin.port, { ...limits({ backendRequestMs: 500 }), retry }),
  });
  using client = await RawClient.open(shard.port());
  client.send(get);
  await origin.until(() => origin.received !== "");
  clock.pass(500 + lateMs);
  await shard.until(() => shard.count("outbound_http_route_retry_requests_total") === 1);
  clock.pass(50 + lateMs);
  t.is((await client.response()).body, "ok");
  t.is(shard.count("outbound_http_route_retry_successes_total"), 1);
});

test("a try that takes longer than perTryMs is followed by another, and the last one has no such limit", async (t) => {
  const clock = new HandClock();
  await using origin = await RawOrigin.start(() => {});
  await using shard = await ShardInTest.start({
    clock,
    snapshots: allTo(origin.port, { retry: { ...retry, perTryMs: 500 } }),
  });
  using client = await RawClient.open(shard.port());
  client.send(get);
  await origin.until(() => origin.sockets.length === 1 && origin.received !== "");
  clock.pass(500 + lateMs);
  await shard.until(() => shard.count("outbound_http_route_retry_requests_total") === 1);
  clock.pass(50 + lateMs);
  await origin.until(() => origin.received.split("GET").length === 3);
  clock.pass(60_000);
  origin.sockets[1]?.write(ok);
  t.is((await client.response()).status, 200);
});

test("tries that all take too long end in 504, which says that none is left", async (t) => {
  const clock = new HandClock();
  await using origin = await RawOrigin.start(() => {});
  await using shard = await ShardInTest.start({
    clock,
    snapshots: allTo(origin.port, { ...limits({ backendRequestMs: 500 }), retry }),
  });
  using client = await RawClient.open(shard.port());
  client.send(get);
  await origin.until(() => origin.received.split("GET").length === 2);
  clock.pass(500 + lateMs);
  await shard.until(() => shard.count("outbound_http_route_retry_requests_total") === 1);
  clock.pass(50 + lateMs);
  await origin.until(() => origin.received.split("GET").length === 3);
  clock.pass(500 + lateMs);
  const response = await client.response();
  t.is(response.status, 504);
  t.is(
    response.headers.get("l5d-proxy-error"),
    "the endpoint took longer than the rule allows; not retried: no try is left",
  );
  t.is(shard.count("outbound_http_route_retry_limit_exceeded_total"), 1);
});
