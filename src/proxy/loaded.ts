/** Tables with what is worked out once when they arrive, so that a request only looks things up. */
import { sessionFaults } from "../core/decide/filter-fault.ts";
import { type LoadedRoutes, loadHttpRoutes } from "../core/decide/find-route.ts";
import { hasNamedRoutes } from "../core/decide/forbidden-path.ts";
import type { Pattern } from "../core/decide/pattern.ts";
import { isLimited } from "../core/decide/rate-limit.ts";
import { type Reading, readingOf } from "../core/decide/reading.ts";
import type { Authorization } from "../core/model/authorization.ts";
import type { Meta } from "../core/model/meta.ts";
import type { RateLimit } from "../core/model/rate-limit.ts";
import type { Result } from "../core/std/result.ts";
import type { HttpRouteTable, MatchEntry } from "../core/table/http-route.ts";
import type { InboundTable } from "../core/table/inbound.ts";
import {
  type BackendEntry,
  type OpaqueEntry,
  type OutboundRule,
  type OutboundTable,
  protocolTo,
} from "../core/table/outbound.ts";
import type { Breaker } from "./breaker.ts";
import { type Counts, type Labels, RouteCounts } from "./count.ts";
import { type Edition, makeEdition } from "./decisions.ts";
import type { TargetGroup } from "./exchange.ts";
import { type FilterContext, type PreparedFilters, prepareFilters } from "./filters.ts";
import {
  authorizationLabels,
  backendLabels,
  inboundRouteLabels,
  outboundRouteLabels,
  rateLimitLabels,
  serverLabels,
} from "./labels.ts";
import {
  type Balancer,
  type LoadedResilience,
  loadBalancers,
  loadResilience,
  type ResilienceContext,
  sharedBudget,
} from "./load-resilience.ts";
import { MirrorCounts } from "./mirror-counts.ts";
import type { RateExcess } from "./rate-limiter.ts";

export type LoadContext = {
  readonly counts: Counts;
  readonly compile: (source: string) => Result<Pattern>;
  /** The group of endpoints that a backend leads to; undefined: it leads nowhere. */
  readonly groupOf: (backend: BackendEntry) => TargetGroup | undefined;
  /** How many workers there are. */
  readonly workers: number;
};

export type LoadedOutbound = {
  readonly table: OutboundTable;
  readonly routes: LoadedRoutes;
  /** Parallel to `table.rules`. */
  readonly rules: readonly LoadedRule[];
  /** Requests that no route takes. */
  readonly noRoute: RouteCounts;
  /** Parallel to `table.backends`; undefined where a backend leads nowhere. */
  readonly balancers: readonly (Balancer | undefined)[];
  readonly edition: Edition;
  /** Undefined where requests alone are carried. */
  readonly opaque: LoadedOpaqueRoute | undefined;
  /** By its entry in `table.tls`. */
  readonly tls: ReadonlyMap<OpaqueEntry, LoadedOpaqueRoute>;
};

/** Where connections go whose bytes are not read. */
export type LoadedOpaqueRoute = {
  readonly entry: OpaqueEntry;
  /** Parallel to `entry.choices`. */
  readonly backends: readonly LoadedOpaqueBackend[];
};

export type LoadedOpaqueBackend = {
  readonly group: TargetGroup | undefined;
  /** Not empty: why the backend takes nothing. */
  readonly refusal: string;
  readonly labels: Labels;
};

/** Which snapshot a table came in. */
export type SnapshotName = { readonly scope: string; readonly revision: number };

export type LoadedRule = LoadedResilience & {
  readonly rule: OutboundRule;
  readonly filters: PreparedFilters;
  readonly counts: RouteCounts;
  /** Parallel to `rule.choices`. */
  readonly choices: readonly LoadedChoice[];
};

/** What a policy says of the protocol of a destination, a backend or a port. */
export type SpokenProtocol = OutboundTable["protocol"];

export type LoadedChoice = {
  readonly filters: PreparedFilters;
  readonly group: TargetGroup | undefined;
  readonly breaker: Breaker | undefined;
  readonly protocol: SpokenProtocol;
};

export type LoadedInbound = {
  readonly table: InboundTable;
  readonly routes: LoadedRoutes;
  /** Parallel to `table.http.rules`. */
  readonly rules: readonly LoadedInboundRule[];
  readonly edition: Edition;
  /** Slots of counters. */
  readonly notFound: number;
  /** Whether somebody wrote routes, so that it matters what path a request has. */
  readonly hasNamedRoutes: boolean;
  /** What is read of a connection to the port. */
  readonly reading: Reading;
  /** Slots of counters of connections that are not read as HTTP. */
  readonly connections: LoadedConnections;
};

type LoadedConnections = {
  /** Parallel to `table.authorizations`; undefined: it is for a route alone. */
  readonly allowed: readonly (number | undefined)[];
  readonly denied: number;
  /** Undefined: the port is not in audit mode. */
  readonly audited: number | undefined;
  /** Of `allowed`, the one that admits whom nobody admits; -1: none. */
  readonly audit: number;
  readonly terminated: number;
};

export type LoadedInboundRule = {
  /** Index into `table.http.routes`. */
  readonly route: number;
  readonly filters: PreparedFilters;
  readonly counts: RouteCounts;
  /** Slot of each authorization (parallel to `table.authorizations`); undefined: it is not one of this route's. */
  readonly allowed: readonly (number | undefined)[];
  readonly denied: number;
  /** Undefined: nothing of the route is in audit mode. */
  readonly audited: number | undefined;
  /** Parallel to `table.authorizations`. */
  readonly entries: readonly LoadedAuthorization[];
  /** Undefined: its requests are not counted. */
  readonly limit: LoadedLimit | undefined;
};

type LoadedAuthorization = {
  /** It admits whom nobody admits, because nothing is enforced. */
  readonly isAudit: boolean;
  /** Headers with tokens that the application must not see. */
  readonly stripped: readonly string[];
};

export type LoadedLimit = {
  readonly limit: RateLimit;
  /** Slot of counters, by scope. */
  readonly refused: Readonly<Record<RateExcess["scope"], number>>;
};

/** `before`: what was in force until now. What is known about its endpoints and budgets stays. */
export function loadOutbound(
  table: OutboundTable,
  context: LoadContext,
  before: LoadedOutbound | undefined,
  { scope, revision }: SnapshotName,
): LoadedOutbound {
  const { counts, workers } = context;
  const groups = table.backends.map(context.groupOf);
  const balancers = loadBalancers(table, groups, counts, before);
  const rulesBefore = before?.rules ?? [];
  const shared = sharedBudget(rulesBefore);
  const resilience: ResilienceContext = { counts, workers, before: rulesBefore, shared };
  const byRoute = table.http.routes.map(
    ({ meta }) =>
      new RouteCounts(counts, {
        direction: "outbound",
        ...outboundRouteLabels(table.parent, meta),
      }),
  );
  const noRoute = new RouteCounts(counts, {
    direction: "outbound",
    ...outboundRouteLabels(table.parent, undefined),
  });
  const rules = table.rules.map((rule, at) => {
    const route = routeOf(table.http, at);
    const filterContext: FilterContext = {
      groupOf: (backend) => groups[backend],
      protocolOf: (backend) => protocolTo(table, backend),
      mirrorCounts: (backend) =>
        new MirrorCounts(counts, {
          ...outboundRouteLabels(table.parent, table.http.routes[route]?.meta),
          ...backendLabels(table.backends[backend]?.meta),
        }),
    };
    return {
      ...loadResilience(table, at, resilience),
      rule,
      filters: prepareFilters([...sessionFaults(rule), ...rule.filters], filterContext),
      counts: byRoute[route] ?? noRoute,
      choices: rule.choices.map(({ backend, filters }) => ({
        filters: prepareFilters(filters, filterContext),
        group: groups[backend],
        breaker: balancers[backend]?.breaker,
        protocol: protocolTo(table, backend),
      })),
    };
  });
  const routes = loadHttpRoutes(table.http, context.compile);
  const edition = makeEdition(scope, revision, { direction: "outbound", table, routes });
  const opaque = table.opaque && loadOpaque(table, table.opaque, groups);
  const tls = new Map(table.tls?.map((entry) => [entry, loadOpaque(table, entry, groups)]));
  return { table, routes, rules, noRoute, balancers, edition, opaque, tls };
}

function loadOpaque(
  { parent, backends: known }: OutboundTable,
  entry: OpaqueEntry,
  groups: readonly (TargetGroup | undefined)[],
): LoadedOpaqueRoute {
  const backends = entry.choices.map(({ backend, filters }) => {
    const labels = {
      ...outboundRouteLabels(parent, entry.meta),
      ...backendLabels(known[backend]?.meta),
    };
    const failure = filters.find((filter) => filter.kind === "failure");
    return {
      group: groups[backend],
      refusal: failure === undefined ? "" : failure.failure.message,
      labels,
    };
  });
  return { entry, backends };
}

export function loadInbound(
  table: InboundTable,
  context: Pick<LoadContext, "counts" | "compile">,
  { scope, revision }: SnapshotName,
): LoadedInbound {
  const { counts } = context;
  const server = serverLabels(table.server);
  const limit = loadLimit(table, counts);
  const entries = table.authorizations.map(loadAuthorization);
  const rules = table.http.rules.map(({ route }, at) => {
    const labels = routeLabels(table, route);
    const admits = table.admits[route] ?? [];
    return {
      route,
      filters: prepareFilters(table.filters[at] ?? []),
      counts: new RouteCounts(counts, { direction: "inbound", ...labels }),
      denied: counts.place("inbound_http_authz_deny_total", labels),
      audited: entries.some(({ isAudit }, index) => isAudit && admits.includes(index))
        ? counts.place("inbound_http_authz_audit_total", labels)
        : undefined,
      entries,
      limit: isLimited(table, route) ? limit : undefined,
      allowed: table.authorizations.map(({ meta }, index) =>
        admits.includes(index)
          ? counts.place("inbound_http_authz_allow_total", {
              ...labels,
              ...authorizationLabels(meta),
            })
          : undefined,
      ),
    };
  });
  const notFound = counts.place("inbound_http_route_not_found_total", server);
  const routes = loadHttpRoutes(table.http, context.compile);
  return {
    table,
    routes,
    rules,
    edition: makeEdition(scope, revision, { direction: "inbound", table, routes }),
    notFound,
    hasNamedRoutes: hasNamedRoutes(table),
    reading: readingOf(table),
    connections: loadConnections(table, counts),
  };
}

function loadAuthorization({ meta, tokens = [] }: Authorization): LoadedAuthorization {
  const stripped = tokens.filter(({ forward, place }) => !forward && place.in === "header");
  return {
    isAudit: isAudit(meta),
    stripped: stripped.map(({ place }) => place.name),
  };
}

function isAudit(meta: Meta): boolean {
  return meta.type === "default" && meta.name === "audit";
}

function loadLimit(table: InboundTable, counts: Counts): LoadedLimit | undefined {
  const { rateLimit } = table;
  if (rateLimit === undefined) return undefined;
  const labels = { ...serverLabels(table.server), ...rateLimitLabels(rateLimit.meta) };
  const slot = (scope: RateExcess["scope"]): number =>
    counts.place("inbound_http_local_ratelimit_total", { ...labels, scope });
  return { limit: rateLimit, refused: { total: slot("total"), identity: slot("identity") } };
}

function loadConnections(table: InboundTable, counts: Counts): LoadedConnections {
  const server = serverLabels(table.server);
  const audit = table.authorizations.findIndex(
    ({ meta }, index) => isAudit(meta) && table.admitsConnection.includes(index),
  );
  return {
    audit,
    audited: audit < 0 ? undefined : counts.place("inbound_tcp_authz_audit_total", server),
    allowed: table.authorizations.map(({ meta }, index) =>
      table.admitsConnection.includes(index)
        ? counts.place("inbound_tcp_authz_allow_total", { ...server, ...authorizationLabels(meta) })
        : undefined,
    ),
    denied: counts.place("inbound_tcp_authz_deny_total", server),
    terminated: counts.place("inbound_tcp_authz_terminate_total", server),
  };
}

/** The entry that `findRoute` found, which is there. */
export function entryAt({ table }: LoadedRoutes, found: number): MatchEntry {
  const entry = table.entries[found];
  if (entry === undefined) throw new Error(`The table has no entry ${found}`);
  return entry;
}

function routeLabels(table: InboundTable, route: number): Readonly<Record<string, string>> {
  const meta = table.http.routes[route]?.meta;
  if (meta === undefined) throw new Error(`The table has no route ${route}`);
  return inboundRouteLabels(table.server, meta);
}

function routeOf(http: HttpRouteTable, rule: number): number {
  return http.rules[rule]?.route ?? -1;
}
