/** A worker's part of the data plane, from its first listener to the end of its last connection. */
import { describeFaults, type Result } from "../core/std/result.ts";
import { BufferPool } from "../edge/net/buffer-pool.ts";
import { openKernelSockets } from "../edge/net/kernel-sockets.ts";
import { type AcceptedSocket, type Listener, listen } from "../edge/net/listen.ts";
import { clientContext } from "../edge/net/mesh-tls.ts";
import { openOriginalDst, type ReadOriginalDestination } from "../edge/net/original-dst.ts";
import { LineWriter } from "../edge/telemetry/line-writer.ts";
import type {
  BoundListener,
  DrainLimits,
  DrainReport,
  IdentitySnapshot,
  KeysSnapshot,
  ListenerSettings,
  SocketLayer,
  ToMain,
  ToWorker,
  WorkerSettings,
  WorkerStart,
} from "../thread/messages.ts";
import { OpenDescriptors } from "../thread/open-descriptors.ts";
import { acceptInbound, greetGuest } from "./accept-inbound.ts";
import { AccessLog } from "./access-log.ts";
import { Counts } from "./count.ts";
import { Decisions } from "./decisions.ts";
import { Drain } from "./drain.ts";
import { MeshDoor } from "./mesh-door.ts";
import { Notices } from "./notices.ts";
import { acceptOutbound } from "./outbound-connection.ts";
import { RateLimiter } from "./rate-limiter.ts";
import { Shard } from "./shard.ts";
import { Tables } from "./tables.ts";
import { TimerWheel, type WheelClock } from "./timer-wheel.ts";
import { Tokens } from "./tokens.ts";
import { Tracer } from "./tracer.ts";

/** How often the main thread is told which destinations are in use, and which endpoints are ready. It forgets what is not used. */
const reportEveryMs = 1_000;

/** The log of the process is on standard error. */
const stdout = 1;

export type RunningShard = {
  take(message: ToWorker): void;
  /** Connections that were accepted and are open. */
  readonly openCount: number;
  /** Resolves when the shard has drained. */
  readonly drained: Promise<void>;
};

/** What a shard needs of the machine's clocks; a test turns them by hand. */
export type ShardClock = WheelClock & {
  /** Milliseconds since 1970. */
  wallMs(): number;
  /** What makes `nowMs` of one thread that of all: the time of the thread's own beginning. */
  readonly originMs?: number;
};

/** The global one is looked for anew with each reading, of which a request takes two. */
const { performance: monotonic } = globalThis;

const machineClock: ShardClock = {
  nowMs: () => monotonic.now(),
  wallMs: () => Date.now(),
  originMs: Number(process.hrtime.bigint()) / 1e6 - monotonic.now(),
  start: startTicking,
};

export async function startShard(
  start: WorkerStart,
  post: (message: ToMain) => void,
  clock: ShardClock = machineClock,
  openReader: () => Result<ReadOriginalDestination> = openOriginalDst,
): Promise<RunningShard> {
  const running = new Running(start, post, { clock, openReader });
  for (const snapshot of start.snapshots) running.take(snapshot);
  const listeners = await running.open(start.settings.listeners);
  post({ kind: "listening", listeners, sockets: running.sockets });
  return running;
}

type Machine = {
  readonly clock: ShardClock;
  readonly openReader: () => Result<ReadOriginalDestination>;
};

class Running implements RunningShard {
  readonly drained: Promise<void>;
  readonly #shard: Shard;
  readonly #post: (message: ToMain) => void;
  readonly #finished: () => void;
  readonly #report: NodeJS.Timeout;
  readonly #doors: MeshDoor[] = [];
  readonly #listeners: Listener[] = [];
  #drain: Drain | undefined;
  #identity: IdentitySnapshot | undefined;
  #lines: LineWriter | undefined;

  constructor(
    { settings, counters, rateLimits, descriptors, decisionPrefix }: WorkerStart,
    post: (message: ToMain) => void,
    { clock, openReader }: Machine,
  ) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.drained = promise;
    this.#finished = resolve;
    this.#post = post;
    const counts = new Counts(counters, (series) => post({ kind: "series", series }));
    const nowMs = (): number => clock.nowMs();
    this.#shard = new Shard({
      settings,
      nowMs,
      wallMs: () => clock.wallMs(),
      random: () => Math.random(),
      wheel: new TimerWheel(clock),
      pool: new BufferPool(),
      sockets: descriptors && openKernelSockets(new OpenDescriptors(descriptors)),
      counts,
      tables: new Tables({ settings, counts, nowMs, post }),
      notices: new Notices(post, nowMs),
      rateLimiter: new RateLimiter(rateLimits, () => clock.nowMs() + (clock.originMs ?? 0)),
      tokens: new Tokens(
        () => clock.wallMs(),
        (source) => post({ kind: "keys-wanted", source }),
      ),
      decisions: new Decisions(decisionPrefix),
      accessLog: this.#accessLog(settings.accessLog, counts),
      tracer: tracerOf(settings, clock, post),
      readOriginal: readerOf(settings, openReader),
    });
    this.#report = setInterval(() => this.#reportNow(), reportEveryMs).unref();
  }

  take(message: ToWorker): void {
    if (message.kind === "identity") this.#renew(message);
    else if (message.kind === "keys") this.#takeKeys(message);
    else if (message.kind === "drain") this.#drain ??= this.#beginDrain(message);
    else if (message.kind === "ask-decision") this.#tell(message);
    else if (message.kind === "spans-taken") this.#shard.tracer?.taken();
    else this.#shard.tables.take(message);
  }

  async open(settings: readonly ListenerSettings[]): Promise<readonly BoundListener[]> {
    const bound: BoundListener[] = [];
    for (const { kind, host, port } of settings) {
      const listener = await listen({
        host,
        port,
        sockets: this.#shard.sockets,
        onConnection: this.#accepterOf({ kind, host, port }),
        onAcceptFailure: (code) => this.#shard.countRefusal(`accept ${code}`),
      });
      this.#listeners.push(listener);
      const side = kind === "outbound" ? "outbound" : "inbound";
      bound.push({ side, host: listener.host, port: listener.port });
    }
    return bound;
  }

  #accepterOf(listening: ListenerSettings): (accepted: AcceptedSocket) => void {
    const shard = this.#shard;
    const { kind, port } = listening;
    if (kind === "outbound") {
      return (accepted) => {
        if (this.#hasRoom(accepted)) acceptOutbound(shard, listening, accepted);
      };
    }
    const door = new MeshDoor({ shard, kind, port, greet: greetGuest });
    this.#doors.push(door);
    if (this.#identity !== undefined) door.renew(this.#identity);
    return (accepted) => {
      if (this.#hasRoom(accepted)) acceptInbound(door, accepted);
    };
  }

  get sockets(): SocketLayer {
    return this.#shard.sockets === undefined ? "node" : "kernel";
  }

  get openCount(): number {
    return this.#listeners.reduce((sum, { openCount }) => sum + openCount, 0);
  }

  #hasRoom(accepted: AcceptedSocket): boolean {
    if (this.openCount <= this.#shard.limits.maxConnections) {
      this.#drain?.noteAccepted();
      return true;
    }
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

  #tell({ ask, sequence }: Extract<ToWorker, { readonly kind: "ask-decision" }>): void {
    const answer = this.#shard.decisions.find(sequence, this.#shard);
    this.#post({ kind: "decision", ask, answer });
  }

  #accessLog(format: WorkerSettings["accessLog"], counts: Counts): AccessLog | undefined {
    if (format === "off") return undefined;
    const dropped = counts.place("weft_access_log_dropped_total", {});
    const lines = new LineWriter({
      fd: stdout,
      onDropped: (count) => counts.add(dropped, count),
    });
    this.#lines = lines;
    return new AccessLog({ format, write: (line) => lines.write(line) });
  }

  #takeKeys(keys: KeysSnapshot): void {
    this.#shard.tokens.take(keys);
    this.#shard.tables.applied(keys);
  }

  #reportNow(): void {
    this.#shard.tables.report(this.#shard.nowMs());
    const targets = this.#shard.tables.takeUsed();
    if (targets.length > 0) this.#post({ kind: "used", targets });
    this.#shard.tracer?.flush();
  }

  #beginDrain(limits: DrainLimits): Drain {
    return new Drain({
      shard: this.#shard,
      listeners: this.#listeners,
      limits,
      onOver: (report) => this.#end(report),
    });
  }

  #end(report: DrainReport): void {
    const shard = this.#shard;
    for (const listener of this.#listeners) listener.destroyAll();
    shard.tables.close();
    shard.mirrors.close();
    shard.authConnections.close();
    shard.wheel.stop();
    clearInterval(this.#report);
    this.#lines?.close();
    shard.sockets?.close();
    shard.tracer?.flush();
    this.#post({ kind: "drained", ...report });
    this.#finished();
  }
}

/** Who said that connections are redirected here gets no shard that would take them for something else. */
function readerOf(
  { redirect }: WorkerSettings,
  open: () => Result<ReadOriginalDestination>,
): ReadOriginalDestination | undefined {
  if (redirect === undefined) return undefined;
  const opened = open();
  if (opened.ok) return opened.value;
  if (redirect.isRequired) throw new Error(describeFaults(opened.faults));
  return undefined;
}

function tracerOf(
  { traceSampleRatio }: WorkerSettings,
  clock: ShardClock,
  post: (message: ToMain) => void,
): Tracer | undefined {
  if (traceSampleRatio === undefined) return undefined;
  return new Tracer({
    sampleRatio: traceSampleRatio,
    post: (batch) => post({ kind: "spans", batch }),
    nowMs: () => clock.nowMs(),
    wallMs: () => clock.wallMs(),
  });
}

function startTicking(tick: () => void, everyMs: number): { stop(): void } {
  const interval = setInterval(tick, everyMs).unref();
  return { stop: () => clearInterval(interval) };
}
