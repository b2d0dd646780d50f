/**
 * Finds the content and the trailers in a chunked body (RFC 9112 §7.1), where `BodyReader` only finds its end. What it reads
 * was written or checked by our own data plane: anything else than the plain grammar is refused without a reason.
 */
import { Byte, hexValue } from "../byte-class.ts";
import { scanFields } from "../field-lines.ts";
import type { Fields } from "../header-list.ts";

/** 13 hexadecimal digits are 52 bits: what a number counts exactly. */
const maxSizeDigits = 13;

/** As in `trailer-section.ts`, which has checked them. */
const maxTrailerBytes: number = 8 * 1024;

const Step = {
  size: 0,
  extension: 1,
  sizeLf: 2,
  data: 3,
  dataCr: 4,
  dataLf: 5,
  end: 6,
  done: 7,
} as const;

const lastChunk: Buffer = Buffer.from("\r\n0\r\n\r\n", "latin1");
const noBytes: Buffer = Buffer.alloc(0);

export class ChunkReader {
  /** Content that may be read now, from the position that `next` answered on. */
  dataLeft = 0;
  #step: number = Step.size;
  #size = 0;
  #digits = 0;
  #section: Buffer = noBytes;
  readonly #trailers: Fields;

  /** `trailers` are complete when `isDone`. */
  constructor(trailers: Fields) {
    this.#trailers = trailers;
  }

  /** For the next body. */
  reset(): void {
    this.dataLeft = 0;
    this.#step = Step.size;
    this.#size = 0;
    this.#digits = 0;
    this.#section = noBytes;
  }

  get isDone(): boolean {
    return this.#step === Step.done;
  }

  /**
   * Reads framing up to content or to the end of the body. Answers the position it has read up to, or -1 for what is no
   * chunked body. Content that was taken from there on is reported by `took`.
   */
  next(bytes: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && this.dataLeft === 0 && this.#step !== Step.done) {
      if (this.#step === Step.end) return this.#takeTrailers(bytes, at, end);
      if (!this.#takeByte(bytes[at++] as number)) return -1;
    }
    return at;
  }

  took(length: number): void {
    this.dataLeft -= length;
    if (this.dataLeft === 0) this.#step = Step.dataCr;
  }

  /** Whether `bytes[start, end)`, which follows the last content of a chunk, is the end of the body and nothing else. */
  isPlainEnd(bytes: Buffer, start: number, end: number): boolean {
    if (end - start !== lastChunk.length) return false;
    return lastChunk.compare(bytes, start, end) === 0;
  }

  #takeByte(byte: number): boolean {
    switch (this.#step) {
      case Step.size:
        return this.#takeSize(byte);
      case Step.extension:
        if (byte === Byte.cr) this.#step = Step.sizeLf;
        return byte !== Byte.lf;
      case Step.sizeLf:
        this.#step = this.#size === 0 ? Step.end : Step.data;
        this.dataLeft = this.#size;
        this.#size = 0;
        this.#digits = 0;
        return byte === Byte.lf;
      case Step.dataCr:
        this.#step = Step.dataLf;
        return byte === Byte.cr;
      default:
        this.#step = Step.size;
        return byte === Byte.lf;
    }
  }

  #takeSize(byte: number): boolean {
    const digit = hexValue[byte] as number;
    if (digit < 16) {
      this.#size = this.#size * 16 + digit;
      return ++this.#digits <= maxSizeDigits;
    }
    if (byte === Byte.cr) this.#step = Step.sizeLf;
    else if (byte === Byte.semicolon) this.#step = Step.extension;
    else return false;
    return this.#digits > 0;
  }

  #takeTrailers(bytes: Buffer, at: number, end: number): number {
    const before = this.#section.length;
    this.#section = Buffer.concat([this.#section, bytes.subarray(at, end)]);
    const trailers = this.#trailers;
    trailers.reset();
    trailers.bytes = this.#section;
    trailers.at = 0;
    const after = scanFields(trailers, this.#section, this.#section.length);
    if (after < 0 || (after === 0 && this.#section.length > maxTrailerBytes)) return -1;
    if (after === 0) return end;
    this.#step = Step.done;
    return at + after - before;
  }
}
