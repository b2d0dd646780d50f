/** One file of the folder, from bytes to objects. */
import { hash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { SchemaSet } from "../schema/schema-set.ts";
import { type FoundObject, type LineNote, readDocuments } from "./documents.ts";
import { type ObjectReading, readObject } from "./read-object.ts";
import type { DocumentReport } from "./source-snapshot.ts";

/** All that is known of a file. Never changes: a new reading takes its place. */
export type FileReading = {
  /** Every object of every document, in order. */
  readonly objects: readonly PlacedObject[];
  readonly reports: readonly DocumentReport[];
  /** Some document could not be read at all. */
  readonly unreadable: boolean;
  /** Some document could not be read, or not be told which object it is: one that was here before may be meant. */
  readonly mayHideObjects: boolean;
};

export type PlacedObject = {
  readonly document: number;
  readonly line: number;
  readonly reading: ObjectReading;
};

/** Larger than any manifest a person writes, small enough to parse without a pause that a stream would notice. */
export const maxFileBytes: number = 4 * 1024 * 1024;

/** Nobody reads more, and a large file of nonsense could make a million. */
const maxReportsPerFile = 200;

export type FileContents =
  | { readonly state: "text"; readonly text: string; readonly digest: string }
  | { readonly state: "unreadable"; readonly reason: string; readonly digest: string }
  | { readonly state: "gone" };

/** The size is judged again by what was read, since a file may have grown after it was listed. */
export async function readContents(absolute: string): Promise<FileContents> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(absolute);
  } catch (error) {
    const code = describeSystemError(error);
    if (code === "ENOENT") return { state: "gone" };
    return { state: "unreadable", reason: `cannot be read: ${code}`, digest: code };
  }
  const digest = hash("sha256", bytes, "base64");
  if (bytes.length > maxFileBytes) {
    return { state: "unreadable", reason: describeTooLarge(bytes.length), digest };
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return { state: "text", text, digest };
  } catch {
    return { state: "unreadable", reason: "is not UTF-8 text: save it in that encoding", digest };
  }
}

export function describeTooLarge(bytes: number): string {
  return `has ${bytes} bytes, more than ${maxFileBytes}: split it`;
}

/** The code alone, as in `EACCES`: the message repeats the path of this machine. */
export function describeSystemError(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "unknown error";
}

export function unreadableFile(file: string, reason: string): FileReading {
  const report = {
    file,
    document: 0,
    line: 0,
    object: "",
    path: "",
    reason,
    severity: "refused",
  } as const;
  return { objects: [], reports: [report], unreadable: true, mayHideObjects: true };
}

export function parseFile(text: string, file: string, schemas: SchemaSet): FileReading {
  const objects: PlacedObject[] = [];
  const reports: DocumentReport[] = [];
  let unreadable = false;
  for (const document of readDocuments(text)) {
    const place = { file, document: document.number };
    if (document.state === "unreadable") {
      unreadable = true;
      reports.push(...document.faults.map((note) => reportNote(note, place, "refused")));
      continue;
    }
    reports.push(...document.warnings.map((note) => reportNote(note, place, "warning")));
    for (const found of document.objects) {
      const reading = readObject(found.json, schemas);
      objects.push({ document: document.number, line: found.lineOf(""), reading });
      reports.push(...reportObject(found, reading, place));
    }
  }
  const more = reports.length - maxReportsPerFile;
  if (more > 0) {
    const note = { line: 0, reason: `has ${more} more reports` };
    reports.splice(maxReportsPerFile, more, reportNote(note, { file, document: 0 }, "refused"));
  }
  const mayHideObjects = unreadable || objects.some(({ reading }) => reading.state === "nameless");
  return { objects, reports, unreadable, mayHideObjects };
}

type Place = Pick<DocumentReport, "file" | "document">;

function reportNote(
  note: LineNote,
  place: Place,
  severity: DocumentReport["severity"],
): DocumentReport {
  return { ...place, line: note.line, object: "", path: "", reason: note.reason, severity };
}

function reportObject(
  found: FoundObject,
  reading: ObjectReading,
  place: Place,
): readonly DocumentReport[] {
  return reading.faults.map(({ path, reason, severity }) => ({
    ...place,
    line: found.lineOf(path),
    object: reading.title,
    path: [found.path, path].filter((part) => part !== "").join("."),
    reason,
    severity,
  }));
}
