/** Which route takes a request (Gateway API HTTPRouteRule, "Matches"). One engine for routing, authorization and explanation. */
import type { HostMatch, PathMatch } from "../model/match.ts";
import type { Fault, Result } from "../std/result.ts";
import { fault } from "../std/result.ts";
import {
  type ConditionEntry,
  type HttpRouteTable,
  type MatchEntry,
  trimPrefix,
  type ValueEntry,
} from "../table/http-route.ts";
import { EntryIndexer, type EntryList, maxJudged, type ValueIndex } from "./entry-lookup.ts";
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

/** A table with what is computed once when a worker receives it: each entry is in one of three indexes by its path (benchmarks/core/find-route.ts), and those with one path in further ones (entry-lookup.ts). */
export type LoadedRoutes = {
  readonly table: HttpRouteTable;
  /** Parallel to `table.patterns`. Undefined: does not compile. */
  readonly patterns: readonly (Pattern | undefined)[];
  /** Why, with the pattern as the path. */
  readonly faults: readonly Fault[];
  readonly exact: ReadonlyMap<string, EntryList>;
  /** By prefix, without slashes at its end. */
  readonly prefixes: ReadonlyMap<string, EntryList>;
  /** Lengths of the keys of `prefixes`, longest first. */
  readonly prefixLengths: readonly number[];
  readonly regexes: EntryList;
  /** All entries in order, where they are so few that judging each takes no longer than looking any of them up. */
  readonly few: readonly number[] | undefined;
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
  const indexer = new EntryIndexer(table, patterns);
  const listByPath = (
    kind: PathMatch["kind"],
    keyOf: (path: string) => string,
  ): ReadonlyMap<string, EntryList> => {
    const groups = Map.groupBy(ofKind(kind), (at) => keyOf(table.entries[at]?.path.value ?? ""));
    return new Map(Array.from(groups, ([key, entries]) => [key, indexer.list(entries)]));
  };
  const prefixes = listByPath("prefix", trimPrefix);
  const lengths = new Set(Array.from(prefixes.keys(), ({ length }) => length));
  return {
    table,
    patterns,
    faults,
    exact: listByPath("exact", (path) => path),
    prefixes,
    prefixLengths: [...lengths].sort((left, right) => right - left),
    regexes: indexer.list(ofKind("regex")),
    few: places.length <= maxJudged ? places : undefined,
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
  const { few, exact, prefixes, prefixLengths, regexes } = loaded;
  if (few !== undefined) return firstOf(loaded, few, request, noRoute);
  const { path } = request;
  let found = noRoute;
  if (exact.size > 0) found = search(loaded, exact.get(path), request, found);
  for (let at = 0; at < prefixLengths.length; at++) {
    const length = prefixLengths[at] as number;
    if (!endsSegment(path, length)) continue;
    found = search(loaded, prefixes.get(path.slice(0, length)), request, found);
  }
  return search(loaded, regexes, request, found);
}

/** The entry that could not be judged when `findRoute` answered less than `noRoute`; else undefined. */
export function unjudgedEntry(found: number): number | undefined {
  return found < noRoute ? -2 - found : undefined;
}

/** The functions below answer the first entry of their list that takes the request, if it comes before `found`; else `found`. */
function search(
  loaded: LoadedRoutes,
  list: EntryList | undefined,
  request: RequestView,
  found: number,
): number {
  if (list === undefined || list.first >= placeOf(found)) return found;
  let best = found;
  for (let at = 0; at < list.indexes.length; at++) {
    best = searchIndex(loaded, list.indexes[at] as ValueIndex, request, best);
  }
  return firstOf(loaded, list.plain, request, best);
}

/** An entry that is not looked at asks for another value than the request has, and would not take it whatever else it asks. */
function searchIndex(
  loaded: LoadedRoutes,
  index: ValueIndex,
  request: RequestView,
  found: number,
): number {
  if (index.first >= placeOf(found)) return found;
  const value = partOf(request, index);
  if (value === undefined) return found;
  let best = found;
  if (index.exact.size > 0) best = search(loaded, index.exact.get(value), request, best);
  if (index.patterned.length === 0) return best;
  if (value.length > maxTestedLength) return firstOf(loaded, index.patterned, request, best);
  const { starts, ends } = index;
  for (let at = 0; at < starts.lengths.length; at++) {
    const length = starts.lengths[at] as number;
    if (length > value.length) continue;
    best = search(loaded, starts.lists.get(value.slice(0, length)), request, best);
  }
  for (let at = 0; at < ends.lengths.length; at++) {
    const length = ends.lengths[at] as number;
    if (length > value.length) continue;
    best = search(loaded, ends.lists.get(value.slice(value.length - length)), request, best);
  }
  return best;
}

function partOf(request: RequestView, { part, name }: ValueIndex): string | undefined {
  switch (part) {
    case "host":
      return hostOf(request.authority);
    case "path":
      return request.path;
    case "method":
      return request.method;
    case "header":
      return request.header(name);
    case "query":
      return queryValue(request.query, name);
  }
}

function firstOf(
  loaded: LoadedRoutes,
  entries: readonly number[],
  request: RequestView,
  found: number,
): number {
  const limit = placeOf(found);
  for (let at = 0; at < entries.length; at++) {
    const entry = entries[at] as number;
    if (entry >= limit) return found;
    const verdict = judgeEntry(loaded, entry, request);
    if (verdict === Verdict.match) return entry;
    if (verdict === Verdict.unjudged) return -2 - entry;
  }
  return found;
}

/** What comes later than this need not be looked at. */
function placeOf(found: number): number {
  return found === noRoute ? Number.POSITIVE_INFINITY : (unjudgedEntry(found) ?? found);
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
  condition: 7,
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
  if (entry.condition !== undefined) {
    const answer = judgeCondition(loaded, entry.condition, request);
    if (answer === no) return Verdict.condition;
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

/** Three-valued, so that a pattern that cannot be judged makes only those unsure whom it could decide. */
function judgeCondition(
  loaded: LoadedRoutes,
  condition: ConditionEntry,
  request: RequestView,
): number {
  switch (condition.kind) {
    case "path":
      return judgePattern(loaded, condition.pattern, request.path);
    case "rpc-service":
    case "rpc-method":
      return judgePattern(loaded, condition.pattern, rpcName(condition.kind, request.path));
    case "method":
      return condition.method === request.method ? yes : no;
    case "not":
      return negated(judgeCondition(loaded, condition.of, request));
    case "all":
    case "any": {
      const deciding = condition.kind === "all" ? no : yes;
      let sum = negated(deciding);
      for (let at = 0; at < condition.of.length; at++) {
        const answer = judgeCondition(loaded, condition.of[at] as ConditionEntry, request);
        if (answer === deciding) return answer;
        if (answer === unsure) sum = unsure;
      }
      return sum;
    }
  }
}

/** gRPC over HTTP/2, "Requests": the path is `/service/method`. The path of an entry with such a condition has made sure of that. */
function rpcName(kind: "rpc-service" | "rpc-method", path: string): string {
  const slash = path.lastIndexOf("/");
  return kind === "rpc-service" ? path.slice(1, slash) : path.slice(slash + 1);
}

function negated(answer: number): number {
  if (answer === unsure) return unsure;
  return answer === yes ? no : yes;
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

export function hostTakes(hosts: readonly HostMatch[], authority: string): boolean {
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
  let end = authority.length;
  let digits = end;
  while (digits > 0 && isDigit(authority.charCodeAt(digits - 1))) digits--;
  if (authority.charCodeAt(digits - 1) === 0x3a) end = digits - 1;
  if (authority.charCodeAt(end - 1) === 0x2e) end--;
  return authority.slice(0, end).toLowerCase();
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}
