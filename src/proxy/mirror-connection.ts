/**
 * A connection, or a stream of one, that carries copies of requests, one at a time. Whatever happens on it ends here: it never makes anybody wait,
 * and it holds no more than `limits.maxMirrorBytes` of what its mirror has not taken. The request itself is not slowed down for a
 * mirror, so one that falls behind by more is cut off.
 */
import { BodyReader } from "../codec/http1-body.ts";
import { parseResponseHead, ResponseHead } from "../codec/http1-head.ts";
import { unreachable } from "../core/std/unreachable.ts";
import { type Dialing, dial } from "../edge/net/dial.ts";
import type { Wire, WireOwner } from "../edge/net/wire.ts";
import type { ConnectionCounts } from "./count.ts";
import type { Target } from "./exchange.ts";
import { dialTargetOf, newHttp2Pool, prefaceOf } from "./forward.ts";
import { HeldBytes } from "./held-bytes.ts";
import { type Http2Pool, notHttp2 } from "./http2-pool.ts";
import { keepAliveMs } from "./keep-alive.ts";
import type { MirrorPool } from "./mirror.ts";
import type { MirrorCounts, MirrorResult } from "./mirror-counts.ts";
import type { Shard } from "./shard.ts";
import { Timer } from "./timer-wheel.ts";

/** Given to the wire at a time. */
const maxPartBytes: number = 64 * 1024;

/** From the end of a copy to the end of its answer. Nobody waits for it; what is longer only holds a connection. */
const mirrorAnswerMs = 10_000;

type Phase = "dialing" | "idle" | "busy" | "closed";

/** `tried`: nobody has said that the mirror speaks it. */
export type MirrorHttp2 = "no" | "tried" | "declared";

export type MirrorCopy = {
  readonly counts: MirrorCounts;
  /** The request's; it decides whether the answer has a body. */
  readonly method: string;
};

export class MirrorConnection implements WireOwner {
  readonly target: Target;
  /** Whether it is a stream of a connection that speaks HTTP/2, for one copy. */
  #isStream: boolean;
  readonly #shard: Shard;
  readonly #pool: MirrorPool;
  readonly #timer: Timer;
  readonly #head: ResponseHead = new ResponseHead();
  readonly #body: BodyReader = new BodyReader();
  /** What could not be sent yet, and what came of a head that is not complete. */
  readonly #unsent: HeldBytes = new HeldBytes();
  readonly #held: HeldBytes = new HeldBytes();
  /** Whether an endpoint that does not speak HTTP/2 gets the copy as HTTP/1. */
  #mayFallBack: boolean;
  #phase: Phase = "dialing";
  #dialing: Dialing | undefined;
  #wire: Wire | undefined;
  #counts: ConnectionCounts | undefined;
  #copy: MirrorCopy | undefined;
  /** Bytes that the wire has taken and not sent. */
  #lentBytes = 0;
  /** What the pool knows of the bytes that wait here. */
  #notedBytes = 0;
  #requestDone = false;
  #answering = false;
  /** How long the connection may wait for the next copy, read while the bytes of the head are there. */
  #idleMs = 0;

  constructor(options: {
    readonly shard: Shard;
    readonly pool: MirrorPool;
    readonly target: Target;
    readonly http2: MirrorHttp2;
  }) {
    this.#isStream = options.http2 !== "no";
    this.#mayFallBack = options.http2 === "tried";
    this.#shard = options.shard;
    this.#pool = options.pool;
    this.target = options.target;
    this.#timer = new Timer(() => this.#expired());
  }

  /** Whether more waits here than is on its way. */
  get isBehind(): boolean {
    return this.#waitingBytes > maxPartBytes;
  }

  /** Takes a copy; what is written next is its request. */
  begin(copy: MirrorCopy): void {
    this.#copy = copy;
    this.#requestDone = false;
    this.#answering = false;
    this.#head.reset();
    if (this.#phase === "idle") {
      this.#shard.wheel.disarm(this.#timer);
      this.#phase = "busy";
    } else {
      this.#dial();
    }
  }

  /** Sends bytes, or holds a copy of them as long as there is room. */
  write(bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (
      at < end &&
      this.#wire !== undefined &&
      this.#phase === "busy" &&
      this.#lentBytes === 0
    ) {
      const partEnd = Math.min(end, at + maxPartBytes);
      if (!this.#shard.sendCopy(this.#wire, bytes, at, partEnd)) this.#lentBytes = partEnd - at;
      at = partEnd;
    }
    if (at < end && this.#phase !== "closed") {
      if (this.#hasRoom(end - at)) this.#unsent.append(bytes, at, end);
      else this.#finish("cut_off");
    }
    this.#noteBytes();
  }

  #hasRoom(length: number): boolean {
    const { maxMirrorBytes, maxMirrorBytesInAll } = this.#shard.limits;
    const waiting = this.#waitingBytes;
    const inAll = this.#pool.waitingBytes - this.#notedBytes + waiting;
    return waiting + length <= maxMirrorBytes && inAll + length <= maxMirrorBytesInAll;
  }

  get #waitingBytes(): number {
    return this.#lentBytes + this.#unsent.end - this.#unsent.start;
  }

  #noteBytes(): void {
    this.#pool.waitingBytes += this.#waitingBytes - this.#notedBytes;
    this.#notedBytes = this.#waitingBytes;
  }

  /** The request is complete: from now on the mirror's time runs. */
  endRequest(): void {
    if (this.#phase === "closed") return;
    this.#requestDone = true;
    if (this.#phase === "busy") this.#shard.wheel.arm(this.#timer, mirrorAnswerMs);
  }

  /** The request will not be complete. */
  abandon(): void {
    this.#finish("abandoned");
  }

  close(): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    this.#shard.wheel.forget(this.#timer);
    this.#unsent.clear();
    this.#lentBytes = 0;
    this.#noteBytes();
    this.#held.clear();
    this.#pool.forget(this);
    this.#dialing?.cancel();
    this.#wire?.destroy();
  }

  readBuffer(): Buffer {
    return this.#shard.headBuffer;
  }

  onBytes(bytes: Buffer, length: number): boolean {
    switch (this.#phase) {
      case "busy":
        this.#takeBytes(bytes, length);
        break;
      case "idle":
        // An answer to nothing.
        this.close();
        break;
      case "dialing":
      case "closed":
        break;
      default:
        unreachable(this.#phase);
    }
    return true;
  }

  onWritten(): void {
    this.#lentBytes = 0;
    this.#sendHeld();
    this.#noteBytes();
  }

  onEnd(): void {
    if (this.#answering && this.#body.finish()) this.#finish("answered");
    else this.#finish("failed");
  }

  onClose(): void {
    this.#finish("failed");
    this.#counts?.closed();
  }

  #dial(): void {
    const { target } = this;
    const shard = this.#shard;
    const dialed = dialTargetOf(shard, target.endpoint);
    if (dialed === undefined) {
      this.#finish("failed");
      return;
    }
    const http2 = this.#isStream ? mirrorPoolOf(shard, target) : undefined;
    if (http2?.link !== undefined) {
      this.#opened(http2.newStream());
      return;
    }
    if (http2?.isSilent === true) {
      this.#refused();
      return;
    }
    const open = http2 === undefined ? (target.open ?? dial) : http2.open.bind(http2);
    this.#dialing = open({
      target: dialed,
      pool: shard.pool,
      sockets: shard.sockets,
      firstBuffer: shard.headBuffer,
      onOpen: (wire) => this.#opened(wire),
      onFailure: ({ code }) => {
        if (code === notHttp2) {
          this.#refused();
          return;
        }
        target.failed(shard.nowMs(), shard.random());
        this.#finish("failed");
      },
    });
    shard.wheel.arm(this.#timer, shard.limits.connectTimeoutMs);
  }

  /** The endpoint does not speak HTTP/2. */
  #refused(): void {
    this.#dialing = undefined;
    if (!this.#mayFallBack) {
      this.#finish("failed");
      return;
    }
    this.#isStream = false;
    this.#dial();
  }

  #opened(wire: Wire): void {
    const shard = this.#shard;
    this.#dialing = undefined;
    this.#wire = wire;
    wire.owner = this;
    if (!this.#isStream) {
      this.#counts = shard.upstreamCounts("outbound", wire.encrypted);
      this.#counts.opened();
    }
    this.target.reached();
    this.#phase = "busy";
    shard.wheel.disarm(this.#timer);
    const preface = this.#isStream ? undefined : prefaceOf(this.target.endpoint, "http1");
    if (preface !== undefined && !shard.sendCopy(wire, preface, 0, preface.length)) {
      this.#lentBytes = preface.length;
    }
    this.#sendHeld();
    this.#noteBytes();
    if (this.#requestDone) shard.wheel.arm(this.#timer, mirrorAnswerMs);
  }

  /** In parts, so that what has left makes room before the last of it has. */
  #sendHeld(): void {
    const unsent = this.#unsent;
    while (!unsent.isEmpty && this.#wire !== undefined && this.#lentBytes === 0) {
      const { bytes, start, end } = unsent;
      const partEnd = Math.min(end, start + maxPartBytes);
      if (!this.#shard.sendCopy(this.#wire, bytes, start, partEnd)) {
        this.#lentBytes = partEnd - start;
      }
      unsent.keep(bytes, partEnd, end);
    }
  }

  #takeBytes(bytes: Buffer, length: number): void {
    if (this.#answering) this.#takeBody(bytes, 0, length);
    else this.#takeHead(bytes, length);
  }

  #takeHead(bytes: Buffer, length: number): void {
    const held = this.#held;
    if (!held.isEmpty) held.append(bytes, 0, length);
    const source = held.isEmpty ? bytes : held.bytes;
    const end = held.isEmpty ? length : held.end;
    let at = held.isEmpty ? 0 : held.start;
    for (;;) {
      const after = parseResponseHead(this.#head, source, at, end, this.#copy?.method ?? "");
      if (after === 0) {
        held.keep(source, at, end);
        return;
      }
      const { status } = this.#head;
      if (after < 0 || status === 101) {
        this.#finish("failed");
        return;
      }
      if (status >= 200) {
        this.#answering = true;
        // Another stream costs nothing.
        this.#idleMs =
          this.#head.keepAlive && !this.#isStream
            ? keepAliveMs(this.#head, this.#shard.limits.poolIdleTimeoutMs)
            : 0;
        this.#body.begin(this.#head.bodyKind, this.#head.contentLength);
        this.#takeBody(source, after, end);
        return;
      }
      this.#head.reset();
      at = after;
    }
  }

  #takeBody(bytes: Buffer, start: number, end: number): void {
    const taken = this.#body.take(bytes, start, end);
    if (taken < 0) {
      this.#finish("failed");
      return;
    }
    this.#held.clear();
    if (!this.#body.done) return;
    // What follows belongs to no answer.
    if (taken < end) this.#idleMs = 0;
    this.#finish("answered");
  }

  /** The copy is over. Only an answer to a whole copy leaves a connection that can be used again. */
  #finish(result: MirrorResult): void {
    const copy = this.#copy;
    this.#copy = undefined;
    copy?.counts.add(result);
    if (copy === undefined || result !== "answered" || !this.#waitIdle()) this.close();
  }

  #waitIdle(): boolean {
    const { limits, wheel } = this.#shard;
    const isClean = this.#requestDone && this.#lentBytes === 0 && this.#unsent.isEmpty;
    if (!isClean || this.#idleMs <= 0) return false;
    if (!this.#pool.keep(this, limits.maxIdlePerEndpoint)) return false;
    this.#phase = "idle";
    wheel.arm(this.#timer, this.#idleMs);
    return true;
  }

  #expired(): void {
    if (this.#phase === "dialing") {
      if (this.#isStream && this.target.mirrorHttp2?.endSilence() === true) return;
      this.target.failed(this.#shard.nowMs(), this.#shard.random());
      this.#finish("failed");
    } else {
      // While idle there is no copy to count.
      this.#finish("timeout");
    }
  }
}

function mirrorPoolOf(shard: Shard, target: Target): Http2Pool {
  target.mirrorHttp2 ??= newHttp2Pool(shard, target, "outbound");
  return target.mirrorHttp2;
}
