/**
 * The connections to one endpoint that speak HTTP/2: one, and another when all streams of the first are taken or it is to end.
 * Requests take streams of them; `Upstream` sees a stream as a connection of its own.
 */
import { createHash } from "node:crypto";
import { Known } from "../codec/header-list.ts";
import { Http2Error } from "../codec/http2/frames.ts";
import type { HeaderBlock } from "../codec/http2/header-block.ts";
import type { Upgrade } from "../codec/http2/http1-from-h2.ts";
import { type Dialing, type DialOptions, dial } from "../edge/net/dial.ts";
import type { Wire } from "../edge/net/wire.ts";
import type { ConnectionCounts } from "./count.ts";
import { grpcStatusOf } from "./grpc.ts";
import { Http2Link } from "./http2-link.ts";
import type { Shard } from "./shard.ts";
import { closeCode } from "./stream-reset.ts";
import { StreamWire } from "./stream-wire.ts";
import { Timer } from "./timer-wheel.ts";
import type { Upstream } from "./upstream.ts";

/** A connection without a stream is closed after this long: as long as clients of gRPC wait at the least between requests that belong together. */
const sessionIdleMs = 60_000;

/** How long it is remembered that an endpoint does not speak HTTP/2. It may be replaced by one that does, at the same address. */
const memoryMs = 60_000;

/**
 * The same for one that takes connections and says nothing, which may be busy only: doubled for each time in a row, up to `memoryMs`. It is asked again by one
 * request, while the others do not wait.
 */
const firstSilenceMs = 5_000;

/** Stands for a failure to be told HTTP/2's settings, among the codes of the system. */
export const notHttp2 = "NOT_HTTP2";

/**
 * How long the head of a response waits for its success to show, when a rule wants to try again otherwise. A stream that has
 * nothing to say yet must not wait for ever.
 */
const statusWaitMs = 1_000;

/** RFC 6455 §1.3. */
const webSocketGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

export type Http2PoolOptions = {
  readonly shard: Shard;
  /** Of a connection, once it is known whether it is encrypted. */
  readonly countsOf: (encrypted: boolean) => ConnectionCounts;
  /** What the connection begins with. */
  readonly preface: Buffer | undefined;
};

export class Http2Pool {
  /** What waits for a request; each takes a stream when it gets one. */
  readonly idle: Upstream[] = [];
  readonly #options: Http2PoolOptions;
  readonly #links: Set<Http2Link> = new Set();
  /** Had room when it was asked last. */
  #roomy: Http2Link | undefined;
  readonly #waiting: Set<DialOptions> = new Set();
  #dialing: Dialing | undefined;
  #opening: Http2Link | undefined;
  #isClosed = false;
  /** When `#opening` was connected. */
  #openedMs = 0;
  #untilMs = 0;
  /** How often in a row it has said nothing. */
  #silences = 0;

  constructor(options: Http2PoolOptions) {
    this.#options = options;
  }

  /** A connection with room for a stream. */
  get link(): Http2Link | undefined {
    if (this.#roomy?.session.canOpen === true) return this.#roomy;
    this.#roomy = undefined;
    for (const link of this.#links) {
      if (!link.session.canOpen) continue;
      this.#roomy = link;
      break;
    }
    return this.#roomy;
  }

  /** Whether a connection is there that could be spoken over. */
  get encrypted(): boolean {
    for (const { wire } of this.#links) return wire.encrypted;
    return false;
  }

  /** Whether the endpoint has said that it does not take extended CONNECT (RFC 8441 §3). */
  get refusesUpgrades(): boolean {
    for (const { session } of this.#links) return !session.peer.allowsConnectProtocol;
    return false;
  }

  /** Whether the endpoint has shown lately that it does not speak HTTP/2. */
  get isUnable(): boolean {
    return this.#options.shard.nowMs() < this.#untilMs || this.isSilent;
  }

  /** Whether it would have to be waited for in vain. */
  get isSilent(): boolean {
    if (this.#silences === 0) return false;
    return this.#options.shard.nowMs() < this.#untilMs || this.#dialing !== undefined;
  }

  newStream(): ClientStream {
    return new ClientStream(this.#options.shard, this, this.encrypted);
  }

  /** As `dial`: brings a stream, over a new connection. Whoever comes while one is being opened waits for that one. */
  open(options: DialOptions): Dialing {
    this.#waiting.add(options);
    if (this.#dialing === undefined) this.#dial(options);
    return { cancel: () => this.#cancel(options) };
  }

  /**
   * The time of one who waits for a stream is over. True: the endpoint takes the connection and says nothing, so all who wait are told that it does not speak
   * HTTP/2. False: it was not reached in time.
   */
  endSilence(): boolean {
    const link = this.#opening;
    const { nowMs, limits } = this.#options.shard;
    const now = nowMs();
    // What came late has not been waited for.
    if (link === undefined || now - this.#openedMs < limits.connectTimeoutMs / 2) return false;
    this.#opening = undefined;
    this.#untilMs = now + Math.min(firstSilenceMs * 2 ** this.#silences, memoryMs);
    this.#silences++;
    link.destroy();
    this.#fail({ kind: "connect", code: notHttp2, reason: notSpoken("it says nothing") });
    return true;
  }

  /** What is under way ends, and nothing new begins. */
  close(): void {
    this.#isClosed = true;
    for (const upstream of this.idle.splice(0)) upstream.close();
    for (const link of this.#links) link.drain();
  }

  #cancel(options: DialOptions): void {
    this.#waiting.delete(options);
    if (this.#waiting.size > 0) return;
    const dialing = this.#dialing;
    this.#dialing = undefined;
    this.#opening = undefined;
    dialing?.cancel();
  }

  #dial(options: DialOptions): void {
    this.#dialing = dial({
      ...options,
      onOpen: (wire) => this.#begin(wire),
      onFailure: (failure) => this.#fail(failure),
    });
  }

  /** The connection counts as open when the endpoint has sent its settings: it speaks HTTP/2, and says how many streams it takes. */
  #begin(wire: Wire): void {
    const { shard, countsOf, preface } = this.#options;
    const link: Http2Link = new Http2Link({
      shard,
      wire,
      role: "client",
      counts: countsOf(wire.encrypted),
      idleMs: sessionIdleMs,
      preface,
      onStream: () => {},
      onReady: () => this.#ready(link),
      onRetired: () => this.#links.delete(link),
      onGone: (why) => this.#gone(link, why),
    });
    this.#opening = link;
    this.#openedMs = shard.nowMs();
    this.#dialing = { cancel: () => link.destroy() };
  }

  #ready(link: Http2Link): void {
    this.#dialing = undefined;
    this.#opening = undefined;
    this.#silences = 0;
    this.#links.add(link);
    for (const options of [...this.#waiting]) {
      if (!link.session.canOpen) break;
      if (this.#waiting.delete(options)) options.onOpen(this.newStream());
    }
    const [next] = this.#waiting;
    if (next !== undefined) this.#dial(next);
    if (this.#isClosed) link.drain();
  }

  #gone(link: Http2Link, why: string): void {
    this.#links.delete(link);
    if (this.#roomy === link) this.#roomy = undefined;
    if (this.#opening !== link) return;
    this.#opening = undefined;
    this.#untilMs = this.#options.shard.nowMs() + memoryMs;
    this.#silences = 0;
    const what = why === "" ? "it closed the connection" : why;
    this.#fail({ kind: "connect", code: notHttp2, reason: notSpoken(what) });
  }

  #fail(failure: Parameters<DialOptions["onFailure"]>[0]): void {
    this.#dialing = undefined;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const { onFailure } of waiting) onFailure(failure);
  }
}

function notSpoken(what: string): string {
  return `it does not speak HTTP/2: ${what}`;
}

class ClientStream extends StreamWire {
  readonly remoteIp = "";
  readonly encrypted: boolean;
  grpcStatus: number | undefined = undefined;
  awaitsStatus = false;
  protected readonly isClient = true;
  readonly #pool: Http2Pool;
  readonly #statusWait: Timer = new Timer(() => this.release());

  constructor(shard: Shard, pool: Http2Pool, encrypted: boolean) {
    super(shard);
    this.#pool = pool;
    this.encrypted = encrypted;
  }

  protected openStream(): boolean {
    this.unbind();
    const { link } = this.#pool;
    const stream = link?.session.open(this);
    if (link === undefined || stream === undefined) {
      this.over(closeCode(Http2Error.refusedStream));
      return false;
    }
    this.grpcStatus = undefined;
    this.bind(link, stream, { kind: "request", scheme: "http" });
    return true;
  }

  protected writeHead(block: HeaderBlock, isAll: boolean, out: Buffer, start: number): number {
    const { method = "", protocol = "", webSocketKey = "" } = this.outgoing ?? {};
    const upgrade: Upgrade | undefined =
      protocol === "" ? undefined : { protocol, proof: acceptOf(webSocketKey) };
    const isGood = block.status >= 200 && block.status < 300;
    this.isTunnel = isGood && (upgrade !== undefined || method === "CONNECT");
    if (isAll) this.noteTrailers(block);
    return this.incoming.response(block, isAll, { method, upgrade }, out, start);
  }

  override onHead(block: HeaderBlock, isAll: boolean): void {
    if (this.awaitsStatus && !isAll && block.status >= 200) {
      this.delay();
      this.shard.wheel.arm(this.#statusWait, statusWaitMs);
    }
    super.onHead(block, isAll);
  }

  /** What comes in the same read as the first content may be the trailers. */
  override onData(bytes: Buffer, start: number, end: number): void {
    super.onData(bytes, start, end);
    if (this.awaitsStatus) setImmediate(() => this.release());
  }

  override onEnd(): void {
    this.release();
    super.onEnd();
  }

  protected override release(): void {
    this.shard.wheel.forget(this.#statusWait);
    super.release();
  }

  protected override over(code: string): void {
    this.shard.wheel.forget(this.#statusWait);
    super.over(code);
  }

  protected override noteTrailers(block: HeaderBlock): void {
    for (let i = 0; i < block.count; i++) {
      if (block.ids[i] === Known.grpcStatus) this.grpcStatus = grpcStatusOf(block.value(i));
    }
  }

  protected exchanged(): void {}
}

/** RFC 6455 §4.2.2. */
function acceptOf(key: string): string {
  return createHash("sha1").update(`${key}${webSocketGuid}`).digest("base64");
}
