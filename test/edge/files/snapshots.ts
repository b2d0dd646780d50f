/** The snapshots of a watched folder, awaited one by one; and timers that go off when a test says so. */
import type { SourceSnapshot } from "../../../src/edge/files/source-snapshot.ts";
import {
  type FolderWatch,
  type WatchFolderOptions,
  watchFolder,
} from "../../../src/edge/files/watch-folder.ts";
import type { Timers } from "../../../src/edge/grpc/timers.ts";
import { definitionSchemas } from "../schema/definitions-folder.ts";

/** Compiled once for all tests of a file. */
const schemas = definitionSchemas();

export class Snapshots {
  readonly all: SourceSnapshot[] = [];
  #wake: () => void = () => {};
  #watch: FolderWatch | undefined;

  static async of(
    dir: string,
    options: Partial<Omit<WatchFolderOptions, "dir" | "onChange">> = {},
  ): Promise<Snapshots> {
    const snapshots = new Snapshots();
    const onChange = (snapshot: SourceSnapshot): void => {
      snapshots.all.push(snapshot);
      snapshots.#wake();
    };
    snapshots.#watch = await watchFolder({ schemas, ...options, dir, onChange });
    return snapshots;
  }

  get last(): SourceSnapshot {
    const last = this.all.at(-1);
    if (last === undefined) throw new Error("Expected a snapshot");
    return last;
  }

  /** The first snapshot, from the one after `after` on, of which the test holds. */
  async until(
    holds: (snapshot: SourceSnapshot) => boolean,
    after: number = 0,
  ): Promise<SourceSnapshot> {
    for (;;) {
      const found = this.all.find((snapshot) => snapshot.revision > after && holds(snapshot));
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The next snapshot after all that have been seen. */
  next(): Promise<SourceSnapshot> {
    return this.until(() => true, this.last.revision);
  }

  [Symbol.dispose](): void {
    this.#watch?.close();
  }
}

type Waiting = { readonly ms: number; readonly run: () => void };

export class ManualTimers implements Timers {
  readonly waiting: Waiting[] = [];
  #wake: () => void = () => {};

  after(ms: number, run: () => void): () => void {
    const entry = { ms, run };
    this.waiting.push(entry);
    this.#wake();
    return () => {
      const index = this.waiting.indexOf(entry);
      if (index >= 0) this.waiting.splice(index, 1);
    };
  }

  /** Waits until something waits for that long, and lets it go off. */
  async fire(ms: number): Promise<void> {
    const entry = await this.awaited(ms);
    this.waiting.splice(this.waiting.indexOf(entry), 1);
    entry.run();
  }

  async awaited(ms: number): Promise<Waiting> {
    for (;;) {
      const entry = this.waiting.find((one) => one.ms === ms);
      if (entry !== undefined) return entry;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
