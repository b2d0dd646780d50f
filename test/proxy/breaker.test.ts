import test from "ava";
import type { FailureAccrual } from "../../src/core/model/accrual.ts";
import type { PeakEwma } from "../../src/core/model/backend.ts";
import type { Retry } from "../../src/core/model/retry.ts";
import type { OutboundTable } from "../../src/core/table/outbound.ts";
import type { ToWorker } from "../../src/thread/messages.ts";
import { HandClock } from "../harness/hand-clock.ts";
import { RawOrigin } from "../harness/origin.ts";
import {
  backend,
  endpoint,
  endpointSnapshot,
  outboundSnapshot,
  routed,
  rule,
  to,
} from "../harness/policies.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const fine = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";

const accrual: FailureAccrual = {
  maxConsecutiveFailures: 3,
  successRateThreshold: 0,
  decayMs: 10_000,
  minRequests: 5,
  backoff: { minMs: 1_000, maxMs: 60_000, jitter: 0 },
};

const retry: Retry = {
  limit: 3,
  statuses: [{ start: 503, end: 503 }],
  perTryMs: 500,
  backoff: { minMs: 1, maxMs: 1, jitter: 0 },
  maxBodyBytes: 1_024,
  budget: { percent: 100, intervalMs: 10_000, minPerSecond: 1_000 },
};

const everything = rule({ backends: to(backend("a")) });

function broken(table: OutboundTable = routed(everything)): ToWorker {
  return outboundSnapshot({ ...table, accrual });
}

/** An origin whose answer a test can change. */
async function moody(): Promise<{ origin: RawOrigin; mood: { status: number }; count(): number }> {
  const mood = { status: 503 };
  const origin = await RawOrigin.start((socket, soFar) => {
    if (!soFar.endsWith("\r\n\r\n") || mood.status === 0) return;
    if (mood.status === 1) socket.resetAndDestroy();
    else socket.write(`HTTP/1.1 ${mood.status} Status\r\nContent-Length: 0\r\n\r\n`);
  });
  return { origin, mood, count: () => origin.received.split("GET").length - 1 };
}

test("a breaker opens after failures in a row, lets one probe through, and closes when it is answered", async (t) => {
  const clock = new HandClock();
  const { origin, mood, count } = await moody();
  await using _origin = origin;
  await using shard = await ShardInTest.start({
    clock,
    limits: { failFastTimeoutMs: 0 },
    snapshots: [endpointSnapshot("a", endpoint(origin.port)), broken()],
  });
  using client = await RawClient.open(shard.port());
  const status = async (): Promise<number> => (await client.send(get).response()).status;
  for (let i = 0; i < 3; i++) t.is(await status(), 503);
  t.is(count(), 3);

  const refused = await client.send(get).response();
  t.is(refused.status, 503);
  t.is(
    refused.headers.get("l5d-proxy-error"),
    "every endpoint of the backend is out because of its failures",
  );
  t.is(count(), 3);

  // The probe fails, so the next pause is twice as long.
  clock.pass(1_000);
  await status();
  t.is(count(), 4);
  clock.pass(1_999);
  await status();
  t.is(count(), 4);

  // While the probe is under way nobody else is let through.
  clock.pass(1);
  mood.status = 0;
  client.send(get);
  await origin.until(() => count() === 5);
  using other = await RawClient.open(shard.port());
  t.is((await other.send(get).response()).status, 503);
  t.is(count(), 5);
  origin.sockets.at(-1)?.write(fine);
  t.is((await client.response()).status, 200);
  mood.status = 200;
  for (let i = 0; i < 5; i++) t.is(await status(), 200);
  t.is(count(), 10);
});

test("a reset counts as a failure, a status below 500 does not", async (t) => {
  const clock = new HandClock();
  const { origin, mood, count } = await moody();
  await using _origin = origin;
  await using shard = await ShardInTest.start({
    clock,
    limits: { failFastTimeoutMs: 0 },
    snapshots: [endpointSnapshot("a", endpoint(origin.port)), broken()],
  });
  using client = await RawClient.open(shard.port());
  mood.status = 404;
  for (let i = 0; i < 5; i++) t.is((await client.send(get).response()).status, 404);
  mood.status = 1;
  const post = "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n";
  for (let i = 0; i < 4; i++) await client.send(post).response();
  t.is(origin.received.split("POST").length - 1, 3);
  t.is(count(), 5);
});

test("a probe whose client goes makes room for another", async (t) => {
  const clock = new HandClock();
  const { origin, mood, count } = await moody();
  await using _origin = origin;
  await using shard = await ShardInTest.start({
    clock,
    snapshots: [endpointSnapshot("a", endpoint(origin.port)), broken()],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 3; i++) await client.send(get).response();
  clock.pass(1_000);
  mood.status = 0;
  const gone = await RawClient.open(shard.port());
  gone.send(get);
  await origin.until(() => count() === 4);
  gone.socket.destroy();
  await shard.until(() => shard.count("tcp_open_connections", { peer: "src" }) === 1);
  mood.status = 200;
  t.is((await client.send(get).response()).status, 200);
});

test("what a breaker knows survives new endpoints and a new policy", async (t) => {
  const clock = new HandClock();
  const bad = await moody();
  const good = await moody();
  await using _bad = bad.origin;
  await using _good = good.origin;
  good.mood.status = 200;
  await using shard = await ShardInTest.start({
    clock,
    snapshots: [endpointSnapshot("a", endpoint(bad.origin.port)), broken()],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 3; i++) await client.send(get).response();
  shard.take(
    endpointSnapshot("a", endpoint(good.origin.port), endpoint(bad.origin.port)),
    broken(),
  );
  for (let i = 0; i < 10; i++) t.is((await client.send(get).response()).status, 200);
  t.is(bad.count(), 3);
  // Without accrual the endpoint is one like any other.
  shard.take(outboundSnapshot(routed(everything)));
  for (let i = 0; i < 20; i++) await client.send(get).response();
  t.true(bad.count() > 3);
});

test("another destination with the same endpoints has breakers of its own", async (t) => {
  const clock = new HandClock();
  const { origin, count } = await moody();
  await using _origin = origin;
  await using shard = await ShardInTest.start({
    clock,
    limits: { failFastTimeoutMs: 0 },
    snapshots: [
      endpointSnapshot("a", endpoint(origin.port)),
      broken(),
      outboundSnapshot(routed(everything), "other.demo.svc.cluster.local:80"),
    ],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 5; i++) await client.send(get).response();
  t.is(count(), 3);
  await client.send("GET / HTTP/1.1\r\nHost: other\r\n\r\n").response();
  t.is(count(), 4);
});

test("a rule that takes the first backend that is ready passes over one whose breakers are open", async (t) => {
  const clock = new HandClock();
  const first = await moody();
  const second = await moody();
  await using _first = first.origin;
  await using _second = second.origin;
  second.mood.status = 200;
  const backends = {
    kind: "first-available" as const,
    backends: [backend("a"), backend("b")],
  };
  await using shard = await ShardInTest.start({
    clock,
    snapshots: [
      endpointSnapshot("a", endpoint(first.origin.port)),
      endpointSnapshot("b", endpoint(second.origin.port)),
      broken(routed(rule({ backends }))),
    ],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 3; i++) t.is((await client.send(get).response()).status, 503);
  t.is((await client.send(get).response()).status, 200);
});

test("one endpoint of ten that never answers is found and left out", async (t) => {
  const clock = new HandClock();
  await using hole = await RawOrigin.start(() => {});
  const others = Array.from({ length: 9 }, () => RawOrigin.answering(fine));
  await using origins = new AsyncDisposableStack();
  const ports = (await Promise.all(others)).map((origin) => origins.use(origin).port);
  await using shard = await ShardInTest.start({
    clock,
    snapshots: [
      endpointSnapshot("a", ...[hole.port, ...ports].map((port) => endpoint(port))),
      broken(routed(rule({ backends: to(backend("a")), retry }))),
    ],
  });
  using client = await RawClient.open(shard.port());
  const turning = setInterval(() => clock.pass(10), 1);
  let failed = 0;
  for (let i = 0; i < 100; i++) {
    if ((await client.send(get).response()).status !== 200) failed++;
  }
  clearInterval(turning);
  t.is(failed, 0);
  // Slowness alone keeps requests away before the breaker does.
  t.true(hole.received.split("GET").length - 1 <= 5, hole.received);
});

test("the gauge of endpoints tells those that are ready from those that are out", async (t) => {
  const clock = new HandClock();
  const { origin } = await moody();
  await using _origin = origin;
  await using shard = await ShardInTest.start({
    clock,
    snapshots: [
      endpointSnapshot("a", endpoint(origin.port), endpoint(origin.port, { ip: "127.0.0.2" })),
      broken(),
    ],
  });
  const gauge = (state: string): number =>
    shard.count("outbound_http_balancer_endpoints", {
      parent_name: "web",
      backend_name: "a",
      endpoint_state: state,
    });
  await shard.until(() => gauge("ready") === 2 && gauge("pending") === 0);
  shard.take(endpointSnapshot("a", endpoint(origin.port)));
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 3; i++) await client.send(get).response();
  await shard.until(() => gauge("ready") === 0 && gauge("pending") === 1);
  shard.take({ kind: "drop-outbound", target: "web.demo.svc.cluster.local:80" });
  t.is(gauge("pending"), 0);
});

test("a backend that is behind with too much is given no more", async (t) => {
  await using origin = await RawOrigin.start(() => {});
  await using shard = await ShardInTest.start({
    limits: { maxInFlightPerBackend: 1 },
    snapshots: [endpointSnapshot("a", endpoint(origin.port)), outboundSnapshot(routed(everything))],
  });
  using one = await RawClient.open(shard.port());
  one.send(get);
  await origin.until(() => origin.received !== "");
  using two = await RawClient.open(shard.port());
  const response = await two.send(get).response();
  t.is(response.status, 503);
  t.is(response.headers.get("l5d-proxy-error"), "too many requests wait for the backend");
  origin.sockets[0]?.write(fine);
  t.is((await one.response()).status, 200);
  two.send(get);
  await origin.until(() => origin.received.split("GET").length === 3);
});

test("an endpoint that fails is penalized where the policy says so", async (t) => {
  const clock = new HandClock();
  const bad = await moody();
  const good = await moody();
  await using _bad = bad.origin;
  await using _good = good.origin;
  good.mood.status = 200;
  const load: PeakEwma = {
    defaultRttMs: 30,
    decayMs: 10_000,
    penalty: { penaltyMs: 5_000, maxRetryAfterMs: 300_000, decayMs: 10_000 },
  };
  const meta = backend("a").backend.meta;
  const dispatch = { kind: "balancer" as const, authority: "a", load };
  const backends = to(backend("a", { backend: { meta, dispatch } }));
  await using shard = await ShardInTest.start({
    clock,
    snapshots: [
      endpointSnapshot("a", endpoint(bad.origin.port), endpoint(good.origin.port)),
      outboundSnapshot(routed(rule({ backends }))),
    ],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 30; i++) await client.send(get).response();
  t.true(bad.count() <= 1, `${bad.count()} requests`);
});

test("Retry-After keeps an endpoint out for longer where the policy honours it", async (t) => {
  for (const [honoured, pauseMs] of [
    [{ honorsRetryAfter: true }, 5_000],
    [{}, 1_000],
  ] as const) {
    const clock = new HandClock();
    await using origin = await RawOrigin.start((socket, soFar) => {
      if (soFar.endsWith("\r\n\r\n")) {
        socket.write("HTTP/1.1 503 Busy\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n");
      }
    });
    const count = (): number => origin.received.split("GET").length - 1;
    await using shard = await ShardInTest.start({
      clock,
      limits: { failFastTimeoutMs: 0 },
      snapshots: [
        endpointSnapshot("a", endpoint(origin.port)),
        outboundSnapshot({ ...routed(everything), accrual: { ...accrual, ...honoured } }),
      ],
    });
    using client = await RawClient.open(shard.port());
    for (let i = 0; i < 3; i++) await client.send(get).response();
    clock.pass(pauseMs - 1);
    await client.send(get).response();
    t.is(count(), 3);
    clock.pass(1);
    await client.send(get).response();
    t.is(count(), 4);
  }
});
