/** What the frames of a peer do to a session (RFC 9113 §5 and §6). Everything answers false when the connection is over. */
import { FrameReader } from "./frame-reader.ts";
import {
  Flag,
  Frame,
  frameHeadBytes,
  Http2Error,
  maxFrameBytes,
  maxWindow,
  readUint31,
  readUint32,
  writeFrameHead,
} from "./frames.ts";
import { Section } from "./head-sections.ts";
import { Good } from "./header-block.ts";
import { readRequestBlock, readResponseBlock, readTrailerBlock } from "./header-rules.ts";
import { OwnPing, type SessionCore } from "./session-core.ts";
import { Http2Stream, type StreamConsumer } from "./stream.ts";

/** RFC 9113 §6: the length that frames of a type have, -1 for any. By the type. */
const fixedLengths: readonly number[] = [-1, -1, 5, 4, -1, -1, 8, -1, 4, -1];

/** Stands in until the owner has set the consumer of a new stream. */
const nobody: StreamConsumer = {
  onHead: () => {},
  onData: () => {},
  onTrailers: () => {},
  onEnd: () => {},
  onReset: () => {},
  onWritable: () => {},
};

export class IncomingFrames {
  readonly #core: SessionCore;
  readonly #reader: FrameReader;
  #sawSettings = false;
  /** The frame that is being read. */
  #type = 0;
  #flags = 0;
  #id = 0;
  /** The stream of a DATA frame; nothing when its DATA is dropped. */
  #dataStream: Http2Stream | undefined;
  /** What of a DATA frame counts against the windows and no consumer was shown: padding, and what is dropped. */
  #unshown = 0;

  constructor(core: SessionCore) {
    this.#core = core;
    const sink = {
      frameStarts: (length: number, type: number, flags: number, stream: number) => {
        this.#type = type;
        this.#flags = flags;
        this.#id = stream;
        return this.#frameStarts(length);
      },
      payload: (bytes: Buffer, start: number, end: number) => this.#payload(bytes, start, end),
      dataPiece: (bytes: Buffer, start: number, end: number) => this.#data(bytes, start, end),
      dataEnds: () => this.#dataEnds(),
      malformed: (reason: string) => core.fail(Http2Error.protocol, reason),
    };
    this.#reader = new FrameReader(sink, core.isServer);
  }

  take(bytes: Buffer, start: number, end: number): boolean {
    return this.#reader.take(bytes, start, end);
  }

  #frameStarts(length: number): boolean {
    const core = this.#core;
    const type = this.#type;
    if (!this.#sawSettings) {
      if (type !== Frame.settings || (this.#flags & Flag.ack) !== 0) {
        return core.fail(Http2Error.protocol, "Send SETTINGS first (RFC 9113 section 3.4)");
      }
      this.#sawSettings = true;
    }
    if (length > maxFrameBytes) {
      return core.fail(Http2Error.frameSize, "Send frames of at most 16384 bytes");
    }
    const open = core.sections.stream;
    if (
      open !== 0 ? type !== Frame.continuation || this.#id !== open : type === Frame.continuation
    ) {
      return core.fail(
        Http2Error.protocol,
        "Send CONTINUATION frames directly behind their HEADERS",
      );
    }
    const fixed = fixedLengths[type] ?? -1;
    if (fixed >= 0 && length !== fixed) {
      return core.fail(Http2Error.frameSize, "Send frames of the length that their type has");
    }
    return type === Frame.data ? this.#dataStarts(length) : this.#isAtItsPlace();
  }

  /** Some frames are of the connection, the others of a stream that has begun. */
  #isAtItsPlace(): boolean {
    const type = this.#type;
    const isOfConnection = type === Frame.settings || type === Frame.ping || type === Frame.goAway;
    const isOfEither = type === Frame.windowUpdate || type > Frame.continuation;
    if (isOfEither || isOfConnection === (this.#id === 0)) return true;
    return this.#core.fail(Http2Error.protocol, "Send the frame on a stream where it belongs");
  }

  /** Whether a stream has never been used (RFC 9113 §5.1: idle). */
  #isIdle(id: number): boolean {
    const core = this.#core;
    const isOurs = (id & 1) === (core.isServer ? 0 : 1);
    if (isOurs) return core.isServer || id >= core.nextId;
    return id > core.lastPeerId && id <= core.lastTakenId;
  }

  // DATA

  #dataStarts(length: number): boolean {
    const core = this.#core;
    const stream = core.streams.get(this.#id);
    this.#dataStream = stream;
    this.#unshown = length;
    core.receiveWindow -= length;
    if (core.receiveWindow < 0) {
      return core.fail(Http2Error.flowControl, "Send no more than the connection's window");
    }
    if (this.#id === 0 || (stream === undefined && this.#isIdle(this.#id))) {
      return core.fail(Http2Error.protocol, "Send DATA on streams that have begun");
    }
    const isEmpty = length === 0 && (this.#flags & Flag.endStream) === 0;
    if (isEmpty && !core.budgets.emptyData.spend()) {
      return core.calm("emptyDataFloods", "Send DATA with content");
    }
    if (stream !== undefined) return this.#countData(stream, length);
    if (core.wasReset(this.#id) || this.#id > core.lastTakenId) return true;
    core.resetId(this.#id, Http2Error.streamClosed);
    return core.spendReset();
  }

  #countData(stream: Http2Stream, length: number): boolean {
    let error = 0;
    stream.receiveWindow -= length;
    if (stream.remoteEnded) error = Http2Error.streamClosed;
    else if (stream.receiveWindow < 0) error = Http2Error.flowControl;
    else if (!stream.hasHead) error = Http2Error.protocol;
    return error === 0 || this.#core.streamError(stream, error);
  }

  #data(bytes: Buffer, start: number, end: number): boolean {
    const core = this.#core;
    const stream = this.#dataStream;
    if (stream === undefined || stream.isClosed) return true;
    const length = end - start;
    stream.receivedBytes += length;
    if (stream.expectedBytes >= 0 && stream.receivedBytes > stream.expectedBytes) {
      return core.streamError(stream, Http2Error.protocol);
    }
    this.#unshown -= length;
    stream.unconsumed += length;
    stream.consumer.onData(bytes, start, end);
    return core.state !== "over";
  }

  #dataEnds(): boolean {
    const stream = this.#dataStream;
    this.#dataStream = undefined;
    this.#core.giveBack(this.#unshown);
    if (stream === undefined || stream.isClosed) return true;
    if ((this.#flags & Flag.endStream) !== 0) return this.#endRemote(stream);
    this.#core.giveBackTo(stream, this.#unshown);
    return true;
  }

  /** END_STREAM: what came must be what Content-Length said (RFC 9113 §8.1.1). */
  #endRemote(stream: Http2Stream): boolean {
    const core = this.#core;
    if (stream.expectedBytes >= 0 && stream.receivedBytes !== stream.expectedBytes) {
      return core.streamError(stream, Http2Error.protocol);
    }
    core.endRemote(stream);
    stream.consumer.onEnd();
    return core.state !== "over";
  }

  // All other frames

  #payload(bytes: Buffer, start: number, end: number): boolean {
    const core = this.#core;
    switch (this.#type) {
      case Frame.headers:
        return this.#headers(bytes, start, end);
      case Frame.continuation:
        return this.#section(core.sections.proceed(this.#flags, bytes, start, end));
      case Frame.reset:
        return this.#reset(readUint32(bytes, start));
      case Frame.settings:
        return this.#settings(bytes, start, end);
      case Frame.ping:
        return this.#ping(bytes, start);
      case Frame.goAway:
        return this.#goAway(bytes, start, end);
      case Frame.windowUpdate:
        return this.#windowUpdate(readUint31(bytes, start));
      case Frame.pushPromise:
        return core.fail(Http2Error.protocol, "Push nothing (RFC 9113 section 8.4)");
      default:
        // PRIORITY is obsolete (RFC 9113 §5.3.2), and what is unknown is ignored (§5.5).
        return this.#spendIdle();
    }
  }

  #spendIdle(): boolean {
    const core = this.#core;
    return core.budgets.idleFrames.spend() || core.calm("idleFrameFloods", "Send what is of use");
  }

  #headers(bytes: Buffer, start: number, end: number): boolean {
    const core = this.#core;
    const isPeers = (this.#id & 1) === 1;
    if (core.isServer && !isPeers) {
      return core.fail(Http2Error.protocol, "Open streams with odd numbers");
    }
    return this.#section(core.sections.begin(this.#id, this.#flags, bytes, start, end));
  }

  /** A part of a header section was taken; if it was the last, the section does what it says. */
  #section(result: number): boolean {
    const core = this.#core;
    switch (result) {
      case Section.more:
        return true;
      case Section.whole:
        return this.#whole();
      case Section.flood:
        return core.calm("continuationFloods", "Send smaller header sections");
      case Section.bomb:
        return core.calm("headerBombs", "Send smaller header lists");
      case Section.badPadding:
        return core.fail(Http2Error.protocol, "Send less padding than the frame has bytes");
      default:
        return core.fail(Http2Error.compression, "Compress header sections as RFC 7541 says");
    }
  }

  #whole(): boolean {
    const core = this.#core;
    const stream = core.streams.get(this.#id);
    if (stream !== undefined) {
      if (stream.remoteEnded) return core.streamError(stream, Http2Error.streamClosed);
      return core.isServer || stream.hasHead ? this.#trailers(stream) : this.#response(stream);
    }
    if (core.isServer && this.#id > core.lastPeerId) return this.#request();
    if (core.wasReset(this.#id)) return true;
    const isIdle = this.#isIdle(this.#id);
    return core.fail(
      isIdle ? Http2Error.protocol : Http2Error.streamClosed,
      "Send HEADERS on streams that are open",
    );
  }

  #request(): boolean {
    const core = this.#core;
    const { block } = core.sections;
    const id = this.#id;
    // RFC 9113 §6.8: beyond what the last GOAWAY named; the peer knows that it is not taken.
    if (id > core.lastTakenId) return true;
    core.lastPeerId = id;
    if (core.streams.size >= core.limits.maxConcurrentStreams) {
      core.counts.refusedStreams++;
      core.resetId(id, Http2Error.refusedStream);
      return core.spendReset();
    }
    const stream = new Http2Stream(nobody, core.limits.streamWindowBytes);
    stream.id = id;
    stream.sendWindow = core.peer.initialWindow;
    core.streams.set(id, stream);
    if (block.isTooLarge) return this.#refuseLarge(stream);
    if (block.goodAs !== Good.request) {
      if (!readRequestBlock(block)) return this.#malformed(stream);
      core.sections.keep(Good.request);
    }
    stream.hasHead = true;
    stream.expectedBytes = block.contentLength;
    core.owner.onStream(stream);
    stream.consumer.onHead(block, core.sections.endsStream);
    return this.#headEnds(stream);
  }

  #headEnds(stream: Http2Stream): boolean {
    const core = this.#core;
    if (stream.isClosed || !core.sections.endsStream) return core.state !== "over";
    return this.#endRemote(stream);
  }

  /** The same answer as over HTTP/1.1: the client learns what to change (RFC 9113 §10.5.1). */
  #refuseLarge(stream: Http2Stream): boolean {
    const core = this.#core;
    core.counts.largeHeads++;
    if (!core.isServer) return core.streamError(stream, Http2Error.enhanceYourCalm);
    core.sections.start(0, 1).status(431);
    core.sections.finish(stream.id, true);
    core.resetId(stream.id, Http2Error.none);
    core.forget(stream);
    return core.spendReset();
  }

  #malformed(stream: Http2Stream): boolean {
    this.#core.counts.malformedHeads++;
    return this.#core.streamError(stream, Http2Error.protocol);
  }

  #response(stream: Http2Stream): boolean {
    const core = this.#core;
    const { block } = core.sections;
    if (block.isTooLarge) return this.#refuseLarge(stream);
    if (block.goodAs !== Good.response) {
      if (!readResponseBlock(block)) return this.#malformed(stream);
      core.sections.keep(Good.response);
    }
    const isFinal = block.status >= 200;
    if (!isFinal && core.sections.endsStream) return this.#malformed(stream);
    if (isFinal) {
      stream.hasHead = true;
      const isEmpty = stream.isAnsweredEmpty || block.status === 304 || block.status === 204;
      stream.expectedBytes = isEmpty ? 0 : block.contentLength;
    }
    stream.consumer.onHead(block, core.sections.endsStream);
    return this.#headEnds(stream);
  }

  #trailers(stream: Http2Stream): boolean {
    const core = this.#core;
    const { block } = core.sections;
    if (block.isTooLarge) {
      core.counts.largeHeads++;
      return core.streamError(stream, Http2Error.enhanceYourCalm);
    }
    if (!core.sections.endsStream) return this.#malformed(stream);
    if (block.goodAs !== Good.trailers) {
      if (!readTrailerBlock(block)) return this.#malformed(stream);
      core.sections.keep(Good.trailers);
    }
    stream.consumer.onTrailers(block);
    return this.#headEnds(stream);
  }

  #reset(code: number): boolean {
    const core = this.#core;
    const stream = core.streams.get(this.#id);
    if (stream === undefined) {
      if (this.#isIdle(this.#id)) {
        return core.fail(Http2Error.protocol, "Reset streams that have begun");
      }
      return this.#spendIdle();
    }
    core.forget(stream);
    stream.consumer.onReset(code);
    // Who has the whole answer only says that it sends no more.
    return stream.localEnded || core.spendReset();
  }

  #settings(bytes: Buffer, start: number, end: number): boolean {
    const core = this.#core;
    if ((this.#flags & Flag.ack) !== 0) {
      core.settingsDueMs = -1;
      return (
        end === start || core.fail(Http2Error.frameSize, "Acknowledge SETTINGS without content")
      );
    }
    if (!core.budgets.settings.spend()) {
      return core.calm("settingsFloods", "Send SETTINGS less often");
    }
    const { initialWindow } = core.peer;
    const error = core.peer.read(bytes, start, end);
    if (error !== 0) return core.fail(error, "Send settings that RFC 9113 section 6.5 allows");
    core.sections.resize(core.peer.tableBytes);
    core.out.reserve(frameHeadBytes);
    const { out } = core;
    out.end = writeFrameHead(out.bytes, out.end, 0, Frame.settings, Flag.ack, 0);
    const delta = core.peer.initialWindow - initialWindow;
    if (delta === 0) return true;
    for (const stream of core.streams.values()) {
      if (!core.queue.widen(stream, delta)) {
        return core.fail(Http2Error.flowControl, "Keep windows below 2^31");
      }
    }
    return true;
  }

  #ping(bytes: Buffer, start: number): boolean {
    const core = this.#core;
    if ((this.#flags & Flag.ack) !== 0) {
      if (readUint32(bytes, start) !== 0) return true;
      const content = readUint32(bytes, start + 4);
      if (content === OwnPing.keepAlive) core.pingDueMs = -1;
      if (content === OwnPing.drain && core.goAwayDueMs >= 0) core.endDrain();
      return core.state !== "over";
    }
    if (!core.budgets.pings.spend()) return core.calm("pingFloods", "Send PING less often");
    const { out } = core;
    out.reserve(frameHeadBytes + 8);
    const at = writeFrameHead(out.bytes, out.end, 8, Frame.ping, Flag.ack, 0);
    out.end = at + bytes.copy(out.bytes, at, start, start + 8);
    return true;
  }

  #goAway(bytes: Buffer, start: number, end: number): boolean {
    const core = this.#core;
    if (end - start < 8) return core.fail(Http2Error.frameSize, "Send GOAWAY with 8 bytes");
    const lastId = readUint31(bytes, start);
    core.peerLeaves = true;
    if (!core.isServer) {
      for (const stream of [...core.streams.values()]) {
        if (stream.id <= lastId || stream.isClosed) continue;
        core.forget(stream);
        stream.consumer.onReset(Http2Error.refusedStream);
      }
    }
    core.owner.onGoAway(readUint32(bytes, start + 4));
    return core.state !== "over";
  }

  #windowUpdate(bytes: number): boolean {
    const core = this.#core;
    if (!core.budgets.windowUpdates.spend()) {
      return core.calm("windowUpdateFloods", "Send WINDOW_UPDATE less often");
    }
    if (this.#id === 0) {
      if (bytes === 0) return core.fail(Http2Error.protocol, "Widen windows by more than nothing");
      core.queue.window += bytes;
      return (
        core.queue.window <= maxWindow ||
        core.fail(Http2Error.flowControl, "Keep windows below 2^31")
      );
    }
    const stream = core.streams.get(this.#id);
    if (stream === undefined) {
      return (
        !this.#isIdle(this.#id) ||
        core.fail(Http2Error.protocol, "Widen the windows of streams that have begun")
      );
    }
    if (bytes === 0) return core.streamError(stream, Http2Error.protocol);
    return core.queue.widen(stream, bytes) || core.streamError(stream, Http2Error.flowControl);
  }
}
