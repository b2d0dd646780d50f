/**
 * What a session has to say, until its owner writes it: all frames that one read brought about leave in one write. The
 * owner takes `bytes[0, end)` and sets `end` to 0, or puts another buffer in its place.
 */

/**
 * From here on no DATA is added. With the pool's buffers of 128 KiB the rest is room for heads and for what keeps a
 * connection alive, so that a buffer seldom has to grow.
 */
const dataLimit: number = 96 * 1024;

/**
 * Heads and replies are added even while the peer does not read. Who makes us answer more than this without reading any
 * of it wants our memory; the largest heads of sixteen streams fit.
 */
const maxBacklog: number = 1024 * 1024;

export class OutBuffer {
  bytes: Buffer;
  end = 0;
  /** Set by the owner while an earlier write has not left: no DATA is added. */
  isBlocked = false;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /** How much DATA may be added now, frame heads included. */
  get dataRoom(): number {
    return this.isBlocked ? 0 : Math.max(0, Math.min(dataLimit, this.bytes.length) - this.end);
  }

  get isOverfull(): boolean {
    return this.end > maxBacklog;
  }

  /** Makes room for `length` bytes from `end` on. May replace `bytes` by a larger buffer. */
  reserve(length: number): void {
    if (this.bytes.length - this.end >= length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.bytes.length, this.end + length));
    this.bytes.copy(larger, 0, 0, this.end);
    this.bytes = larger;
  }
}
