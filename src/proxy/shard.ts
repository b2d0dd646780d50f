/** What all connections of a worker share: its clocks and buffers, its tables and counters, and what it may hold. */
import type { SecureContext } from "node:tls";
import { MessageReaders } from "../codec/http2/h2-from-http1.ts";
import { defaultHttp2Limits, type Http2Limits } from "../codec/http2/protection.ts";
import { Http2Shared } from "../codec/http2/session-core.ts";
import type { BufferPool } from "../edge/net/buffer-pool.ts";
import type { KernelSockets } from "../edge/net/kernel-sockets.ts";
import type { ReadOriginalDestination } from "../edge/net/original-dst.ts";
import type { Wire } from "../edge/net/wire.ts";
import type { WorkerMetric } from "../thread/counters.ts";
import type { NoticeFields, UnderWay, WorkerLimits, WorkerSettings } from "../thread/messages.ts";
import type { AccessLog } from "./access-log.ts";
import { AuthConnections } from "./auth-connections.ts";
import { ConnectionCounts, type Counts } from "./count.ts";
import type { Decisions } from "./decisions.ts";
import type { Target } from "./exchange.ts";
import { http2CountsOn } from "./http2-counts.ts";
import type { Direction } from "./labels.ts";
import { MirrorPool } from "./mirror.ts";
import type { Notices } from "./notices.ts";
import type { RateLimiter } from "./rate-limiter.ts";
import type { Tables } from "./tables.ts";
import type { TimerWheel } from "./timer-wheel.ts";
import type { Tokens } from "./tokens.ts";
import type { Tracer } from "./tracer.ts";

/**
 * One read of a head, with whatever came along. All connections that expect a head read to the same memory, because what
 * is read is used before anything else is read. 32 and 64 KiB measured the same (`benchmarks/proxy/http1.ts`).
 */
const headBufferBytes: number = 16 * 1024;

/** One read of frames. Four of the largest fit, so that a stream at full speed costs one call of the kernel for each 64 KiB. */
const http2BufferBytes: number = 64 * 1024;

/** Whether a client, and the kind of end it proved, in Linkerd's words. */
export type TlsLabel = "true" | "no_identity" | "disabled";

/** A connection that a client opened, whatever is spoken on it. */
export type Connection = {
  /** Whether ending it now would cut something off. */
  readonly isBusy: boolean;
  readonly carries: keyof UnderWay;
  /** Asks it to end as soon as nothing is cut off. */
  drain(): void;
  /** The time is nearly over: ends it, if what it carries has a polite end. False: it is in the middle of something. */
  leave?(): boolean;
  /** The time is over: nobody must take what has come for all there is. */
  cut?(): void;
};

export type ShardOptions = {
  readonly rateLimiter: RateLimiter;
  readonly tokens: Tokens;
  readonly settings: WorkerSettings;
  /** Milliseconds that never go back. */
  readonly nowMs: () => number;
  /** Milliseconds since 1970, for times that others tell or read. */
  readonly wallMs: () => number;
  /** From 0 to 1, without 1. */
  readonly random: () => number;
  readonly wheel: TimerWheel;
  readonly pool: BufferPool;
  /** Undefined: all connections are with Node.js. */
  readonly sockets?: KernelSockets | undefined;
  readonly counts: Counts;
  readonly tables: Tables;
  readonly notices: Notices;
  readonly decisions: Decisions;
  /** Undefined: nobody reads about requests. */
  readonly accessLog: AccessLog | undefined;
  /** Undefined: nothing is traced. */
  readonly tracer?: Tracer | undefined;
  /** Undefined: no connection is redirected here. */
  readonly readOriginal?: ReadOriginalDestination | undefined;
};

export class Shard {
  readonly settings: WorkerSettings;
  readonly limits: WorkerLimits;
  readonly nowMs: () => number;
  readonly wallMs: () => number;
  readonly random: () => number;
  readonly wheel: TimerWheel;
  readonly pool: BufferPool;
  readonly sockets: KernelSockets | undefined;
  readonly counts: Counts;
  readonly tables: Tables;
  readonly notices: Notices;
  readonly decisions: Decisions;
  readonly accessLog: AccessLog | undefined;
  readonly tracer: Tracer | undefined;
  readonly readOriginal: ReadOriginalDestination | undefined;
  readonly rateLimiter: RateLimiter;
  readonly tokens: Tokens;
  readonly headBuffer: Buffer = Buffer.allocUnsafeSlow(headBufferBytes);
  /** The same for frames of HTTP/2, which are looked at while heads are made of them in `headBuffer`. */
  readonly http2Buffer: Buffer = Buffer.allocUnsafeSlow(http2BufferBytes);
  readonly http2: Http2Shared;
  readonly http2Limits: Http2Limits;
  readonly messageReaders: MessageReaders = new MessageReaders();
  readonly connections: Set<Connection> = new Set();
  readonly mirrors: MirrorPool = new MirrorPool();
  /** On which authorization services are asked. */
  readonly authConnections: AuthConnections = new AuthConnections(this);
  /** Where a message is put together before it is sent. Another buffer takes its place when it is lent. */
  scratch: Buffer;
  /** Undefined until this workload has a certificate. */
  clientContext: SecureContext | undefined;
  inFlight = 0;
  /** Clients are told that each connection ends with its next response. */
  draining = false;
  /** Connections end as soon as nothing is cut off. */
  isClosing = false;
  /** Called when a connection of a client is gone. */
  onConnectionGone: () => void = () => {};
  readonly #errors = new Map<string, number>();
  readonly #connectionCounts = new Map<string, ConnectionCounts>();

  constructor(options: ShardOptions) {
    this.settings = options.settings;
    this.limits = options.settings.limits;
    this.nowMs = options.nowMs;
    this.wallMs = options.wallMs;
    this.random = options.random;
    this.wheel = options.wheel;
    this.pool = options.pool;
    this.sockets = options.sockets;
    this.counts = options.counts;
    this.http2 = new Http2Shared(http2CountsOn(options.counts));
    this.http2Limits = { ...defaultHttp2Limits, ...this.limits.http2 };
    this.tables = options.tables;
    this.notices = options.notices;
    this.rateLimiter = options.rateLimiter;
    this.tokens = options.tokens;
    this.decisions = options.decisions;
    this.accessLog = options.accessLog;
    this.tracer = options.tracer;
    this.readOriginal = options.readOriginal;
    this.scratch = this.pool.take();
  }

  /** Sends the first `end` bytes of the scratch buffer. False: they were not taken at once. */
  sendScratch(wire: Wire, end: number): boolean {
    if (wire.send(this.scratch, 0, end)) return true;
    this.scratch = this.pool.take();
    return false;
  }

  /** Sends a copy of `bytes[start, end)`. */
  sendCopy(wire: Wire, bytes: Buffer, start: number, end: number): boolean {
    let sent = true;
    let at = wire.sendNow === undefined ? start : wire.sendNow(bytes, start, end);
    while (at < end) {
      const length = bytes.copy(this.scratch, 0, at, end);
      sent = this.sendScratch(wire, length) && sent;
      at += length;
    }
    return sent;
  }

  /** Whether a connection to the endpoint may be kept for later. */
  mayPool(target: Target, idle: readonly unknown[]): boolean {
    return !target.gone && idle.length < this.limits.maxIdlePerEndpoint;
  }

  /** A request was answered by this proxy. */
  countError(direction: Direction, label: string): void {
    this.#countLabelled(
      direction === "inbound" ? "inbound_http_errors_total" : "outbound_http_errors_total",
      label,
    );
  }

  /** A connection of a peer was refused before it carried a request. */
  countRefusal(label: string): void {
    this.#countLabelled("inbound_tcp_errors_total", label);
  }

  /** The same, and the log is told. */
  refuseConnection(label: string, fields: NoticeFields): void {
    this.countRefusal(label);
    this.notices.tell("inbound_connection_refused", { reason: label, ...fields });
  }

  /** A connection of the application was refused, or its bytes reached nobody. */
  refuseOutbound(label: string, fields: NoticeFields): void {
    this.#countLabelled("outbound_tcp_errors_total", label);
    this.notices.tell("outbound_connection_refused", { reason: label, ...fields });
  }

  /** Connections that clients opened. */
  downstreamCounts(direction: Direction, tls: TlsLabel): ConnectionCounts {
    return this.#connectionCountsOf({ direction, peer: "src", tls });
  }

  /** Connections that this worker opened. */
  upstreamCounts(direction: Direction, encrypted: boolean): ConnectionCounts {
    return this.#connectionCountsOf({
      direction,
      peer: "dst",
      tls: encrypted ? "true" : "disabled",
    });
  }

  #countLabelled(metric: WorkerMetric, error: string): void {
    const key = `${metric} ${error}`;
    const slot = this.#errors.get(key) ?? this.counts.place(metric, { error });
    this.#errors.set(key, slot);
    this.counts.add(slot);
  }

  #connectionCountsOf(labels: Readonly<Record<string, string>>): ConnectionCounts {
    const key = Object.values(labels).join(" ");
    const known = this.#connectionCounts.get(key);
    if (known !== undefined) return known;
    const counts = new ConnectionCounts(this.counts, labels);
    this.#connectionCounts.set(key, counts);
    return counts;
  }
}
