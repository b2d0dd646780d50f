/**
 * The side of a client that speaks HTTP/2. Each of its streams becomes a connection of HTTP/1.1 with one exchange, so that
 * `downstream.ts` and all that follows treats both protocols alike. What has served one stream serves the next: there are as
 * many as there were streams at once.
 */
import { randomBytes } from "node:crypto";
import { type HeaderBlock, methodOf } from "../codec/http2/header-block.ts";
import type { Http2Stream } from "../codec/http2/stream.ts";
import { formatIp } from "../core/std/ip.ts";
import type { Wire } from "../edge/net/wire.ts";
import { Downstream } from "./downstream.ts";
import { Http2Link } from "./http2-link.ts";
import type { ServeOptions } from "./serve-http.ts";
import type { Connection, Shard } from "./shard.ts";
import { StreamWire } from "./stream-wire.ts";

/** RFC 6455 §4.1. */
const keyBytes = 16;

/** A client broke the rules of HTTP/2, or one of its limits; the detail says which. */
const failed = "http2";

/** Streams are not counted as connections; the one that carries them is. */
const uncounted = { opened: (): void => {}, closed: (): void => {} };

/** Owns a connection whose first bytes, not taken yet, are the preface of HTTP/2. */
export class Http2Downstream implements Connection {
  /** The exchanges on its streams are what is under way. */
  readonly isBusy = false;
  readonly carries = "requests";
  readonly #options: ServeOptions;
  readonly #link: Http2Link;
  readonly #spare: ServerStream[] = [];

  constructor(options: ServeOptions) {
    this.#options = options;
    const { shard, wire, counts } = options;
    shard.connections.add(this);
    this.#link = new Http2Link({
      shard,
      wire,
      role: "server",
      counts,
      idleMs: shard.limits.idleTimeoutMs,
      onStream: (stream) => this.#begin(stream),
      onGone: (detail) => this.#gone(detail),
    });
    if (shard.isClosing) this.drain();
  }

  /** What was read before may lie in the buffer that heads are written to. */
  feed(bytes: Buffer, start: number, end: number): boolean {
    this.#link.feed(Buffer.from(bytes.subarray(start, end)), 0, end - start);
    return true;
  }

  /** The client will not send any more. */
  onEnd(): void {
    this.#link.onEnd();
  }

  drain(): void {
    this.#link.drain();
  }

  #begin(stream: Http2Stream): void {
    if (this.#options.shard.draining) this.#link.drain();
    let wire = this.#spare.pop();
    while (wire?.isUsable === false) wire = this.#spare.pop();
    wire ??= this.#newWire();
    wire.serve(this.#link, stream);
  }

  #newWire(): ServerStream {
    const { shard, origin, answers } = this.#options;
    const wire = new ServerStream(shard, this.#options.wire, (spare) => this.#spare.push(spare));
    new Downstream({ shard, wire, origin, answers, counts: uncounted });
    return wire;
  }

  #gone(detail: string): void {
    const { shard, origin } = this.#options;
    if (this.#link.hasFailed) {
      const client = formatIp(origin.peer.ip);
      if (origin.direction === "outbound") shard.refuseOutbound(failed, { client, detail });
      else shard.refuseConnection(failed, { port: origin.port, client, detail });
    }
    for (const wire of this.#spare.splice(0)) wire.end();
    shard.connections.delete(this);
    shard.onConnectionGone();
  }
}

class ServerStream extends StreamWire {
  readonly remoteIp: string;
  readonly encrypted: boolean;
  protected readonly isClient = false;
  readonly #onSpare: (wire: ServerStream) => void;
  /** Whose head is awaited. */
  #begun: Http2Stream | undefined;

  constructor(shard: Shard, wire: Wire, onSpare: (wire: ServerStream) => void) {
    super(shard);
    this.remoteIp = wire.remoteIp;
    this.encrypted = wire.encrypted;
    this.#onSpare = onSpare;
  }

  get isUsable(): boolean {
    return !this.isEnding;
  }

  serve(link: Http2Link, stream: Http2Stream): void {
    this.link = link;
    this.#begun = stream;
    stream.consumer = this;
  }

  protected writeHead(block: HeaderBlock, isAll: boolean, out: Buffer, start: number): number {
    const isUpgrade = block.protocol >= 0;
    const method = isUpgrade ? "GET" : methodOf(block);
    if (this.#begun !== undefined && this.link !== undefined) {
      this.bind(this.link, this.#begun, { kind: "response", method, isUpgrade });
    }
    this.isTunnel = isUpgrade || block.path < 0;
    const key = isUpgrade ? randomBytes(keyBytes).toString("base64") : "";
    return this.incoming.request(block, isAll, key, out, start);
  }

  /** A server answers; it begins nothing. */
  protected openStream(): boolean {
    return false;
  }

  protected exchanged(): void {
    this.#begun = undefined;
    this.#onSpare(this);
  }
}
