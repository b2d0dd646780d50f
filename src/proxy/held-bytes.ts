/**
 * Bytes of a connection that cannot be used yet: a head that is not complete, or a request that follows one which is still
 * being answered. Empty on most connections most of the time, and then without memory.
 */

const nothing: Buffer = Buffer.alloc(0);

export class HeldBytes {
  bytes: Buffer = nothing;
  start = 0;
  end = 0;

  get isEmpty(): boolean {
    return this.start === this.end;
  }

  /** Adds a copy of `from[start, end)`. */
  append(from: Buffer, start: number, end: number): void {
    const length = end - start;
    if (this.end + length > this.bytes.length) this.#grow(length);
    from.copy(this.bytes, this.end, start, end);
    this.end += length;
  }

  /** Makes `from[start, end)` all that is held. `from` may be the held bytes themselves. */
  keep(from: Buffer, start: number, end: number): void {
    if (start === end) {
      this.clear();
      return;
    }
    if (from === this.bytes) {
      this.start = start;
      this.end = end;
      return;
    }
    this.clear();
    this.append(from, start, end);
  }

  clear(): void {
    this.bytes = nothing;
    this.start = 0;
    this.end = 0;
  }

  /** What was used at the front is dropped on the way. A new buffer, because an exchange may still look into the old one. */
  #grow(length: number): void {
    const held = this.end - this.start;
    const grown = Buffer.allocUnsafeSlow(Math.max(1_024, 2 ** Math.ceil(Math.log2(held + length))));
    this.bytes.copy(grown, 0, this.start, this.end);
    this.bytes = grown;
    this.start = 0;
    this.end = held;
  }
}
