/**
 * Lines of a log about traffic, on a file descriptor that several threads may write to. Nobody waits for it: lines are gathered,
 * written in the background, and dropped when whoever reads does not keep up.
 */
import { write, writeSync } from "node:fs";

/**
 * POSIX promises that a write of at most PIPE_BUF bytes (4,096 on Linux) to a pipe is not mixed with those of others, and is done whole or
 * not at all. So a batch is no longer, and no line either.
 */
export const maxBatchBytes = 4_096;

/** What may wait: some seconds of a busy log. More would only keep older lines from those who read now. */
const maxWaitingBytes: number = 1024 * 1024;

/** How long a line may wait for others. People follow a log with their eyes. */
const gatherMs = 100;

/** The reader of a full pipe is given this long before it is tried again. */
const retryMs = 20;

export type LineWriterOptions = {
  readonly fd: number;
  /** Called with the number of lines that were given up. */
  readonly onDropped: (lines: number) => void;
};

export class LineWriter {
  readonly #options: LineWriterOptions;
  /** Batches; the last one is still being gathered. */
  #batches: string[] = [""];
  #waitingBytes = 0;
  #isWriting = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LineWriterOptions) {
    this.#options = options;
  }

  /** A line of ASCII with its line feed, of at most `maxBatchBytes`. */
  write(line: string): void {
    const { length } = line;
    if (length > maxBatchBytes || this.#waitingBytes + length > maxWaitingBytes) {
      this.#options.onDropped(1);
      return;
    }
    const last = this.#batches.length - 1;
    const batch = this.#batches[last] ?? "";
    this.#waitingBytes += length;
    if (batch.length + length <= maxBatchBytes) this.#batches[last] = batch + line;
    else this.#batches.push(line);
    if (this.#isWriting) return;
    if (this.#batches.length > 1) this.#next();
    else this.#timer ??= setTimeout(() => this.#next(), gatherMs).unref();
  }

  /** Writes what can be written at once. Nothing is written afterwards. */
  close(): void {
    this.#stopTimer();
    for (const batch of this.#isWriting ? this.#batches.slice(1) : this.#batches) {
      if (batch === "") continue;
      try {
        writeSync(this.#options.fd, batch, null, "latin1");
      } catch {
        // The reader is gone or does not keep up, and this thread ends.
        this.#options.onDropped(countLines(batch));
      }
    }
    this.#batches = [""];
    this.#waitingBytes = maxWaitingBytes;
  }

  #next(): void {
    this.#stopTimer();
    const batch = this.#batches[0] ?? "";
    if (batch === "") return;
    this.#isWriting = true;
    // What comes from now on is not part of it.
    if (this.#batches.length === 1) this.#batches.push("");
    write(this.#options.fd, Buffer.from(batch, "latin1"), (error) => this.#wrote(batch, error));
  }

  #wrote(batch: string, error: NodeJS.ErrnoException | null): void {
    this.#isWriting = false;
    if (this.#batches[0] !== batch) return;
    if (error?.code === "EAGAIN") {
      this.#timer = setTimeout(() => this.#next(), retryMs).unref();
      return;
    }
    if (error !== null) this.#options.onDropped(countLines(batch));
    this.#batches.shift();
    this.#waitingBytes -= batch.length;
    if (this.#batches.length > 1) this.#next();
    else if (this.#batches[0] !== "")
      this.#timer ??= setTimeout(() => this.#next(), gatherMs).unref();
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

function countLines(batch: string): number {
  return batch.split("\n").length - 1;
}
