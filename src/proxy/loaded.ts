/** Tables with what is worked out once when they arrive, so that a request only looks things up. */
import { type LoadedRoutes, loadHttpRoutes } from "../core/decide/find-route.ts";
import type { Pattern } from "../core/decide/pattern.ts";
import type { Result } from "../core/std/result.ts";
import type { HttpRouteTable, MatchEntry } from "../core/table/http-route.ts";
import type { InboundTable } from "../core/table/inbound.ts";
import type { BackendEntry, OutboundRule, OutboundTable } from "../core/table/outbound.ts";
import type { Breaker } from "./breaker.ts";
import { type Counts, RouteCounts } from "./count.ts";
import type { TargetGroup } from "./exchange.ts";
import { type FilterContext, type PreparedFilters, prepareFilters } from "./filters.ts";
import {
  authorizationLabels,
  backendLabels,
  inboundRouteLabels,
  outboundRouteLabels,
  serverLabels,
} from "./labels.ts";
import {
  type Balancer,
  type LoadedResilience,
  loadBalancers,
  loadResilience,
  type ResilienceContext,
  sessionFaults,
} from "./load-resilience.ts";
import { MirrorCounts } from "./mirror-counts.ts";

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
};

export type LoadedRule = LoadedResilience & {
  readonly rule: OutboundRule;
  readonly filters: PreparedFilters;
  readonly counts: RouteCounts;
  /** Parallel to `rule.choices`. */
  readonly choices: readonly LoadedChoice[];
};

export type LoadedChoice = {
  readonly filters: PreparedFilters;
  readonly group: TargetGroup | undefined;
  readonly breaker: Breaker | undefined;
};

export type LoadedInbound = {
  readonly table: InboundTable;
  readonly routes: LoadedRoutes;
  /** Parallel to `table.http.rules`. */
  readonly rules: readonly LoadedInboundRule[];
  /** Slots of counters. */
  readonly notFound: number;
};

type LoadedInboundRule = {
  /** Index into `table.http.routes`. */
  readonly route: number;
  readonly filters: PreparedFilters;
  readonly counts: RouteCounts;
  /** Slot of each authorization (parallel to `table.authorizations`); undefined: it is not one of this route's. */
  readonly allowed: readonly (number | undefined)[];
  readonly denied: number;
};

/** `before`: what was in force until now. What is known about its endpoints and budgets stays. */
export function loadOutbound(
  table: OutboundTable,
  context: LoadContext,
  before: LoadedOutbound | undefined,
): LoadedOutbound {
  const { counts, workers } = context;
  const groups = table.backends.map(context.groupOf);
  const balancers = loadBalancers(table, groups, counts, before);
  const resilience: ResilienceContext = { counts, workers, before: before?.rules ?? [] };
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
      })),
    };
  });
  const routes = loadHttpRoutes(table.http, context.compile);
  return { table, routes, rules, noRoute, balancers };
}

export function loadInbound(
  table: InboundTable,
  context: Pick<LoadContext, "counts" | "compile">,
): LoadedInbound {
  const { counts } = context;
  const server = serverLabels(table.server);
  const rules = table.http.rules.map(({ route }, at) => {
    const labels = routeLabels(table, route);
    const admits = table.admits[route] ?? [];
    return {
      route,
      filters: prepareFilters(table.filters[at] ?? []),
      counts: new RouteCounts(counts, { direction: "inbound", ...labels }),
      denied: counts.place("inbound_http_authz_deny_total", labels),
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
  return { table, routes: loadHttpRoutes(table.http, context.compile), rules, notFound };
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
