/**
 * The body of a request as it came, framing included, kept while it flows so that the request can be sent again. Counts
 * what came after the head's first read; that part stays with the head.
 */

/** Grown by doubling from here: most bodies that come in a second read are forms and small documents. */
const firstBytes = 4_096;

/** A policy may name any size; what one request makes this worker keep stays below a MiB. */
export const maxReplayBytes: number = 1_024 * 1_024;

export class ReplayBody {
  bytes: Buffer = Buffer.alloc(0);
  length = 0;
  /** False: a part is missing, so the request cannot be sent again. */
  isWhole = true;
  #limit = 0;

  /** `taken` bytes came with the head and count; `expected` are announced, -1 when nobody knows. */
  begin(limit: number, taken: number, expected: number): void {
    const most = Math.min(limit, maxReplayBytes);
    this.length = 0;
    this.#limit = most - taken;
    this.isWhole = taken <= most && expected <= most;
  }

  record(bytes: Buffer, start: number, end: number): void {
    if (!this.isWhole) return;
    const length = this.length + end - start;
    if (length > this.#limit) {
      this.isWhole = false;
      this.length = 0;
      return;
    }
    if (length > this.bytes.length) this.#grow(length);
    bytes.copy(this.bytes, this.length, start, end);
    this.length = length;
  }

  /** A connection keeps its room for its next request, but not the room of a long one. */
  end(): void {
    this.length = 0;
    if (this.bytes.length > firstBytes) this.bytes = Buffer.alloc(0);
  }

  #grow(length: number): void {
    const grown = Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(Math.max(length, firstBytes))));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }
}
