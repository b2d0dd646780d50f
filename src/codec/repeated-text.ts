/**
 * A text that mostly repeats from one message of a connection to the next: the authority nearly always, the path often.
 * Making a string costs 85 ns whatever its length, comparing bytes 1 ns for each (`benchmarks/codec/parse-request-head.ts`).
 */

/** Longer texts do not repeat, or comparing them costs as much as making them. */
const maxBytes = 96;

const noBytes = new Uint8Array(0);

export class RepeatedText {
  /** Most connections have texts that are never asked for. */
  #bytes: Uint8Array = noBytes;
  #length = -1;
  #text = "";

  /** The text that was kept for exactly these bytes. */
  recall(bytes: Buffer, start: number, end: number): string | undefined {
    if (end - start !== this.#length) return undefined;
    const kept = this.#bytes;
    for (let at = start; at < end; at++) {
      if (bytes[at] !== kept[at - start]) return undefined;
    }
    return this.#text;
  }

  /** Remembers what these bytes mean, and answers it. */
  keep(bytes: Buffer, start: number, end: number, text: string): string {
    if (end - start <= maxBytes) {
      if (this.#bytes === noBytes) this.#bytes = new Uint8Array(maxBytes);
      this.#length = end - start;
      this.#text = text;
      for (let at = start; at < end; at++) this.#bytes[at - start] = bytes[at] as number;
    }
    return text;
  }

  /** The bytes as a string. */
  read(bytes: Buffer, start: number, end: number): string {
    if (start === end) return "";
    return (
      this.recall(bytes, start, end) ??
      this.keep(bytes, start, end, bytes.toString("latin1", start, end))
    );
  }
}
