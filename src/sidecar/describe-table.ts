/** Tables as people read them, for `/policy`: rules in the order in which they are tried, the first that matches wins. */

import { describeCondition } from "../core/decide/describe-condition.ts";
import type { FailureAccrual } from "../core/model/accrual.ts";
import type { Authorization } from "../core/model/authorization.ts";
import type { ExternalAuth, Filter, Mirror } from "../core/model/filter.ts";
import type { HostMatch } from "../core/model/match.ts";
import { describeMeta } from "../core/model/meta.ts";
import type { RateLimit } from "../core/model/rate-limit.ts";
import type { Retry } from "../core/model/retry.ts";
import type { SessionPersistence } from "../core/model/session.ts";
import type { Timeouts } from "../core/model/timeouts.ts";
import { formatCidr } from "../core/std/ip.ts";
import { unreachable } from "../core/std/unreachable.ts";
import type { HttpRouteTable, MatchEntry, ValueEntry } from "../core/table/http-route.ts";
import type { InboundTable } from "../core/table/inbound.ts";
import type {
  BackendChoice,
  BackendDispatch,
  BackendEntry,
  FilterEntry,
  LambdaEntry,
  OpaqueEntry,
  OutboundTable,
} from "../core/table/outbound.ts";

type Named = { readonly backend: string; readonly to: string };

type ReadableFilter =
  | Exclude<FilterEntry, { readonly kind: "mirror" | "external-auth" }>
  | { readonly kind: "mirror"; readonly mirror: Omit<Mirror, "backend"> & Named }
  | { readonly kind: "external-auth"; readonly auth: Omit<ExternalAuth, "backend"> & Named };

type ReadableMatch = {
  readonly when: string;
  readonly route: string;
  /** Place in the route's list of rules. */
  readonly rule: number;
  readonly filters: readonly (ReadableFilter | Filter)[];
};

export type ReadableOutbound = {
  readonly parent: string;
  readonly protocol: string;
  /** When endpoints are taken out because of their answers. */
  readonly accrual: FailureAccrual | undefined;
  readonly rules: readonly (ReadableMatch & {
    readonly pick: string;
    readonly backends: readonly ReadableBackend[];
    /** Those that there are. */
    readonly timeouts: Partial<Timeouts> | undefined;
    readonly retry: Retry | undefined;
    readonly session: SessionPersistence | undefined;
  })[];
  /** Of connections that are not read as requests, where there are any: by server name of TLS, or all alike. */
  readonly tls: readonly (ReadableConnections & { readonly when: string })[] | undefined;
  readonly opaque: ReadableConnections | undefined;
};

type ReadableConnections = {
  readonly route: string;
  /** Connections are closed, for this reason. */
  readonly refusal: string | undefined;
  readonly pick: string;
  readonly backends: readonly ReadableBackend[];
};

type ReadableBackend = Named & {
  readonly weight: number;
  readonly filters: readonly ReadableFilter[];
};

export type ReadableInbound = {
  readonly server: string;
  readonly protocol: string;
  readonly rules: readonly (ReadableMatch & { readonly admits: readonly string[] })[];
  readonly rateLimit?: string;
};

export function describeOutbound(table: OutboundTable): ReadableOutbound {
  const { tls, opaque } = table;
  return {
    parent: describeMeta(table.parent),
    protocol: table.protocol,
    accrual: table.accrual,
    rules: table.http.entries.map((entry) => {
      const rule = table.rules[entry.rule];
      const filters = (rule?.filters ?? []).map((filter) => describeFilter(table, filter));
      return {
        ...describeEntry(table.http, entry, filters),
        pick: rule?.distribution ?? "empty",
        backends: (rule?.choices ?? []).map((choice) => describeChoice(table, choice)),
        timeouts: describeTimeouts(rule?.timeouts),
        retry: rule?.retry,
        session: rule?.session,
      };
    }),
    tls: tls?.map((entry) => ({
      when: entry.snis.length === 0 ? "every server name" : describeNames(entry.snis),
      ...describeConnections(table, entry),
    })),
    // Under the protocol `tls` the routes by name take every connection that is taken.
    opaque:
      tls !== undefined || opaque === undefined ? undefined : describeConnections(table, opaque),
  };
}

function describeNames(snis: readonly HostMatch[]): string {
  return `server name ${snis.map(describeHost).join(" or ")}`;
}

function describeConnections(table: OutboundTable, entry: OpaqueEntry): ReadableConnections {
  return {
    route: describeMeta(entry.meta),
    refusal: entry.refusal === "" ? undefined : entry.refusal,
    pick: entry.distribution,
    backends: entry.choices.map((choice) => describeChoice(table, choice)),
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
    ...(table.rateLimit === undefined ? {} : { rateLimit: describeRateLimit(table.rateLimit) }),
  };
}

function describeRateLimit(limit: RateLimit): string {
  const { meta, totalPerSecond, identityPerSecond, overrides } = limit;
  const rates = [
    ...(totalPerSecond === 0 ? [] : [`${totalPerSecond} requests a second`]),
    ...(identityPerSecond === 0 ? [] : [`${identityPerSecond} of each client`]),
    ...overrides.map(({ perSecond, identities }) => `${perSecond} of ${identities.join(" or ")}`),
  ];
  return `${describeMeta(meta)}: ${rates.join(", ") || "no limit"}`;
}

function describeEntry(
  http: HttpRouteTable,
  entry: MatchEntry,
  filters: ReadableMatch["filters"],
): ReadableMatch {
  const rule = http.rules[entry.rule];
  const route = rule === undefined ? undefined : http.routes[rule.route];
  return {
    when: describeMatch(entry, http),
    route: route === undefined ? "" : describeMeta(route.meta),
    rule: rule?.index ?? 0,
    filters,
  };
}

function describeMatch(entry: MatchEntry, http: HttpRouteTable): string {
  const { patterns } = http;
  const parts: string[] = [];
  if (entry.hosts.length > 0) parts.push(`host ${entry.hosts.map(describeHost).join(" or ")}`);
  const { kind, value } = entry.path;
  if (kind === "exact") parts.push(`path is ${value}`);
  else if (kind === "regex") parts.push(`path matches ${value}`);
  else if (value !== "/" && value !== "") parts.push(`path below ${value}`);
  if (entry.method !== "") parts.push(`method is ${entry.method}`);
  for (const header of entry.headers) parts.push(`header ${describeValue(header, patterns)}`);
  for (const query of entry.queryParams) parts.push(`query ${describeValue(query, patterns)}`);
  if (entry.condition !== undefined) parts.push(describeCondition(http, entry.condition));
  return parts.length === 0 ? "every request" : parts.join(", ");
}

function describeHost({ kind, value }: HostMatch): string {
  return kind === "exact" ? `is ${value}` : `is below ${value}`;
}

function describeValue({ name, pattern, value }: ValueEntry, patterns: readonly string[]): string {
  return pattern < 0 ? `${name} is ${value}` : `${name} matches ${patterns[pattern] ?? ""}`;
}

function describeTimeouts(timeouts: Timeouts | undefined): Partial<Timeouts> | undefined {
  const set = Object.entries(timeouts ?? {}).filter(([, ms]) => ms > 0);
  return set.length === 0 ? undefined : Object.fromEntries(set);
}

function describeChoice(table: OutboundTable, choice: BackendChoice): ReadableBackend {
  const { weight } = choice;
  const filters = choice.filters.map((filter) => describeFilter(table, filter));
  return { ...describeBackend(table.backends[choice.backend]), weight, filters };
}

function describeFilter(table: OutboundTable, filter: FilterEntry): ReadableFilter {
  if (filter.kind === "mirror") {
    const { mirror } = filter;
    return {
      kind: "mirror",
      mirror: { ...mirror, ...describeBackend(table.backends[mirror.backend]) },
    };
  }
  if (filter.kind === "external-auth") {
    const { auth } = filter;
    return {
      kind: "external-auth",
      auth: { ...auth, ...describeBackend(table.backends[auth.backend]) },
    };
  }
  return filter;
}

function describeBackend(entry: BackendEntry | undefined): Named {
  if (entry === undefined) return { backend: "", to: "nowhere" };
  const { meta, dispatch, protocol } = entry;
  const speaks = protocol === undefined ? {} : { speaks: protocol };
  return { backend: describeMeta(meta), to: describeDispatch(dispatch), ...speaks };
}

function describeDispatch(dispatch: BackendDispatch): string {
  switch (dispatch.kind) {
    case "balancer":
      return dispatch.authority;
    case "forward":
      return `${dispatch.endpoint.ip} port ${dispatch.endpoint.port}`;
    case "static":
      return (
        dispatch.hosts.map(({ host, port }) => `${host} port ${port}`).join(" or ") || "nowhere"
      );
    case "lambda":
      return describeFunction(dispatch.function);
    case "fail":
      return "nowhere";
    default:
      return unreachable(dispatch);
  }
}

/** Part by part, so that nothing is told that is not named here: the keys are in the same object. */
function describeFunction(called: LambdaEntry): string {
  const { name, qualifier, region, accountId, mode, payload, endpointUrl } = called;
  const which = qualifier === "" ? name : `${name}:${qualifier}`;
  const whose = accountId === "" ? "" : ` of account ${accountId}`;
  // Without what may stand in front of the host of a URL, which is a secret.
  const at =
    endpointUrl === "" ? "" : ` at ${URL.parse(endpointUrl)?.host ?? "a URL that is none"}`;
  return `function ${which}${whose} in ${region}${at} (${mode}, payload ${payload})`;
}

function describeAuthorization({
  meta,
  networks,
  authentication,
  tokens = [],
}: Authorization): string {
  const from = networks.map(({ net, except }) => {
    const but = except.length === 0 ? "" : ` except ${except.map(formatCidr).join(", ")}`;
    return `${formatCidr(net)}${but}`;
  });
  const also = tokens.map((rule) => ` with a token of ${describeMeta(rule.meta)}`).join("");
  return `${describeMeta(meta)}: ${describeClients(authentication)} from ${from.join(" or ")}${also}`;
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
