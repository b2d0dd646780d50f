/**
 * What the two halves of a session share: its streams, windows, budgets and state, how streams and the connection end, and
 * the small frames that are written. `session.ts` is what callers use; `incoming.ts` is what a peer's frames do.
 */
import {
  Frame,
  frameHeadBytes,
  Http2Error,
  maxStreamId,
  writeFrameHead,
  writeUint32,
} from "./frames.ts";
import { HeadSections } from "./head-sections.ts";
import { HeaderBlock } from "./header-block.ts";
import type { OutBuffer } from "./out-buffer.ts";
import { Budget, type Http2Counts, type Http2Limits, newHttp2Counts } from "./protection.ts";
import { SendQueue } from "./send-queue.ts";
import { SensitiveNames } from "./sensitive-names.ts";
import { SentHeads } from "./sent-heads.ts";
import { PeerSettings } from "./settings.ts";
import type { Http2Stream } from "./stream.ts";

export type SessionOwner = {
  /** A server is asked: `stream.consumer` is to be set, and is called next. */
  onStream(stream: Http2Stream): void;
  /** The peer takes no new streams (GOAWAY); those it did not begin were reset with REFUSED_STREAM. */
  onGoAway(code: number): void;
  /** After `drain()` the last stream is over: what is in the output is the last. */
  onDrained(): void;
  /** The connection is over, its streams were reset: what is in the output is the last. `reason` names no secrets. */
  onFailed(code: number, reason: string): void;
};

/** What all sessions of a worker have in common. */
export class Http2Shared {
  readonly block: HeaderBlock = new HeaderBlock();
  readonly sensitive: SensitiveNames = new SensitiveNames();
  readonly counts: Http2Counts;

  constructor(counts: Http2Counts = newHttp2Counts()) {
    this.counts = counts;
  }
}

export type SessionOptions = {
  readonly role: "client" | "server";
  readonly limits: Http2Limits;
  readonly shared: Http2Shared;
  readonly out: OutBuffer;
  readonly owner: SessionOwner;
  /** Of the clock that `tick` tells. */
  readonly nowMs: number;
};

/** Streams that we reset, and whose frames may still be on their way: five times the streams there can be at once. */
const rememberedResets = 512;

/** What we write into our PINGs: one asks whether the peer is there, one whether it has seen the first GOAWAY. */
export const OwnPing = { keepAlive: 1, drain: 2 } as const;

export class SessionCore {
  readonly isServer: boolean;
  readonly limits: Http2Limits;
  readonly counts: Http2Counts;
  readonly out: OutBuffer;
  readonly owner: SessionOwner;
  readonly peer: PeerSettings;
  readonly sections: HeadSections;
  readonly sentHeads: SentHeads = new SentHeads();
  readonly queue: SendQueue;
  readonly streams: Map<number, Http2Stream> = new Map();
  readonly budgets: {
    readonly resets: Budget;
    readonly settings: Budget;
    readonly pings: Budget;
    readonly emptyData: Budget;
    readonly idleFrames: Budget;
    readonly windowUpdates: Budget;
  };
  state: "open" | "draining" | "over" = "open";
  /** The peer sent GOAWAY. */
  peerLeaves = false;
  /** The newest stream of the peer, the last one that we take, and the next of ours. */
  lastPeerId = 0;
  lastTakenId: number = maxStreamId;
  nextId = 1;
  /** What the peer may still send on all streams together, and what of it was paid back but not told. */
  receiveWindow: number;
  credit = 0;
  nowMs: number;
  /** Deadlines, -1 without one: for the ACK of our SETTINGS, for the answer to a PING, for the second GOAWAY. */
  settingsDueMs: number;
  pingDueMs = -1;
  goAwayDueMs = -1;
  readonly #resetIds: Int32Array = new Int32Array(rememberedResets);
  #resetAt = 0;

  constructor(options: SessionOptions) {
    const { limits, shared, out } = options;
    this.isServer = options.role === "server";
    this.limits = limits;
    this.counts = shared.counts;
    this.out = out;
    this.owner = options.owner;
    this.peer = new PeerSettings(!this.isServer);
    this.sections = new HeadSections(shared, out, limits.maxContinuations);
    this.queue = new SendQueue(out);
    this.queue.nowMs = options.nowMs;
    this.nowMs = options.nowMs;
    this.settingsDueMs = options.nowMs + limits.settingsTimeoutMs;
    this.receiveWindow = limits.connectionWindowBytes;
    this.budgets = {
      resets: new Budget(limits.resets),
      settings: new Budget(limits.settings),
      pings: new Budget(limits.pings),
      emptyData: new Budget(limits.emptyData),
      idleFrames: new Budget(limits.idleFrames),
      windowUpdates: new Budget(limits.windowUpdates),
    };
  }

  /** Ends the connection for what the peer did (RFC 9113 §5.4.1). Answers false, which stops the reader. */
  fail(code: number, reason: string): false {
    if (this.state === "over") return false;
    this.writeGoAway(this.lastPeerId, code, reason);
    this.abandon(code);
    this.owner.onFailed(code, reason);
    return false;
  }

  /** A flood: the connection ends, and it is counted. */
  calm(kind: keyof Http2Counts, reason: string): false {
    this.counts[kind]++;
    return this.fail(Http2Error.enhanceYourCalm, reason);
  }

  /** All streams end before their time, and nothing is taken any more. */
  abandon(code: number): void {
    this.state = "over";
    const streams = [...this.streams.values()];
    this.streams.clear();
    for (const stream of streams) {
      stream.isClosed = true;
      this.queue.forget(stream);
    }
    for (const stream of streams) stream.consumer.onReset(code);
  }

  /**
   * Ends a stream for what the peer did (RFC 9113 §5.4.2). It counts like a reset by the peer, which has found a way to make
   * us do it. False when that was one too many.
   */
  streamError(stream: Http2Stream, code: number): boolean {
    this.resetId(stream.id, code);
    this.forget(stream);
    stream.consumer.onReset(code);
    return this.spendReset();
  }

  /** A server that resets our requests has its reasons; a client that resets its own costs us what we did for them. */
  spendReset(): boolean {
    if (!this.isServer) return this.state !== "over";
    return this.budgets.resets.spend() || this.calm("resetFloods", "Reset fewer streams");
  }

  resetId(id: number, code: number): void {
    this.#resetIds[this.#resetAt] = id;
    this.#resetAt = (this.#resetAt + 1) % rememberedResets;
    this.writeWord(Frame.reset, id, code);
  }

  /** Whether we reset this stream a short while ago: what still comes for it is ignored (RFC 9113 §5.1). */
  wasReset(id: number): boolean {
    return this.#resetIds.includes(id);
  }

  /** A stream is over before its time. What its consumer was shown will not be paid back any more. */
  forget(stream: Http2Stream): void {
    const { unconsumed } = stream;
    stream.unconsumed = 0;
    this.#close(stream);
    this.giveBack(unconsumed);
  }

  #close(stream: Http2Stream): void {
    stream.isClosed = true;
    this.queue.forget(stream);
    this.streams.delete(stream.id);
    if (this.state === "draining") this.finishDrain();
  }

  endLocal(stream: Http2Stream): void {
    stream.localEnded = true;
    if (stream.remoteEnded) this.#finish(stream);
  }

  endRemote(stream: Http2Stream): void {
    stream.remoteEnded = true;
    if (stream.localEnded) this.#finish(stream);
  }

  #finish(stream: Http2Stream): void {
    this.budgets.resets.payBack();
    this.#close(stream);
  }

  /** Bytes of DATA that hold nothing any more: the connection's window opens again. */
  giveBack(bytes: number): void {
    this.credit += bytes;
    if (this.state === "over" || this.credit < this.limits.connectionWindowBytes / 2) return;
    this.receiveWindow += this.credit;
    this.writeWord(Frame.windowUpdate, 0, this.credit);
    this.credit = 0;
  }

  /** The same for the stream's window. */
  giveBackTo(stream: Http2Stream, bytes: number): void {
    stream.credit += bytes;
    if (stream.credit < this.limits.streamWindowBytes / 2) return;
    stream.receiveWindow += stream.credit;
    this.writeWord(Frame.windowUpdate, stream.id, stream.credit);
    stream.credit = 0;
  }

  /** The second GOAWAY of a server, which names the last stream; the only one of a client. */
  endDrain(): void {
    this.goAwayDueMs = -1;
    this.lastTakenId = this.lastPeerId;
    this.writeGoAway(this.lastPeerId, Http2Error.none, "");
    this.finishDrain();
  }

  finishDrain(): void {
    if (this.streams.size > 0 || this.goAwayDueMs >= 0 || this.state !== "draining") return;
    this.state = "over";
    this.owner.onDrained();
  }

  /** A frame whose payload is one number: RST_STREAM or WINDOW_UPDATE. */
  writeWord(type: number, stream: number, word: number): void {
    const { out } = this;
    out.reserve(frameHeadBytes + 4);
    out.end = writeUint32(out.bytes, writeFrameHead(out.bytes, out.end, 4, type, 0, stream), word);
  }

  writeOwnPing(content: number): void {
    const { out } = this;
    out.reserve(frameHeadBytes + 8);
    const at = writeFrameHead(out.bytes, out.end, 8, Frame.ping, 0, 0);
    out.end = writeUint32(out.bytes, writeUint32(out.bytes, at, 0), content);
  }

  /** RFC 9113 §6.8. The reason is for the people who read the peer's log. */
  writeGoAway(lastId: number, code: number, reason: string): void {
    const { out } = this;
    const length = 8 + reason.length;
    out.reserve(frameHeadBytes + length);
    let at = writeFrameHead(out.bytes, out.end, length, Frame.goAway, 0, 0);
    at = writeUint32(out.bytes, writeUint32(out.bytes, at, lastId), code);
    out.end = at + out.bytes.write(reason, at, "latin1");
  }
}
