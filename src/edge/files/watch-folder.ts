/**
 * A folder of manifests, read and watched. A change is looked at when the folder has been quiet for a moment, so that a
 * file that is being written is not read half; and all of the folder is looked at from time to time, for what no
 * watcher tells (network file systems, links into other folders, the kernel's limit of watchers).
 */
import { dirname, resolve } from "node:path";
import { systemTimers, type Timers } from "../grpc/timers.ts";
import type { SchemaSet } from "../schema/schema-set.ts";
import { FolderSource } from "./folder-source.ts";
import { FolderWatchers } from "./folder-watchers.ts";
import { defaultMaxFiles, type Listing } from "./list-folder.ts";
import type { DocumentReport, SourceSnapshot } from "./source-snapshot.ts";

export type WatchFolderOptions = {
  readonly dir: string;
  readonly schemas: SchemaSet;
  /** Called with the first snapshot before watchFolder answers, then with each that differs. */
  readonly onChange: (snapshot: SourceSnapshot) => void;
  readonly maxFiles?: number;
  readonly timers?: Timers;
  /** Wall clock in milliseconds. */
  readonly now?: () => number;
  readonly quietMs?: number;
  readonly maxWaitMs?: number;
  readonly rescanMs?: number;
};

export type FolderWatch = { readonly close: () => void };

/** The parts of one save, truncating and writing or writing and renaming, come within a millisecond or two. */
export const defaultQuietMs = 10;

/** A folder that is never quiet is looked at all the same. */
const defaultMaxWaitMs = 100;

/** Costs a stat per file. */
export const defaultRescanMs = 30_000;

export async function watchFolder(options: WatchFolderOptions): Promise<FolderWatch> {
  const watch = new Watch(options);
  await watch.start();
  return { close: () => watch.close() };
}

class Watch {
  readonly #dir: string;
  readonly #onChange: (snapshot: SourceSnapshot) => void;
  readonly #timers: Timers;
  readonly #now: () => number;
  readonly #quietMs: number;
  readonly #maxWaitMs: number;
  readonly #rescanMs: number;
  readonly #source: FolderSource;
  readonly #watchers: FolderWatchers;
  #isClosed = false;
  #isScanning = false;
  /** When the oldest change came that has not been looked at; undefined: all have. */
  #dirtySinceMs: number | undefined;
  #cancelQuiet: () => void = () => {};
  #cancelRescan: () => void = () => {};

  constructor(options: WatchFolderOptions) {
    this.#dir = resolve(options.dir);
    this.#onChange = options.onChange;
    this.#timers = options.timers ?? systemTimers;
    this.#now = options.now ?? Date.now;
    this.#quietMs = options.quietMs ?? defaultQuietMs;
    this.#maxWaitMs = options.maxWaitMs ?? defaultMaxWaitMs;
    this.#rescanMs = options.rescanMs ?? defaultRescanMs;
    this.#watchers = new FolderWatchers(() => this.#noteChange());
    this.#source = new FolderSource({
      dir: this.#dir,
      schemas: options.schemas,
      maxFiles: options.maxFiles ?? defaultMaxFiles,
      onFolder: (folder) => this.#watchers.ensure(folder),
      now: this.#now,
    });
  }

  async start(): Promise<void> {
    await this.#scan();
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelQuiet();
    this.#cancelRescan();
    this.#watchers.close();
  }

  /** Waits for quiet, but not for ever: each change puts the look off, up to the limit since the first of them. */
  #noteChange(): void {
    if (this.#isClosed) return;
    const nowMs = this.#now();
    this.#dirtySinceMs ??= nowMs;
    if (this.#isScanning) return;
    this.#cancelQuiet();
    const leftMs = Math.max(0, this.#dirtySinceMs + this.#maxWaitMs - nowMs);
    this.#cancelQuiet = this.#timers.after(Math.min(this.#quietMs, leftMs), () => {
      void this.#scan();
    });
  }

  async #scan(): Promise<void> {
    if (this.#isClosed || this.#isScanning) return;
    this.#isScanning = true;
    this.#cancelQuiet();
    this.#cancelRescan();
    this.#dirtySinceMs = undefined;
    const { listing, snapshot } = await this.#source.scan(() => this.#describeFailures());
    this.#isScanning = false;
    if (this.#wasClosed()) return;
    this.#watchWhatIsThere(listing);
    this.#cancelRescan = this.#timers.after(this.#rescanMs, () => {
      void this.#scan();
    });
    if (snapshot !== undefined) this.#onChange(snapshot);
    // Changes that came during the look may have come too late for it.
    if (this.#isDirty()) this.#noteChange();
  }

  /** Where there is no folder, its nearest ancestor will tell when there is one. */
  #watchWhatIsThere(listing: Listing): void {
    const folders = new Set(listing.folders);
    for (let at = this.#dir; folders.size === 0; at = dirname(at)) {
      if (this.#watchers.ensure(at)) this.#noteChange();
      if (this.#watchers.has(at) || at === dirname(at)) folders.add(at);
    }
    this.#watchers.keepOnly(folders);
  }

  #wasClosed(): boolean {
    return this.#isClosed;
  }

  #isDirty(): boolean {
    return this.#dirtySinceMs !== undefined;
  }

  #describeFailures(): readonly DocumentReport[] {
    return [...this.#watchers.failures].map(([folder, code]) => ({
      file: relativeName(this.#dir, folder),
      document: 0,
      line: 0,
      object: "",
      path: "",
      reason: `cannot be watched (${code}): changes are noticed only every ${this.#rescanMs} ms`,
      severity: "warning",
    }));
  }
}

function relativeName(dir: string, folder: string): string {
  return folder === dir ? "." : folder.slice(dir.length + 1);
}
