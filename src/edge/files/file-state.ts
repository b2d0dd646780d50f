/**
 * What is remembered of a file from one reading to the next, and how readings of all files make a snapshot.
 *
 * The rule that everything here serves: an object that was in force and whose document cannot be read any more is not
 * in force, and it is not forgotten either. It is broken, with the scope it last had, until its file can be read as a
 * whole again or is removed. Otherwise a slip of the pen in a file that closes something would open it.
 */
import type { BrokenResource, Scope } from "../../core/resource/broken.ts";
import { describeKey, type ObjectKey, type Resource } from "../../core/resource/resource.ts";
import { fault } from "../../core/std/result.ts";
import type { FileReading, PlacedObject } from "./read-file.ts";
import type { DocumentReport, SourceSnapshot } from "./source-snapshot.ts";

export type FileState = {
  readonly reading: FileReading;
  /** Objects the file used to hold and may still hold where it cannot be read. By the text of their key. */
  readonly hidden: ReadonlyMap<string, HiddenObject>;
  readonly unreadableSinceStart: boolean;
};

type HiddenObject = { readonly key: ObjectKey; readonly scope: Scope | undefined };

/** The state of a file that was not there before, at the start of the source or later. */
export function firstState(reading: FileReading, atStart: boolean): FileState {
  return { reading, hidden: new Map(), unreadableSinceStart: atStart && reading.unreadable };
}

export function nextState(previous: FileState, reading: FileReading): FileState {
  const unreadableSinceStart = previous.unreadableSinceStart && reading.unreadable;
  if (!reading.mayHideObjects) return { reading, hidden: new Map(), unreadableSinceStart };
  const hidden = new Map(previous.hidden);
  // An object that can still be read is remembered too, and counts as hidden only when it is found nowhere.
  for (const [text, object] of identified(previous.reading)) hidden.set(text, object);
  return { reading, hidden, unreadableSinceStart };
}

function identified(reading: FileReading): readonly [string, HiddenObject][] {
  return reading.objects.flatMap(({ reading: object }): [string, HiddenObject][] =>
    object.state === "good" || object.state === "broken"
      ? [[keyText(object.key), { key: object.key, scope: object.scope }]]
      : [],
  );
}

export function makeSnapshot(
  files: ReadonlyMap<string, FileState>,
  folderReports: readonly DocumentReport[],
  revision: number,
): SourceSnapshot {
  const maker = new SnapshotMaker();
  const sorted = [...files].toSorted(([left], [right]) => (left < right ? -1 : 1));
  for (const [file, { reading }] of sorted) maker.addFile(file, reading);
  // After all that can be read, because an object that has moved to another file is not hidden.
  for (const [file, { hidden }] of sorted) maker.addHidden(file, hidden);
  return {
    resources: maker.resources,
    broken: maker.broken,
    reports: [...folderReports, ...maker.reports],
    unreadableAtStart: sorted.some(([, state]) => state.unreadableSinceStart),
    revision,
  };
}

class SnapshotMaker {
  readonly resources: Resource[] = [];
  readonly broken: BrokenResource[] = [];
  readonly reports: DocumentReport[] = [];
  /** Where each object was found first, for people. */
  readonly #places = new Map<string, string>();

  addFile(file: string, reading: FileReading): void {
    for (const placed of reading.objects) this.#addObject(file, placed);
    for (const report of reading.reports) this.reports.push(report);
  }

  addHidden(file: string, hidden: ReadonlyMap<string, HiddenObject>): void {
    for (const [text, { key, scope }] of hidden) {
      if (this.#places.has(text)) continue;
      this.#places.set(text, file);
      const reason = `was in ${file}, which cannot be read as a whole now: mend the file, or remove it`;
      this.broken.push({ ...key, faults: [fault("", reason)], scope, source: file });
      this.#report({ file, document: 0, line: 0 }, key, reason);
    }
  }

  #addObject(file: string, placed: PlacedObject): void {
    const { reading, document, line } = placed;
    if (reading.state !== "good" && reading.state !== "broken") return;
    const text = keyText(reading.key);
    const source = `${file}#${document}`;
    const first = this.#places.get(text);
    if (first !== undefined) {
      const reason = `is the second of its name, the first is in ${first}, which counts: remove one`;
      this.#report({ file, document, line }, reading.key, reason);
      return;
    }
    this.#places.set(text, source);
    if (reading.state === "good") {
      this.resources.push(reading.resource);
      return;
    }
    const { key, scope } = reading;
    const refused = reading.faults.filter(({ severity }) => severity === "refused");
    const faults = refused.map(({ path, reason }) => fault(path, reason));
    this.broken.push({ ...key, faults, scope, source });
  }

  #report(
    place: Pick<DocumentReport, "file" | "document" | "line">,
    key: ObjectKey,
    reason: string,
  ): void {
    this.reports.push({
      ...place,
      object: describeKey(key),
      path: "",
      reason,
      severity: "refused",
    });
  }
}

/** Unique, since none of the parts can hold a slash. */
function keyText(key: ObjectKey): string {
  return [key.group, key.kind, key.namespace, key.name].join("/");
}
