/**
 * Heads of HTTP/1 messages (RFC 9112), parsed strictly in one pass over the bytes, whatever the pieces they arrive in.
 * A head object belongs to one connection and is used for all its messages.
 *
 * Both parsers answer the position after the head; 0 when more bytes are needed, to be called again with the same bytes
 * and those that followed, in the same or another buffer; or a negative refusal (`refusal.ts`), after which the head
 * must not be used.
 */

import { spells } from "./byte-class.ts";
import { scanFields } from "./field-lines.ts";
import { readFraming } from "./framing.ts";
import { BodyKind } from "./http1-body.ts";
import { MessageHead } from "./message-head.ts";
import { Refusal } from "./refusal.ts";
import { RepeatedText } from "./repeated-text.ts";
import { readHost, readMethod, readTarget } from "./request-target.ts";
import { maxRequestLineBytes, Step, scanRequestLine, scanStatusLine } from "./start-line.ts";

/**
 * Decisions 7. Cookies and tokens reach 16 KiB in practice, and a mesh must not refuse what its applications accept;
 * 64 KiB bounds what one connection can hold.
 */
export const maxHeadBytes: number = 64 * 1024;

export type TargetForm = "origin" | "absolute" | "authority" | "asterisk";

export class RequestHead extends MessageHead {
  method = "";
  targetForm: TargetForm = "origin";
  /** `http` or `https` from an absolute target, else empty. */
  scheme = "";
  /** As it was sent, without the query. `*` and empty for the asterisk and authority forms. */
  path = "";
  /** As it was sent, without the `?`. */
  query = "";
  hasQuery = false;
  /** Lower-case `host[:port]` from the target if it has one, else from Host; empty for HTTP/1.0 without Host. */
  authority = "";
  /** Whether the client waits for 100 before it sends the body (RFC 9110 §10.1.1). */
  expectContinue = false;

  /** Where the target lies, and its first `?` or -1. */
  targetStart = 0;
  targetEnd = 0;
  queryAt = -1;
  hasPercent = false;
  readonly repeated: {
    readonly path: RepeatedText;
    readonly query: RepeatedText;
    readonly authority: RepeatedText;
  } = { path: new RepeatedText(), query: new RepeatedText(), authority: new RepeatedText() };

  /** The target as it was sent, for logs. */
  get target(): string {
    return this.bytes.toString("latin1", this.targetStart, this.targetEnd);
  }

  override moveTo(bytes: Buffer, start: number): void {
    const delta = start - this.base;
    this.targetStart += delta;
    this.targetEnd += delta;
    if (this.queryAt >= 0) this.queryAt += delta;
    super.moveTo(bytes, start);
  }
}

export class ResponseHead extends MessageHead {
  status = 0;
}

export function parseRequestHead(
  head: RequestHead,
  bytes: Buffer,
  start: number,
  end: number,
): number {
  head.resume(bytes, start);
  if (head.step < Step.fields) {
    const lineLimit = start + maxRequestLineBytes;
    const line = scanRequestLine(head, bytes, Math.min(end, lineLimit));
    if (line < 0) return line;
    if (line === 0) return end < lineLimit ? 0 : -Refusal.longRequestLine;
  }
  const after = scanRest(head, bytes, end);
  if (after <= 0) return after;
  const refusal = readRequest(head);
  return refusal < 0 ? refusal : after;
}

/** `requestMethod` is the method that is answered: it decides whether there is a body (RFC 9112 §6.3). */
// biome-ignore lint/complexity/useMaxParams: an options object would be made for every response.
export function parseResponseHead(
  head: ResponseHead,
  bytes: Buffer,
  start: number,
  end: number,
  requestMethod: string,
): number {
  head.resume(bytes, start);
  if (head.step < Step.fields) {
    const line = scanStatusLine(head, bytes, Math.min(end, start + maxHeadBytes));
    if (line < 0) return line;
    if (line === 0) return end - start < maxHeadBytes ? 0 : -Refusal.longHead;
  }
  const after = scanRest(head, bytes, end);
  if (after <= 0) return after;
  const refusal = readResponse(head, requestMethod);
  return refusal < 0 ? refusal : after;
}

/** The fields up to the empty line. */
function scanRest(head: MessageHead, bytes: Buffer, end: number): number {
  if (head.step === Step.done) return head.end;
  const limit = head.base + maxHeadBytes;
  const after = scanFields(head.fields, bytes, Math.min(end, limit));
  if (after === 0) return end < limit ? 0 : -Refusal.longHead;
  if (after > 0) {
    head.end = after;
    head.step = Step.done;
  }
  return after;
}

function readRequest(head: RequestHead): number {
  readMethod(head);
  const targetRefusal = readTarget(head);
  if (targetRefusal !== 0) return targetRefusal;
  const framingRefusal = readFraming(head);
  if (framingRefusal !== 0) return framingRefusal;
  const hostRefusal = readHost(head);
  if (hostRefusal !== 0) return hostRefusal;
  head.bodyKind = framedKind(head, BodyKind.none);
  head.expectContinue = head.expectField >= 0 && head.versionMinor === 1 && expects100(head);
  // RFC 9110 §9.3.6 and §9.3.8: what follows CONNECT is the tunnel, and TRACE has no content. A body that some hop
  // does not expect is where a hidden request would stand.
  const bodiless = head.method === "CONNECT" || head.method === "TRACE";
  return bodiless && head.bodyKind !== BodyKind.none ? -Refusal.unexpectedBody : 0;
}

function expects100(head: RequestHead): boolean {
  const { spans } = head.fields;
  const slot = 4 * head.expectField;
  return spells(head.bytes, spans[slot + 2] as number, spans[slot + 3] as number, "100-continue");
}

function readResponse(head: ResponseHead, requestMethod: string): number {
  const refusal = readFraming(head);
  if (refusal !== 0) return refusal;
  const { status } = head;
  const isInformational = status < 200;
  const isTunnel = status === 101 || (requestMethod === "CONNECT" && status >= 200 && status < 300);
  head.upgrade = isTunnel;
  if (isInformational || status === 204) {
    // RFC 9112 §6.1, RFC 9110 §8.6: these have no framing fields. A receiver that believes them waits for a body.
    if (head.codingField >= 0 || head.contentLength > 0) return -Refusal.unexpectedBody;
    head.bodyKind = BodyKind.none;
  } else if (requestMethod === "HEAD" || status === 304 || isTunnel) {
    head.bodyKind = BodyKind.none;
  } else {
    head.bodyKind = framedKind(head, BodyKind.close);
  }
  head.keepAlive = head.keepAlive && head.bodyKind !== BodyKind.close && !isTunnel;
  return 0;
}

/** What the framing fields say, or `otherwise` when there are none (RFC 9112 §6.3, rules 4 to 8). */
function framedKind(head: MessageHead, otherwise: BodyKind): BodyKind {
  if (head.codingField >= 0) return BodyKind.chunked;
  if (head.lengthField < 0) return otherwise;
  return head.contentLength === 0 ? BodyKind.none : BodyKind.length;
}
