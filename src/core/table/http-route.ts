/**
 * Routes as the data plane reads them: every (route, rule, match) triple, sorted by Gateway API precedence (or as listed, where the source says so), so
 * that the first entry that matches is the winner and the place in the list is the explanation. Plain data: it is posted to workers by structured clone.
 */
import type {
  HostMatch,
  HttpMatch,
  PathMatch,
  RequestCondition,
  RpcMatch,
  RpcName,
  ValueMatch,
} from "../model/match.ts";
import type { Meta } from "../model/meta.ts";

export type HttpRouteTable = {
  readonly order: RouteOrder;
  readonly entries: readonly MatchEntry[];
  readonly rules: readonly RuleEntry[];
  readonly routes: readonly RouteEntry[];
  /** Regular expressions of all entries; entries refer to them by index, workers compile each once. */
  readonly patterns: readonly string[];
};

export type RouteOrder = "precedence" | "list";

export type MatchEntry = {
  readonly path: PathMatch;
  /** Index into `patterns` when `path.kind` is `regex`, else -1. */
  readonly pathPattern: number;
  /** Empty: any. */
  readonly method: string;
  readonly headers: readonly ValueEntry[];
  readonly queryParams: readonly ValueEntry[];
  /** Undefined: none. */
  readonly condition: ConditionEntry | undefined;
  /** Of a gRPC route: how closely it names the call, and by which names. */
  readonly rpc: RpcEntry | undefined;
  /** Empty: any host. All of them rank alike: exact names only, or suffixes of one length only. */
  readonly hosts: readonly HostMatch[];
  /** Index into `rules`. */
  readonly rule: number;
  /** Which match of its rule this is. */
  readonly match: number;
  /** Not empty: why requests that meet this entry are refused (see HttpMatch). */
  readonly unreadable: string;
};

/** Gateway API GRPCRouteRule counts characters; a regular expression has none to count and stands before no name at all. */
type RpcEntry = { readonly service: number; readonly method: number; readonly names: RpcMatch };

export type ValueEntry = {
  readonly name: string;
  /** -1: compare with `value`; else index into `patterns`. */
  readonly pattern: number;
  readonly value: string;
};

export type ConditionEntry =
  /** Index into `patterns`. */
  | { readonly kind: "path" | "rpc-service" | "rpc-method"; readonly pattern: number }
  | { readonly kind: "method"; readonly method: string }
  | { readonly kind: "all" | "any"; readonly of: readonly ConditionEntry[] }
  | { readonly kind: "not"; readonly of: ConditionEntry };

type RuleEntry = {
  /** Index into `routes`. */
  readonly route: number;
  /** Place in the route's list of rules. */
  readonly index: number;
};

type RouteEntry = { readonly meta: Meta };

/** What inbound and outbound routes have in common. In policy order: oldest first, then by namespace/name. */
export type RouteSource = {
  readonly meta: Meta;
  readonly hosts: readonly HostMatch[];
  readonly rules: readonly { readonly matches: readonly HttpMatch[] }[];
};

/** `rules` and `routes` of the table are in the order of the sources, so that callers can build arrays beside them. */
export function compileHttpRoutes(
  sources: readonly RouteSource[],
  order: RouteOrder = "precedence",
): HttpRouteTable {
  const intern = new Interner();
  const entries: MatchEntry[] = [];
  const rules: RuleEntry[] = [];
  for (const [route, { hosts, rules: ruleSources }] of sources.entries()) {
    const hostGroups = groupByRank(hosts);
    for (const [index, { matches }] of ruleSources.entries()) {
      const rule = rules.push({ route, index }) - 1;
      for (const [match, source] of matches.entries()) {
        for (const hostGroup of hostGroups) {
          entries.push({ ...compileMatch(source, intern), hosts: hostGroup, rule, match });
        }
      }
    }
  }
  // The sort is stable: what ties keeps the order of routes, rules and matches, which are the last criteria.
  if (order === "precedence") {
    entries.sort((left, right) => comparePrecedence(left, right).order);
  }
  return {
    order,
    entries,
    rules,
    routes: sources.map(({ meta }) => ({ meta })),
    patterns: intern.patterns,
  };
}

/**
 * What Gateway API HTTPRouteMatch compares, in its order, with the host step of HTTPRouteSpec.hostnames in front. Two prefixes of one length
 * that take the same request are equal, so the number of characters decides; a regular expression has no comparable length and ranks last.
 */
export type Criterion =
  | "unreadable"
  | "host"
  | "rpc-service"
  | "rpc-method"
  | "path-kind"
  | "path-length"
  | "method"
  | "headers"
  | "query"
  | "order";

const criteria: readonly Criterion[] = [
  "unreadable",
  "host",
  "rpc-service",
  "rpc-method",
  "path-kind",
  "path-length",
  "method",
  "headers",
  "query",
];

const pathRank: Readonly<Record<PathMatch["kind"], number>> = { exact: 2, prefix: 1, regex: 0 };

/** Negative `order`: left comes first, by `criterion`. Zero: only the order of the objects can tell. */
export function comparePrecedence(
  left: MatchEntry,
  right: MatchEntry,
): { readonly order: number; readonly criterion: Criterion } {
  const leftRank = precedence(left);
  const rightRank = precedence(right);
  for (const [at, criterion] of criteria.entries()) {
    const order = (rightRank[at] ?? 0) - (leftRank[at] ?? 0);
    if (order !== 0) return { order, criterion };
  }
  return { order: 0, criterion: "order" };
}

/** A prefix without the slashes at its end, which do not count (Gateway API HTTPPathMatch); the prefix `/` becomes empty. */
export function trimPrefix(prefix: string): string {
  let end = prefix.length;
  while (end > 0 && prefix.charCodeAt(end - 1) === 0x2f) end--;
  return prefix.slice(0, end);
}

/** One number for each of `criteria`; more is better. */
function precedence(entry: MatchEntry): readonly number[] {
  return [
    entry.unreadable === "" ? 0 : 1,
    hostRank(entry.hosts[0]),
    // Beside gRPC routes an entry that takes every request refuses what they leave.
    entry.rpc?.service ?? -1,
    entry.rpc?.method ?? -1,
    // The path of a gRPC route says no more than its names.
    entry.rpc === undefined ? pathRank[entry.path.kind] : 0,
    entry.path.kind === "prefix" ? trimPrefix(entry.path.value).length : 0,
    entry.method === "" ? 0 : 1,
    entry.headers.length,
    entry.queryParams.length,
  ];
}

function rankOfName({ kind, value }: RpcName): number {
  if (kind === "any") return 0;
  return kind === "regex" ? 1 : 1 + value.length;
}

/** No two exact names take the same request, so they rank alike; of suffixes the longer is the better. No host name has more than 253 characters. */
export function hostRank(host: HostMatch | undefined): number {
  if (host === undefined) return -1;
  return host.kind === "exact" ? 1_000 : host.value.length;
}

/** A route with hosts of several ranks has a place in the table for each of them. */
export function groupByRank(hosts: readonly HostMatch[]): readonly (readonly HostMatch[])[] {
  return hosts.length === 0 ? [[]] : [...Map.groupBy(hosts, hostRank).values()];
}

function compileMatch(
  { path, headers, queryParams, method, condition, rpc, unreadable = "" }: HttpMatch,
  intern: Interner,
): Omit<MatchEntry, "hosts" | "rule" | "match"> {
  return {
    path,
    pathPattern: path.kind === "regex" ? intern.indexOf(path.value) : -1,
    method,
    headers: headers.map((header) => compileValue(header, intern)),
    queryParams: queryParams.map((param) => compileValue(param, intern)),
    condition: condition && compileCondition(condition, intern),
    rpc: rpc && {
      service: rankOfName(rpc.service),
      method: rankOfName(rpc.method),
      names: rpc,
    },
    unreadable,
  };
}

function compileCondition(condition: RequestCondition, intern: Interner): ConditionEntry {
  switch (condition.kind) {
    case "path":
    case "rpc-service":
    case "rpc-method":
      return { kind: condition.kind, pattern: intern.indexOf(condition.pattern) };
    case "method":
      return condition;
    case "all":
    case "any":
      return { kind: condition.kind, of: condition.of.map((one) => compileCondition(one, intern)) };
    case "not":
      return { kind: "not", of: compileCondition(condition.of, intern) };
  }
}

function compileValue({ name, kind, value }: ValueMatch, intern: Interner): ValueEntry {
  return { name, value, pattern: kind === "regex" ? intern.indexOf(value) : -1 };
}

/** Gives each pattern one place, however many entries use it. */
class Interner {
  readonly patterns: string[] = [];
  readonly #places = new Map<string, number>();

  indexOf(pattern: string): number {
    const known = this.#places.get(pattern);
    if (known !== undefined) return known;
    const place = this.patterns.push(pattern) - 1;
    this.#places.set(pattern, place);
    return place;
  }
}
