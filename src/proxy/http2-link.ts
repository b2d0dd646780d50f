/**
 * A connection that speaks HTTP/2, as client or as server: the session of `codec/http2` on a wire. What a session wants to say
 * gathers until everything that this turn of the event loop brought has been looked at, and leaves in one write.
 */
import { OutBuffer } from "../codec/http2/out-buffer.ts";
import { Http2Session } from "../codec/http2/session.ts";
import type { SessionOwner } from "../codec/http2/session-core.ts";
import type { Http2Stream } from "../codec/http2/stream.ts";
import type { Wire, WireOwner } from "../edge/net/wire.ts";
import type { ConnectionCounts } from "./count.ts";
import type { Shard } from "./shard.ts";
import { Timer } from "./timer-wheel.ts";

/** How often the session looks at its clocks: budgets, keep-alive, stalled streams, the end of a drain. */
const tickMs = 1_000;

/** How long the peer may take to read our last words before the connection is cut off (`downstream.ts` has the same). */
const lingerMs = 5_000;

const nothing: Buffer = Buffer.alloc(0);

export type Http2LinkOptions = {
  readonly shard: Shard;
  readonly wire: Wire;
  readonly role: "client" | "server";
  readonly counts: Pick<ConnectionCounts, "opened" | "closed">;
  /** Without a stream for this long the connection ends. */
  readonly idleMs: number;
  /** Sent in front of everything. */
  readonly preface?: Buffer | undefined;
  readonly onStream: (stream: Http2Stream) => void;
  /** The peer has said its first frame, which is its settings. */
  readonly onReady?: () => void;
  /** No stream can be opened any more. */
  readonly onRetired?: () => void;
  /** The connection is gone. The reason is empty after an orderly end. */
  readonly onGone: (reason: string) => void;
};

export class Http2Link implements WireOwner {
  readonly session: Http2Session;
  readonly wire: Wire;
  readonly #options: Http2LinkOptions;
  readonly #shard: Shard;
  readonly #out: OutBuffer = new OutBuffer(nothing);
  readonly #timer: Timer = new Timer(() => this.#tick());
  #idleSinceMs: number;
  #isFeeding = false;
  #isFlushing = false;
  #isReady = false;
  /** The session has said its last. */
  #isOver = false;
  #isEnded = false;
  #overSinceMs = -1;
  #isGone = false;
  #reason = "";

  constructor(options: Http2LinkOptions) {
    const { shard, wire, role, preface = nothing } = options;
    this.#options = options;
    this.#shard = shard;
    this.wire = wire;
    const nowMs = shard.nowMs();
    this.#idleSinceMs = nowMs;
    wire.owner = this;
    options.counts.opened();
    this.#enter();
    this.#out.end += preface.copy(this.#out.bytes, 0);
    this.session = new Http2Session({
      role,
      limits: shard.http2Limits,
      shared: shard.http2,
      out: this.#out,
      owner: this.#sessionOwner(),
      nowMs,
    });
    this.#shard.wheel.arm(this.#timer, tickMs);
    this.#flush();
  }

  /** Whether the session has ended the connection for what the peer did. */
  get hasFailed(): boolean {
    return this.#reason !== "";
  }

  readBuffer(): Buffer {
    return this.#shard.http2Buffer;
  }

  onBytes(bytes: Buffer, length: number): boolean {
    this.feed(bytes, 0, length);
    return true;
  }

  /** Takes `bytes[start, end)` as if they had been read just now. */
  feed(bytes: Buffer, start: number, end: number): void {
    this.#enter();
    this.#isFeeding = true;
    this.session.feed(bytes, start, end);
    this.#isFeeding = false;
    if (!this.#isReady && !this.#isOver && end > start) {
      this.#isReady = true;
      this.#options.onReady?.();
    }
    this.#flush();
  }

  onWritten(): void {
    this.#out.isBlocked = false;
    this.#enter();
    this.session.resumeSending();
    this.#flush();
  }

  onEnd(): void {
    this.#isOver = true;
    this.session.close();
    this.#flush();
  }

  onClose(code: string): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#shard.wheel.forget(this.#timer);
    this.session.close();
    this.#giveOut();
    this.#options.counts.closed();
    this.#options.onGone(this.#reason === "" ? code : this.#reason);
  }

  /** What `use` makes the session say leaves with the rest of this turn. */
  run<T>(use: (session: Http2Session) => T): T {
    this.#enter();
    const result = use(this.session);
    this.#flushSoon();
    return result;
  }

  /** Sends content or a head by `send`; the way of every piece of a message, so without a closure. */
  beginSending(): void {
    this.#enter();
    this.#flushSoon();
  }

  /** Takes no new streams, and ends with the last one. */
  drain(): void {
    this.run((session) => session.drain());
  }

  destroy(): void {
    this.wire.destroy();
  }

  #sessionOwner(): SessionOwner {
    const { onStream, onRetired } = this.#options;
    return {
      onStream,
      onGoAway: () => {
        onRetired?.();
        // A client has nothing to wait for but its own streams.
        if (this.#options.role === "client") this.session.drain();
      },
      onDrained: () => this.#end(),
      onFailed: (_code, reason) => {
        this.#reason = reason;
        onRetired?.();
        this.#end();
      },
    };
  }

  #end(): void {
    this.#isOver = true;
    this.#overSinceMs = this.#shard.nowMs();
    this.#flushSoon();
  }

  /** The session writes to a buffer of the pool only while there is something to write. */
  #enter(): void {
    if (this.#out.bytes.length === 0) this.#out.bytes = this.#shard.pool.take();
  }

  #giveOut(): void {
    const out = this.#out;
    this.#shard.pool.give(out.bytes);
    out.bytes = nothing;
    out.end = 0;
  }

  #flushSoon(): void {
    if (this.#isFeeding || this.#isFlushing) return;
    this.#isFlushing = true;
    setImmediate(this.#flushNow);
  }

  readonly #flushNow = (): void => {
    this.#isFlushing = false;
    this.#flush();
  };

  #flush(): void {
    if (this.#isGone) return;
    const out = this.#out;
    while (out.end > 0 && !out.isBlocked) {
      const { bytes, end } = out;
      out.end = 0;
      if (this.wire.send(bytes, 0, end)) {
        this.session.resumeSending();
      } else {
        out.bytes = nothing;
        out.isBlocked = true;
      }
    }
    if (out.end > 0) return;
    this.#giveOut();
    if (!this.#isOver || this.#isEnded) return;
    this.#isEnded = true;
    if (this.#overSinceMs < 0) this.#overSinceMs = this.#shard.nowMs();
    this.wire.end();
  }

  #tick(): void {
    const shard = this.#shard;
    const nowMs = shard.nowMs();
    if (this.#overSinceMs >= 0 && nowMs - this.#overSinceMs >= lingerMs) {
      this.wire.destroy();
      return;
    }
    shard.wheel.arm(this.#timer, tickMs);
    this.#enter();
    this.session.tick(nowMs);
    if (this.session.streamCount > 0) this.#idleSinceMs = nowMs;
    else if (nowMs - this.#idleSinceMs >= this.#options.idleMs) {
      this.#options.onRetired?.();
      this.session.drain();
    }
    this.#flush();
  }
}
