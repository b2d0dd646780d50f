/** A worker thread of the sidecar: one shard of the data plane, run as one long task of the pool. */
import { isMainThread, type MessagePort } from "node:worker_threads";
import { keepCompiled, writeCompiled } from "../edge/process/compile-cache.ts";
import { Settling } from "../edge/process/settling.ts";
import { collectGarbage, trimAllocator } from "../edge/process/spare-memory.ts";
import type { ToWorker, WorkerStart } from "../thread/messages.ts";

/** How soon memory goes back, and for how long the thread must have been idle. */
const lookEveryMs = 1_000;

if (isMainThread) throw new Error("Load the data plane in a worker thread, not in the main thread");

const dataPlane = loadDataPlane();
// Who runs a shard hears of it.
dataPlane.catch(() => undefined);

/** The thread may be there before its task is. */
async function loadDataPlane(): Promise<typeof import("../proxy/start-shard.ts")> {
  keepCompiled();
  const loaded = await import("../proxy/start-shard.ts");
  writeCompiled();
  return loaded;
}

/**
 * Resolves when the shard has drained. It rejects when a listener cannot be opened. Whatever else is thrown is a bug, and is
 * not caught: it ends the thread, which the main thread replaces.
 */
export async function runShard(start: WorkerStart & { readonly port: MessagePort }): Promise<void> {
  const { port } = start;
  const { startShard } = await dataPlane;
  const shard = await startShard(start, (message) => port.postMessage(message));
  port.on("message", (message: ToWorker) => shard.take(message));
  const stopLooking = giveBackMemory(() => shard.openCount);
  await shard.drained;
  stopLooking();
  port.close();
}

/** Memory that nobody needs any more goes back while this thread is idle; the answer calls it off. */
function giveBackMemory(countOpen: () => number): () => void {
  let before = performance.eventLoopUtilization();
  const settling = new Settling({
    nowMs: () => performance.now(),
    takeUtilization: () => {
      const { utilization } = performance.eventLoopUtilization(before);
      before = performance.eventLoopUtilization();
      return utilization;
    },
    giveBack: () => {
      collectGarbage();
      trimAllocator();
    },
  });
  const interval = setInterval(() => settling.look(countOpen()), lookEveryMs).unref();
  return () => clearInterval(interval);
}
