/** Shards in real worker threads, each run by a pool of its own as the sidecar does. */
import { MessageChannel, type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { Piscina } from "piscina";
import { defaultLimits } from "../../src/config/sidecar.ts";
import { closeDescriptors } from "../../src/edge/net/kernel.ts";
import { slotCapacity } from "../../src/thread/counters.ts";
import type { ListenerSettings, ToMain, ToWorker, WorkerStart } from "../../src/thread/messages.ts";
import { descriptorBytes, OpenDescriptors } from "../../src/thread/open-descriptors.ts";
import { rateLimitBytes } from "../../src/thread/rate-limits.ts";

type RunOptions = NonNullable<Parameters<Piscina["run"]>[1]>;

export type WorkerInTest = {
  readonly messages: readonly ToMain[];
  /** Settles as the task does. */
  readonly ended: Promise<void>;
  take(message: ToWorker): void;
  /** Resolves when a message of the kind has come; rejects when the task ends before. */
  until(kind: ToMain["kind"]): Promise<void>;
};

export class WorkersInTest implements AsyncDisposable {
  readonly #pools: Piscina[] = [];

  /** Starts a shard in a thread of its own. */
  start(
    shard: number,
    listeners: readonly ListenerSettings[],
    snapshots: readonly ToWorker[],
  ): WorkerInTest {
    const pool = new Piscina({
      filename: new URL("../../src/app/sidecar-worker.ts", import.meta.url).href,
      name: "runShard",
      minThreads: 1,
      maxThreads: 1,
    });
    this.#pools.push(pool);
    const descriptors = new SharedArrayBuffer(descriptorBytes);
    const { port1, port2 } = new MessageChannel();
    const messages: ToMain[] = [];
    let wake = (): void => {};
    port1.on("message", (message: ToMain) => {
      messages.push(message);
      wake();
    });
    const start: WorkerStart & { readonly port: MessagePort } = {
      shard,
      settings: {
        listeners,
        forwards: [],
        clusterDomain: "cluster.local",
        namespace: "demo",
        workers: 1,
        limits: defaultLimits,
        decisionHeader: "errors",
        accessLog: "off",
      },
      decisionPrefix: "test",
      counters: new SharedArrayBuffer(slotCapacity * 8),
      rateLimits: new SharedArrayBuffer(rateLimitBytes),
      descriptors,
      snapshots,
      port: port2,
    };
    const transferList = [port2] as RunOptions["transferList"];
    const run = async (): Promise<void> => {
      try {
        await (pool.run(start, { transferList }) as Promise<void>);
      } finally {
        await pool.destroy();
        // As the main thread does for a worker that has died.
        closeDescriptors(new OpenDescriptors(descriptors).takeAll());
        // The end of the task can overtake its last messages.
        for (let last = receiveMessageOnPort(port1); last !== undefined; ) {
          messages.push(last.message as ToMain);
          last = receiveMessageOnPort(port1);
        }
        port1.close();
      }
    };
    const ended = run();
    const until = async (kind: ToMain["kind"]): Promise<void> => {
      while (!messages.some((message) => message.kind === kind)) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        await Promise.race([
          promise,
          ended.then(() => {
            throw new Error(`The shard ended before '${kind}'`);
          }),
        ]);
      }
    };
    return { messages, ended, take: (message) => port1.postMessage(message), until };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.destroy()));
  }
}
