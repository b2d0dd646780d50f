/**
 * YAML text as JSON documents that know their lines. JSON files go the same way: YAML 1.2 is a superset of JSON, and this
 * parser finds duplicate keys, which JSON.parse takes in silence.
 */
import {
  type Document,
  type EmptyStream,
  isCollection,
  isScalar,
  LineCounter,
  type Node,
  parseAllDocuments,
  visit,
  type YAMLError,
} from "yaml";
import { isRecord, splitPath } from "../../core/resource/field.ts";

export type TextDocument =
  | {
      readonly state: "read";
      /** From 1, as the `---` lines count them. */
      readonly number: number;
      readonly objects: readonly FoundObject[];
      readonly warnings: readonly LineNote[];
    }
  | {
      readonly state: "unreadable";
      readonly number: number;
      readonly faults: readonly LineNote[];
    };

export type LineNote = { readonly line: number; readonly reason: string };

export type FoundObject = {
  readonly json: unknown;
  /** Where the object stands in its document: empty, or `items[2]` in a List. */
  readonly path: string;
  /** The line of a path inside the object, or of the nearest thing around it that is there. */
  readonly lineOf: (path: string) => number;
};

/**
 * How often one anchor may be expanded by way of others (yaml's own default). Written-out policies have no need of it,
 * and nested aliases make gigabytes out of a few lines.
 */
const maxAliasCount = 100;

/** The first mistake makes most of the others. */
const maxSyntaxErrors = 3;

/** Words that YAML 1.1, and so kubectl, reads as booleans, and YAML 1.2 as text. */
const oldBoolean = /^(y|yes|n|no|on|off)$/i;
/** Numbers that YAML 1.1 reads in base 8, and YAML 1.2 in base 10. */
const oldOctal = /^[-+]?0[0-7]+$/;

/** Never throws: what cannot be read is a document in state "unreadable". */
export function readDocuments(text: string): readonly TextDocument[] {
  const lines = new LineCounter();
  let parsed: Document.Parsed[] | EmptyStream;
  try {
    parsed = parseAllDocuments(text, { lineCounter: lines, merge: true, stringKeys: true });
  } catch (error) {
    return [{ state: "unreadable", number: 1, faults: [{ line: 1, reason: describe(error) }] }];
  }
  if ("empty" in parsed) return [];
  return parsed.map((document, index) => readDocument(document, index + 1, lines));
}

function readDocument(document: Document.Parsed, number: number, lines: LineCounter): TextDocument {
  // A tag nobody knows is a warning to the parser; here it is a value whose meaning is lost.
  const errors = [...document.errors, ...document.warnings];
  if (errors.length > 0) {
    const notes = errors.map((error) => noteOf(error, lines));
    const sorted = notes.toSorted((left, right) => left.line - right.line);
    return { state: "unreadable", number, faults: sorted.slice(0, maxSyntaxErrors) };
  }
  try {
    const json: unknown = document.toJS({ maxAliasCount });
    const warnings = findOldScalars(document, lines);
    return { state: "read", number, objects: expand(json, document, lines), warnings };
  } catch (error) {
    const line = lineAt(rangeStart(document.contents) ?? 0, lines);
    return { state: "unreadable", number, faults: [{ line, reason: describe(error) }] };
  }
}

/** An empty document holds nothing; a List holds its items, as `kubectl get -o yaml` prints them. */
function expand(
  json: unknown,
  document: Document.Parsed,
  lines: LineCounter,
): readonly FoundObject[] {
  if (json === null) return [];
  const found = (value: unknown, path: string): FoundObject => {
    const start = splitPath(path);
    return {
      json: value,
      path,
      lineOf: (inner) => lineOfPath(document, [...start, ...splitPath(inner)], lines),
    };
  };
  if (!isRecord(json) || json["kind"] !== "List") return [found(json, "")];
  const items: unknown = json["items"];
  if (!Array.isArray(items)) throw new Error("a List must have its objects in a list, in items");
  return items.map((item: unknown, index) => found(item, `items[${index}]`));
}

function lineOfPath(
  document: Document.Parsed,
  steps: readonly (string | number)[],
  lines: LineCounter,
): number {
  let node: unknown = document.contents;
  let offset = rangeStart(document.contents) ?? 0;
  for (const step of steps) {
    if (!isCollection(node)) break;
    const key: unknown = node.items.find(
      (item) => "key" in (item as object) && keyOf(item) === step,
    );
    const next: unknown = node.get(step, true);
    const start =
      rangeStart((key as { readonly key?: unknown } | undefined)?.key) ?? rangeStart(next);
    if (start === undefined) break;
    offset = start;
    node = next;
  }
  return lineAt(offset, lines);
}

function keyOf(pair: unknown): unknown {
  const { key } = pair as { readonly key?: unknown };
  return isScalar(key) ? key.value : key;
}

function rangeStart(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0];
}

function findOldScalars(document: Document.Parsed, lines: LineCounter): readonly LineNote[] {
  const notes: LineNote[] = [];
  visit(document, {
    Scalar(position, scalar) {
      if (position === "key" || scalar.type !== "PLAIN") return;
      const source = scalar.source ?? "";
      const line = lineAt(scalar.range?.[0] ?? 0, lines);
      if (oldBoolean.test(source) && typeof scalar.value === "string") {
        notes.push({ line, reason: `reads ${source} as text, kubectl as true or false: quote it` });
      } else if (oldOctal.test(source) && typeof scalar.value === "number") {
        notes.push({
          line,
          reason: `reads ${source} in base 10, kubectl in base 8: write it plainly`,
        });
      }
    },
  });
  return notes;
}

function noteOf(error: YAMLError, lines: LineCounter): LineNote {
  // Only the first sentence: the rest repeats the position and draws the line.
  const [reason = error.message] = error.message.split(/ at line \d+|\n/);
  return { line: lineAt(error.pos[0], lines), reason: lowerFirst(reason) };
}

function describe(error: unknown): string {
  return lowerFirst(error instanceof Error ? error.message : String(error));
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function lineAt(offset: number, lines: LineCounter): number {
  return lines.linePos(offset).line;
}
