/**
 * A stream of an HTTP/2 connection as a `Wire` that carries HTTP/1.1: what comes on the stream is read as an HTTP/1.1 message,
 * and an HTTP/1.1 message that is sent goes onto the stream. So everything above treats both protocols alike. Like a
 * connection that is kept alive it carries one exchange after the other, each on a stream of its own.
 */

import { Http2Error } from "../codec/http2/frames.ts";
import { H2FromHttp1, type Sent, Untranslatable } from "../codec/http2/h2-from-http1.ts";
import { copyBytes, type HeaderBlock } from "../codec/http2/header-block.ts";
import {
  chunkOverhead,
  Http1FromH2,
  headRoom,
  trailersRoom,
} from "../codec/http2/http1-from-h2.ts";
import { connectionLost, type Http2Stream, type StreamConsumer } from "../codec/http2/stream.ts";
import type { Wire, WireOwner } from "../edge/net/wire.ts";
import { HeldBytes } from "./held-bytes.ts";
import type { Http2Link } from "./http2-link.ts";
import type { Shard } from "./shard.ts";
import { closeCode } from "./stream-reset.ts";

const nothing: Buffer = Buffer.alloc(0);

const nobody: WireOwner = {
  readBuffer: () => nothing,
  onBytes: () => true,
  onWritten: () => {},
  onEnd: () => {},
  onClose: () => {},
};

/** Of a stream that its wire has left: what still comes is thrown away, and the connection's window opens again. */
function leftover(link: Http2Link, stream: Http2Stream): StreamConsumer {
  return {
    onHead: () => {},
    onData: (_bytes, start, end) => link.session.consumed(stream, end - start),
    onTrailers: () => {},
    onEnd: () => {},
    onReset: () => {},
    onWritable: () => {},
  };
}

/** Bytes that the stream had no room for. The buffer is on loan. */
type Unsent = { readonly bytes: Buffer; at: number; readonly end: number };

export abstract class StreamWire implements Wire, StreamConsumer {
  owner: WireOwner = nobody;
  readonly givesBuffers = false;
  readonly isStream = true as const;
  abstract readonly remoteIp: string;
  abstract readonly encrypted: boolean;
  protected abstract readonly isClient: boolean;
  protected readonly shard: Shard;
  protected link: Http2Link | undefined;
  protected stream: Http2Stream | undefined;
  protected readonly incoming: Http1FromH2 = new Http1FromH2();
  /** Made for the first stream; of use while there is one. */
  protected outgoing: H2FromHttp1 | undefined;
  /** What comes has no end of its own: an end of the stream is one of the connection. */
  protected isTunnel = false;
  readonly #unsent: Unsent[] = [];
  /** What has come and was not delivered: what is written as HTTP/1.1 already, content without framing, and what follows it. */
  readonly #heads: HeldBytes = new HeldBytes();
  readonly #content: HeldBytes = new HeldBytes();
  #tail: Buffer = nothing;
  #tailAt = 0;
  #hasEnd = false;
  #isPaused = false;
  #isDelayed = false;
  #isDelivering = false;
  #isEnding = false;
  #isOver = false;

  constructor(shard: Shard) {
    this.shard = shard;
  }

  /** Writes an incoming head as HTTP/1.1. */
  protected abstract writeHead(
    block: HeaderBlock,
    isAll: boolean,
    out: Buffer,
    start: number,
  ): number;
  /** A stream is needed, because a message begins. False: there is none. */
  protected abstract openStream(): boolean;
  /** Both messages of an exchange are over. */
  protected abstract exchanged(): void;

  protected get isEnding(): boolean {
    return this.#isEnding || this.#isOver;
  }

  protected bind(link: Http2Link, stream: Http2Stream, sent: Sent): void {
    this.link = link;
    this.stream = stream;
    if (this.outgoing === undefined) {
      this.outgoing = new H2FromHttp1(link.session, stream, sent, this.shard.messageReaders);
    } else {
      this.outgoing.begin(link.session, stream, sent);
    }
    this.isTunnel = false;
    this.#hasEnd = false;
    this.#tail = nothing;
    this.#isDelayed = false;
    stream.consumer = this;
  }

  /** Leaves the stream to end by itself. */
  protected unbind(): void {
    const { link, stream } = this;
    if (link !== undefined && stream !== undefined && !stream.isClosed) {
      stream.consumer = leftover(link, stream);
    }
    this.stream = undefined;
  }

  // The owner's side

  send(bytes: Buffer, start: number, end: number): boolean {
    if (this.#isOver || start === end) return true;
    const isNext = this.stream === undefined || this.outgoing?.isDone !== false;
    if (isNext && !this.openStream()) return true;
    const { link } = this;
    if (link === undefined || this.stream === undefined) return true;
    link.beginSending();
    const at = this.#unsent.length > 0 ? start : this.#take(bytes, start, end);
    if (at === end) {
      this.#sentSome();
      return true;
    }
    this.#unsent.push({ bytes, at, end });
    return false;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (!this.#content.isEmpty) this.link?.beginSending();
    this.#deliver();
  }

  end(): void {
    this.#isEnding = true;
    if (this.#unsent.length === 0) this.#finishSending();
  }

  destroy(): void {
    this.reset(Http2Error.cancel);
  }

  reset(code: number = Http2Error.internal): void {
    const { stream } = this;
    if (stream !== undefined && !stream.isClosed) {
      this.link?.run((session) => session.reset(stream, code));
    }
    this.over("");
  }

  /** What was sent of content and has not left is left out: the client learns by the trailers that it is not complete. */
  endWithTrailers(trailers: readonly (readonly [string, string])[]): boolean {
    const { link, stream } = this;
    if (this.#isOver || link === undefined || stream === undefined) return false;
    if (stream.isClosed || stream.localEnded) return false;
    const lines = trailers.map(([name, value]) => Buffer.from(`${name}${value}`, "latin1"));
    link.run((session) => {
      const encoder = session.beginHead(stream, Buffer.concat(lines).length, trailers.length);
      for (const [i, [name]] of trailers.entries()) {
        const line = lines[i] ?? nothing;
        encoder.field(line, 0, name.length, name.length, line.length);
      }
      session.endHead(stream, true);
    });
    this.reset(Http2Error.none);
    return true;
  }

  // The stream's side

  onHead(block: HeaderBlock, isAll: boolean): void {
    const room = headRoom(block);
    const buffer = this.#mayDeliver ? this.owner.readBuffer() : nothing;
    if (buffer.length >= room) {
      const end = this.writeHead(block, isAll, buffer, 0);
      this.#isDelivering = true;
      this.#give(buffer, end);
      this.#isDelivering = false;
      this.#deliver();
      return;
    }
    const held = Buffer.allocUnsafe(room);
    this.#heads.append(held, 0, this.writeHead(block, isAll, held, 0));
    this.#deliver();
  }

  onData(bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end && this.#mayDeliver) {
      this.#isDelivering = true;
      at += this.#giveContent(bytes, at, end);
      this.#isDelivering = false;
    }
    if (at < end && !this.#isOver) this.#content.append(bytes, at, end);
  }

  onTrailers(block: HeaderBlock): void {
    this.noteTrailers(block);
    this.#frameContent();
    const room = trailersRoom(block);
    const buffer = this.#mayDeliver ? this.owner.readBuffer() : nothing;
    if (buffer.length < room) {
      const held = Buffer.allocUnsafe(room);
      this.#heads.append(held, 0, this.incoming.trailers(block, held, 0));
      return;
    }
    const end = this.incoming.trailers(block, buffer, 0);
    if (end === 0) return;
    this.#isDelivering = true;
    this.#give(buffer, end);
    this.#isDelivering = false;
  }

  onEnd(): void {
    this.#tail = this.incoming.end;
    this.#tailAt = 0;
    this.#hasEnd = true;
    this.#deliver();
  }

  onReset(code: number): void {
    // A server that has answered may say that it wants nothing more of the request (RFC 9113 §8.1).
    const isAnswered = this.isClient && this.#hasEnd && code === Http2Error.none;
    if (!isAnswered) this.over(code === connectionLost ? "ECONNRESET" : closeCode(code));
  }

  onWritable(): void {
    for (let first = this.#unsent[0]; first !== undefined; first = this.#unsent[0]) {
      first.at = this.#take(first.bytes, first.at, first.end);
      if (first.at < first.end) return;
      this.#unsent.shift();
      this.shard.pool.give(first.bytes);
    }
    if (this.#isEnding) this.#finishSending();
    else this.owner.onWritten();
    this.#sentSome();
  }

  /** For whoever looks into trailers before they are delivered. */
  protected noteTrailers(_block: HeaderBlock): void {}

  /** Ends the wire; the owner is told when what is under way now is over. */
  protected over(code: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#unsent.length = 0;
    this.#heads.clear();
    this.#forgetContent();
    this.#tail = nothing;
    this.unbind();
    setImmediate(() => this.owner.onClose(code));
  }

  /** Answers the position up to which the stream took the bytes; all, if the message cannot be sent and its stream was reset. */
  #take(bytes: Buffer, start: number, end: number): number {
    const { outgoing } = this;
    if (outgoing === undefined || this.stream === undefined) return end;
    const at = outgoing.take(bytes, start, end);
    if (at >= 0) return at;
    this.reset(at === Untranslatable.noUpgrade ? Http2Error.http11Required : Http2Error.internal);
    return end;
  }

  #sentSome(): void {
    if (this.outgoing?.isDone === true && this.stream?.isClosed === true) this.#deliver();
  }

  #finishSending(): void {
    const { outgoing, stream, link } = this;
    if (outgoing === undefined || stream === undefined || link === undefined) {
      this.over("");
      return;
    }
    const wasDone = outgoing.isDone;
    link.beginSending();
    const isWhole = outgoing.finish();
    if (stream.isClosed) this.over("");
    else if (wasDone) this.reset(Http2Error.none);
    else if (!isWhole) this.reset(Http2Error.internal);
  }

  /** Delivers nothing until `release`. */
  protected delay(): void {
    this.#isDelayed = true;
  }

  protected release(): void {
    if (!this.#isDelayed) return;
    this.#isDelayed = false;
    this.link?.beginSending();
    this.#deliver();
  }

  get #mayDeliver(): boolean {
    if (this.#isPaused || this.#isDelivering || this.#isOver || this.#isDelayed) return false;
    return this.#heads.isEmpty && this.#content.isEmpty;
  }

  #deliver(): void {
    if (this.#isDelivering || this.#isDelayed) return;
    this.#isDelivering = true;
    while (!this.#isPaused && !this.#isOver && this.#deliverNext());
    this.#isDelivering = false;
  }

  /** False: there is nothing left. */
  #deliverNext(): boolean {
    if (!this.#heads.isEmpty) {
      this.#giveBytes(this.#heads);
      return true;
    }
    const content = this.#content;
    if (!content.isEmpty) {
      this.#giveHeld(content);
      return true;
    }
    if (!this.#hasEnd) return false;
    const tail = this.#tail;
    if (this.#tailAt < tail.length) {
      const buffer = this.owner.readBuffer();
      const end = Math.min(tail.length, this.#tailAt + buffer.length);
      const length = copyBytes(tail, this.#tailAt, end, buffer, 0);
      this.#tailAt = end;
      this.#give(buffer, length);
      return true;
    }
    return this.#deliverEnd();
  }

  #giveHeld(content: HeldBytes): void {
    const { bytes, start, end } = content;
    const given = this.#giveContent(bytes, start, end);
    if (!this.#isOver) content.keep(bytes, start + given, end);
  }

  #deliverEnd(): boolean {
    if (this.isTunnel) {
      this.#hasEnd = false;
      this.owner.onEnd();
      if (this.stream?.isClosed === true) this.over("");
      return false;
    }
    if (this.stream === undefined || this.outgoing?.isDone !== true) return false;
    if (this.#unsent.length > 0) return false;
    this.#hasEnd = false;
    this.unbind();
    if (this.#isEnding) this.over("");
    else this.exchanged();
    return false;
  }

  #giveBytes(held: HeldBytes): void {
    const buffer = this.owner.readBuffer();
    const length = held.bytes.copy(buffer, 0, held.start, held.end);
    held.start += length;
    if (held.isEmpty) held.clear();
    this.#give(buffer, length);
  }

  /** Delivers what fits one read; answers how much that was. */
  #giveContent(bytes: Buffer, start: number, end: number): number {
    const buffer = this.owner.readBuffer();
    const length = Math.min(end - start, buffer.length - chunkOverhead);
    const written = this.incoming.data(bytes, start, start + length, buffer, 0);
    const { link, stream } = this;
    if (stream !== undefined) link?.session.consumed(stream, length);
    this.#give(buffer, written);
    return length;
  }

  /** With the trailers the framing is over, so what is held of the content is framed before. */
  #frameContent(): void {
    const { bytes, start, end } = this.#content;
    if (start === end) return;
    const framed = Buffer.allocUnsafe(end - start + chunkOverhead);
    this.#heads.append(framed, 0, this.incoming.data(bytes, start, end, framed, 0));
    this.#forgetContent();
  }

  #give(buffer: Buffer, length: number): void {
    if (!this.owner.onBytes(buffer, length)) this.#isPaused = true;
  }

  #forgetContent(): void {
    const { link, stream } = this;
    const length = this.#content.end - this.#content.start;
    if (length > 0 && link !== undefined && stream !== undefined) {
      link.run((session) => session.consumed(stream, length));
    }
    this.#content.clear();
  }
}
