/**
 * The worker threads: as many shards of the data plane as there are workers, each one endless task. A shard whose thread
 * dies (a thrown bug) is started again at once with the newest snapshots; the others do not notice. What it had counted
 * stays in the sums.
 *
 * Each shard has a pool of one thread to itself and gets a new one with each start. In a pool of several, a task that waits
 * for the successor of a dead thread waits for ever when that one dies before it is up; and a task that rejects leaves its
 * thread behind, still listening.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { unreachable } from "../core/std/unreachable.ts";
import { closeDescriptors } from "../edge/net/kernel.ts";
import type { Log } from "../edge/telemetry/log.ts";
import type { MetricFamily } from "../edge/telemetry/prometheus-text.ts";
import { slotCapacity } from "../thread/counters.ts";
import {
  type BoundListener,
  type DrainLimits,
  type DrainReport,
  type Snapshot,
  type SocketLayer,
  snapshotScope,
  type ToMain,
  type ToWorker,
  type UnderWay,
  type WorkerSettings,
} from "../thread/messages.ts";
import { descriptorBytes, OpenDescriptors } from "../thread/open-descriptors.ts";
import { rateLimitBytes } from "../thread/rate-limits.ts";
import type { SpanBatch } from "../thread/spans.ts";
import { DecisionDesk } from "./ask-decision.ts";
import { CounterSums } from "./counter-sums.ts";
import type { Publisher } from "./publish.ts";
import { allowRestart, maxRestarts, minLifeMs, restartWindowMs } from "./restart-limit.ts";
import {
  endThreads,
  isAlive,
  type ShardEntry,
  type ShardThread,
  startThread,
} from "./shard-thread.ts";
import type { Surroundings } from "./surroundings.ts";

/** After the grace period a worker closes what is left by itself; one that does not get to it is ended. */
const drainMarginMs = 1_000;

export type WorkersOptions = {
  readonly entry: ShardEntry;
  /** Started in advance. What is missing is started with its worker. */
  readonly threads?: readonly ShardThread[];
  readonly count: number;
  readonly settings: WorkerSettings;
  readonly sockets: SocketLayer;
  readonly log: Log;
  readonly surroundings: Surroundings;
  readonly onDiscover: (target: string) => void;
  readonly onPortWanted: (port: number) => void;
  readonly onUsed: (targets: readonly string[]) => void;
  readonly onKeysWanted: (source: string) => void;
  /** Undefined: nothing is traced. */
  readonly onSpans?: ((batch: SpanBatch) => void) | undefined;
};

export type WorkerFacts = {
  readonly workers: number;
  /** Workers that have listened since the process started; one that is being replaced stays counted. */
  readonly started: number;
  /** Workers that listen now. */
  readonly listening: number;
  readonly restarts: number;
  readonly draining: boolean;
};

/** What the workers report, summed. */
type DrainSummary = DrainReport & {
  readonly tookMs: number;
  /** Workers that had to be ended, or died meanwhile: nobody knows what that cut off. */
  readonly workersCut: number;
};

type Listening = Extract<ToMain, { readonly kind: "listening" }>;

type RunOptions = NonNullable<Parameters<ShardThread["run"]>[1]>;

type Shard = {
  readonly index: number;
  readonly pool: ShardThread;
  readonly port: MessagePort;
  /** Revision in force, by scope. */
  readonly applied: Map<string, number>;
  /** What it has open that is to be closed when it is no more. */
  readonly descriptors: SharedArrayBuffer | undefined;
  readonly ended: PromiseWithResolvers<void>;
  listeners: readonly BoundListener[];
  listensSinceMs: number | undefined;
  report: DrainReport | undefined;
};

export class Workers implements Publisher {
  /** What the workers decided. */
  readonly decisions: DecisionDesk;
  readonly #options: WorkersOptions;
  readonly #shards = new Map<number, Shard>();
  readonly #newest = new Map<string, Snapshot>();
  readonly #sums = new CounterSums();
  /** Lives as long as the process, so that a limit holds across workers and their restarts. */
  readonly #rateLimits = new SharedArrayBuffer(rateLimitBytes);
  readonly #started = new Set<number>();
  readonly #spare: ShardThread[];
  readonly #allStarted = Promise.withResolvers<void>();
  readonly #gaveUp = Promise.withResolvers<void>();
  #phase: "running" | "draining" | "over" = "running";
  #revision = 0;
  #restarts = 0;
  #recentRestarts: readonly number[] = [];

  constructor(options: WorkersOptions) {
    this.#options = options;
    this.#spare = [...(options.threads ?? [])];
    this.decisions = new DecisionDesk({
      timers: options.surroundings.timers,
      post: (index, question) => {
        const shard = this.#shards.get(index);
        shard?.port.postMessage(question);
        return shard !== undefined;
      },
    });
  }

  start(): void {
    for (let index = 0; index < this.#options.count; index++) this.#run(index);
  }

  /** Resolves when every worker has listened once. */
  get allStarted(): Promise<void> {
    return this.#allStarted.promise;
  }

  /** Resolves when workers die so often that replacing them is no use. Nothing is started any more then. */
  get gaveUp(): Promise<void> {
    return this.#gaveUp.promise;
  }

  nextRevision(): number {
    this.#revision++;
    return this.#revision;
  }

  publish(snapshot: Snapshot): void {
    this.#newest.set(snapshotScope(snapshot), snapshot);
    this.#post(snapshot);
  }

  dropOutbound(target: string): void {
    this.#forget(snapshotScope({ kind: "outbound", target }));
    this.#post({ kind: "drop-outbound", target });
  }

  dropEndpoints(authority: string): void {
    this.#forget(snapshotScope({ kind: "endpoints", authority }));
    this.#post({ kind: "drop-endpoints", authority });
  }

  dropInbound(port: number): void {
    this.#forget(snapshotScope({ kind: "inbound", port }));
    this.#post({ kind: "drop-inbound", port });
  }

  /** On how many workers this revision, or a newer one, is in force. */
  appliedOn(scope: string, revision: number): number {
    const shards = [...this.#shards.values()];
    return shards.filter(({ applied }) => (applied.get(scope) ?? 0) >= revision).length;
  }

  facts(): WorkerFacts {
    const shards = [...this.#shards.values()];
    return {
      workers: this.#options.count,
      started: this.#started.size,
      listening: shards.filter(({ listeners }) => listeners.length > 0).length,
      restarts: this.#restarts,
      draining: this.#phase !== "running",
    };
  }

  /** What the workers count, summed. */
  families(): readonly MetricFamily[] {
    return this.#sums.families();
  }

  /** Lets the workers finish what they have begun. None is started again from here on. */
  async drain(limits: DrainLimits): Promise<DrainSummary> {
    this.#phase = "draining";
    const { surroundings } = this.#options;
    const startedMs = surroundings.nowMs();
    const shards = [...this.#shards.values()];
    const { promise: cut, resolve } = Promise.withResolvers<void>();
    const callOff = surroundings.timers.after(limits.graceMs + drainMarginMs, resolve);
    this.#post({ kind: "drain", ...limits });
    await Promise.race([Promise.all(shards.map(({ ended }) => ended.promise)), cut]);
    callOff();
    const tookMs = Math.round(surroundings.nowMs() - startedMs);
    const reports = shards.flatMap(({ report }) => (report === undefined ? [] : [report]));
    await this.close();
    return {
      waitedFor: sumOf(reports.map(({ waitedFor }) => waitedFor)),
      accepted: reports.reduce((sum, { accepted }) => sum + accepted, 0),
      closedPolitely: sumOf(reports.map(({ closedPolitely }) => closedPolitely)),
      cutOff: sumOf(reports.map(({ cutOff }) => cutOff)),
      tookMs,
      workersCut: shards.length - reports.length,
    };
  }

  /** Ends all threads at once. */
  async close(): Promise<void> {
    this.#phase = "over";
    const shards = [...this.#shards.values()];
    for (const { port } of shards) port.close();
    await Promise.all([...shards.map(endShard), endThreads(this.#spare)]);
  }

  #post(message: ToWorker): void {
    for (const { port } of this.#shards.values()) port.postMessage(message);
  }

  #forget(scope: string): void {
    this.#newest.delete(scope);
    for (const { applied } of this.#shards.values()) applied.delete(scope);
  }

  #run(index: number): void {
    const { entry, settings, sockets } = this.#options;
    const { port1, port2 } = new MessageChannel();
    const shard: Shard = {
      index,
      pool: this.#takeSpare() ?? startThread(entry),
      port: port1,
      applied: new Map(),
      descriptors: sockets === "kernel" ? new SharedArrayBuffer(descriptorBytes) : undefined,
      ended: Promise.withResolvers(),
      listeners: [],
      listensSinceMs: undefined,
      report: undefined,
    };
    const counters = new SharedArrayBuffer(slotCapacity * Float64Array.BYTES_PER_ELEMENT);
    this.#shards.set(index, shard);
    this.#sums.start(index, counters);
    port1.on("message", (message: ToMain) => this.#received(shard, message));
    const snapshots = [...this.#newest.values()];
    const start = {
      shard: index,
      settings,
      decisionPrefix: this.decisions.prefixOf(index),
      counters,
      rateLimits: this.#rateLimits,
      descriptors: shard.descriptors,
      snapshots,
      port: port2,
    };
    // The pool wants an array; its type is inferred from another overload of `postMessage`.
    const transferList = [port2] as RunOptions["transferList"];
    shard.pool.run(start, { transferList }).then(
      () => this.#ended(shard, undefined),
      (error: unknown) => this.#ended(shard, error),
    );
  }

  /** What a thread had died of, its successor dies of too, and tells it. */
  #takeSpare(): ShardThread | undefined {
    const spare = this.#spare.pop();
    if (spare === undefined || isAlive(spare)) return spare;
    void spare.destroy();
    return undefined;
  }

  #ended(shard: Shard, error: unknown): void {
    // What the thread said before its end may not have been read yet.
    for (;;) {
      const last = receiveMessageOnPort(shard.port);
      if (last === undefined) break;
      this.#received(shard, last.message);
    }
    shard.port.close();
    void endShard(shard);
    shard.listeners = [];
    shard.applied.clear();
    this.#sums.end(shard.index);
    this.decisions.ended(shard.index);
    shard.ended.resolve();
    if (this.#phase === "running") this.#restart(shard, error);
    else if (this.#phase === "draining" && error !== undefined) {
      this.#options.log.error("worker_died", { shard: shard.index, error });
    }
  }

  #restart({ index, listensSinceMs }: Shard, error: unknown): void {
    const { log, surroundings } = this.#options;
    const nowMs = surroundings.nowMs();
    const hasServed = listensSinceMs !== undefined && nowMs - listensSinceMs >= minLifeMs;
    const recent = this.#recentRestarts;
    const restarts = hasServed ? recent : allowRestart(recent, nowMs);
    if (restarts === undefined) {
      log.error("worker_died", { shard: index, error, restart: false });
      log.error("workers_given_up", { restarts: maxRestarts, withinMs: restartWindowMs });
      this.#phase = "over";
      this.#gaveUp.resolve();
      return;
    }
    log.error("worker_died", { shard: index, error, restart: true });
    this.#recentRestarts = restarts;
    this.#restarts++;
    this.#run(index);
  }

  #logListening(shard: number, { listeners, sockets }: Listening): void {
    const { log, sockets: wanted } = this.#options;
    log.debug("worker_listening", { shard, listeners, sockets });
    // Once, by the first: it is the same for all.
    if (sockets !== wanted && shard === 0) log.warn("kernel_sockets_unavailable", { sockets });
  }

  #received(shard: Shard, message: ToMain): void {
    const { log, surroundings, onDiscover, onPortWanted, onUsed, onKeysWanted } = this.#options;
    switch (message.kind) {
      case "listening":
        shard.listeners = message.listeners;
        shard.listensSinceMs = surroundings.nowMs();
        this.#started.add(shard.index);
        this.#logListening(shard.index, message);
        if (this.#started.size === this.#options.count) this.#allStarted.resolve();
        return;
      case "discover":
        onDiscover(message.target);
        return;
      case "port-wanted":
        onPortWanted(message.port);
        return;
      case "used":
        onUsed(message.targets);
        return;
      case "keys-wanted":
        onKeysWanted(message.source);
        return;
      case "applied":
        shard.applied.set(message.scope, message.revision);
        return;
      case "series":
        if (!this.#sums.announce(shard.index, message.series)) {
          log.error("series_refused", { shard: shard.index, series: message.series });
        }
        return;
      case "decision":
        this.decisions.received(message.ask, message.answer);
        return;
      case "spans":
        this.#options.onSpans?.(message.batch);
        shard.port.postMessage({ kind: "spans-taken" } satisfies ToWorker);
        return;
      case "notice":
        log.warn(message.event, { shard: shard.index, ...message.fields });
        return;
      case "drained":
        shard.report = message;
        return;
      default:
        unreachable(message);
    }
  }
}

/** Its thread first: what is closed must not be in use. */
async function endShard({ pool, descriptors }: Shard): Promise<void> {
  await pool.destroy();
  if (descriptors !== undefined) closeDescriptors(new OpenDescriptors(descriptors).takeAll());
}

function sumOf(all: readonly UnderWay[]): UnderWay {
  const sum = (of: keyof UnderWay): number => all.reduce((total, one) => total + one[of], 0);
  return { requests: sum("requests"), tunnels: sum("tunnels"), opaque: sum("opaque") };
}
