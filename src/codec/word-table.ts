/**
 * A fixed set of words that is recognised in bytes without making a string: by length, first and last byte, then by
 * comparing. Ids are positions in the list counted from 1, so that 0 says "none of them".
 */
import { tokenLower } from "./byte-class.ts";

/** Five times the longest list (about 50 words), so that nearly every word is alone in its slot. */
const slots = 256;

export class WordTable {
  readonly #fold: Uint8Array;
  /** First id of each slot, and for each id the next one of the same slot. */
  readonly #first: Uint8Array = new Uint8Array(slots);
  readonly #next: Uint8Array;
  /** All words behind each other; word `id` is at `letters[offsets[id - 1], offsets[id])`. */
  readonly #letters: Uint8Array;
  readonly #offsets: Uint16Array;

  /** `fold` maps a byte to what it is compared as, and is 0 for bytes that no word contains. */
  constructor(words: readonly string[], fold: Uint8Array = tokenLower) {
    this.#fold = fold;
    this.#next = new Uint8Array(words.length + 1);
    this.#offsets = new Uint16Array(words.length + 1);
    this.#letters = Uint8Array.from(words.join(""), (letter) => letter.charCodeAt(0));
    let offset = 0;
    for (const [at, word] of words.entries()) {
      offset += word.length;
      this.#offsets[at + 1] = offset;
      const slot = slotOf(word.length, word.charCodeAt(0), word.charCodeAt(word.length - 1));
      this.#next[at + 1] = this.#first[slot] as number;
      this.#first[slot] = at + 1;
    }
  }

  find(bytes: Uint8Array, start: number, end: number): number {
    if (end <= start) return 0;
    const fold = this.#fold;
    const length = end - start;
    const first = fold[bytes[start] as number] as number;
    const last = fold[bytes[end - 1] as number] as number;
    let id = this.#first[slotOf(length, first, last)] as number;
    while (id !== 0) {
      const from = this.#offsets[id - 1] as number;
      if ((this.#offsets[id] as number) - from === length && this.#same(bytes, start, from, length))
        return id;
      id = this.#next[id] as number;
    }
    return 0;
  }

  lengthOf(id: number): number {
    return (this.#offsets[id] as number) - (this.#offsets[id - 1] as number);
  }

  /** Whether word `id` begins at `start`. There are as many bytes. */
  is(id: number, bytes: Uint8Array, start: number): boolean {
    return this.#same(bytes, start, this.#offsets[id - 1] as number, this.lengthOf(id));
  }

  #same(bytes: Uint8Array, start: number, from: number, length: number): boolean {
    const fold = this.#fold;
    const letters = this.#letters;
    for (let at = 0; at < length; at++) {
      if (fold[bytes[start + at] as number] !== letters[from + at]) return false;
    }
    return true;
  }
}

/** Any mixing that spreads the words will do: what shares a slot is compared. */
function slotOf(length: number, first: number, last: number): number {
  return (length * 37 + first * 11 + last * 3) & (slots - 1);
}
