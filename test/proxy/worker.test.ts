import test from "ava";
import type { ListenerSettings, ToWorker } from "../../src/thread/messages.ts";
import { EchoOrigin } from "../harness/origin.ts";
import { allTo } from "../harness/policies.ts";
import { withPort } from "../harness/port.ts";
import { RawClient } from "../harness/raw-client.ts";
import { type WorkerInTest, WorkersInTest } from "../harness/worker-in-test.ts";

const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";

/** Two shards that share a port. */
function startTwo(
  workers: WorkersInTest,
  origin: EchoOrigin,
): Promise<{ readonly shards: readonly WorkerInTest[]; readonly port: number }> {
  return withPort(async (port) => {
    const listeners: readonly ListenerSettings[] = [{ kind: "outbound", host: "127.0.0.1", port }];
    const shards = [0, 1].map((shard) => workers.start(shard, listeners, allTo(origin.port)));
    for (const shard of shards) await shard.until("listening");
    return { shards, port };
  });
}

test("runShard() refuses to run in the main thread", async (t) => {
  await t.throwsAsync(() => import("../../src/app/sidecar-worker.ts"), {
    message: /worker thread/,
  });
});

test("runShard() serves one port from several threads, and ends when it has drained", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using workers = new WorkersInTest();
  const { shards, port } = await startTwo(workers, origin);
  for (let i = 0; i < 40; i++) {
    using client = await RawClient.open(port);
    t.is((await client.send(get).response()).body, "a GET /");
  }
  // Each thread has a connection of its own to the origin, so both have served.
  t.is(origin.connections, 2);
  for (const shard of shards) shard.take({ kind: "drain", graceMs: 10_000 });
  await Promise.all(shards.map(({ ended }) => ended));
  t.true(shards.every(({ messages }) => messages.some(({ kind }) => kind === "drained")));
});

test("a bug in one thread ends that thread, and the others go on", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using workers = new WorkersInTest();
  const { shards, port } = await startTwo(workers, origin);
  const [one, two] = shards;
  if (one === undefined || two === undefined) throw new Error("Started no shards");
  // The kernel spreads connections over the threads; that all come to one has a chance of one in millions.
  const clients = await Promise.all(Array.from({ length: 24 }, () => RawClient.open(port)));
  for (const client of clients) t.is((await client.send(get).response()).status, 200);
  one.take({ kind: "outbound" } as ToWorker);
  await t.throwsAsync(one.ended, { any: true });
  const answers = await Promise.allSettled(clients.map((client) => client.send(get).response()));
  const kept = answers.filter(({ status }) => status === "fulfilled").length;
  t.true(kept > 0 && kept < clients.length, `${kept} of ${clients.length} connections live on`);
  for (const client of clients) client[Symbol.dispose]();
  two.take({ kind: "drain", graceMs: 0 });
  await two.ended;
});

test("runShard() rejects when a listener cannot be opened", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using workers = new WorkersInTest();
  const taken: ListenerSettings = { kind: "outbound", host: "127.0.0.1", port: origin.port };
  await t.throwsAsync(workers.start(0, [taken], []).ended, { any: true, message: /EADDRINUSE/ });
});
