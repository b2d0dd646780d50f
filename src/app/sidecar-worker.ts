/** A worker thread of the sidecar: one shard of the data plane, run as one long task of the pool. */
import { isMainThread, type MessagePort } from "node:worker_threads";
import { keepCompiled, writeCompiled } from "../edge/process/compile-cache.ts";
import type { ToWorker, WorkerStart } from "../thread/messages.ts";

if (isMainThread) throw new Error("Load the data plane in a worker thread, not in the main thread");

/**
 * Resolves when the shard has drained. It rejects when a listener cannot be opened. Whatever else is thrown is a bug, and is
 * not caught: it ends the thread, which the main thread replaces.
 */
export async function runShard(start: WorkerStart & { readonly port: MessagePort }): Promise<void> {
  const { port } = start;
  keepCompiled();
  const { startShard } = await import("../proxy/start-shard.ts");
  writeCompiled();
  const shard = await startShard(start, (message) => port.postMessage(message));
  port.on("message", (message: ToWorker) => shard.take(message));
  await shard.drained;
  port.close();
}
