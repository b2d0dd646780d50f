/**
 * What the heads of requests and responses have in common: where they lie, their fields, and what the fields say about
 * the connection and the length of the body.
 */
import { Fields } from "./header-list.ts";
import { BodyKind } from "./http1-body.ts";

export class MessageHead {
  bytes: Buffer = Buffer.alloc(0);
  /** First byte of the start line. */
  start = 0;
  /** First byte after the empty line. */
  end = 0;
  versionMinor: 0 | 1 = 1;
  readonly fields: Fields = new Fields();
  bodyKind: BodyKind = BodyKind.none;
  /** What Content-Length says, -1 without one. Where there is no body (HEAD, 304) it still says what it says. */
  contentLength = -1;
  /** Whether the sender lets the connection go on after this message and the message's end can be found. */
  keepAlive = true;
  /** Whether the connection is to leave HTTP after this message (RFC 9110 §7.8, and §9.3.6 for a response). */
  upgrade = false;

  /** State of the parser: the step (0: nothing read yet), the position it reads next, and the `start` it was called with. */
  step = 0;
  at = 0;
  base = 0;
  /** Where the part of the start line that is being read begins. */
  mark = 0;
  /** Set by `readFraming`: `ConnectionOption` bits and how many were listed, and the field of each kind or -1. */
  options = 0;
  optionCount = 0;
  hostField = -1;
  lengthField = -1;
  codingField = -1;
  upgradeField = -1;
  expectField = -1;

  /** Forgets the message. To be called before each new one. */
  reset(): void {
    this.step = 0;
    this.fields.reset();
  }

  /** The bytes were copied elsewhere: what began at `base` begins at `start` of `bytes` now. */
  moveTo(bytes: Buffer, start: number): void {
    const delta = start - this.base;
    this.bytes = bytes;
    this.base = start;
    this.start += delta;
    this.end += delta;
    this.at += delta;
    this.mark += delta;
    this.fields.shift(bytes, delta);
  }

  /** Prepares for (more of) the bytes that begin at `start`. */
  resume(bytes: Buffer, start: number): void {
    if (this.step !== 0) {
      if (this.bytes !== bytes || this.base !== start) this.moveTo(bytes, start);
      return;
    }
    this.bytes = bytes;
    this.base = start;
    this.start = start;
    this.at = start;
    this.fields.bytes = bytes;
  }
}
