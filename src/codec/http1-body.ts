/**
 * Where a body ends (RFC 9112 §6 and §7). The bytes are forwarded as they came, framing included, so the reader changes
 * nothing and keeps nothing: it follows the framing strictly, and steps over chunk data without looking at it.
 */
import { Byte, hexValue, visibleByte } from "./byte-class.ts";
import { wrongByte } from "./field-lines.ts";
import { Refusal } from "./refusal.ts";
import { TrailerSection } from "./trailer-section.ts";

/** How the end of a body is found (RFC 9112 §6.3). */
export const BodyKind = {
  none: 0,
  length: 1,
  chunked: 2,
  /** Until the sender closes; only responses. */
  close: 3,
} as const;

export type BodyKind = (typeof BodyKind)[keyof typeof BodyKind];

/** 13 hexadecimal digits are 52 bits: what a number counts exactly, and 4 PiB. */
const maxSizeDigits = 13;

/** No extension is in use; signatures of object stores, the longest known, take about 90 bytes. */
const maxExtensionBytes = 256;

/** Where a body stands. `data` is all of a body that is not chunked. */
const Step = {
  size: 0,
  extension: 1,
  sizeLf: 2,
  data: 3,
  dataCr: 4,
  dataLf: 5,
  trailers: 6,
} as const;

export class BodyReader {
  /** Whether the end of the body has been seen. A body until close is never done by itself. */
  done = true;
  /** Content so far, without chunk framing and trailers. */
  payloadBytes = 0;

  #kind: BodyKind = BodyKind.none;
  #step: number = Step.data;
  /** Data bytes that are still to come in this chunk or body. */
  #left = 0;
  #size = 0;
  /** Digits of the size, then bytes of the extension, that were read. */
  #read = 0;
  readonly #trailers: TrailerSection = new TrailerSection();

  begin(kind: BodyKind, contentLength: number): void {
    this.#kind = kind;
    this.payloadBytes = 0;
    this.done = kind === BodyKind.none || (kind === BodyKind.length && contentLength === 0);
    this.#left = kind === BodyKind.length ? contentLength : 0;
    if (kind === BodyKind.chunked) this.#beginSize();
  }

  /**
   * Takes what of `bytes[start, end)` belongs to the body. Answers the position up to which it does, which is before
   * `end` only when the body ends there, or a negative refusal, after which the connection must be closed.
   */
  take(bytes: Buffer, start: number, end: number): number {
    if (this.done) return start;
    if (this.#kind === BodyKind.length) return this.#takeLength(start, end);
    if (this.#kind === BodyKind.chunked) return this.#takeChunks(bytes, start, end);
    this.payloadBytes += end - start;
    return end;
  }

  /** The sender closed its side. Answers whether the body is whole (RFC 9112 §8). */
  finish(): boolean {
    if (this.#kind === BodyKind.close) this.done = true;
    return this.done;
  }

  #beginSize(): void {
    this.#step = Step.size;
    this.#size = 0;
    this.#read = 0;
  }

  #takeLength(start: number, end: number): number {
    const taken = Math.min(this.#left, end - start);
    this.payloadBytes += taken;
    this.#left -= taken;
    this.done = this.#left === 0;
    return start + taken;
  }

  #takeChunks(bytes: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end) {
      if (this.#step === Step.data) {
        at = this.#takeLength(at, end);
        this.done = false;
        if (this.#left === 0) this.#step = Step.dataCr;
        continue;
      }
      if (this.#step === Step.trailers) {
        const after = this.#trailers.take(bytes, at, end);
        this.done = after > 0;
        return after === 0 ? end : after;
      }
      const refusal = this.#takeFraming(bytes[at] as number);
      if (refusal !== 0) return -refusal;
      at++;
    }
    return at;
  }

  /** One byte of a chunk's size line, or of the line end behind its data. Answers 0 or a refusal code. */
  #takeFraming(byte: number): number {
    switch (this.#step) {
      case Step.size:
        return this.#takeSize(byte);
      case Step.extension:
        if (byte === Byte.cr) {
          this.#step = Step.sizeLf;
          return 0;
        }
        if (visibleByte[byte] === 0 || ++this.#read > maxExtensionBytes) {
          return wrongByte(byte, Refusal.badChunkExtension);
        }
        return 0;
      case Step.sizeLf:
        if (byte !== Byte.lf) return Refusal.bareCr;
        this.#endSize();
        return 0;
      case Step.dataCr:
        this.#step = Step.dataLf;
        return byte === Byte.cr ? 0 : wrongByte(byte, Refusal.badChunkEnd);
      default:
        this.#beginSize();
        return byte === Byte.lf ? 0 : Refusal.bareCr;
    }
  }

  /** RFC 9112 §7.1: hexadecimal digits and nothing else. `0x`, signs, underscores and spaces are read in many ways. */
  #takeSize(byte: number): number {
    const digit = hexValue[byte] as number;
    if (digit < 16) {
      this.#size = this.#size * 16 + digit;
      return ++this.#read > maxSizeDigits ? Refusal.badChunkSize : 0;
    }
    if (this.#read === 0) return wrongByte(byte, Refusal.badChunkSize);
    if (byte === Byte.cr) {
      this.#step = Step.sizeLf;
      return 0;
    }
    if (byte !== Byte.semicolon) return wrongByte(byte, Refusal.badChunkSize);
    this.#step = Step.extension;
    this.#read = 0;
    return 0;
  }

  /** The size line is complete: data follows, or after a size of 0 the trailers. */
  #endSize(): void {
    if (this.#size === 0) {
      this.#trailers.begin();
      this.#step = Step.trailers;
      return;
    }
    this.#left = this.#size;
    this.#step = Step.data;
  }
}
