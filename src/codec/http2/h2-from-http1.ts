/**
 * An HTTP/1.1 message, as the data plane writes it, onto a stream: its head becomes HEADERS, its content DATA, its trailers
 * HEADERS again (RFC 9113 §8). One object serves one stream after the other.
 */
import { spells } from "../byte-class.ts";
import { Fields, Known } from "../header-list.ts";
import { BodyKind } from "../http1-body.ts";
import { parseRequestHead, parseResponseHead, RequestHead, ResponseHead } from "../http1-head.ts";
import type { MessageHead } from "../message-head.ts";
import { ChunkReader } from "./chunk-reader.ts";
import { Pseudo } from "./header-block.ts";
import type { HpackEncoder } from "./hpack-encode.ts";
import type { SentHead } from "./sent-heads.ts";
import type { Http2Session } from "./session.ts";
import type { Http2Stream } from "./stream.ts";

/** What goes onto a stream: a request with the scheme that HTTP/1.1 does not tell, or the answer to a request. */
export type Sent =
  | { readonly kind: "request"; readonly scheme: "http" | "https" }
  | {
      readonly kind: "response";
      readonly method: string;
      /** The request was an extended CONNECT, which is answered by 200 where HTTP/1.1 has 101 (RFC 8441 §5). */
      readonly isUpgrade: boolean;
    };

/**
 * What reads heads and trailers, for all streams of a worker: each holds kilobytes, and none of it is needed beyond the
 * call in which it was read.
 */
export class MessageReaders {
  readonly request: RequestHead = new RequestHead();
  readonly response: ResponseHead = new ResponseHead();
  readonly trailers: Fields = new Fields();
}

/** What `take` answers for a message that cannot be sent over HTTP/2; the stream is to be reset. */
export const Untranslatable = { malformed: -1, noUpgrade: -2 } as const;

/** The most pseudo-fields that a head has, and what their texts take (a method, a scheme, a status). */
const pseudoCount = 5;
const pseudoOctets = 128;

const noBytes: Buffer = Buffer.alloc(0);

export class H2FromHttp1 {
  /** The message was sent to its end. */
  isDone = false;
  /** Of a request that is an upgrade: what its answer has to prove (RFC 6455 §4.2.2). */
  webSocketKey = "";
  /** Of a request: what `Http1FromH2.response` has to know, and the protocol that the upgrade asks for, or empty. */
  method = "";
  protocol = "";
  #session: Http2Session;
  #stream: Http2Stream;
  #sent: Sent;
  readonly #readers: MessageReaders;
  #chunks: ChunkReader | undefined;
  /** A head that arrives in pieces. */
  #held: Buffer = noBytes;
  #inHead = true;
  #kind: BodyKind = BodyKind.none;
  #left = 0;

  constructor(session: Http2Session, stream: Http2Stream, sent: Sent, readers: MessageReaders) {
    this.#session = session;
    this.#stream = stream;
    this.#sent = sent;
    this.#readers = readers;
  }

  /** Leaves the stream for another one. */
  begin(session: Http2Session, stream: Http2Stream, sent: Sent): void {
    this.#session = session;
    this.#stream = stream;
    this.#sent = sent;
    this.isDone = false;
    this.webSocketKey = "";
    this.method = "";
    this.protocol = "";
    this.#held = noBytes;
    this.#inHead = true;
    this.#kind = BodyKind.none;
    this.#left = 0;
    this.#chunks?.reset();
  }

  /**
   * Takes of `bytes[start, end)` what the stream has room for and answers the position after it; the rest is to be offered
   * again once the stream is writable. A negative answer is one of `Untranslatable`.
   */
  take(bytes: Buffer, start: number, end: number): number {
    if (this.#stream.isClosed) return end;
    let at = start;
    while (this.#inHead && at < end) {
      at = this.#takeHead(bytes, at, end);
      if (at < 0) return at;
    }
    if (this.isDone || at === end) return this.isDone ? end : at;
    if (this.#kind === BodyKind.chunked) return this.#takeChunks(bytes, at, end);
    const most = this.#kind === BodyKind.length ? Math.min(end - at, this.#left) : end - at;
    const endsStream = this.#kind === BodyKind.length && most === this.#left;
    const taken = this.#session.sendData(this.#stream, bytes, at, at + most, endsStream);
    this.#left -= taken;
    this.isDone = endsStream && taken === most;
    return this.isDone ? end : at + taken;
  }

  /** The sender will not send any more. Answers whether the message is whole; if not the stream is to be reset. */
  finish(): boolean {
    if (this.isDone) return true;
    if (this.#inHead || this.#kind !== BodyKind.close) return false;
    this.#session.sendData(this.#stream, noBytes, 0, 0, true);
    this.isDone = true;
    return true;
  }

  #takeHead(bytes: Buffer, start: number, end: number): number {
    const known = this.#knownHead(bytes, start, end);
    if (known === undefined) return this.#readHead(bytes, start, end);
    this.method = known.method;
    if (known.method === "HEAD") this.#stream.isAnsweredEmpty = true;
    this.#kind = known.bodyKind;
    this.#headIsOver(known.contentLength);
    this.#session.repeatHead(this.#stream, known.section, this.isDone);
    return start + known.text.length;
  }

  /** Only of heads that say the same whatever was asked: how they are written and what follows is then known too. */
  #knownHead(bytes: Buffer, start: number, end: number): SentHead | undefined {
    if (this.#held.length > 0 || !this.#isPlain) return undefined;
    const session = this.#session;
    return session.sentHeads.find(bytes, start, end, session.headEdition);
  }

  /** Neither the request, nor what it asked for, gives the head a meaning that is not in its text. */
  get #isPlain(): boolean {
    const sent = this.#sent;
    if (sent.kind === "request") return true;
    return !sent.isUpgrade && sent.method !== "HEAD" && sent.method !== "CONNECT";
  }

  #keep(head: MessageHead): void {
    const { sentHeads, headEdition } = this.#session;
    if (!this.#isPlain || head.upgrade || this.method === "CONNECT") return;
    if (!sentHeads.mayKeep(head.end - head.start)) return;
    const section = this.#session.repeatableHead;
    if (section === undefined) return;
    sentHeads.keep({
      text: Buffer.from(head.bytes.subarray(head.start, head.end)),
      section,
      edition: headEdition,
      method: this.method,
      bodyKind: this.#kind,
      contentLength: head.contentLength,
    });
  }

  #readHead(bytes: Buffer, start: number, end: number): number {
    const before = this.#held.length;
    const isHeld = before > 0;
    const all = isHeld ? Buffer.concat([this.#held, bytes.subarray(start, end)]) : bytes;
    const from = isHeld ? 0 : start;
    const head = this.#sent.kind === "request" ? this.#readers.request : this.#readers.response;
    head.reset();
    const after = this.#parse(head, all, from, isHeld ? all.length : end);
    if (after < 0) return Untranslatable.malformed;
    if (after === 0) {
      this.#held = isHeld ? all : Buffer.from(bytes.subarray(start, end));
      return end;
    }
    this.#held = noBytes;
    const refusal =
      head instanceof RequestHead ? this.#sendRequest(head) : this.#sendResponse(head);
    if (refusal < 0) return refusal;
    return isHeld ? start + after - before : after;
  }

  #parse(head: RequestHead | ResponseHead, bytes: Buffer, start: number, end: number): number {
    if (head instanceof RequestHead) return parseRequestHead(head, bytes, start, end);
    const sent = this.#sent;
    const method = sent.kind === "response" ? sent.method : "";
    return parseResponseHead(head, bytes, start, end, method);
  }

  #sendRequest(head: RequestHead): number {
    const { bytes, fields } = head;
    this.method = head.method;
    if (head.upgrade) {
      const protocol = fields.value(head.upgradeField).toLowerCase();
      // The one protocol whose way from one to the other is defined.
      if (protocol !== "websocket" || !this.#session.peer.allowsConnectProtocol) {
        return Untranslatable.noUpgrade;
      }
      this.protocol = protocol;
      this.webSocketKey = fields.get("sec-websocket-key") ?? "";
    }
    const isConnect = head.method === "CONNECT";
    this.#kind = isConnect || head.upgrade ? BodyKind.close : head.bodyKind;
    this.#stream.isAnsweredEmpty = head.method === "HEAD";
    const encoder = this.#begin(head);
    encoder.method(head.upgrade ? "CONNECT" : head.method);
    if (!isConnect) encoder.scheme(this.#sent.kind === "request" ? this.#sent.scheme : "http");
    if (isConnect) encoder.pseudo(Pseudo.authority, bytes, head.targetStart, head.targetEnd);
    else this.#sendTarget(head, encoder);
    if (head.upgrade) encoder.text(Pseudo.protocol, this.protocol);
    this.#end(head, encoder);
    return 0;
  }

  #sendTarget(head: RequestHead, encoder: HpackEncoder): void {
    const { bytes, fields, hostField } = head;
    if (hostField >= 0) {
      const slot = 4 * hostField;
      const start = fields.spans[slot + 2] as number;
      encoder.pseudo(Pseudo.authority, bytes, start, fields.spans[slot + 3] as number);
    }
    if (head.targetForm !== "absolute") {
      encoder.pseudo(Pseudo.path, bytes, head.targetStart, head.targetEnd);
      return;
    }
    const path = Buffer.from(head.hasQuery ? `${head.path}?${head.query}` : head.path, "latin1");
    encoder.pseudo(Pseudo.path, path, 0, path.length);
  }

  #sendResponse(head: ResponseHead): number {
    const sent = this.#sent;
    const isUpgrade = sent.kind === "response" && sent.isUpgrade;
    const isSuccess = head.status >= 200 && head.status < 300;
    // RFC 9113 §8.6: 101 means nothing here, but for what asked for it; and what asked for it is not served by a 200.
    if (head.status === 101 ? !isUpgrade : isUpgrade && isSuccess) return Untranslatable.noUpgrade;
    const isInterim = head.status < 200 && head.status !== 101;
    const isTunnel =
      head.status === 101 || (sent.kind === "response" && sent.method === "CONNECT" && isSuccess);
    this.#kind = isTunnel ? BodyKind.close : head.bodyKind;
    const encoder = this.#begin(head);
    encoder.status(head.status === 101 ? 200 : head.status);
    if (isInterim) {
      sendFields(head.fields, encoder);
      this.#session.endHead(this.#stream, false);
    } else {
      this.#end(head, encoder);
    }
    return 0;
  }

  #begin(head: MessageHead): HpackEncoder {
    const octets = head.end - head.start + pseudoOctets;
    return this.#session.beginHead(this.#stream, octets, head.fields.count + pseudoCount);
  }

  #end(head: MessageHead, encoder: HpackEncoder): void {
    sendFields(head.fields, encoder);
    this.#headIsOver(head.contentLength);
    this.#session.endHead(this.#stream, this.isDone);
    this.#keep(head);
  }

  #headIsOver(contentLength: number): void {
    this.#inHead = false;
    this.#left = contentLength;
    this.isDone = this.#kind === BodyKind.none;
  }

  #takeChunks(bytes: Buffer, start: number, end: number): number {
    this.#chunks ??= new ChunkReader(this.#readers.trailers);
    const chunks = this.#chunks;
    let at = start;
    while (at < end) {
      at = chunks.next(bytes, at, end);
      if (at < 0) return Untranslatable.malformed;
      if (chunks.isDone) {
        this.#sendTrailers(this.#readers.trailers);
        return end;
      }
      const length = Math.min(chunks.dataLeft, end - at);
      if (length === 0) return at;
      const isLast = length === chunks.dataLeft && chunks.isPlainEnd(bytes, at + length, end);
      const taken = this.#session.sendData(this.#stream, bytes, at, at + length, isLast);
      if (isLast && taken === length) {
        this.isDone = true;
        return end;
      }
      if (taken > 0) chunks.took(taken);
      at += taken;
      if (taken < length) return at;
    }
    return at;
  }

  #sendTrailers(trailers: Fields): void {
    this.isDone = true;
    if (this.#stream.isClosed) return;
    if (trailers.count === 0) {
      this.#session.sendData(this.#stream, noBytes, 0, 0, true);
      return;
    }
    const encoder = this.#session.beginHead(this.#stream, trailers.bytes.length, trailers.count);
    sendFields(trailers, encoder);
    this.#session.endHead(this.#stream, true);
  }
}

/** All fields but those of the connection (RFC 9113 §8.2.2); what Connection lists was left out when it was forwarded. */
function sendFields(fields: Fields, encoder: HpackEncoder): void {
  const { bytes, spans, known } = fields;
  for (let i = 0; i < fields.count; i++) {
    const slot = 4 * i;
    const valueStart = spans[slot + 2] as number;
    const valueEnd = spans[slot + 3] as number;
    switch (known[i] as number) {
      case Known.host:
      case Known.connection:
      case Known.keepAlive:
      case Known.proxyConnection:
      case Known.transferEncoding:
      case Known.upgrade:
      case Known.http2Settings:
        continue;
      case Known.te:
        if (!spells(bytes, valueStart, valueEnd, "trailers")) continue;
        break;
      case Known.none:
        if (isWebSocketProof(fields, i)) continue;
        break;
      default:
        break;
    }
    encoder.field(bytes, spans[slot] as number, spans[slot + 1] as number, valueStart, valueEnd);
  }
}

/** RFC 8441 §5: extended CONNECT has no use for these. */
function isWebSocketProof(fields: Fields, i: number): boolean {
  const start = fields.spans[4 * i] as number;
  const end = fields.spans[4 * i + 1] as number;
  return (
    spells(fields.bytes, start, end, "sec-websocket-key") ||
    spells(fields.bytes, start, end, "sec-websocket-accept")
  );
}
