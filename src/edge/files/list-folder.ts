/**
 * The manifests below a folder. Names that begin with a dot are not looked at: editors keep their own files under such
 * names, and Kubernetes keeps the versions of a mounted ConfigMap there, to which the visible names are links.
 */
import type { BigIntStats, Dirent } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import type { Severity } from "../schema/schema-set.ts";
import { describeSystemError, describeTooLarge, maxFileBytes } from "./read-file.ts";

export type Listing = {
  /** By path relative to the folder, sorted by it. */
  readonly files: ReadonlyMap<string, ListedFile>;
  /** Absolute paths of all folders that could be read. Empty: not even the folder itself. */
  readonly folders: readonly string[];
  readonly problems: readonly ListingProblem[];
};

export type ListedFile = {
  readonly absolute: string;
  /** Stays the same when the file gets another name. */
  readonly identity: string;
  /** Changes when the content does, but for changes within one tick of the file system's clock. */
  readonly stamp: string;
  readonly modifiedMs: number;
};

export type ListingProblem = {
  /** Relative to the folder; `.` is the folder itself. */
  readonly file: string;
  readonly reason: string;
  readonly severity: Severity;
  /** True: what lies there, or below, is unknown. False: there is nothing of ours. */
  readonly hides: boolean;
};

export type ListOptions = {
  readonly maxFiles: number;
  /** Called with each folder before it is read, so that a watcher misses nothing that is made meanwhile. */
  readonly onFolder: (absolute: string) => void;
};

/** A mesh of some thousand services fits. More files than this are somebody's home folder. */
export const defaultMaxFiles = 10_000;

export async function listFolder(dir: string, options: ListOptions): Promise<Listing> {
  const walk = new Walk(dir, options);
  return walk.list();
}

type Candidate = { readonly absolute: string; readonly relative: string; readonly isLink: boolean };

class Walk {
  readonly #root: string;
  readonly #options: ListOptions;
  readonly #candidates: Candidate[] = [];
  readonly #folders: string[] = [];
  readonly #problems: ListingProblem[] = [];
  #realRoot = "";

  constructor(root: string, options: ListOptions) {
    this.#root = root;
    this.#options = options;
  }

  async list(): Promise<Listing> {
    await this.#enter(this.#root, "");
    const sorted = this.#candidates.toSorted((left, right) =>
      left.relative < right.relative ? -1 : 1,
    );
    this.#noteExcess(sorted);
    const wanted = sorted.slice(0, this.#options.maxFiles);
    const files = await Promise.all(wanted.map((candidate) => this.#examine(candidate)));
    const problems = this.#problems.toSorted((left, right) => (left.file < right.file ? -1 : 1));
    return { files: new Map(files.flat()), folders: this.#folders, problems };
  }

  async #enter(absolute: string, relative: string): Promise<void> {
    this.#options.onFolder(absolute);
    let entries: readonly Dirent[];
    try {
      if (relative === "") this.#realRoot = await realpath(this.#root);
      entries = await readdir(absolute, { withFileTypes: true });
    } catch (error) {
      this.#noteFailure(relative, error);
      return;
    }
    this.#folders.push(absolute);
    await Promise.all(entries.map((entry) => this.#look(entry, absolute, relative)));
  }

  async #look(entry: Dirent, folder: string, parent: string): Promise<void> {
    if (entry.name.startsWith(".")) return;
    const absolute = join(folder, entry.name);
    const relative = parent === "" ? entry.name : `${parent}/${entry.name}`;
    if (entry.isDirectory()) return this.#enter(absolute, relative);
    const isLink = entry.isSymbolicLink();
    if (/\.(ya?ml|json)$/i.test(entry.name)) {
      this.#candidates.push({ absolute, relative, isLink });
    } else if (isLink && (await leadsToFolder(absolute))) {
      this.#note(relative, "is a link to a folder, which is not followed: copy the folder here");
    }
  }

  async #examine(candidate: Candidate): Promise<[string, ListedFile][]> {
    const { absolute, relative, isLink } = candidate;
    let facts: BigIntStats;
    try {
      // A link to a file inside the folder is that file; one that leads out of it would read what nobody gave us.
      if (isLink && !(await realpath(absolute)).startsWith(this.#realRoot + sep)) {
        this.#note(relative, "is a link out of the folder, which is not followed: copy the file");
        return [];
      }
      facts = await stat(absolute, { bigint: true });
    } catch (error) {
      this.#noteFailure(relative, error);
      return [];
    }
    if (!facts.isFile()) return [];
    if (facts.size > maxFileBytes) {
      const reason = describeTooLarge(Number(facts.size));
      this.#problems.push({ file: relative, reason, severity: "refused", hides: true });
      return [];
    }
    const identity = `${facts.dev}:${facts.ino}`;
    const stamp = [identity, facts.size, facts.mtimeNs, facts.ctimeNs].join(":");
    return [[relative, { absolute, identity, stamp, modifiedMs: Number(facts.mtimeMs) }]];
  }

  #noteExcess(sorted: readonly Candidate[]): void {
    const { maxFiles } = this.#options;
    const first = sorted[maxFiles];
    if (first === undefined) return;
    const reason = `holds ${sorted.length} manifests, more than ${maxFiles}: those from ${JSON.stringify(first.relative)} on are not read`;
    this.#problems.push({ file: ".", reason, severity: "refused", hides: true });
  }

  /** What is gone between two looks is simply not there; any other failure hides something. */
  #noteFailure(relative: string, error: unknown): void {
    const code = describeSystemError(error);
    const isGone = code === "ENOENT";
    if (relative === "") {
      const reason = isGone ? "does not exist: make the folder" : `cannot be read: ${code}`;
      this.#problems.push({ file: ".", reason, severity: "refused", hides: !isGone });
    } else if (!isGone) {
      const reason = `cannot be read: ${code}`;
      this.#problems.push({ file: relative, reason, severity: "refused", hides: true });
    }
  }

  #note(file: string, reason: string): void {
    this.#problems.push({ file, reason, severity: "ignored", hides: false });
  }
}

async function leadsToFolder(absolute: string): Promise<boolean> {
  try {
    return (await stat(absolute)).isDirectory();
  } catch {
    // A link to nothing leads to no folder.
    return false;
  }
}
