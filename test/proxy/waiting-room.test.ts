import test from "ava";
import type { FailureAccrual } from "../../src/core/model/accrual.ts";
import type { Retry } from "../../src/core/model/retry.ts";
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
import { ShardInTest, type ShardInTestOptions } from "../harness/shard-in-test.ts";

const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
const failFast = "every endpoint of the backend is out because of its failures";

/** Opens at the first failure, for a second and then twice as long each time. */
const accrual: FailureAccrual = {
  maxConsecutiveFailures: 1,
  successRateThreshold: 0,
  decayMs: 10_000,
  minRequests: 5,
  backoff: { minMs: 1_000, maxMs: 60_000, jitter: 0 },
};

function policy(parts: Parameters<typeof rule>[0] = {}): ToWorker {
  const table = routed(rule({ backends: to(backend("a")), ...parts }));
  return outboundSnapshot({ ...table, accrual });
}

/** Answers by the status of the moment; 0: not at all. */
class Moody implements AsyncDisposable {
  status = 503;
  readonly origin: RawOrigin;

  private constructor(origin: RawOrigin) {
    this.origin = origin;
  }

  static async start(): Promise<Moody> {
    let moody: Moody | undefined;
    const origin = await RawOrigin.start((socket, soFar) => {
      if (!soFar.endsWith("\r\n\r\n") || moody === undefined || moody.status === 0) return;
      socket.write(`HTTP/1.1 ${moody.status} Status\r\nContent-Length: 0\r\n\r\n`);
    });
    moody = new Moody(origin);
    return moody;
  }

  get count(): number {
    return this.origin.received.split("GET").length - 1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.origin[Symbol.asyncDispose]();
  }
}

/** A shard whose breaker of the only endpoint is open. */
class World implements AsyncDisposable {
  readonly clock: HandClock;
  readonly shard: ShardInTest;
  readonly #clients: RawClient[] = [];

  constructor(clock: HandClock, shard: ShardInTest) {
    this.clock = clock;
    this.shard = shard;
  }

  /** A connection whose request the shard has taken. */
  async waiting(): Promise<RawClient> {
    const client = await this.client();
    const before = this.shard.count("request_total");
    client.send(get);
    await this.shard.until(() => this.shard.count("request_total") === before + 1);
    return client;
  }

  async client(): Promise<RawClient> {
    const client = await RawClient.open(this.shard.port());
    this.#clients.push(client);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client[Symbol.dispose]();
    await this.shard[Symbol.asyncDispose]();
  }
}

async function shut(moody: Moody, options: ShardInTestOptions = {}): Promise<World> {
  const clock = new HandClock();
  const shard = await ShardInTest.start({
    clock,
    snapshots: [endpointSnapshot("a", endpoint(moody.origin.port)), policy()],
    ...options,
  });
  const world = new World(clock, shard);
  const client = await world.client();
  await client.send(get).response();
  client.socket.destroy();
  await shard.until(() => shard.count("tcp_open_connections", { peer: "src" }) === 0);
  return world;
}

test("requests wait while every breaker is open; the first is the probe, and its success lets the others go", async (t) => {
  await using moody = await Moody.start();
  await using world = await shut(moody);
  const { clock } = world;
  const clients: RawClient[] = [];
  for (let i = 0; i < 5; i++) clients.push(await world.waiting());
  t.is(moody.count, 1);
  moody.status = 0;
  clock.pass(1_210);
  await moody.origin.until(() => moody.count === 2);
  // The others wait for what becomes of the probe.
  clock.pass(500);
  t.is(moody.count, 2);
  moody.status = 200;
  moody.origin.sockets.at(-1)?.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  t.is((await clients[0]?.response())?.status, 200);
  clock.pass(10);
  for (const client of clients.slice(1)) t.is((await client.response()).status, 200);
  t.is(moody.count, 6);
});

test("whoever has waited for failFastTimeoutMs gets 503, and after that everybody at once, until an endpoint is well", async (t) => {
  await using moody = await Moody.start();
  await using world = await shut(moody);
  const { clock, shard } = world;
  const first = await world.waiting();
  const second = await world.waiting();
  // The probe fails, and the breaker opens for longer than anybody waits.
  clock.pass(1_210);
  t.is((await first.response()).status, 503);
  t.is(moody.count, 2);
  clock.pass(1_700);
  t.is(second.text, "");
  clock.pass(240);
  const refused = await second.response();
  t.is(refused.status, 503);
  t.is(refused.headers.get("l5d-proxy-error"), failFast);
  t.is(moody.count, 2);

  // At once: the clock stands still.
  const client = await world.client();
  t.is((await client.send(get).response()).headers.get("l5d-proxy-error"), failFast);
  // A probe that fails changes nothing.
  clock.pass(2_000);
  t.is((await client.send(get).response()).headers.get("l5d-proxy-error"), undefined);
  t.is(moody.count, 3);
  t.is((await client.send(get).response()).headers.get("l5d-proxy-error"), failFast);
  // One that is answered does: who comes after the next failure waits again.
  clock.pass(4_000);
  moody.status = 200;
  t.is((await client.send(get).response()).status, 200);
  moody.status = 503;
  t.is((await client.send(get).response()).status, 503);
  client.send(get);
  moody.status = 200;
  await shard.until(() => shard.count("request_total") === 9);
  t.is(client.text, "");
  clock.pass(1_210);
  t.is((await client.response()).status, 200);
});

test("a new endpoint ends the wait", async (t) => {
  await using bad = await Moody.start();
  await using good = await Moody.start();
  good.status = 200;
  await using world = await shut(bad);
  const { clock, shard } = world;
  const client = await world.waiting();
  shard.take(endpointSnapshot("a", endpoint(bad.origin.port), endpoint(good.origin.port)));
  clock.pass(10);
  t.is((await client.response()).status, 200);
  t.is(bad.count, 1);
});

test("who waits for endpoints that then go is told so", async (t) => {
  await using moody = await Moody.start();
  await using world = await shut(moody);
  const { clock, shard } = world;
  const client = await world.waiting();
  shard.take(endpointSnapshot("a"));
  clock.pass(10);
  const response = await client.response();
  t.is(response.status, 503);
  t.is(response.headers.get("l5d-proxy-error"), "the backend has no endpoints");
});

test("no more than maxWaitingForEndpoint wait, and a client that goes makes room", async (t) => {
  await using moody = await Moody.start();
  await using world = await shut(moody, { limits: { maxWaitingForEndpoint: 1 } });
  const { shard } = world;
  const first = await world.waiting();
  const second = await world.client();
  const refused = await second.send(get).response();
  t.is(refused.status, 503);
  t.is(refused.headers.get("l5d-proxy-error"), "too many requests wait for the backend");
  first.socket.destroy();
  await shard.until(() => shard.count("tcp_open_connections", { peer: "src" }) === 1);
  second.send(get);
  await shard.until(() => shard.count("request_total") === 4);
  t.is(second.text, "");
});

test("a probe whose client goes is given to the next who waits", async (t) => {
  await using moody = await Moody.start();
  await using world = await shut(moody);
  const { clock, shard } = world;
  const first = await world.waiting();
  const second = await world.waiting();
  moody.status = 0;
  clock.pass(1_210);
  await moody.origin.until(() => moody.count === 2);
  moody.status = 200;
  first.socket.destroy();
  await shard.until(() => shard.count("tcp_open_connections", { peer: "src" }) === 1);
  clock.pass(10);
  t.is((await second.response()).status, 200);
});

test("the time of a rule counts while its request waits", async (t) => {
  await using moody = await Moody.start();
  const timeouts = { requestMs: 500, backendRequestMs: 0, responseMs: 0, idleMs: 0 };
  const snapshots = [endpointSnapshot("a", endpoint(moody.origin.port)), policy({ timeouts })];
  await using world = await shut(moody, { snapshots });
  const { clock } = world;
  const client = await world.waiting();
  clock.pass(600);
  t.is((await client.response()).status, 504);
});

test("a request that waited in vain is tried again where its rule says so", async (t) => {
  await using moody = await Moody.start();
  const retry: Retry = {
    limit: 1,
    statuses: [],
    perTryMs: 0,
    backoff: { minMs: 1_000, maxMs: 1_000, jitter: 0 },
    maxBodyBytes: 1_024,
    budget: { percent: 100, intervalMs: 10_000, minPerSecond: 1_000 },
  };
  const snapshots = [endpointSnapshot("a", endpoint(moody.origin.port)), policy({ retry })];
  await using world = await shut(moody, { snapshots });
  const { clock, shard } = world;
  moody.status = 0;
  // The probe hangs, so that nobody else gets through.
  clock.pass(1_010);
  await world.waiting();
  const client = await world.waiting();
  clock.pass(3_010);
  moody.status = 200;
  moody.origin.sockets.at(-1)?.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  await shard.until(() => shard.count("response_total", { status_code: "200" }) === 1);
  clock.pass(1_200);
  t.is((await client.response()).status, 200);
});
