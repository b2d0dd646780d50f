/** A shard of the data plane in the test's own thread, driven by the messages that a main thread would send. */
import { setImmediate } from "node:timers/promises";
import { defaultLimits } from "../../src/config/sidecar.ts";
import { ok } from "../../src/core/std/result.ts";
import type { ReadOriginalDestination } from "../../src/edge/net/original-dst.ts";
import { type RunningShard, type ShardClock, startShard } from "../../src/proxy/start-shard.ts";
import { slotCapacity } from "../../src/thread/counters.ts";
import type {
  ForwardSettings,
  ListenerSettings,
  Series,
  SocketLayer,
  ToMain,
  ToWorker,
  WorkerLimits,
  WorkerSettings,
} from "../../src/thread/messages.ts";
import { descriptorBytes } from "../../src/thread/open-descriptors.ts";
import { rateLimitBytes } from "../../src/thread/rate-limits.ts";

export type ShardInTestOptions = {
  readonly listeners?: readonly ListenerSettings[];
  readonly forwards?: readonly ForwardSettings[];
  readonly limits?: Partial<WorkerLimits>;
  readonly settings?: Partial<
    Pick<WorkerSettings, "decisionHeader" | "redirect" | "traceSampleRatio">
  >;
  readonly snapshots?: readonly ToWorker[];
  /** What shards of one sidecar share. */
  readonly rateLimits?: SharedArrayBuffer;
  /** In place of the machine's. */
  readonly clock?: ShardClock;
  /** Who reads and writes. */
  readonly sockets?: SocketLayer;
  /** Where connections are said to have been going, by whoever opened them. */
  readonly readOriginal?: ReadOriginalDestination;
};

const outboundListener: ListenerSettings = { kind: "outbound", host: "127.0.0.1", port: 0 };

/** All tests of the data plane run over Node's sockets as well (`test/run.ts`). */
const defaultSockets: SocketLayer = process.env["WEFT_TEST_SOCKETS"] === "node" ? "node" : "kernel";

export class ShardInTest implements AsyncDisposable {
  readonly messages: ToMain[] = [];
  readonly counters: SharedArrayBuffer = new SharedArrayBuffer(slotCapacity * 8);
  #shard: RunningShard | undefined;
  #wake: () => void = () => {};

  static async start(options: ShardInTestOptions = {}): Promise<ShardInTest> {
    const test = new ShardInTest();
    const { readOriginal, sockets = defaultSockets } = options;
    const { listeners = [outboundListener], forwards = [], limits = {}, snapshots = [] } = options;
    test.#shard = await startShard(
      {
        shard: 0,
        settings: {
          listeners,
          forwards,
          clusterDomain: "cluster.local",
          namespace: "demo",
          workers: 1,
          limits: { ...defaultLimits, ...limits },
          decisionHeader: "errors",
          accessLog: "off",
          ...(readOriginal === undefined ? {} : { redirect: { isRequired: true, podIps: [] } }),
          ...options.settings,
        },
        decisionPrefix: "test",
        counters: test.counters,
        rateLimits: options.rateLimits ?? new SharedArrayBuffer(rateLimitBytes),
        descriptors: sockets === "node" ? undefined : new SharedArrayBuffer(descriptorBytes),
        snapshots,
      },
      (message) => {
        test.messages.push(message);
        test.#wake();
      },
      options.clock,
      readOriginal === undefined ? undefined : () => ok(readOriginal),
    );
    return test;
  }

  /** The port of the listener at this place in the settings. */
  port(at: number = 0): number {
    const listening = this.messages.find((message) => message.kind === "listening");
    const port = listening?.kind === "listening" ? listening.listeners[at]?.port : undefined;
    if (port === undefined) throw new Error(`There is no listener ${at}`);
    return port;
  }

  take(...messages: readonly ToWorker[]): void {
    for (const message of messages) this.#shard?.take(message);
  }

  /** The first message of a kind that has come or comes. */
  async message<K extends ToMain["kind"]>(kind: K): Promise<Extract<ToMain, { kind: K }>> {
    for (;;) {
      const found = this.messages.find(
        (message): message is Extract<ToMain, { kind: K }> => message.kind === kind,
      );
      if (found !== undefined) return found;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  /** Resolves when the condition holds. For what the proxy says to nobody, such as its counters. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await setImmediate();
  }

  /** The sum of a metric's series that have these labels. */
  count(metric: string, labels: Readonly<Record<string, string>> = {}): number {
    const slots = new Float64Array(this.counters);
    return this.series(metric)
      .filter((series) =>
        Object.entries(labels).every(([name, value]) => series.labels[name] === value),
      )
      .reduce((sum, { slot }) => sum + (slots[slot] ?? 0), 0);
  }

  series(metric: string): readonly Series[] {
    return this.messages
      .flatMap((message) => (message.kind === "series" ? [message.series] : []))
      .filter((series) => series.metric === metric);
  }

  async drained(): Promise<void> {
    await this.#shard?.drained;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.take({ kind: "drain", graceMs: 0 });
    await this.drained();
  }
}
