/**
 * Routing and authorization once more, from the text of Gateway API and of the policy resources alone: slow, and as close to their sentences as code can be.
 * Shares no function with src/, only the model.
 */
import type { Authorization, Network } from "../../src/core/model/authorization.ts";
import type {
  HostMatch,
  HttpMatch,
  PathMatch,
  RequestCondition,
  ValueMatch,
} from "../../src/core/model/match.ts";
import type { Ip } from "../../src/core/std/ip.ts";
import type { RouteSource } from "../../src/core/table/http-route.ts";
import type { RequestData } from "../arbitrary/request.ts";

export type Place = { readonly route: number; readonly rule: number; readonly match: number };

export type Taker = {
  readonly place: Place;
  /** False: what of the match can be judged holds, and the rest cannot be. */
  readonly isJudged: boolean;
};

type Candidate = Place & {
  readonly isJudged: boolean;
  readonly source: HttpMatch;
  readonly hosts: readonly HostMatch[];
};

/** All matches that take the request or may do so, the winner first. */
export function routesTaking(
  routes: readonly RouteSource[],
  request: RequestData,
  order: "precedence" | "list" = "precedence",
): readonly Taker[] {
  const candidates: Candidate[] = [];
  for (const [route, { hosts, rules }] of routes.entries()) {
    const matchingHosts = hosts.filter((host) => hostTakes(host, request.authority));
    if (hosts.length > 0 && matchingHosts.length === 0) continue;
    for (const [rule, { matches }] of rules.entries()) {
      for (const [match, source] of matches.entries()) {
        const answer = matchTakes(source, request);
        if (answer === "no") continue;
        const isJudged = answer === "yes";
        candidates.push({ route, rule, match, isJudged, source, hosts: matchingHosts });
      }
    }
  }
  // They were found in the order of the list.
  if (order === "precedence") candidates.sort((left, right) => (isBefore(left, right) ? -1 : 1));
  return candidates.map(({ route, rule, match, isJudged }) => ({
    place: { route, rule, match },
    isJudged,
  }));
}

/** Each line is one criterion; the first on which the two differ decides. */
function isBefore(left: Candidate, right: Candidate): boolean {
  const more: readonly ((candidate: Candidate) => number)[] = [
    // What could not be read comes first, so that no weaker rule takes its requests.
    ({ source }) => (source.unreadable === undefined ? 0 : 1),
    // "Characters in a matching non-wildcard hostname."
    ({ hosts }) => longest(hosts.filter(({ kind }) => kind === "exact")),
    // "Characters in a matching hostname."
    ({ hosts }) => longest(hosts),
    // "Exact" path match.
    ({ source }) => (source.path.kind === "exact" ? 1 : 0),
    // "Prefix" path match with largest number of characters; a trailing slash does not count.
    ({ source }) =>
      source.path.kind === "prefix" ? elements(source.path.value).join("/").length : -1,
    // Method match.
    ({ source }) => (source.method === "" ? 0 : 1),
    // Largest number of header matches.
    ({ source }) => source.headers.length,
    // Largest number of query param matches.
    ({ source }) => source.queryParams.length,
    // The oldest route, then the first in alphabetical order: the list is in this order. Then the first rule.
    ({ route }) => -route,
    ({ rule }) => -rule,
    ({ match }) => -match,
  ];
  for (const criterion of more) {
    const difference = criterion(left) - criterion(right);
    if (difference !== 0) return difference > 0;
  }
  return false;
}

function longest(hosts: readonly HostMatch[]): number {
  return Math.max(-1, ...hosts.map(({ value }) => value.length));
}

function hostTakes({ kind, value }: HostMatch, authority: string): boolean {
  const labels = authority.toLowerCase().replace(/:\d*$/, "").replace(/\.$/, "").split(".");
  const wanted = value.split(".");
  // "*.example.com" takes one or more labels in front of example.com.
  const isLongEnough =
    kind === "exact" ? labels.length === wanted.length : labels.length > wanted.length;
  return isLongEnough && labels.slice(-wanted.length).join(".") === wanted.join(".");
}

type Answer = "yes" | "no" | "unsure";

function matchTakes(match: HttpMatch, request: RequestData): Answer {
  const query = new URLSearchParams(request.query);
  const answers = [
    pathTakes(match.path, request.path),
    answer(match.method === "" || match.method === request.method),
    ...match.headers.map((each) => valueTakes(each, request.headers[each.name])),
    ...match.queryParams.map((each) => valueTakes(each, query.get(each.name) ?? undefined)),
    match.condition === undefined ? "yes" : conditionTakes(match.condition, request),
    match.unreadable === undefined ? "yes" : "unsure",
  ] as const;
  return allOf(answers);
}

function answer(isYes: boolean): Answer {
  return isYes ? "yes" : "no";
}

function allOf(answers: readonly Answer[]): Answer {
  if (answers.includes("no")) return "no";
  return answers.includes("unsure") ? "unsure" : "yes";
}

function opposite(one: Answer): Answer {
  if (one === "unsure") return "unsure";
  return one === "yes" ? "no" : "yes";
}

function conditionTakes(condition: RequestCondition, request: RequestData): Answer {
  switch (condition.kind) {
    case "path":
      return takesWhole(condition.pattern, request.path);
    case "rpc-service":
      return takesWhole(condition.pattern, request.path.split("/").slice(1, -1).join("/"));
    case "rpc-method":
      return takesWhole(condition.pattern, request.path.split("/").at(-1) ?? "");
    case "method":
      return answer(condition.method === request.method);
    case "not":
      return opposite(conditionTakes(condition.of, request));
    case "all":
      return allOf(condition.of.map((each) => conditionTakes(each, request)));
    case "any":
      // Not all of them fail.
      return opposite(allOf(condition.of.map((each) => opposite(conditionTakes(each, request)))));
  }
}

function pathTakes({ kind, value }: PathMatch, path: string): Answer {
  if (kind === "exact") return answer(path === value);
  if (kind === "regex") return takesWhole(value, path);
  const wanted = elements(value);
  return answer(wanted.every((element, at) => path.split("/")[at] === element));
}

/** `/abc/` and `/abc` have the same elements. */
function elements(prefix: string): readonly string[] {
  const all = prefix.split("/");
  return all.at(-1) === "" ? all.slice(0, -1) : all;
}

function valueTakes({ kind, value }: ValueMatch, actual: string | undefined): Answer {
  if (actual === undefined) return "no";
  return kind === "exact" ? answer(actual === value) : takesWhole(value, actual);
}

/** The patterns of the arbitraries mean the same to JavaScript and to RE2, or nothing to either. No longer value is tested. */
function takesWhole(pattern: string, text: string): Answer {
  if (text.length > 8_192) return "unsure";
  try {
    return answer(new RegExp(`^(?:${pattern})$`).test(text));
  } catch {
    return "unsure";
  }
}

export type Client = {
  readonly ip: Ip;
  readonly tls: boolean;
  readonly identity: string | undefined;
  /** Whether its requests have every token that anybody asks for. */
  readonly hasTokens: boolean;
};

export function isAuthorized(authorization: Authorization, client: Client): boolean {
  const { networks, authentication, tokens = [] } = authorization;
  if (!networks.some((network) => isInside(network, client.ip))) return false;
  if (tokens.length > 0 && !client.hasTokens) return false;
  if (authentication.kind === "unauthenticated") return true;
  if (!client.tls) return false;
  if (authentication.kind === "tls") return true;
  const { identity } = client;
  if (identity === undefined) return false;
  const isUri = identity.includes("://");
  return [
    ...authentication.identities.map((name) => name === identity),
    ...authentication.suffixes.map(
      (suffix) => suffix === "" || (!isUri && identity.endsWith(suffix)),
    ),
  ].includes(true);
}

function isInside({ net, except }: Network, ip: Ip): boolean {
  const inNetwork = ({ ip: base, prefix }: Network["net"]): boolean =>
    base.family === ip.family && bits(base).slice(0, prefix) === bits(ip).slice(0, prefix);
  return inNetwork(net) && !except.some(inNetwork);
}

function bits(ip: Ip): string {
  const words = ip.family === 4 ? [ip.bits] : ip.words;
  return words.map((word) => word.toString(2).padStart(32, "0")).join("");
}
