/**
 * One HTTP/2 connection (RFC 9113), as client or as server, without its socket: bytes go in, calls come out, and what is
 * to be sent gathers in an `OutBuffer`. Rules that a peer breaks cost the stream or the connection, as the standard says,
 * and nothing a peer does is without a limit (`protection.ts`).
 *
 * After each call into the session its owner writes what is in the output, and calls `resumeSending` when that has left.
 */
import { clientPreface, Http2Error, maxStreamId } from "./frames.ts";
import type { HpackEncoder } from "./hpack-encode.ts";
import { IncomingFrames } from "./incoming.ts";
import type { SentHeads } from "./sent-heads.ts";
import { OwnPing, SessionCore, type SessionOptions } from "./session-core.ts";
import { type PeerSettings, writeFirstFrames } from "./settings.ts";
import { connectionLost, Http2Stream, type StreamConsumer } from "./stream.ts";

export class Http2Session {
  readonly #core: SessionCore;
  readonly #incoming: IncomingFrames;
  #sawFrame = false;
  #lastFrameMs: number;

  /** The first frames are in the output afterwards. */
  constructor(options: SessionOptions) {
    const core = new SessionCore(options);
    this.#core = core;
    this.#incoming = new IncomingFrames(core);
    this.#lastFrameMs = core.nowMs;
    const { out } = core;
    if (!core.isServer) {
      out.reserve(clientPreface.length);
      out.end += clientPreface.copy(out.bytes, out.end);
    }
    writeFirstFrames(out, core.limits, core.isServer);
  }

  get peer(): PeerSettings {
    return this.#core.peer;
  }

  get streamCount(): number {
    return this.#core.streams.size;
  }

  /** Whether `open` answers a stream now. */
  get canOpen(): boolean {
    return !this.isRetired && this.streamCount < this.peer.maxConcurrentStreams;
  }

  /** Whether it never will again: another connection is needed. */
  get isRetired(): boolean {
    const { peerLeaves, state, nextId } = this.#core;
    return peerLeaves || state !== "open" || nextId > maxStreamId;
  }

  /** Takes `bytes[start, end)` from the peer. */
  feed(bytes: Buffer, start: number, end: number): void {
    const core = this.#core;
    if (core.state === "over") return;
    this.#sawFrame = true;
    if (!this.#incoming.take(bytes, start, end)) return;
    core.queue.resume();
    if (core.out.isOverfull) core.calm("backlogs", "Read what is sent");
  }

  /** The connection has ended: its streams end before their time. */
  close(): void {
    this.#core.abandon(connectionLost);
  }

  /** A stream of our own, or nothing (`canOpen`). Its head has to be sent before another is opened. */
  open(consumer: StreamConsumer): Http2Stream | undefined {
    return this.canOpen
      ? new Http2Stream(consumer, this.#core.limits.streamWindowBytes)
      : undefined;
  }

  /**
   * Begins a head or trailers on a stream that is not closed: answers the encoder to write `fields` fields with, whose names
   * and values together have at most `octets`. Ends with `endHead`, before anything else is sent.
   */
  beginHead(stream: Http2Stream, octets: number, fields: number): HpackEncoder {
    this.#enroll(stream);
    return this.#core.sections.start(octets, fields);
  }

  #enroll(stream: Http2Stream): void {
    const core = this.#core;
    if (stream.isClosed || stream.localEnded) throw new Error("Send heads on open streams only");
    if (stream.id === 0) {
      stream.id = core.nextId;
      core.nextId += 2;
      stream.sendWindow = core.peer.initialWindow;
      core.streams.set(stream.id, stream);
    }
  }

  endHead(stream: Http2Stream, endsStream: boolean): void {
    this.#core.sections.finish(stream.id, endsStream);
    if (endsStream) this.#core.endLocal(stream);
  }

  /** The heads that are known by their text; `headEdition` says which of them still hold. */
  get sentHeads(): SentHeads {
    return this.#core.sentHeads;
  }

  get headEdition(): number {
    return this.#core.sections.edition;
  }

  /** What `endHead` has just sent, if it may be sent again as it is. */
  get repeatableHead(): Buffer | undefined {
    return this.#core.sections.repeatable;
  }

  /** Sends a head again. */
  repeatHead(stream: Http2Stream, section: Buffer, endsStream: boolean): void {
    this.#enroll(stream);
    this.#core.sections.repeat(stream.id, section, endsStream);
    if (endsStream) this.#core.endLocal(stream);
  }

  /**
   * Sends content. Answers how much of it was taken; if that is not all, the consumer's `onWritable` follows. The end of
   * the stream goes with the last byte, or alone when there is none. On a closed stream everything is taken, and dropped.
   */
  // biome-ignore lint/complexity/useMaxParams: an options object would be made for every piece of a body.
  sendData(
    stream: Http2Stream,
    bytes: Buffer,
    start: number,
    end: number,
    endsStream: boolean,
  ): number {
    if (stream.isClosed || stream.localEnded) return end - start;
    const core = this.#core;
    const taken = core.queue.send(stream, bytes, start, end, endsStream);
    if (taken > 0) {
      // One for the stream and one for the connection.
      core.budgets.windowUpdates.payBack();
      core.budgets.windowUpdates.payBack();
    }
    if (endsStream && taken === end - start) core.endLocal(stream);
    return taken;
  }

  /** The output has room again: streams that wait go on. */
  resumeSending(): void {
    this.#core.queue.resume();
  }

  /** The consumer has taken on `bytes` of what `onData` showed it: the peer may send as many more. */
  consumed(stream: Http2Stream, bytes: number): void {
    const core = this.#core;
    const paid = Math.min(bytes, stream.unconsumed);
    stream.unconsumed -= paid;
    core.giveBack(paid);
    if (!stream.isClosed && !stream.remoteEnded) core.giveBackTo(stream, paid);
  }

  /** Ends a stream before its time. Nothing more is called on it. */
  reset(stream: Http2Stream, code: number): void {
    if (stream.isClosed) return;
    if (stream.id > 0) this.#core.resetId(stream.id, code);
    this.#core.forget(stream);
  }

  /**
   * Takes no new streams and lets the others end (RFC 9113 §6.8). A server says so twice: streams that were under way when
   * the first GOAWAY was sent are still taken.
   */
  drain(): void {
    const core = this.#core;
    if (core.state !== "open") return;
    core.state = "draining";
    if (!core.isServer) {
      core.endDrain();
      return;
    }
    core.writeGoAway(maxStreamId, Http2Error.none, "");
    core.writeOwnPing(OwnPing.drain);
    core.goAwayDueMs = core.nowMs + core.limits.drainGraceMs;
  }

  /** Time has passed: to be called about once a second. */
  tick(nowMs: number): void {
    const core = this.#core;
    if (core.state === "over") return;
    for (const budget of Object.values(core.budgets)) budget.pass(nowMs - core.nowMs);
    core.nowMs = nowMs;
    core.queue.nowMs = nowMs;
    if (this.#sawFrame) this.#lastFrameMs = nowMs;
    this.#sawFrame = false;
    if (core.settingsDueMs >= 0 && nowMs >= core.settingsDueMs) {
      core.fail(Http2Error.settingsTimeout, "Acknowledge SETTINGS");
    } else if (core.pingDueMs >= 0 && nowMs >= core.pingDueMs) {
      core.fail(Http2Error.cancel, "Answer PING");
    } else {
      this.#askWhetherAlive();
      this.#endStalled();
      if (core.goAwayDueMs >= 0 && nowMs >= core.goAwayDueMs) core.endDrain();
    }
  }

  #askWhetherAlive(): void {
    const core = this.#core;
    const { keepAliveMs, keepAliveTimeoutMs } = core.limits;
    if (keepAliveMs === 0 || core.pingDueMs >= 0) return;
    if (core.nowMs - this.#lastFrameMs < keepAliveMs) return;
    core.writeOwnPing(OwnPing.keepAlive);
    core.pingDueMs = core.nowMs + keepAliveTimeoutMs;
  }

  #endStalled(): void {
    const core = this.#core;
    for (const stream of core.streams.values()) {
      if (stream.waitingSince < 0) continue;
      if (core.nowMs - stream.waitingSince < core.limits.sendStallMs) continue;
      core.counts.stalledStreams++;
      if (!core.streamError(stream, Http2Error.cancel)) return;
    }
  }
}
