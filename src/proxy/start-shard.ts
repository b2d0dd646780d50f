/** A worker's part of the data plane, from its first listener to the end of its last connection. */
import { BufferPool } from "../edge/net/buffer-pool.ts";
import { type AcceptedSocket, type Listener, listen } from "../edge/net/listen.ts";
import { clientContext } from "../edge/net/mesh-tls.ts";
import type {
  BoundListener,
  IdentitySnapshot,
  ListenerSettings,
  ToMain,
  ToWorker,
  WorkerStart,
} from "../thread/messages.ts";
import { Counts } from "./count.ts";
import { acceptInbound, greetGuest } from "./inbound.ts";
import { MeshDoor } from "./mesh-door.ts";
import { acceptOutbound } from "./outbound.ts";
import { Shard } from "./shard.ts";
import { Tables } from "./tables.ts";
import { Timer, TimerWheel, tickMs } from "./timer-wheel.ts";

/** How often the main thread is told which destinations are in use. It forgets those that are not. */
const usedEveryMs = 1_000;

export type RunningShard = {
  take(message: ToWorker): void;
  /** Resolves when the shard has drained. */
  readonly drained: Promise<void>;
};

export async function startShard(
  start: WorkerStart,
  post: (message: ToMain) => void,
): Promise<RunningShard> {
  const running = new Running(start, post);
  for (const snapshot of start.snapshots) running.take(snapshot);
  const listeners = await running.open(start.settings.listeners);
  post({ kind: "listening", listeners });
  return running;
}

class Running implements RunningShard {
  readonly drained: Promise<void>;
  readonly #shard: Shard;
  readonly #post: (message: ToMain) => void;
  readonly #finished: () => void;
  readonly #used: NodeJS.Timeout;
  readonly #graceTimer: Timer = new Timer(() => this.#abort());
  readonly #doors: MeshDoor[] = [];
  readonly #listeners: Listener[] = [];
  #identity: IdentitySnapshot | undefined;

  constructor({ settings, counters }: WorkerStart, post: (message: ToMain) => void) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.drained = promise;
    this.#finished = resolve;
    this.#post = post;
    const counts = new Counts(counters, (series) => post({ kind: "series", series }));
    // The global is looked up once: reading it costs as much as the clock.
    const clock = performance;
    const nowMs = (): number => clock.now();
    this.#shard = new Shard({
      settings,
      nowMs,
      random: () => Math.random(),
      wheel: new TimerWheel({ nowMs, start: startTicking }),
      pool: new BufferPool(),
      counts,
      tables: new Tables({ settings, counts, nowMs, post }),
    });
    this.#shard.onConnectionGone = () => this.#endIfEmpty();
    this.#used = setInterval(() => this.#reportUsed(), usedEveryMs).unref();
  }

  take(message: ToWorker): void {
    if (message.kind === "identity") this.#renew(message);
    else if (message.kind === "drain") this.#drain(message.graceMs);
    else this.#shard.tables.take(message);
  }

  async open(settings: readonly ListenerSettings[]): Promise<readonly BoundListener[]> {
    const bound: BoundListener[] = [];
    for (const { kind, host, port } of settings) {
      const listener = await listen({
        host,
        port,
        onConnection: this.#accepterOf(kind, port),
        onAcceptFailure: (code) => this.#shard.countRefusal(`accept ${code}`),
      });
      this.#listeners.push(listener);
      const side = kind === "outbound" ? "outbound" : "inbound";
      bound.push({ side, host: listener.host, port: listener.port });
    }
    return bound;
  }

  #accepterOf(kind: ListenerSettings["kind"], port: number): (accepted: AcceptedSocket) => void {
    const shard = this.#shard;
    if (kind === "outbound") {
      return (accepted) => {
        if (this.#hasRoom(accepted)) acceptOutbound(shard, accepted);
      };
    }
    const door = new MeshDoor({ shard, kind, port, greet: greetGuest });
    this.#doors.push(door);
    if (this.#identity !== undefined) door.renew(this.#identity);
    return (accepted) => {
      if (this.#hasRoom(accepted)) acceptInbound(door, accepted);
    };
  }

  #hasRoom(accepted: AcceptedSocket): boolean {
    const open = this.#listeners.reduce((sum, { openCount }) => sum + openCount, 0);
    if (open <= this.#shard.limits.maxConnections) return true;
    this.#shard.countRefusal("connection limit");
    accepted.destroy();
    return false;
  }

  #renew(identity: IdentitySnapshot): void {
    this.#identity = identity;
    this.#shard.clientContext = clientContext(identity);
    for (const door of this.#doors) door.renew(identity);
    this.#shard.tables.applied(identity);
  }

  #reportUsed(): void {
    const targets = this.#shard.tables.takeUsed();
    if (targets.length > 0) this.#post({ kind: "used", targets });
  }

  #drain(graceMs: number): void {
    const shard = this.#shard;
    if (shard.draining) return;
    shard.draining = true;
    for (const listener of this.#listeners) listener.close();
    for (const connection of shard.connections) connection.drain();
    shard.wheel.arm(this.#graceTimer, graceMs);
    this.#endIfEmpty();
  }

  #endIfEmpty(): void {
    if (this.#shard.draining && this.#shard.connections.size === 0) this.#end(0);
  }

  #abort(): void {
    const { connections } = this.#shard;
    this.#end([...connections].filter((connection) => connection.isBusy).length);
  }

  #end(aborted: number): void {
    const shard = this.#shard;
    shard.onConnectionGone = () => {};
    for (const listener of this.#listeners) listener.destroyAll();
    shard.tables.close();
    shard.wheel.stop();
    clearInterval(this.#used);
    this.#post({ kind: "drained", aborted });
    this.#finished();
  }
}

function startTicking(tick: () => void): { stop(): void } {
  const interval = setInterval(tick, tickMs).unref();
  return { stop: () => clearInterval(interval) };
}
