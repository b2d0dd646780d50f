import { once } from "node:events";
import { connect, type Socket } from "node:net";
import test from "ava";
import { defaultLimits } from "../../src/config/sidecar.ts";
import { inboundTable } from "../../src/core/table/inbound.ts";
import type { MetricFamily } from "../../src/edge/telemetry/prometheus-text.ts";
import { settleListenPorts } from "../../src/sidecar/listen-ports.ts";
import { maxRestarts } from "../../src/sidecar/restart-limit.ts";
import { type ShardEntry, type ShardThread, startThread } from "../../src/sidecar/shard-thread.ts";
import { systemSurroundings } from "../../src/sidecar/surroundings.ts";
import { Workers } from "../../src/sidecar/workers.ts";
import type { InboundSnapshot } from "../../src/thread/messages.ts";
import { recordingLog } from "./recording-log.ts";
import { discovered, unableNamespace } from "./shard.ts";

test("Workers starts a shard whose thread threw again within a second, and leaves the others alone", async (t) => {
  await using pool = await startPool({ count: 2 });
  const { workers, port } = pool;
  await using clients = await connectToEach(port, 2);
  const kept = clients.of(1);
  let lost = clients.of(0);
  const took: number[] = [];
  // The quickest of three: this machine may have other things to do.
  for (let crashes = 1; crashes <= 3; crashes++) {
    const startedMs = performance.now();
    workers.dropOutbound("throw 0");
    await once(lost.socket, "close");
    lost = await connectTo(port, 0, lost.thread);
    took.push(Math.round(performance.now() - startedMs));
    t.is(workers.facts().restarts, crashes);
  }
  lost.socket.destroy();
  t.true(Math.min(...took) < 1_000, `${took.join(", ")} ms`);
  t.is(kept.socket.readyState, "open");
  t.true(pool.log.text().includes("bug: throw"));
});

const kills = test.macro({
  exec: async (t, verb: string) => {
    await using pool = await startPool({ count: 1 });
    const before = await connectTo(pool.port, 0);
    pool.workers.dropOutbound(`${verb} 0`);
    const after = await connectTo(pool.port, 0, before.thread);
    t.not(after.thread, before.thread);
    after.socket.destroy();
  },
  title: (_given, verb: string) => `Workers replaces the thread of a shard that did "${verb}"`,
});
test(kills, "throw");
test(kills, "reject");
test(kills, "exit");

test("Workers gives a shard that starts again the newest snapshot of each scope, and what comes later", async (t) => {
  await using pool = await startPool({ count: 1 });
  const { workers } = pool;
  workers.publish(inbound(8080, workers.nextRevision()));
  workers.publish(inbound(8080, workers.nextRevision()));
  workers.publish(inbound(9090, workers.nextRevision()));
  await until(() => workers.appliedOn("inbound 9090", 3) === 1);
  workers.dropOutbound("throw 0");
  await until(() => workers.facts().restarts === 1);
  t.is(workers.appliedOn("inbound 8080", 2), 0);
  workers.publish(inbound(7070, workers.nextRevision()));
  await until(() => workers.appliedOn("inbound 7070", 4) === 1);
  t.is(workers.appliedOn("inbound 8080", 2), 1);
  t.is(workers.appliedOn("inbound 9090", 3), 1);
});

test("Workers never lets a counter go down, and forgets the gauges of a dead worker", async (t) => {
  await using pool = await startPool({ count: 2 });
  const { workers, port } = pool;
  await using clients = await connectToEach(port, 2);
  const before = sumOf(workers.families(), "request_total", "greeting");
  t.is(before, clients.count);
  t.is(sumOf(workers.families(), "tcp_open_connections"), clients.count);

  const seen: number[] = [];
  const lost = clients.countOf(0);
  workers.dropOutbound("throw 0");
  await until(() => {
    seen.push(sumOf(workers.families(), "request_total", "greeting"));
    return workers.facts().restarts === 1 && workers.facts().listening === 2;
  });
  t.deepEqual(new Set(seen), new Set([before]));
  t.is(sumOf(workers.families(), "tcp_open_connections"), clients.count - lost);
});

test("Workers counts a series that a worker announced in its last message", async (t) => {
  await using pool = await startPool({ count: 1 });
  pool.workers.dropOutbound("throw-late 0");
  await until(() => pool.workers.facts().restarts === 1);
  const late = pool.workers.families().find(({ name }) => name === "request_total");
  t.true(late?.samples.some(({ labels }) => labels["route"] === "late"));
});

test("Workers gives up after too many restarts in a minute", async (t) => {
  await using pool = await startPool({ count: 1 });
  const { workers, log } = pool;
  const gaveUp = new AbortController();
  void workers.gaveUp.then(() => gaveUp.abort());
  // On a slow machine one may live long enough not to count.
  for (let time = 1; !gaveUp.signal.aborted; time++) {
    workers.dropOutbound("throw 0");
    const isUpAgain = () => workers.facts().restarts === time && workers.facts().listening === 1;
    await until(() => gaveUp.signal.aborted || isUpAgain());
  }
  t.true(workers.facts().restarts >= maxRestarts);
  t.is(workers.facts().listening, 0);
  t.true(log.text().includes("workers_given_up"));
});

test("Workers passes on what workers ask for", async (t) => {
  const asked: string[] = [];
  await using pool = await startPool({ count: 1, onDiscover: (target) => asked.push(target) });
  pool.workers.dropOutbound("discover 0");
  await until(() => asked.length > 0);
  t.deepEqual(asked, [discovered]);
});

const nothing = { requests: 0, tunnels: 0, opaque: 0 };

test("drain() ends every worker, reports what was aborted, and starts nothing again", async (t) => {
  await using pool = await startPool({ count: 2 });
  const { workers, port } = pool;
  await using clients = await connectToEach(port, 2);
  t.like(await workers.drain({ graceMs: 1_000 }), {
    waitedFor: nothing,
    accepted: 0,
    closedPolitely: nothing,
    cutOff: { ...nothing, opaque: clients.count },
    workersCut: 0,
  });
  t.is(workers.facts().restarts, 0);
  const refused = connect(port, "127.0.0.1");
  const [error] = await once(refused, "error");
  t.is((error as NodeJS.ErrnoException).code, "ECONNREFUSED");
});

test("drain() cuts a worker that does not come to an end", async (t) => {
  await using pool = await startPool({ count: 1, module: "./stubborn-shard.ts" });
  t.like(await pool.workers.drain({ graceMs: 0 }), { cutOff: nothing, workersCut: 1 });
});

test("Workers gives up when the data plane cannot be loaded", async (t) => {
  await using pool = await startPool({ count: 1, module: "./no-such-shard.ts", wait: false });
  await pool.workers.gaveUp;
  t.true(pool.log.text().includes("no-such-shard"));
});

test("Workers takes the threads that were started in advance, and ends those that are left over", async (t) => {
  const threads = [1, 2, 3].map(() => startThread(entryOf("./shard.ts")));
  const started = threads.flatMap((thread) => thread.threads);
  const ids = started.map(({ threadId: id }) => id);
  const ended = Promise.all(started.map((thread) => once(thread, "exit")));
  const pool = await startPool({ count: 2, threads });
  await using clients = await connectToEach(pool.port, 2);
  t.true(ids.includes(clients.of(0).thread));
  t.true(ids.includes(clients.of(1).thread));
  await pool.workers.close();
  await ended;
});

test("Workers gives up when the threads that were started in advance have died, and none can be started", async (t) => {
  const thread = startThread(entryOf("./no-such-shard.ts"));
  await new Promise((resolve) => thread.threads[0]?.once("exit", resolve));
  await using pool = await startPool({
    count: 1,
    threads: [thread],
    module: "./no-such-shard.ts",
    wait: false,
  });
  await pool.workers.gaveUp;
  t.true(pool.log.text().includes("no-such-shard"));
});

test("Workers tells once that calls of the kernel are not to be had", async (t) => {
  await using able = await startPool({ count: 2 });
  t.false(able.log.text().includes("kernel_sockets_unavailable"));
  await using unable = await startPool({ count: 2, namespace: unableNamespace });
  t.is(unable.log.text().split("kernel_sockets_unavailable").length, 2);
});

function entryOf(module: string): ShardEntry {
  return { module: new URL(module, import.meta.url).href, name: "runShard" };
}

type PoolOptions = {
  readonly threads?: readonly ShardThread[];
  readonly count: number;
  readonly module?: string;
  readonly wait?: boolean;
  readonly namespace?: string;
  readonly onDiscover?: (target: string) => void;
};

async function startPool({
  count,
  module = "./shard.ts",
  wait = true,
  threads = [],
  ...more
}: PoolOptions) {
  const settled = await settleListenPorts([{ host: "127.0.0.1", port: 0 }]);
  if (!settled.ok) throw new Error("No free port");
  const [address = { host: "", port: 0 }] = settled.value.addresses;
  const log = recordingLog();
  const workers = new Workers({
    entry: entryOf(module),
    threads,
    count,
    settings: {
      listeners: [{ kind: "inbound-port", ...address }],
      forwards: [],
      clusterDomain: "cluster.local",
      namespace: more.namespace ?? "demo",
      workers: 1,
      limits: defaultLimits,
      decisionHeader: "errors",
      accessLog: "off",
    },
    sockets: "kernel",
    log,
    surroundings: systemSurroundings,
    onDiscover: more.onDiscover ?? (() => undefined),
    onPortWanted: () => undefined,
    onUsed: () => undefined,
    onKeysWanted: () => undefined,
  });
  workers.start();
  if (wait) await workers.allStarted;
  await settled.value.release();
  return {
    workers,
    log,
    port: address.port,
    [Symbol.asyncDispose]: () => workers.close(),
  };
}

type Client = { readonly socket: Socket; readonly shard: number; readonly thread: number };

async function greeted(port: number): Promise<Client | undefined> {
  const socket = connect(port, "127.0.0.1");
  const ended = new Promise<undefined>((resolve) => {
    socket.on("error", () => resolve(undefined));
    socket.on("close", () => resolve(undefined));
  });
  const data = await Promise.race([once(socket, "data"), ended]).catch(() => undefined);
  const [, shard, thread] = /^shard (\d+) thread (\d+)/.exec(String(data)) ?? [];
  return shard === undefined ? undefined : { socket, shard: Number(shard), thread: Number(thread) };
}

/** The kernel spreads connections; so ask until the wanted shard answers, on another thread than the given one. */
async function connectTo(port: number, shard: number, notThread = -1): Promise<Client> {
  for (;;) {
    const client = await greeted(port);
    if (client?.shard === shard && client.thread !== notThread) return client;
    client?.socket.destroy();
  }
}

async function connectToEach(port: number, shards: number) {
  const clients: Client[] = [];
  while (new Set(clients.map(({ shard }) => shard)).size < shards) {
    const client = await greeted(port);
    if (client !== undefined) clients.push(client);
  }
  return {
    count: clients.length,
    countOf: (shard: number) => clients.filter((client) => client.shard === shard).length,
    of(shard: number): Client {
      const client = clients.find((one) => one.shard === shard);
      if (client === undefined) throw new Error(`No client of shard ${shard}`);
      return client;
    },
    async [Symbol.asyncDispose]() {
      for (const { socket } of clients) socket.destroy();
    },
  };
}

/** Leaves the machine to the processes under test. */
const pollMs = 2;

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, pollMs));
}

function sumOf(families: readonly MetricFamily[], name: string, route?: string): number {
  const family = families.find((one) => one.name === name);
  const samples = family?.samples.filter(
    ({ labels }) => route === undefined || labels["route"] === route,
  );
  return (samples ?? []).reduce((sum, one) => sum + ("value" in one ? one.value : 0), 0);
}

function inbound(port: number, revision: number): InboundSnapshot {
  const server = { group: "", kind: "default", name: "deny" };
  const table = inboundTable({
    protocol: "http1",
    detectTimeoutMs: 0,
    server,
    authorizations: [],
    routes: [],
  });
  return { kind: "inbound", port, revision, table };
}
