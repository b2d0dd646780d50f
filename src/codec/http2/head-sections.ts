/**
 * Header sections on their way in and out: HEADERS and CONTINUATION frames put together and decoded, and encoded and cut
 * into frames (RFC 9113 §4.3).
 */
import { maxHeadBytes } from "../http1-head.ts";
import { Flag, Frame, frameHeadBytes, maxFrameBytes, writeFrameHead } from "./frames.ts";
import { copyBytes, type HeaderBlock, maxBlockBytes } from "./header-block.ts";
import { Decoded, HpackDecoder } from "./hpack-decode.ts";
import { blockRoom, HpackEncoder } from "./hpack-encode.ts";
import type { OutBuffer } from "./out-buffer.ts";
import type { SensitiveNames } from "./sensitive-names.ts";

/** What `add` answers. */
export const Section = { more: 0, whole: 1, flood: 2, wrong: 3, bomb: 4, badPadding: 5 } as const;

/** Of a section that is kept to be sent again. What repeats is mostly references of one byte each. */
const maxRepeatableBytes = 512;

const noBytes: Buffer = Buffer.alloc(0);

export class HeadSections {
  /** The stream whose section is not complete, or 0: nothing else may come before it is (RFC 9113 §6.10). */
  stream = 0;
  /** Whether the section that is being read, or was read last, ends its stream. */
  endsStream = false;
  readonly #decoder: HpackDecoder;
  readonly #encoder: HpackEncoder;
  readonly #out: OutBuffer;
  readonly #maxContinuations: number;
  #parts: Buffer = noBytes;
  #length = 0;
  #continuations = 0;
  /** Of the encoder before the section that was written last, and where that section lies. */
  #editionBefore = 0;
  #writtenAt = 0;

  constructor(
    decoding: { readonly block: HeaderBlock; readonly sensitive: SensitiveNames },
    out: OutBuffer,
    maxContinuations: number,
  ) {
    const { block, sensitive } = decoding;
    this.#decoder = new HpackDecoder(block, sensitive, maxHeadBytes);
    this.#encoder = new HpackEncoder(sensitive);
    this.#out = out;
    this.#maxContinuations = maxContinuations;
  }

  /** The section that was whole last. */
  get block(): HeaderBlock {
    return this.#decoder.block;
  }

  /** That section is good as this (`Good`); the next that has the same bytes is known to be as well. */
  keep(goodAs: number): void {
    this.#decoder.keep(goodAs);
  }

  /** Takes the payload of a HEADERS frame. */
  // biome-ignore lint/complexity/useMaxParams: an options object would be made for every head.
  begin(stream: number, flags: number, bytes: Buffer, start: number, end: number): number {
    this.stream = stream;
    this.endsStream = (flags & Flag.endStream) !== 0;
    this.#continuations = 0;
    this.#length = 0;
    let from = start;
    let to = end;
    if ((flags & Flag.padded) !== 0) {
      if (from === to) return Section.badPadding;
      to -= bytes[from++] as number;
    }
    if ((flags & Flag.priority) !== 0) from += 5;
    if (from > to) return Section.badPadding;
    return this.#add(flags, bytes, from, to);
  }

  /** Takes the payload of a CONTINUATION frame. */
  proceed(flags: number, bytes: Buffer, start: number, end: number): number {
    if (++this.#continuations > this.#maxContinuations) return Section.flood;
    return this.#add(flags, bytes, start, end);
  }

  #add(flags: number, bytes: Buffer, start: number, end: number): number {
    if (this.#length + end - start > maxBlockBytes) return Section.flood;
    if ((flags & Flag.endHeaders) === 0) {
      this.#keep(bytes, start, end);
      return Section.more;
    }
    this.stream = 0;
    if (this.#length === 0) return sectionOf(this.#decoder.decode(bytes, start, end));
    this.#keep(bytes, start, end);
    const parts = this.#parts;
    this.#parts = noBytes;
    return sectionOf(this.#decoder.decode(parts, 0, this.#length));
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    const length = this.#length + end - start;
    if (length > this.#parts.length) {
      const larger = Buffer.allocUnsafe(Math.min(maxBlockBytes, 2 * Math.max(length, 4096)));
      this.#parts.copy(larger, 0, 0, this.#length);
      this.#parts = larger;
    }
    bytes.copy(this.#parts, this.#length, start, end);
    this.#length = length;
  }

  /** What the peer lets our table be. */
  resize(allowed: number): void {
    this.#encoder.resize(allowed);
  }

  /** Answers the encoder for a section whose names and values have `octets`. No frame may be written before `finish`. */
  start(octets: number, fields: number): HpackEncoder {
    const out = this.#out;
    const room = blockRoom(octets, fields);
    out.reserve(room + frameHeadBytes * (2 + Math.ceil(room / maxFrameBytes)));
    this.#editionBefore = this.#encoder.edition;
    this.#writtenAt = out.end + frameHeadBytes;
    this.#encoder.begin(out.bytes, this.#writtenAt);
    return this.#encoder;
  }

  finish(stream: number, endsStream: boolean): void {
    const out = this.#out;
    const { bytes } = out;
    let start = out.end + frameHeadBytes;
    let end = this.#encoder.at;
    let type: number = Frame.headers;
    let flags: number = endsStream ? Flag.endStream : 0;
    while (end - start > maxFrameBytes) {
      writeFrameHead(bytes, start - frameHeadBytes, maxFrameBytes, type, flags, stream);
      start += maxFrameBytes;
      bytes.copyWithin(start + frameHeadBytes, start, end);
      start += frameHeadBytes;
      end += frameHeadBytes;
      type = Frame.continuation;
      flags = 0;
    }
    flags |= Flag.endHeaders;
    writeFrameHead(bytes, start - frameHeadBytes, end - start, type, flags, stream);
    out.end = end;
  }

  /** While this is the same, `repeatable` sections may be sent again. */
  get edition(): number {
    return this.#encoder.edition;
  }

  /** A copy of the section that was finished last, if it changed nothing: sent again it will mean the same. */
  get repeatable(): Buffer | undefined {
    const { bytes, end } = this.#out;
    if (this.edition !== this.#editionBefore || end - this.#writtenAt > maxRepeatableBytes) {
      return undefined;
    }
    return Buffer.from(bytes.subarray(this.#writtenAt, end));
  }

  /** Sends such a section. */
  repeat(stream: number, section: Buffer, endsStream: boolean): void {
    const out = this.#out;
    const { length } = section;
    out.reserve(frameHeadBytes + length);
    const flags = Flag.endHeaders | (endsStream ? Flag.endStream : 0);
    const at = writeFrameHead(out.bytes, out.end, length, Frame.headers, flags, stream);
    out.end = copyBytes(section, 0, length, out.bytes, at);
  }
}

function sectionOf(decoded: number): number {
  if (decoded === Decoded.ok) return Section.whole;
  return decoded === Decoded.bomb ? Section.bomb : Section.wrong;
}
