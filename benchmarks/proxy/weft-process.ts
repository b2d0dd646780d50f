/**
 * One shard of the data plane in a worker thread, as the sidecar runs it, with one routed destination, or with `rules` as the second argument those of
 * rule-destinations.ts. Prints its port.
 */
import { fileURLToPath } from "node:url";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { defaultLimits } from "../../src/config/sidecar.ts";
import { startShard } from "../../src/proxy/start-shard.ts";
import { slotCapacity } from "../../src/thread/counters.ts";
import type { WorkerStart } from "../../src/thread/messages.ts";
import { rateLimitBytes } from "../../src/thread/rate-limits.ts";
import { ruleDestinations } from "./rule-destinations.ts";
import { snapshots, snapshotsOf } from "./snapshots.ts";

if (isMainThread) {
  const start: WorkerStart = {
    shard: 0,
    settings: {
      workers: 1,
      listeners: [{ kind: "outbound", host: "127.0.0.1", port: 0 }],
      forwards: [],
      clusterDomain: "cluster.local",
      namespace: "demo",
      limits: defaultLimits,
      decisionHeader: "errors",
      accessLog: "off",
    },
    decisionPrefix: "benchmark",
    counters: new SharedArrayBuffer(slotCapacity * 8),
    rateLimits: new SharedArrayBuffer(rateLimitBytes),
    snapshots:
      process.argv[3] === "rules"
        ? snapshotsOf(Number(process.argv[2]), ruleDestinations())
        : snapshots(Number(process.argv[2])),
  };
  new Worker(fileURLToPath(import.meta.url), { workerData: start });
} else {
  await startShard(workerData as WorkerStart, (message) => {
    if (message.kind === "listening") console.log(message.listeners[0]?.port);
  });
}
