/**
 * Routing and authorization once more, from the text of Gateway API and of the policy resources alone: slow, and as close to their sentences as code can be.
 * Shares no function with src/, only the model.
 */
import type { Authorization, Network } from "../../src/core/model/authorization.ts";
import type { HostMatch, HttpMatch, PathMatch, ValueMatch } from "../../src/core/model/match.ts";
import type { Ip } from "../../src/core/std/ip.ts";
import type { RouteSource } from "../../src/core/table/http-route.ts";
import type { RequestData } from "../arbitrary/request.ts";

export type Place = { readonly route: number; readonly rule: number; readonly match: number };

type Candidate = Place & { readonly source: HttpMatch; readonly hosts: readonly HostMatch[] };

/** All matches that take the request, the winner first. */
export function routesTaking(
  routes: readonly RouteSource[],
  request: RequestData,
): readonly Place[] {
  const candidates: Candidate[] = [];
  for (const [route, { hosts, rules }] of routes.entries()) {
    const matchingHosts = hosts.filter((host) => hostTakes(host, request.authority));
    if (hosts.length > 0 && matchingHosts.length === 0) continue;
    for (const [rule, { matches }] of rules.entries()) {
      for (const [match, source] of matches.entries()) {
        if (matchTakes(source, request)) {
          candidates.push({ route, rule, match, source, hosts: matchingHosts });
        }
      }
    }
  }
  return candidates
    .sort((left, right) => (isBefore(left, right) ? -1 : 1))
    .map(({ route, rule, match }) => ({ route, rule, match }));
}

/** Each line is one criterion; the first on which the two differ decides. */
function isBefore(left: Candidate, right: Candidate): boolean {
  const more: readonly ((candidate: Candidate) => number)[] = [
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
  const labels = authority.toLowerCase().replace(/:\d+$/, "").replace(/\.$/, "").split(".");
  const wanted = value.split(".");
  // "*.example.com" takes one or more labels in front of example.com.
  const isLongEnough =
    kind === "exact" ? labels.length === wanted.length : labels.length > wanted.length;
  return isLongEnough && labels.slice(-wanted.length).join(".") === wanted.join(".");
}

function matchTakes(match: HttpMatch, request: RequestData): boolean {
  const query = new URLSearchParams(request.query);
  return (
    pathTakes(match.path, request.path) &&
    (match.method === "" || match.method === request.method) &&
    match.headers.every((each) => valueTakes(each, request.headers[each.name])) &&
    match.queryParams.every((each) => valueTakes(each, query.get(each.name) ?? undefined))
  );
}

function pathTakes({ kind, value }: PathMatch, path: string): boolean {
  if (kind === "exact") return path === value;
  if (kind === "regex") return takesWhole(value, path);
  const wanted = elements(value);
  return wanted.every((element, at) => path.split("/")[at] === element);
}

/** `/abc/` and `/abc` have the same elements. */
function elements(prefix: string): readonly string[] {
  const all = prefix.split("/");
  return all.at(-1) === "" ? all.slice(0, -1) : all;
}

function valueTakes({ kind, value }: ValueMatch, actual: string | undefined): boolean {
  if (actual === undefined) return false;
  return kind === "exact" ? actual === value : takesWhole(value, actual);
}

/** The patterns of the arbitraries mean the same to JavaScript and to RE2. */
function takesWhole(pattern: string, text: string): boolean {
  return new RegExp(`^(?:${pattern})$`).test(text);
}

export type Client = {
  readonly ip: Ip;
  readonly tls: boolean;
  readonly identity: string | undefined;
};

export function isAuthorized(authorization: Authorization, client: Client): boolean {
  const { networks, authentication } = authorization;
  if (!networks.some((network) => isInside(network, client.ip))) return false;
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
