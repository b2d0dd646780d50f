/**
 * HPACK's dynamic table (RFC 7541 §2.3.2 and §4): the newest entry has index 62, the oldest are evicted. The bytes of the
 * entries lie behind each other in a ring of twice the largest size. An entry is never cut at the ring's end, and with
 * that much room a new one never reaches the oldest that is alive.
 */

/** RFC 9113 §6.5.2: what holds without a setting. More than this saves little and costs memory in every session. */
export const maxTableBytes = 4096;

/** RFC 7541 §4.1: what an entry counts beyond its octets. */
const entryOverhead = 32;

const ringBytes: number = 2 * maxTableBytes;

/** An entry counts 32 at least. A power of two, so that positions wrap by a mask. */
const maxEntries: number = maxTableBytes / entryOverhead;

export class DynamicTable {
  readonly bytes: Buffer = Buffer.allocUnsafeSlow(ringBytes);
  /** How many entries were ever added: the number of the newest one. They count up from 1. */
  newest = 0;
  count = 0;
  /** What the entries may count together. */
  capacity: number = maxTableBytes;
  #size = 0;
  /** Where the next entry begins. */
  #at = 0;
  readonly #starts: Int32Array = new Int32Array(maxEntries);
  readonly #nameLengths: Uint16Array = new Uint16Array(maxEntries);
  readonly #valueLengths: Uint16Array = new Uint16Array(maxEntries);
  /** What the owner of the table notes about each entry. */
  readonly #notes: Uint32Array = new Uint32Array(maxEntries);

  resize(capacity: number): void {
    this.capacity = capacity;
    this.#evict(capacity);
  }

  /**
   * Adds an entry and answers where in `bytes` its name and, directly behind, its value are to be written. -1 when it is
   * larger than the table, which only empties the table (RFC 7541 §4.4).
   */
  add(nameLength: number, valueLength: number, note: number): number {
    const length = nameLength + valueLength;
    if (length + entryOverhead > this.capacity) {
      this.#evict(0);
      return -1;
    }
    this.#evict(this.capacity - length - entryOverhead);
    if (this.#at + length > ringBytes) this.#at = 0;
    const slot = ++this.newest & (maxEntries - 1);
    const start = this.#at;
    this.#starts[slot] = start;
    this.#nameLengths[slot] = nameLength;
    this.#valueLengths[slot] = valueLength;
    this.#notes[slot] = note;
    this.count++;
    this.#size += length + entryOverhead;
    this.#at += length;
    return start;
  }

  /** The number of the entry that is `distance` older than the newest, 0 when there is none. */
  numberOf(distance: number): number {
    return distance < this.count ? this.newest - distance : 0;
  }

  isAlive(number: number): boolean {
    return number > this.newest - this.count && number <= this.newest;
  }

  nameStart(number: number): number {
    return this.#starts[number & (maxEntries - 1)] as number;
  }

  nameLength(number: number): number {
    return this.#nameLengths[number & (maxEntries - 1)] as number;
  }

  valueLength(number: number): number {
    return this.#valueLengths[number & (maxEntries - 1)] as number;
  }

  note(number: number): number {
    return this.#notes[number & (maxEntries - 1)] as number;
  }

  #evict(size: number): void {
    while (this.#size > size) {
      const oldest = (this.newest - this.count + 1) & (maxEntries - 1);
      this.#size -=
        (this.#nameLengths[oldest] as number) +
        (this.#valueLengths[oldest] as number) +
        entryOverhead;
      this.count--;
    }
  }
}
