/**
 * Entries of a route table, looked up by a value that they ask for instead of judged one by one. Each entry of a long list is filed under the rarest of
 * the values it cannot do without: a host, a header, a query parameter, a method, or what a pattern begins or ends with. To find the value of a request is
 * not to match it; what is found is still judged.
 */
import type {
  ConditionEntry,
  HttpRouteTable,
  MatchEntry,
  ValueEntry,
} from "../table/http-route.ts";
import { type PatternLiterals, patternLiterals } from "./pattern-literals.ts";

/** Places in the table, in order. */
export type EntryList = {
  /** The lowest place in the list; infinite when it is empty. */
  readonly first: number;
  /** Entries that have to be judged one by one. */
  readonly plain: readonly number[];
  readonly indexes: readonly ValueIndex[];
};

/** Entries by the value of one part of a request. One that asks for several values is there several times. */
export type ValueIndex = {
  readonly part: Part;
  /** Of the header or parameter. */
  readonly name: string;
  readonly first: number;
  readonly exact: ReadonlyMap<string, EntryList>;
  readonly starts: LiteralIndex;
  readonly ends: LiteralIndex;
  /** What `starts` and `ends` hold, for a value that no pattern can judge. */
  readonly patterned: readonly number[];
};

type LiteralIndex = {
  readonly lists: ReadonlyMap<string, EntryList>;
  /** Of the keys, each once. */
  readonly lengths: readonly number[];
};

type Part = "host" | "path" | "method" | "header" | "query";

/** Judging this many takes no longer than looking one up (benchmarks/core/find-route.ts). */
export const maxJudged = 4;

/** One thing that an entry cannot do without: one of these values. */
type Need = {
  readonly part: Part;
  readonly name: string;
  readonly compare: "exact" | "start" | "end";
  readonly values: readonly string[];
};

export class EntryIndexer {
  readonly #entries: readonly MatchEntry[];
  /** By pattern; undefined where nothing is known of what it matches. */
  readonly #literals: readonly (PatternLiterals | undefined)[];

  /** `usable` tells which patterns can be tested. The others judge nothing, so that no value is out of their reach. */
  constructor(table: HttpRouteTable, usable: readonly unknown[]) {
    this.#entries = table.entries;
    this.#literals = table.patterns.map((source, at) =>
      usable[at] === undefined ? undefined : patternLiterals(source),
    );
  }

  /** `entries` are in order. */
  list(entries: readonly number[]): EntryList {
    const first = entries[0] ?? Number.POSITIVE_INFINITY;
    if (entries.length <= maxJudged) return { first, plain: entries, indexes: noIndexes };
    const needs = entries.map((at) => this.#needsOf(at));
    const census = new Census(needs);
    const plain: number[] = [];
    const drafts = new Map<string, Draft>();
    for (const [place, at] of entries.entries()) {
      const need = census.rarest(needs[place] ?? []);
      if (need === undefined) {
        plain.push(at);
        continue;
      }
      const key = partKey(need);
      const draft = drafts.get(key) ?? new Draft(need, at);
      drafts.set(key, draft);
      draft.add(need, at);
    }
    const listOf = (places: readonly number[]): EntryList => this.list(places);
    const indexes = Array.from(drafts.values(), (draft) => draft.finish(listOf));
    return { first, plain, indexes };
  }

  #needsOf(at: number): readonly Need[] {
    const entry = this.#entries[at];
    if (entry === undefined) throw new Error(`The table has no entry ${at}`);
    const needs: Need[] = [];
    if (entry.hosts.length > 0 && entry.hosts.every(({ kind }) => kind === "exact")) {
      const values = new Set(entry.hosts.map(({ value }) => value));
      needs.push({ part: "host", name: "", compare: "exact", values: [...values] });
    }
    if (entry.path.kind === "regex") this.#addPattern(needs, "path", "", entry.pathPattern);
    if (entry.method !== "") needs.push(exactly("method", "", entry.method));
    for (const header of entry.headers) this.#addValue(needs, "header", header);
    for (const param of entry.queryParams) this.#addValue(needs, "query", param);
    if (entry.condition !== undefined) this.#addCondition(needs, entry.condition);
    return needs;
  }

  #addValue(needs: Need[], part: Part, { name, pattern, value }: ValueEntry): void {
    if (pattern < 0) needs.push(exactly(part, name, value));
    else this.#addPattern(needs, part, name, pattern);
  }

  #addPattern(needs: Need[], part: Part, name: string, pattern: number): void {
    const literals = this.#literals[pattern];
    if (literals === undefined) return;
    const { start, end } = literals;
    if (start !== "") needs.push({ part, name, compare: "start", values: [start] });
    if (end !== "") needs.push({ part, name, compare: "end", values: [end] });
  }

  /** Of `any` and `not` no single part is needed. */
  #addCondition(needs: Need[], condition: ConditionEntry): void {
    if (condition.kind === "path") this.#addPattern(needs, "path", "", condition.pattern);
    if (condition.kind === "method") needs.push(exactly("method", "", condition.method));
    if (condition.kind === "all") {
      for (const part of condition.of) this.#addCondition(needs, part);
    }
  }
}

const noIndexes: readonly ValueIndex[] = [];
const noLists: LiteralIndex = { lists: new Map(), lengths: [] };

function exactly(part: Part, name: string, value: string): Need {
  return { part, name, compare: "exact", values: [value] };
}

function partKey({ part, name }: Need): string {
  return `${part} ${name}`;
}

/** How often each value is needed in a list, and how often each part of the request. */
class Census {
  readonly #most: number;
  readonly #values = new Map<string, number>();
  readonly #parts = new Map<string, number>();

  constructor(needs: readonly (readonly Need[])[]) {
    // What more than half of the entries need tells too little apart. It also bounds the depth of lists in lists by the logarithm of their length.
    this.#most = needs.length / 2;
    for (const need of needs.flat()) {
      countUp(this.#parts, partKey(need));
      for (const value of need.values) countUp(this.#values, valueKey(need, value));
    }
  }

  /** Of those as rare, that whose part most entries need, since each part costs a look into the request. */
  rarest(needs: readonly Need[]): Need | undefined {
    let best: Need | undefined;
    let bestUses = this.#most;
    let bestPart = 0;
    for (const need of needs) {
      const uses = this.#usesOf(need);
      const part = this.#parts.get(partKey(need)) ?? 0;
      if (uses < bestUses || (uses === bestUses && part > bestPart)) {
        best = need;
        bestUses = uses;
        bestPart = part;
      }
    }
    return best;
  }

  /** Of its commonest value. */
  #usesOf(need: Need): number {
    return need.values.reduce(
      (most, value) => Math.max(most, this.#values.get(valueKey(need, value)) ?? 0),
      0,
    );
  }
}

function countUp(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function valueKey(need: Need, value: string): string {
  return `${partKey(need)} ${need.compare} ${value}`;
}

type Places = Map<string, number[]>;

/** An index while it is filled. */
class Draft {
  readonly #part: Part;
  readonly #name: string;
  readonly #first: number;
  readonly #exact: Places = new Map();
  readonly #starts: Places = new Map();
  readonly #ends: Places = new Map();
  readonly #patterned: number[] = [];

  constructor({ part, name }: Need, first: number) {
    this.#part = part;
    this.#name = name;
    this.#first = first;
  }

  add({ compare, values }: Need, entry: number): void {
    for (const value of values) {
      const places = this.#placesOf(compare);
      const known = places.get(value);
      if (known === undefined) places.set(value, [entry]);
      else known.push(entry);
    }
    if (compare !== "exact") this.#patterned.push(entry);
  }

  #placesOf(compare: Need["compare"]): Places {
    if (compare === "exact") return this.#exact;
    return compare === "start" ? this.#starts : this.#ends;
  }

  finish(listOf: (places: readonly number[]) => EntryList): ValueIndex {
    return {
      part: this.#part,
      name: this.#name,
      first: this.#first,
      exact: listEach(this.#exact, listOf),
      starts: literalIndex(this.#starts, listOf),
      ends: literalIndex(this.#ends, listOf),
      patterned: this.#patterned,
    };
  }
}

function literalIndex(
  places: Places,
  listOf: (places: readonly number[]) => EntryList,
): LiteralIndex {
  if (places.size === 0) return noLists;
  const lengths = new Set(Array.from(places.keys(), ({ length }) => length));
  return { lists: listEach(places, listOf), lengths: [...lengths] };
}

function listEach(
  places: Places,
  listOf: (places: readonly number[]) => EntryList,
): Map<string, EntryList> {
  return new Map(Array.from(places, ([key, entries]) => [key, listOf(entries)]));
}
