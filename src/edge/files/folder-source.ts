/** A folder that is looked at again and again: only files that changed are read, and only changes make a snapshot. */
import type { SchemaSet } from "../schema/schema-set.ts";
import { type FileState, firstState, makeSnapshot, nextState } from "./file-state.ts";
import { type ListedFile, type Listing, type ListingProblem, listFolder } from "./list-folder.ts";
import { type FileReading, parseFile, readContents, unreadableFile } from "./read-file.ts";
import type { DocumentReport, SourceSnapshot } from "./source-snapshot.ts";

export type FolderSourceOptions = {
  readonly dir: string;
  readonly schemas: SchemaSet;
  readonly maxFiles: number;
  readonly onFolder: (absolute: string) => void;
  /** Wall clock in milliseconds, which the times of files are measured by. */
  readonly now: () => number;
};

export type Scan = {
  readonly listing: Listing;
  /** Undefined: nothing changed since the last one. */
  readonly snapshot: SourceSnapshot | undefined;
};

/**
 * A file that was changed so shortly before it was read may change again within the same tick of the file system's
 * clock (4 ms is common, 10 ms exists), and look unchanged. It is read again on the next occasion.
 */
const racyWindowMs = 100;

type KnownFile = {
  readonly state: FileState;
  readonly identity: string;
  readonly stamp: string;
  /** Of the bytes, to tell a changed file from a touched one. */
  readonly digest: string;
  readonly mayBeRacy: boolean;
};

/** Enough to keep the disk busy, far from the usual limit of 1024 open files. */
const readersAtOnce = 16;

export class FolderSource {
  readonly #options: FolderSourceOptions;
  #files: ReadonlyMap<string, KnownFile> = new Map();
  #reports: readonly DocumentReport[] = [];
  #revision = 0;

  constructor(options: FolderSourceOptions) {
    this.#options = options;
  }

  /** Must not be called again before it has answered. `watchReports` say what is wrong with the watch itself. */
  async scan(watchReports: () => readonly DocumentReport[] = () => []): Promise<Scan> {
    const { dir, maxFiles, onFolder } = this.#options;
    const listing = await listFolder(dir, { maxFiles, onFolder });
    const files = await this.#readChanged(listing);
    const notes = listing.problems.filter(({ hides }) => !hides).map(reportProblem);
    const reports = [...watchReports(), ...notes];
    const isSame = sameStates(this.#files, files) && sameReports(this.#reports, reports);
    const isFirst = this.#revision === 0;
    this.#files = files;
    this.#reports = reports;
    if (isSame && !isFirst) return { listing, snapshot: undefined };
    this.#revision += 1;
    const states = new Map([...files].map(([file, { state }]) => [file, state]));
    return { listing, snapshot: makeSnapshot(states, reports, this.#revision) };
  }

  async #readChanged(listing: Listing): Promise<ReadonlyMap<string, KnownFile>> {
    const gone = [...this.#files].filter(([file]) => !listing.files.has(file));
    const renamed = new Map(gone.map(([, known]) => [known.identity, known]));
    const files = new Map<string, KnownFile>();
    const waiting = [...listing.files].values();
    const work = async (): Promise<void> => {
      for (const [file, listed] of waiting) {
        const known = await this.#read(file, listed, renamed.get(listed.identity));
        if (known !== undefined) files.set(file, known);
      }
    };
    await Promise.all(Array.from({ length: readersAtOnce }, work));
    for (const problem of listing.problems) {
      if (problem.hides) this.#hide(problem, files);
    }
    return files;
  }

  async #read(
    file: string,
    listed: ListedFile,
    renamed: KnownFile | undefined,
  ): Promise<KnownFile | undefined> {
    const known = this.#files.get(file);
    if (known?.stamp === listed.stamp && !known.mayBeRacy) return known;
    const contents = await readContents(listed.absolute);
    // Removed since it was listed; the next look will agree.
    if (contents.state === "gone") return undefined;
    const { digest } = contents;
    const { identity, stamp, modifiedMs } = listed;
    const mayBeRacy = this.#options.now() - modifiedMs < racyWindowMs;
    const facts = { identity, stamp, digest, mayBeRacy };
    if (known?.digest === digest) return { ...facts, state: known.state };
    const reading =
      contents.state === "text"
        ? parseFile(contents.text, file, this.#options.schemas)
        : unreadableFile(file, contents.reason);
    return { ...facts, state: this.#advance(known ?? renamed, reading) };
  }

  #advance(known: KnownFile | undefined, reading: FileReading): FileState {
    return known === undefined
      ? firstState(reading, this.#revision === 0)
      : nextState(known.state, reading);
  }

  /** Keeps in mind what was known of the files that a problem hides, and the problem itself in their place. */
  #hide(problem: ListingProblem, files: Map<string, KnownFile>): void {
    const stamp = `hidden: ${problem.reason}`;
    const put = (file: string, reading: FileReading): void => {
      const known = this.#files.get(file);
      const state = known?.stamp === stamp ? known.state : this.#advance(known, reading);
      files.set(file, { state, identity: "", stamp, digest: "", mayBeRacy: false });
    };
    put(problem.file, unreadableFile(problem.file, problem.reason));
    const below = problem.file === "." ? "" : `${problem.file}/`;
    for (const file of this.#files.keys()) {
      if (file.startsWith(below) && !files.has(file)) put(file, hiddenFile);
    }
  }
}

/** A file that lies somewhere below a problem, which is reported once for all of them. */
const hiddenFile: FileReading = {
  objects: [],
  reports: [],
  unreadable: true,
  mayHideObjects: true,
};

function reportProblem(problem: ListingProblem): DocumentReport {
  const { file, reason, severity } = problem;
  return { file, document: 0, line: 0, object: "", path: "", reason, severity };
}

function sameStates(
  left: ReadonlyMap<string, KnownFile>,
  right: ReadonlyMap<string, KnownFile>,
): boolean {
  if (left.size !== right.size) return false;
  return [...right].every(([file, { state }]) => left.get(file)?.state === state);
}

function sameReports(left: readonly DocumentReport[], right: readonly DocumentReport[]): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}
