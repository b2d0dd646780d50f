/**
 * Values of annotations in the grammar that Linkerd reads them by. One that cannot be read counts as not there and leaves a fault; what becomes of that is for
 * the reader to decide.
 */
import { parseDurationMs } from "../std/duration.ts";
import { type Fault, fault } from "../std/result.ts";

const dayMs = 86_400_000;

const trueWords: ReadonlySet<string> = new Set(["1", "t", "T", "true", "TRUE", "True"]);
const falseWords: ReadonlySet<string> = new Set(["0", "f", "F", "false", "FALSE", "False"]);

export type Bounds = { readonly min: number; readonly max: number };

export class Annotations {
  readonly #values: ReadonlyMap<string, string>;
  readonly #faults: Fault[] = [];

  constructor(values: ReadonlyMap<string, string>) {
    this.#values = values;
  }

  /** Each with the name of its annotation as path. */
  get faults(): readonly Fault[] {
    return this.#faults;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  text(name: string): string | undefined {
    return this.#values.get(name)?.trim();
  }

  refuse(name: string, wanted: string): undefined {
    this.#faults.push(fault(name, `must be ${wanted}, is ${JSON.stringify(this.text(name))}`));
  }

  /** Linkerd's durations (a whole number and one unit, up to days, or a bare 0), and Gateway API's of several parts. */
  durationMs(name: string, bounds: Partial<Bounds> = {}): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const ms = readDuration(text);
    const { min = 0, max = Number.MAX_SAFE_INTEGER } = bounds;
    if (ms !== undefined && ms >= min && ms <= max) return ms;
    const least = min > 0 ? ` of at least ${min}ms` : "";
    return this.refuse(name, `a duration like "500ms", "10s" or "5m"${least}`);
  }

  integer(name: string, { min, max }: Bounds): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max
      ? value
      : this.refuse(name, `a whole number from ${min} to ${max}`);
  }

  ratio(name: string, { min, max }: Bounds): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = /^[0-9]{1,4}(\.[0-9]{1,9})?$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max
      ? value
      : this.refuse(name, `a number from ${min} to ${max}`);
  }

  /** The words of Go's ParseBool, which is what reads them in Linkerd. */
  flag(name: string): boolean | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (trueWords.has(text)) return true;
    return falseWords.has(text) ? false : this.refuse(name, "true or false");
  }
}

function readDuration(text: string): number | undefined {
  if (text === "0") return 0;
  const days = /^([0-9]{1,5})d$/.exec(text)?.[1];
  return days === undefined ? parseDurationMs(text) : Number(days) * dayMs;
}
