/** Which route takes a request (Gateway API HTTPRouteRule, "Matches"). One engine for routing, authorization and explanation. */
import type { HostMatch, PathMatch } from "../model/match.ts";
import type { Fault, Result } from "../std/result.ts";
import { fault } from "../std/result.ts";
import {
  type HttpRouteTable,
  type MatchEntry,
  trimPrefix,
  type ValueEntry,
} from "../table/http-route.ts";
import { compilePattern, maxTestedLength, type Pattern } from "./pattern.ts";
import { queryValue } from "./query.ts";

/** A request as routes see it. All strings hold octets (Latin-1), as they came. */
export type RequestView = {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** Without the question mark; empty when there is none. */
  readonly query: string;
  /** `host` or `host:port`. */
  readonly authority: string;
  /** Takes a name in lower case. Repeated fields are joined by `, ` (RFC 9110 §5.2), and compared as one value. */
  readonly header: (name: string) => string | undefined;
};

/** A table with what is computed once when a worker receives it: each entry is in one of three indexes by its path (benchmarks/core/find-route.ts). */
export type LoadedRoutes = {
  readonly table: HttpRouteTable;
  /** Parallel to `table.patterns`. Undefined: does not compile. */
  readonly patterns: readonly (Pattern | undefined)[];
  /** Why, with the pattern as the path. */
  readonly faults: readonly Fault[];
  /** Lists of entries are in order of precedence. */
  readonly exact: ReadonlyMap<string, readonly number[]>;
  /** By prefix, without slashes at its end. */
  readonly prefixes: ReadonlyMap<string, readonly number[]>;
  /** Lengths of the keys of `prefixes`, longest first. */
  readonly prefixLengths: readonly number[];
  readonly regexes: readonly number[];
};

/** `compile` is for callers that keep compiled patterns from one table to the next. */
export function loadHttpRoutes(
  table: HttpRouteTable,
  compile: (source: string) => Result<Pattern> = compilePattern,
): LoadedRoutes {
  const faults: Fault[] = [];
  const patterns = table.patterns.map((source) => {
    const compiled = compile(source);
    if (compiled.ok) return compiled.value;
    faults.push(...compiled.faults.map(({ reason }) => fault(source, reason)));
    return undefined;
  });
  const places = [...table.entries.keys()];
  const ofKind = (kind: PathMatch["kind"]): readonly number[] =>
    places.filter((at) => table.entries[at]?.path.kind === kind);
  const pathOf = (at: number): string => table.entries[at]?.path.value ?? "";
  const prefixes = Map.groupBy(ofKind("prefix"), (at) => trimPrefix(pathOf(at)));
  const lengths = new Set(Array.from(prefixes.keys(), ({ length }) => length));
  return {
    table,
    patterns,
    faults,
    exact: Map.groupBy(ofKind("exact"), pathOf),
    prefixes,
    prefixLengths: [...lengths].sort((left, right) => right - left),
    regexes: ofKind("regex"),
  };
}

/** No entry takes the request: 404. */
export const noRoute = -1;

/**
 * The index of the entry that takes the request, `noRoute`, or less: an entry comes first that cannot be judged, because its pattern does not compile, its
 * value is too long to test, or a part of it could not be read. `unjudgedEntry` names it. The answer is then 500, since a weaker rule must
 * not take what this one was made for; who only asks whether the result is negative refuses the request all the same.
 */
export function findRoute(loaded: LoadedRoutes, request: RequestView): number {
  const { exact, prefixes, prefixLengths, regexes } = loaded;
  const { path } = request;
  let found = noRoute;
  if (exact.size > 0) found = firstOf(loaded, exact.get(path), request, found);
  for (let at = 0; at < prefixLengths.length; at++) {
    const length = prefixLengths[at] as number;
    if (!endsSegment(path, length)) continue;
    found = firstOf(loaded, prefixes.get(path.slice(0, length)), request, found);
  }
  return firstOf(loaded, regexes, request, found);
}

/** The entry that could not be judged when `findRoute` answered less than `noRoute`; else undefined. */
export function unjudgedEntry(found: number): number | undefined {
  return found < noRoute ? -2 - found : undefined;
}

/** The first of the entries that takes the request, if it comes before what was found so far. */
function firstOf(
  loaded: LoadedRoutes,
  entries: readonly number[] | undefined,
  request: RequestView,
  found: number,
): number {
  if (entries === undefined) return found;
  const limit = found === noRoute ? Number.POSITIVE_INFINITY : (unjudgedEntry(found) ?? found);
  for (let at = 0; at < entries.length; at++) {
    const entry = entries[at] as number;
    if (entry >= limit) return found;
    const verdict = judgeEntry(loaded, entry, request);
    if (verdict === Verdict.match) return entry;
    if (verdict === Verdict.unjudged) return -2 - entry;
  }
  return found;
}

/** Gateway API HTTPPathMatch: whole segments, so that `/abc` takes `/abc` and `/abc/def` and not `/abcd`. */
function endsSegment(path: string, length: number): boolean {
  return length === 0 || path.length === length || path.charCodeAt(length) === 0x2f;
}

/** Why an entry does not take a request. `header` and `query` carry the index of the criterion in the bits above `verdictBits`. */
export const Verdict = {
  match: 0,
  host: 1,
  path: 2,
  method: 3,
  header: 4,
  query: 5,
  unjudged: 6,
} as const;

export const verdictBits = 3;

/** What can be judged comes first: an entry that fails on a readable criterion does not poison the request. */
export function judgeEntry(loaded: LoadedRoutes, index: number, request: RequestView): number {
  const entry = loaded.table.entries[index];
  if (entry === undefined) throw new Error(`The table has no entry ${index}`);
  if (entry.hosts.length > 0 && !hostTakes(entry.hosts, request.authority)) return Verdict.host;
  const path = judgePath(loaded, entry, request.path);
  if (path === no) return Verdict.path;
  if (entry.method !== "" && entry.method !== request.method) return Verdict.method;
  let sum = path;
  for (let at = 0; at < entry.headers.length; at++) {
    const header = entry.headers[at] as ValueEntry;
    const answer = judgeValue(loaded, header, request.header(header.name));
    if (answer === no) return Verdict.header | (at << verdictBits);
    sum |= answer;
  }
  for (let at = 0; at < entry.queryParams.length; at++) {
    const param = entry.queryParams[at] as ValueEntry;
    const answer = judgeValue(loaded, param, queryValue(request.query, param.name));
    if (answer === no) return Verdict.query | (at << verdictBits);
    sum |= answer;
  }
  return sum === yes && entry.unreadable === "" ? Verdict.match : Verdict.unjudged;
}

/** Answers about one criterion; or-ing `yes` and `unsure` leaves what is not sure unsure. */
const no = -1;
const yes = 0;
const unsure = 1;

function judgePath(loaded: LoadedRoutes, entry: MatchEntry, path: string): number {
  const { kind, value } = entry.path;
  switch (kind) {
    case "exact":
      return path === value ? yes : no;
    case "prefix": {
      const prefix = trimPrefix(value);
      return path.startsWith(prefix) && endsSegment(path, prefix.length) ? yes : no;
    }
    case "regex":
      return judgePattern(loaded, entry.pathPattern, path);
  }
}

function judgeValue(loaded: LoadedRoutes, entry: ValueEntry, value: string | undefined): number {
  if (value === undefined) return no;
  if (entry.pattern < 0) return value === entry.value ? yes : no;
  return judgePattern(loaded, entry.pattern, value);
}

function judgePattern(loaded: LoadedRoutes, pattern: number, value: string): number {
  const compiled = loaded.patterns[pattern];
  if (compiled === undefined || value.length > maxTestedLength) return unsure;
  return compiled.test(value) ? yes : no;
}

function hostTakes(hosts: readonly HostMatch[], authority: string): boolean {
  const host = hostOf(authority);
  return hosts.some(({ kind, value }) =>
    kind === "exact"
      ? host === value
      : host.length > value.length + 1 &&
        host.endsWith(value) &&
        host.at(-value.length - 1) === ".",
  );
}

/** Names are compared without case, port and the dot that marks a name as absolute. */
function hostOf(authority: string): string {
  const host = authority.replace(/:[0-9]*$/, "").toLowerCase();
  return host.endsWith(".") ? host.slice(0, -1) : host;
}
