/**
 * Cuts a byte stream into frames, whatever the pieces it arrives in. DATA is passed on piece by piece without a copy; the
 * payload of any other frame is passed on whole, from the caller's buffer if it lies there in one piece.
 */
import { clientPreface, Flag, Frame, frameHeadBytes, readUint31 } from "./frames.ts";

/** Each of these answers false to stop: the connection is over. */
export type FrameSink = {
  /** A frame begins; called before any of its payload is kept, so that one that is too long never is. */
  frameStarts(length: number, type: number, flags: number, stream: number): boolean;
  /** The whole payload of a frame that is not DATA. */
  payload(bytes: Buffer, start: number, end: number): boolean;
  /** Content of a DATA frame, without padding. */
  dataPiece(bytes: Buffer, start: number, end: number): boolean;
  dataEnds(): boolean;
  /** The first bytes are not the preface of HTTP/2, or the padding of DATA is longer than the frame. */
  malformed(reason: string): boolean;
};

const Step = { preface: 0, head: 1, padLength: 2, data: 3, padding: 4, payload: 5 } as const;

const noBytes: Buffer = Buffer.alloc(0);

export class FrameReader {
  readonly #sink: FrameSink;
  #step: number;
  /** Bytes of the preface that were seen, or bytes of the current part that are kept in `#kept`. */
  #have = 0;
  readonly #head: Buffer = Buffer.alloc(frameHeadBytes);
  /** A payload that arrives in pieces. */
  #kept: Buffer = noBytes;
  #length = 0;
  /** Content and padding that are still to come in a DATA frame. */
  #dataLeft = 0;
  #padLeft = 0;

  constructor(sink: FrameSink, expectsPreface: boolean) {
    this.#sink = sink;
    this.#step = expectsPreface ? Step.preface : Step.head;
  }

  /** Takes all of `bytes[start, end)`. False when the sink stopped it. */
  take(bytes: Buffer, start: number, end: number): boolean {
    let at = start;
    while (at < end) {
      const after = this.#takePart(bytes, at, end);
      if (after < 0) return false;
      at = after;
    }
    return true;
  }

  /** Answers the position up to which a part was taken, or -1. */
  #takePart(bytes: Buffer, at: number, end: number): number {
    switch (this.#step) {
      case Step.preface:
        return this.#takePreface(bytes, at, end);
      case Step.head:
        return this.#takeHead(bytes, at, end);
      case Step.padLength:
        return this.#takePadLength(bytes[at] as number) ? at + 1 : -1;
      case Step.data:
        return this.#takeData(bytes, at, end);
      case Step.padding: {
        const taken = Math.min(this.#padLeft, end - at);
        this.#padLeft -= taken;
        return this.#padLeft > 0 || this.#endData() ? at + taken : -1;
      }
      default:
        return this.#takePayload(bytes, at, end);
    }
  }

  #takePreface(bytes: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && this.#have < clientPreface.length) {
      if (bytes[at++] !== clientPreface[this.#have++]) {
        this.#sink.malformed("Begin with the preface of HTTP/2 (RFC 9113 section 3.4)");
        return -1;
      }
    }
    if (this.#have === clientPreface.length) this.#begin(Step.head);
    return at;
  }

  #begin(step: number): void {
    this.#step = step;
    this.#have = 0;
  }

  #takeHead(bytes: Buffer, at: number, end: number): number {
    if (this.#have === 0 && end - at >= frameHeadBytes) {
      return this.#startFrame(bytes, at) ? at + frameHeadBytes : -1;
    }
    const taken = Math.min(frameHeadBytes - this.#have, end - at);
    bytes.copy(this.#head, this.#have, at, at + taken);
    this.#have += taken;
    if (this.#have < frameHeadBytes || this.#startFrame(this.#head, 0)) return at + taken;
    return -1;
  }

  #startFrame(head: Buffer, at: number): boolean {
    const length =
      ((head[at] as number) << 16) | ((head[at + 1] as number) << 8) | (head[at + 2] as number);
    const type = head[at + 3] as number;
    const flags = head[at + 4] as number;
    if (!this.#sink.frameStarts(length, type, flags, readUint31(head, at + 5))) return false;
    this.#length = length;
    if (type !== Frame.data) {
      this.#begin(Step.payload);
      if (length > 0) return true;
      this.#begin(Step.head);
      return this.#sink.payload(noBytes, 0, 0);
    }
    this.#padLeft = 0;
    this.#dataLeft = length;
    if ((flags & Flag.padded) === 0) return this.#beginData();
    if (length === 0) return this.#sink.malformed("Send the length of the padding");
    this.#begin(Step.padLength);
    return true;
  }

  #takePadLength(padding: number): boolean {
    if (padding >= this.#length) {
      return this.#sink.malformed("Send less padding than the frame has bytes");
    }
    this.#padLeft = padding;
    this.#dataLeft = this.#length - 1 - padding;
    return this.#beginData();
  }

  #beginData(): boolean {
    if (this.#dataLeft > 0) {
      this.#begin(Step.data);
      return true;
    }
    if (this.#padLeft === 0) return this.#endData();
    this.#begin(Step.padding);
    return true;
  }

  #takeData(bytes: Buffer, at: number, end: number): number {
    const taken = Math.min(this.#dataLeft, end - at);
    this.#dataLeft -= taken;
    if (!this.#sink.dataPiece(bytes, at, at + taken)) return -1;
    return this.#dataLeft > 0 || this.#beginData() ? at + taken : -1;
  }

  #endData(): boolean {
    this.#begin(Step.head);
    return this.#sink.dataEnds();
  }

  #takePayload(bytes: Buffer, at: number, end: number): number {
    const length = this.#length;
    if (this.#have === 0 && end - at >= length) {
      this.#begin(Step.head);
      return this.#sink.payload(bytes, at, at + length) ? at + length : -1;
    }
    if (this.#have === 0) this.#kept = Buffer.allocUnsafe(length);
    const taken = Math.min(length - this.#have, end - at);
    bytes.copy(this.#kept, this.#have, at, at + taken);
    this.#have += taken;
    if (this.#have < length) return at + taken;
    const whole = this.#kept;
    this.#kept = noBytes;
    this.#begin(Step.head);
    return this.#sink.payload(whole, 0, length) ? at + taken : -1;
  }
}
