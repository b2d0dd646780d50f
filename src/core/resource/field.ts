/**
 * Typed readers over unchecked JSON. A reader that finds a fault notes it and gives a placeholder, so that one pass
 * finds all faults of an object; whoever reads asks the fault list at the end and throws the placeholders away.
 *
 * Null is read as absent, as the Kubernetes API does for its own kinds.
 */
import { type Fault, fail, fault, ok, type Result } from "../std/result.ts";

/** Long enough to recognise the value, short enough for one line of a report. */
const maxQuotedLength = 60;

/** Enough to mend an object by; a list of a million wrong entries must not make a million faults. */
const maxFaults = 100;

/**
 * Collects faults. Those a schema has found before are handed in and kept, and nothing more is noted for their paths:
 * two reports of one mistake would look like two mistakes.
 */
export class FaultList {
  readonly #known: ReadonlySet<string>;
  readonly #faults: Fault[];

  constructor(known: readonly Fault[] = []) {
    this.#known = new Set(known.map(({ path }) => path));
    this.#faults = [...known];
  }

  add(path: string, reason: string): void {
    if (this.#known.has(path) || this.#faults.length >= maxFaults) return;
    if (this.#faults.some((one) => one.path === path && one.reason === reason)) return;
    this.#faults.push(fault(path, reason));
  }

  get faults(): readonly Fault[] {
    return this.#faults;
  }

  /** The value that was read meanwhile, unless something was wrong with it. */
  settle<T>(value: T): Result<T> {
    return this.#faults.length === 0 ? ok(value) : fail(...this.#faults);
  }
}

export type Range = { readonly min: number; readonly max: number };

export const portRange: Range = { min: 1, max: 65_535 };

export class Field {
  readonly json: unknown;
  readonly path: string;
  readonly #list: FaultList;

  constructor(json: unknown, list: FaultList, path: string = "") {
    this.json = json;
    this.path = path;
    this.#list = list;
  }

  get isPresent(): boolean {
    return this.json !== undefined && this.json !== null;
  }

  fault(reason: string): void {
    this.#list.add(this.path, reason);
  }

  at(name: string): Field {
    const path = joinPath(this.path, name);
    if (!this.isPresent) return new Field(undefined, this.#list, path);
    if (!isRecord(this.json)) {
      this.fault(`must be an object, is ${quote(this.json)}`);
      return new Field(undefined, new FaultList(), path);
    }
    return new Field(
      Object.hasOwn(this.json, name) ? this.json[name] : undefined,
      this.#list,
      path,
    );
  }

  /** The field itself when it is there, else a fault; what is missing inside of it is then no news. */
  required(): Field {
    if (this.isPresent) return this;
    this.fault("is required");
    return this.apart(new FaultList());
  }

  /** The same value with its faults noted elsewhere, for a part that stands or falls alone. */
  apart(list: FaultList): Field {
    return new Field(this.json, list, this.path);
  }

  items(): readonly Field[] {
    if (!this.isPresent) return [];
    if (!Array.isArray(this.json)) {
      this.fault(`must be a list, is ${quote(this.json)}`);
      return [];
    }
    return this.json.map(
      (item: unknown, index) => new Field(item, this.#list, `${this.path}[${index}]`),
    );
  }

  optionalText(): string | undefined {
    if (!this.isPresent) return undefined;
    if (typeof this.json === "string") return this.json;
    this.fault(`must be text, is ${quote(this.json)}`);
    return undefined;
  }

  text(): string {
    return this.required().optionalText() ?? "";
  }

  optionalInteger(range: Range): number | undefined {
    if (!this.isPresent) return undefined;
    const value = this.json;
    if (typeof value === "number" && Number.isInteger(value)) {
      if (value >= range.min && value <= range.max) return value;
    }
    this.fault(`must be a whole number ${describeRange(range)}, is ${quote(value)}`);
    return undefined;
  }

  integer(range: Range): number {
    return this.required().optionalInteger(range) ?? range.min;
  }

  flag(fallback: boolean): boolean {
    if (!this.isPresent) return fallback;
    if (typeof this.json === "boolean") return this.json;
    this.fault(`must be true or false, is ${quote(this.json)}`);
    return fallback;
  }

  optionalChoice<T extends string | number>(allowed: readonly T[]): T | undefined {
    if (!this.isPresent) return undefined;
    const found = allowed.find((one) => one === this.json);
    if (found === undefined) {
      this.fault(`must be ${listChoices(allowed)}, is ${quote(this.json)}`);
    }
    return found;
  }

  /** `fallback` stands in for an absent value and for a wrong one. */
  choice<T extends string | number>(allowed: readonly T[], fallback: T): T {
    return this.optionalChoice(allowed) ?? fallback;
  }

  textMap(): ReadonlyMap<string, string> {
    const map = new Map<string, string>();
    if (!this.isPresent) return map;
    if (!isRecord(this.json)) {
      this.fault(`must be an object, is ${quote(this.json)}`);
      return map;
    }
    for (const key of Object.keys(this.json)) {
      const value = this.at(key).optionalText();
      if (value !== undefined) map.set(key, value);
    }
    return map;
  }

  /** A port by number or by name (Kubernetes IntOrString; RFC 6335 §5.1 for the name). */
  optionalPort(): number | string | undefined {
    if (typeof this.json !== "string") return this.optionalInteger(portRange);
    if (isPortName(this.json)) return this.json;
    this.fault(
      `must be a port number ${describeRange(portRange)} or a port name (1 to 15 of a-z, 0-9 and -, at least one letter), is ${quote(this.json)}`,
    );
    return undefined;
  }
}

export function isRecord(json: unknown): json is Readonly<Record<string, unknown>> {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

/** A path that people can read and that can be split again: keys that are not plain words stand in brackets. */
export function joinPath(path: string, name: string): string {
  if (!/^[A-Za-z_$][\w$-]*$/.test(name)) return `${path}[${JSON.stringify(name)}]`;
  return path === "" ? name : `${path}.${name}`;
}

/** The inverse of joinPath, for those who look a path up in a document. */
export function splitPath(path: string): readonly (string | number)[] {
  const parts: (string | number)[] = [];
  for (const [text, quoted, index, word] of path.matchAll(
    /\[("(?:[^"\\]|\\.)*")\]|\[(\d+)\]|([^.[\]]+)/g,
  )) {
    if (quoted !== undefined) parts.push(String(JSON.parse(quoted)));
    else if (index === undefined) parts.push(word ?? text);
    else parts.push(Number(index));
  }
  return parts;
}

export function isWithin(path: string, parent: string): boolean {
  if (!path.startsWith(parent)) return false;
  return path.length === parent.length || /^[.[]/.test(path.slice(parent.length));
}

/** A value as a report shows it: texts in quotes and cut short, lists and objects by their kind alone. */
export function quote(value: unknown): string {
  if (value === undefined) return "absent";
  if (Array.isArray(value)) return "a list";
  if (isRecord(value)) return "an object";
  if (typeof value !== "string" || value.length <= maxQuotedLength) return JSON.stringify(value);
  return `${JSON.stringify(value.slice(0, maxQuotedLength))}…`;
}

export function listChoices(allowed: readonly (string | number)[]): string {
  const texts = allowed.map((one) => JSON.stringify(one));
  const last = texts.pop() ?? "";
  return texts.length === 0 ? last : `${texts.join(", ")} or ${last}`;
}

function describeRange(range: Range): string {
  return range.max === Number.MAX_SAFE_INTEGER
    ? `of at least ${range.min}`
    : `from ${range.min} to ${range.max}`;
}

function isPortName(text: string): boolean {
  if (text.length > 15 || !/[a-z]/.test(text)) return false;
  return /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(text) && !text.includes("--");
}
