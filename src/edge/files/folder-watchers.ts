/**
 * Notices changes in a set of folders: one watcher each, instead of Node's recursive mode, which on Linux opens one for
 * each file as well and can miss what is made in a new folder before it got there.
 */
import { type FSWatcher, statSync, watch } from "node:fs";
import { basename } from "node:path";
import { describeSystemError } from "./read-file.ts";

type Watched = { readonly watcher: FSWatcher; readonly identity: string };

export class FolderWatchers {
  readonly #onChange: () => void;
  readonly #watched = new Map<string, Watched>();
  readonly #failures = new Map<string, string>();

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Folders without a watcher, and why: `ENOSPC` is the kernel's limit of watchers. */
  get failures(): ReadonlyMap<string, string> {
    return this.#failures;
  }

  /** Watches the folder if it is there and not watched yet. True: there is a watcher now that was not there before. */
  ensure(folder: string): boolean {
    let identity: string;
    try {
      const facts = statSync(folder);
      identity = `${facts.dev}:${facts.ino}`;
    } catch {
      this.#drop(folder);
      return false;
    }
    if (this.#watched.get(folder)?.identity === identity) return false;
    this.#drop(folder);
    try {
      const watcher = watch(folder, (event, name) => {
        // The folder itself was moved or removed: its watcher hears nothing more, even if the name comes back.
        if (event === "rename" && name === basename(folder)) this.#drop(folder);
        this.#onChange();
      });
      watcher.on("error", () => {
        this.#drop(folder);
        this.#onChange();
      });
      this.#watched.set(folder, { watcher, identity });
      this.#failures.delete(folder);
      return true;
    } catch (error) {
      this.#failures.set(folder, describeSystemError(error));
      return false;
    }
  }

  has(folder: string): boolean {
    return this.#watched.has(folder);
  }

  keepOnly(folders: ReadonlySet<string>): void {
    for (const folder of this.#watched.keys()) {
      if (!folders.has(folder)) this.#drop(folder);
    }
    for (const folder of this.#failures.keys()) {
      if (!folders.has(folder)) this.#failures.delete(folder);
    }
  }

  close(): void {
    for (const folder of this.#watched.keys()) this.#drop(folder);
  }

  #drop(folder: string): void {
    this.#watched.get(folder)?.watcher.close();
    this.#watched.delete(folder);
  }
}
