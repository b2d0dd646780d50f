/** Why a request took the route it took, for people. Slow on purpose: every entry is judged, by the functions that `findRoute` uses. */
import type { RpcMatch, RpcName } from "../model/match.ts";
import { describeMeta } from "../model/meta.ts";
import { toFieldText } from "../std/field.ts";
import {
  type ConditionEntry,
  type Criterion,
  comparePrecedence,
  type MatchEntry,
} from "../table/http-route.ts";
import { describeCondition } from "./describe-condition.ts";
import {
  judgeEntry,
  type LoadedRoutes,
  type RequestView,
  Verdict,
  verdictBits,
} from "./find-route.ts";

export type RouteExplanation = {
  /** Every entry in order of precedence. */
  readonly entries: readonly EntryExplanation[];
  /** Index of the entry that takes the request. Undefined: none does, or the first that might cannot be judged. */
  readonly winner: number | undefined;
  /** Index of the first entry that cannot be judged, when it comes before any that matches. */
  readonly unjudged: number | undefined;
  /** The next entry that would have taken it, and what put it behind the first. */
  readonly runnerUp: { readonly entry: number; readonly lostBy: Criterion | "list" } | undefined;
};

type EntryExplanation =
  | { readonly outcome: "match" }
  /** All that can be judged holds. */
  | { readonly outcome: "unjudged"; readonly reason: string }
  /** The first criterion that does not hold; `name` is that of the header or parameter. */
  | {
      readonly outcome: "host" | "path" | "method" | "header" | "query" | "condition";
      readonly name: string;
    };

/** What a line about a route may take of a response head. */
export const maxRouteText = 512;

export function explainRoute(loaded: LoadedRoutes, request: RequestView): RouteExplanation {
  const all = loaded.table.entries;
  const entries = all.map((entry, at) =>
    explainEntry(loaded, entry, judgeEntry(loaded, at, request)),
  );
  const isTaker = ({ outcome }: EntryExplanation): boolean =>
    outcome === "match" || outcome === "unjudged";
  const first = entries.findIndex(isTaker);
  const next = entries.findIndex((entry, at) => at > first && isTaker(entry));
  const isMatch = entries[first]?.outcome === "match";
  return {
    entries,
    winner: isMatch ? first : undefined,
    unjudged: first >= 0 && !isMatch ? first : undefined,
    runnerUp:
      first < 0 || next < 0
        ? undefined
        : {
            entry: next,
            lostBy:
              loaded.table.order === "list"
                ? "list"
                : comparePrecedence(all[first] as MatchEntry, all[next] as MatchEntry).criterion,
          },
  };
}

/** One line: `HTTPRoute demo/alternative rule 0 match 0, before HTTPRoute demo/main rule 0 match 0 (more header matches)`. */
export function describeRoute(loaded: LoadedRoutes, explanation: RouteExplanation): string {
  return toFieldText(routeLine(loaded, explanation), maxRouteText);
}

/** One line for each entry that was considered, in order. */
export function describeEntries(
  loaded: LoadedRoutes,
  explanation: RouteExplanation,
): readonly string[] {
  return explanation.entries.map(
    (entry, at) => `${nameEntry(loaded, at)}: ${outcomeText(loaded, entry, at)}`,
  );
}

function explainEntry(loaded: LoadedRoutes, entry: MatchEntry, verdict: number): EntryExplanation {
  const at = verdict >> verdictBits;
  switch (verdict & ((1 << verdictBits) - 1)) {
    case Verdict.match:
      return { outcome: "match" };
    case Verdict.host:
      return { outcome: "host", name: "" };
    case Verdict.path:
      return { outcome: "path", name: "" };
    case Verdict.method:
      return { outcome: "method", name: "" };
    case Verdict.header:
      return { outcome: "header", name: entry.headers[at]?.name ?? "" };
    case Verdict.query:
      return { outcome: "query", name: entry.queryParams[at]?.name ?? "" };
    case Verdict.condition:
      return { outcome: "condition", name: "" };
    default:
      return { outcome: "unjudged", reason: unjudgedReason(loaded, entry) };
  }
}

function unjudgedReason(loaded: LoadedRoutes, entry: MatchEntry): string {
  if (entry.unreadable !== "") return entry.unreadable;
  const used = [entry.pathPattern, ...entry.headers, ...entry.queryParams]
    .map((value) => (typeof value === "number" ? value : value.pattern))
    .concat(entry.condition === undefined ? [] : patternsOf(entry.condition))
    .find((pattern) => pattern >= 0 && loaded.patterns[pattern] === undefined);
  if (used === undefined) return "the value is too long for a regular expression";
  const source = loaded.table.patterns[used] ?? "";
  const reason = loaded.faults.find(({ path }) => path === source)?.reason ?? "does not compile";
  return `the pattern ${JSON.stringify(source)} ${reason}`;
}

function patternsOf(condition: ConditionEntry): readonly number[] {
  switch (condition.kind) {
    case "path":
    case "rpc-service":
    case "rpc-method":
      return [condition.pattern];
    case "method":
      return [];
    case "not":
      return patternsOf(condition.of);
    case "all":
    case "any":
      return condition.of.flatMap(patternsOf);
  }
}

function routeLine(loaded: LoadedRoutes, explanation: RouteExplanation): string {
  const { winner, unjudged, runnerUp, entries } = explanation;
  if (unjudged !== undefined) {
    const entry = entries[unjudged];
    const reason = entry?.outcome === "unjudged" ? entry.reason : "";
    return `${nameEntry(loaded, unjudged)} cannot be judged: ${reason}`;
  }
  if (winner === undefined) return noRouteLine(loaded, entries);
  const name = nameEntry(loaded, winner);
  if (runnerUp === undefined) return name;
  return `${name}, before ${nameEntry(loaded, runnerUp.entry)} (${criterionText[runnerUp.lostBy]})`;
}

/** The entry that got furthest is the one a person most likely meant. */
function noRouteLine(loaded: LoadedRoutes, entries: readonly EntryExplanation[]): string {
  const progress = entries.map(({ outcome }) => outcomes.indexOf(outcome));
  const nearest = progress.indexOf(Math.max(...progress));
  const entry = entries[nearest];
  if (entry === undefined) return "no route: the destination has none";
  const text = outcomeText(loaded, entry, nearest);
  return `no route of ${entries.length} matches; the nearest is ${nameEntry(loaded, nearest)}: ${text}`;
}

const outcomes: readonly EntryExplanation["outcome"][] = [
  "host",
  "path",
  "method",
  "header",
  "query",
  "condition",
  "unjudged",
  "match",
];

function outcomeText(loaded: LoadedRoutes, entry: EntryExplanation, at: number): string {
  const source = loaded.table.entries[at];
  if (source?.rpc !== undefined) {
    const { outcome } = entry;
    if (outcome === "path" || outcome === "condition") return rpcText(source.rpc.names);
    if (outcome === "method") return "it is no call of gRPC, which would be a POST";
  }
  switch (entry.outcome) {
    case "match":
      return "matches";
    case "unjudged":
      return `cannot be judged: ${entry.reason}`;
    case "host":
      return "the host differs";
    case "path":
      return `the path is not ${pathText(source)}`;
    case "method":
      return `the method is not ${source?.method ?? ""}`;
    case "header":
      return `the header ${entry.name} is missing or differs`;
    case "query":
      return `the query parameter ${entry.name} is missing or differs`;
    case "condition":
      return `the condition does not hold: ${describeCondition(loaded.table, source?.condition)}`;
  }
}

/** As a GRPCRoute has it, not as the path that a call has. */
function rpcText({ service, method }: RpcMatch): string {
  const parts = [
    ...(service.kind === "any" ? [] : [`service ${nameText(service)}`]),
    ...(method.kind === "any" ? [] : [`method ${nameText(method)}`]),
  ];
  return parts.length === 0
    ? "the path is not /service/method, as a call of gRPC has it"
    : `the call is not of ${parts.join(", ")}`;
}

function nameText({ kind, value }: RpcName): string {
  return kind === "regex" ? `matched by ${value}` : value;
}

function pathText(source: MatchEntry | undefined): string {
  if (source === undefined) return "known";
  const { kind, value } = source.path;
  if (kind === "exact") return value;
  return kind === "prefix" ? `below ${value}` : `matched by ${value}`;
}

const criterionText: Readonly<Record<Criterion | "list", string>> = {
  unreadable: "it could not be read",
  host: "closer host",
  "rpc-service": "closer service",
  "rpc-method": "closer method",
  "path-kind": "Exact before PathPrefix before RegularExpression",
  "path-length": "longer path prefix",
  method: "has a method match",
  headers: "more header matches",
  query: "more query parameter matches",
  order: "older route, then namespace/name, then place in the route",
  list: "earlier in the list",
};

/** `HTTPRoute demo/alternative rule 0 match 0`. */
export function nameEntry(loaded: LoadedRoutes, at: number): string {
  const { entries, rules, routes } = loaded.table;
  const entry = entries[at];
  const rule = rules[entry?.rule ?? -1];
  const route = routes[rule?.route ?? -1];
  if (entry === undefined || rule === undefined || route === undefined) {
    throw new Error(`The table has no entry ${at}`);
  }
  return `${describeMeta(route.meta)} rule ${rule.index} match ${entry.match}`;
}
