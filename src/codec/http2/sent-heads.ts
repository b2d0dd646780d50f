/**
 * Heads that are sent again and again on one connection: the same HTTP/1.1 text becomes the same bytes as long as the
 * dynamic table has not changed, so it is parsed and compressed once, and found again by its bytes.
 */
import { Byte } from "../byte-class.ts";
import type { BodyKind } from "../http1-body.ts";

/** As many as of sections that come (`kept-blocks.ts`). A power of two. */
const slots = 8;

/** The start line and the first field or two tell most heads apart. */
const hashedBytes = 64;

/** Longer heads hold values of their own, which seldom repeat. */
const maxTextBytes = 1024;

/** What a head was found to say, and what was sent for it. */
export type SentHead = {
  /** Start line to empty line. */
  readonly text: Buffer;
  readonly section: Buffer;
  /** Of the table that `section` refers to. */
  readonly edition: number;
  /** Of a request, else empty. */
  readonly method: string;
  readonly bodyKind: BodyKind;
  readonly contentLength: number;
};

export class SentHeads {
  readonly #hashes: Int32Array = new Int32Array(slots);
  readonly #kept: (SentHead | undefined)[] = new Array<SentHead | undefined>(slots).fill(undefined);
  #last: SentHead | undefined;
  #slot = 0;
  #isAgain = false;

  /** The head that `bytes[start, end)` begins with, if it was sent when the table was in this edition. */
  find(bytes: Buffer, start: number, end: number, edition: number): SentHead | undefined {
    this.#isAgain = false;
    const last = this.#last;
    if (last !== undefined && isSent(last, bytes, start, end, edition)) return last;
    const hash = hashOf(bytes, start, end);
    const slot = (hash ^ (hash >>> 15)) & (slots - 1);
    this.#slot = slot;
    this.#isAgain = this.#hashes[slot] === hash;
    this.#hashes[slot] = hash;
    const kept = this.#kept[slot];
    if (!this.#isAgain || kept === undefined || kept === last) return undefined;
    if (!isSent(kept, bytes, start, end, edition)) return undefined;
    this.#last = kept;
    return kept;
  }

  /** Whether what `find` was asked for last has come twice in a row, as far as its slot knows. */
  mayKeep(textBytes: number): boolean {
    return this.#isAgain && textBytes <= maxTextBytes;
  }

  /** `head` is what `find` was asked for last. */
  keep(head: SentHead): void {
    this.#kept[this.#slot] = head;
    this.#last = head;
  }
}

// biome-ignore lint/complexity/useMaxParams: an options object would be made for every head.
function isSent(
  { text, edition: sentEdition }: SentHead,
  bytes: Buffer,
  start: number,
  end: number,
  edition: number,
): boolean {
  const { length } = text;
  if (sentEdition !== edition || length > end - start) return false;
  return text.compare(bytes, start, start + length) === 0;
}

/** Of the head's first bytes, and of no content behind it. */
function hashOf(bytes: Buffer, start: number, end: number): number {
  const last = Math.min(end, start + hashedBytes);
  let hash = 0x811c9dc5;
  let before = 0;
  for (let at = start; at < last; at++) {
    const byte = bytes[at] as number;
    if (byte === Byte.cr && before === Byte.lf) break;
    hash = Math.imul(hash ^ byte, 0x01000193);
    before = byte;
  }
  return hash;
}
