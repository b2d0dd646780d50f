/**
 * Buffers of one size, handed out and taken back, so that bodies flow without an allocation per chunk. What is not given
 * back (the connection died while the kernel had it) is left to the garbage collector.
 */

/** One read of a long body. Of 64, 128 and 256 KiB this was the best for 100 KiB answers (`benchmarks/proxy/http1.ts`). */
const bufferBytes: number = 128 * 1024;

/** 8 MiB a worker stay for the next burst; what a burst needed beyond that is freed. */
const maxFree = 64;

export class BufferPool {
  readonly #free: Buffer[] = [];

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(bufferBytes);
  }

  /** Takes back a buffer of this pool; any other buffer is not kept. */
  give(buffer: Buffer): void {
    if (buffer.length === bufferBytes && this.#free.length < maxFree) this.#free.push(buffer);
  }
}
