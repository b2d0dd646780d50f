/**
 * Buffers of one size, handed out and taken back, so that bodies flow without an allocation per chunk. What is not given
 * back (the connection died while the kernel had it) is left to the garbage collector.
 */

/** One read of a long body. 128 KiB was the best of the sizes that `benchmarks/proxy/http1.ts` compared; more gains nothing. */
export const bufferBytes: number = 128 * 1024;

/** 8 MiB a worker stay for the next burst; what a burst needed beyond that is freed. */
const maxFree = 64;

export class BufferPool {
  readonly #free: Buffer[] = [];
  #out = 0;

  take(): Buffer {
    this.#out++;
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(bufferBytes);
  }

  /** Takes back a buffer of this pool; any other buffer is not kept. */
  give(buffer: Buffer): void {
    if (buffer.length !== bufferBytes) return;
    this.#out--;
    if (this.#free.length < maxFree) this.#free.push(buffer);
  }

  /** The buffer will not come back. */
  forget(buffer: Buffer): void {
    if (buffer.length === bufferBytes) this.#out--;
  }

  /** How many buffers are in use. */
  get out(): number {
    return this.#out;
  }
}
