/**
 * Header sections that a peer sends again and again on one connection: the same bytes mean the same fields as long as the
 * dynamic table has not changed (RFC 7541 §2.2). Such a section is decoded and judged once, and found again by its bytes.
 */
import type { HeaderBlock } from "./header-block.ts";

/** A service is mostly called by a handful of methods, and its answers have a handful of heads. A power of two. */
const slots = 8;

/** What repeats is mostly references of one byte each. Longer sections hold values of their own, which seldom repeat. */
const maxSectionBytes = 256;

/** The most that the text of a section may have: with all slots full a connection holds some 32 KiB of sections and heads. */
const maxTextBytes = 1024;

type Kept = { readonly bytes: Buffer; readonly edition: number; readonly block: HeaderBlock };

export class KeptBlocks {
  /** The hash of the section that came last, for each slot: what comes for the first time is not kept. */
  readonly #hashes: Int32Array = new Int32Array(slots);
  readonly #kept: (Kept | undefined)[] = new Array<Kept | undefined>(slots).fill(undefined);
  #slot = 0;
  #isAgain = false;

  /** The block that `bytes[start, end)` was decoded to when the table was in this edition. */
  find(bytes: Buffer, start: number, end: number, edition: number): HeaderBlock | undefined {
    this.#isAgain = false;
    const length = end - start;
    if (length > maxSectionBytes) return undefined;
    let hash = length;
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193);
    const slot = (hash ^ (hash >>> 15)) & (slots - 1);
    this.#slot = slot;
    this.#isAgain = this.#hashes[slot] === hash;
    if (!this.#isAgain) {
      this.#hashes[slot] = hash;
      return undefined;
    }
    const kept = this.#kept[slot];
    if (kept?.edition !== edition || kept.bytes.length !== length) return undefined;
    return kept.bytes.compare(bytes, start, end) === 0 ? kept.block : undefined;
  }

  /** Whether what `find` was asked for last has come twice in a row, as far as its slot knows. */
  mayKeep(block: HeaderBlock): boolean {
    return this.#isAgain && block.length <= maxTextBytes;
  }

  /** `bytes[start, end)` is what `find` was asked for last. */
  // biome-ignore lint/complexity/useMaxParams: an options object would be made for no other reason.
  keep(bytes: Buffer, start: number, end: number, edition: number, block: HeaderBlock): void {
    this.#kept[this.#slot] = { bytes: Buffer.from(bytes.subarray(start, end)), edition, block };
  }
}
