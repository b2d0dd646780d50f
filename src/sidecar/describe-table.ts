/** Tables as people read them, for `/policy`: rules in the order in which they are tried, the first that matches wins. */
import type { Authorization } from "../core/model/authorization.ts";
import type { Filter } from "../core/model/filter.ts";
import type { HostMatch } from "../core/model/match.ts";
import { describeMeta } from "../core/model/meta.ts";
import { formatCidr } from "../core/std/ip.ts";
import { unreachable } from "../core/std/unreachable.ts";
import type { HttpRouteTable, MatchEntry, ValueEntry } from "../core/table/http-route.ts";
import type { InboundTable } from "../core/table/inbound.ts";
import type { BackendChoice, OutboundTable } from "../core/table/outbound.ts";

type ReadableMatch = {
  readonly when: string;
  readonly route: string;
  /** Place in the route's list of rules. */
  readonly rule: number;
  readonly filters: readonly Filter[];
};

export type ReadableOutbound = {
  readonly parent: string;
  readonly protocol: string;
  readonly rules: readonly (ReadableMatch & {
    readonly pick: string;
    readonly backends: readonly ReadableBackend[];
    readonly timeoutMs: number;
  })[];
};

type ReadableBackend = {
  readonly backend: string;
  readonly weight: number;
  readonly to: string;
  readonly filters: readonly Filter[];
};

export type ReadableInbound = {
  readonly server: string;
  readonly protocol: string;
  readonly rules: readonly (ReadableMatch & { readonly admits: readonly string[] })[];
};

export function describeOutbound(table: OutboundTable): ReadableOutbound {
  return {
    parent: describeMeta(table.parent),
    protocol: table.protocol,
    rules: table.http.entries.map((entry) => {
      const rule = table.rules[entry.rule];
      return {
        ...describeEntry(table.http, entry, rule?.filters ?? []),
        pick: rule?.distribution ?? "empty",
        backends: (rule?.choices ?? []).map((choice) => describeChoice(table, choice)),
        timeoutMs: rule?.requestTimeoutMs ?? 0,
      };
    }),
  };
}

export function describeInbound(table: InboundTable): ReadableInbound {
  const { group, kind, name } = table.server;
  const who = table.authorizations.map(describeAuthorization);
  return {
    server: group === "" ? `${kind} ${name}` : `${kind}.${group} ${name}`,
    protocol: table.protocol,
    rules: table.http.entries.map((entry) => ({
      ...describeEntry(table.http, entry, table.filters[entry.rule] ?? []),
      admits: (table.admits[table.http.rules[entry.rule]?.route ?? -1] ?? []).map(
        (at) => who[at] ?? "",
      ),
    })),
  };
}

function describeEntry(
  http: HttpRouteTable,
  entry: MatchEntry,
  filters: readonly Filter[],
): ReadableMatch {
  const rule = http.rules[entry.rule];
  const route = rule === undefined ? undefined : http.routes[rule.route];
  return {
    when: describeMatch(entry, http.patterns),
    route: route === undefined ? "" : describeMeta(route.meta),
    rule: rule?.index ?? 0,
    filters,
  };
}

function describeMatch(entry: MatchEntry, patterns: readonly string[]): string {
  const parts: string[] = [];
  if (entry.hosts.length > 0) parts.push(`host ${entry.hosts.map(describeHost).join(" or ")}`);
  const { kind, value } = entry.path;
  if (kind === "exact") parts.push(`path is ${value}`);
  else if (kind === "regex") parts.push(`path matches ${value}`);
  else if (value !== "/" && value !== "") parts.push(`path below ${value}`);
  if (entry.method !== "") parts.push(`method is ${entry.method}`);
  for (const header of entry.headers) parts.push(`header ${describeValue(header, patterns)}`);
  for (const query of entry.queryParams) parts.push(`query ${describeValue(query, patterns)}`);
  return parts.length === 0 ? "every request" : parts.join(", ");
}

function describeHost({ kind, value }: HostMatch): string {
  return kind === "exact" ? `is ${value}` : `is below ${value}`;
}

function describeValue({ name, pattern, value }: ValueEntry, patterns: readonly string[]): string {
  return pattern < 0 ? `${name} is ${value}` : `${name} matches ${patterns[pattern] ?? ""}`;
}

function describeChoice(table: OutboundTable, choice: BackendChoice): ReadableBackend {
  const { weight, filters } = choice;
  const entry = table.backends[choice.backend];
  if (entry === undefined) return { backend: "", weight, to: "nowhere", filters };
  const { meta, dispatch } = entry;
  const backend = describeMeta(meta);
  switch (dispatch.kind) {
    case "balancer":
      return { backend, weight, to: dispatch.authority, filters };
    case "forward":
      return {
        backend,
        weight,
        to: `${dispatch.endpoint.ip} port ${dispatch.endpoint.port}`,
        filters,
      };
    case "fail":
      return { backend, weight, to: "nowhere", filters };
    default:
      return unreachable(dispatch);
  }
}

function describeAuthorization({ meta, networks, authentication }: Authorization): string {
  const from = networks.map(({ net, except }) => {
    const but = except.length === 0 ? "" : ` except ${except.map(formatCidr).join(", ")}`;
    return `${formatCidr(net)}${but}`;
  });
  return `${describeMeta(meta)}: ${describeClients(authentication)} from ${from.join(" or ")}`;
}

function describeClients(authentication: Authorization["authentication"]): string {
  switch (authentication.kind) {
    case "unauthenticated":
      return "everybody";
    case "tls":
      return "every client with mutual TLS";
    case "identities": {
      const { identities, suffixes } = authentication;
      return [...identities, ...suffixes.map((suffix) => `*${suffix}`)].join(" or ") || "nobody";
    }
    default:
      return unreachable(authentication);
  }
}
