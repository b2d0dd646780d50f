/**
 * The thread of one shard. It loads the data plane as soon as it is there, so that it can be started before anybody has a task for it: in a file of its own, because
 * the main thread starts it before it loads the rest of itself.
 */
import type { MessagePort } from "node:worker_threads";
import { Piscina } from "piscina";
import type { WorkerStart } from "../thread/messages.ts";

/** Where the data plane is: the address of a module and the name of its function. This folder does not know it. */
export type ShardEntry = { readonly module: string; readonly name: string };

/** What the function gets. The port carries `ToWorker` in and `ToMain` out. */
export type ShardStart = WorkerStart & { readonly port: MessagePort };

export type ShardThread = Piscina<ShardStart, void>;

/** The thread is there at once, so that the task has one to fail with. It keeps no process alive that has nothing else to do. */
export function startThread(entry: ShardEntry): ShardThread {
  const pool = new Piscina<ShardStart, void>({
    filename: entry.module,
    name: entry.name,
    minThreads: 1,
    maxThreads: 1,
    concurrentTasksPerWorker: 1,
    idleTimeout: Number.POSITIVE_INFINITY,
    // Between tasks the pool would block its thread until the next one; this one has one task and many events.
    atomics: "disabled",
    recordTiming: false,
  });
  // From here on the pool does not replace a thread that died: it is itself replaced, and a thread takes time to start.
  pool.options.minThreads = 0;
  // What a thread throws after its task, while it is being ended, concerns nobody any more.
  pool.on("error", () => undefined);
  return pool;
}

/** A pool whose thread has died starts another one for a task, and lets the task wait for ever when that one dies as well. */
export function isAlive(thread: ShardThread): boolean {
  return thread.threads.length > 0;
}

/** For threads that got no task. */
export async function endThreads(threads: readonly ShardThread[]): Promise<void> {
  await Promise.all(threads.map((thread) => thread.destroy()));
}
