/**
 * A connection that carries requests, in either protocol. Where nobody has looked yet, its first bytes tell which: HTTP/2 begins
 * with its preface (RFC 9113 §3.4), and what does not is HTTP/1.
 */
import { sniff } from "../codec/sniff.ts";
import type { Wire, WireOwner } from "../edge/net/wire.ts";
import type { ConnectionCounts } from "./count.ts";
import { Downstream } from "./downstream.ts";
import type { Answers, Origin } from "./exchange.ts";
import { HeldBytes } from "./held-bytes.ts";
import { Http2Downstream } from "./http2-downstream.ts";
import type { Connection, Shard } from "./shard.ts";
import { Timer } from "./timer-wheel.ts";

export type ServeOptions = {
  readonly shard: Shard;
  readonly wire: Wire;
  readonly origin: Origin;
  readonly answers: Answers;
  readonly counts: Pick<ConnectionCounts, "opened" | "closed">;
};

/** Who owns the wire from now on, for bytes that were read before. */
export type Served = {
  /** Takes `bytes[start, end)` as if they had been read just now. False: nothing more is to be read for now. */
  feed(bytes: Buffer, start: number, end: number): boolean;
  onEnd(): void;
};

/** `unknown`: the first bytes will tell. */
export function serveHttp(options: ServeOptions, protocol: "http1" | "http2" | "unknown"): Served {
  if (protocol === "http1") return new Downstream(options);
  return protocol === "http2" ? new Http2Downstream(options) : new FirstBytes(options);
}

class FirstBytes implements WireOwner, Connection, Served {
  readonly isBusy = false;
  readonly carries = "requests";
  readonly #options: ServeOptions;
  readonly #held: HeldBytes = new HeldBytes();
  readonly #timer: Timer = new Timer(() => this.#handOn("http1"));
  /** Who owns the wire now. */
  #served: Served | undefined;

  constructor(options: ServeOptions) {
    const { shard, wire, counts } = options;
    this.#options = options;
    wire.owner = this;
    shard.connections.add(this);
    counts.opened();
    shard.wheel.arm(this.#timer, shard.limits.idleTimeoutMs);
    if (shard.isClosing) this.drain();
  }

  readBuffer(): Buffer {
    return this.#options.shard.headBuffer;
  }

  onBytes(bytes: Buffer, length: number): boolean {
    return this.feed(bytes, 0, length);
  }

  feed(bytes: Buffer, start: number, end: number): boolean {
    const held = this.#held;
    if (held.isEmpty) {
      const sniffed = sniff(bytes, start, end);
      if (sniffed !== "more") return this.#serve(sniffed).feed(bytes, start, end);
    }
    held.append(bytes, start, end);
    const sniffed = sniff(held.bytes, held.start, held.end);
    if (sniffed !== "more") return this.#serve(sniffed).feed(held.bytes, held.start, held.end);
    const { shard } = this.#options;
    shard.wheel.arm(this.#timer, shard.limits.detectTimeoutMs);
    return true;
  }

  onWritten(): void {}

  onEnd(): void {
    (this.#served ?? this.#handOn("http1")).onEnd();
  }

  onClose(): void {
    this.#leave();
    const { shard, counts } = this.#options;
    counts.closed();
    shard.onConnectionGone();
  }

  /** HTTP/1 knows how to end a connection on which nothing was asked. */
  drain(): void {
    this.#handOn("http1");
  }

  #handOn(sniffed: string): Served {
    const served = this.#serve(sniffed);
    const { bytes, start, end } = this.#held;
    if (start < end && !served.feed(bytes, start, end)) this.#options.wire.pause();
    return served;
  }

  #serve(sniffed: string): Served {
    this.#leave();
    const { counts } = this.#options;
    const isHttp2 = sniffed === "http2";
    const options = {
      ...this.#options,
      counts: { opened: (): void => {}, closed: (): void => counts.closed() },
    };
    this.#served = isHttp2 ? new Http2Downstream(options) : new Downstream(options);
    return this.#served;
  }

  #leave(): void {
    const { shard } = this.#options;
    shard.wheel.forget(this.#timer);
    shard.connections.delete(this);
  }
}
