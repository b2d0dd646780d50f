/**
 * Which descriptors a worker has open that nobody closes for it when it dies: one bit each, in memory that the main thread can read then. Node.js closes the sockets that it
 * made for a thread; the kernel closes all, but only for a process.
 */

/** As many descriptors as the kernel lets one process have, unless it is told otherwise (`fs.nr_open`). Of the 128 KiB the system hands out the pages that are used. */
const maxDescriptors = 1_048_576;

const bitsPerWord = 32;

export const descriptorBytes: number = maxDescriptors / 8;

export class OpenDescriptors {
  readonly #words: Uint32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Uint32Array(memory);
  }

  /** False: its number is too high to be kept here. */
  add(fd: number): boolean {
    const at = Math.floor(fd / bitsPerWord);
    const words = this.#words;
    if (at >= words.length) return false;
    words[at] = (words[at] ?? 0) | (1 << (fd % bitsPerWord));
    return true;
  }

  remove(fd: number): void {
    const at = Math.floor(fd / bitsPerWord);
    const words = this.#words;
    words[at] = (words[at] ?? 0) & ~(1 << (fd % bitsPerWord));
  }

  /** Those that are open, which count as closed from here on. Only when nobody else writes here any more. */
  takeAll(): number[] {
    const open: number[] = [];
    for (const [at, word] of this.#words.entries()) {
      if (word === 0) continue;
      for (let bit = 0; bit < bitsPerWord; bit++) {
        if ((word & (1 << bit)) !== 0) open.push(at * bitsPerWord + bit);
      }
      this.#words[at] = 0;
    }
    return open;
  }
}
