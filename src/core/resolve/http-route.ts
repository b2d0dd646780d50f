/**
 * Rules of an HTTPRoute as the two directions run them. Whatever cannot be honoured answers 500 for its own requests and
 * is named in the problems, from which the status is made; the other rules are not touched by it.
 */
import type { Backend, BackendProtocol, Distribution } from "../model/backend.ts";
import type { Filter } from "../model/filter.ts";
import type { InboundHttpRule, OutboundHttpRule } from "../model/http-route.ts";
import { everyRequest } from "../model/match.ts";
import { describeMeta } from "../model/meta.ts";
import type { SessionPersistence } from "../model/session.ts";
import { noTimeouts } from "../model/timeouts.ts";
import type { EgressNetwork } from "../resource/egress-network.ts";
import type { HttpRouteRule, RequestRoute, ValidHttpRouteRule } from "../resource/http-route.ts";
import type { Service } from "../resource/service.ts";
import { describeFaults } from "../std/result.ts";
import { Annotations } from "./annotation.ts";
import { type BackendContext, serviceBackend, servicePort } from "./backend.ts";
import { portProtocol } from "./backend-protocol.ts";
import { egressMeta, onwardBackend } from "./egress.ts";
import { directResponseProblem, isDirectResponse } from "./extension-filter.ts";
import { asGrpcFilters, asGrpcRule } from "./grpc-rule.ts";
import {
  type Direction,
  type ResolvedFilters,
  resolveFilters,
  resolveInboundFilters,
} from "./http-filter.ts";
import { resolveMatches } from "./http-match.ts";
import {
  answerWith500,
  type Converted,
  joinMessages,
  type Problem,
  unsupported,
} from "./problem.ts";
import { type RetryWishes, readRetryWishes, resolveRetry, retryAnnotations } from "./retry.ts";
import { resolveBackend } from "./route-backend.ts";
import { readServiceWishes, type ServiceWishes } from "./service-wishes.ts";
import { affinityProblem, resolveSession } from "./session.ts";
import type { ResolveSettings } from "./settings.ts";
import type { Store } from "./store.ts";
import {
  readTimeoutWishes,
  resolveTimeouts,
  type TimeoutWishes,
  timeoutAnnotations,
} from "./timeouts.ts";
import { inheritedSession, resolveBudget } from "./traffic-policy.ts";

/** What routes of clients are resolved against. */
export type OutboundContext = {
  readonly store: Store;
  readonly settings: ResolveSettings;
  /** Undefined: the parent is an EgressNetwork. */
  readonly service: Service | undefined;
  readonly egress: EgressNetwork | undefined;
  /** The parent as a backend. */
  readonly itself: Backend;
  readonly wishes: ServiceWishes;
  /** What its port is said to speak. */
  readonly protocol: BackendProtocol;
};

export function outboundContext(
  store: Store,
  settings: ResolveSettings,
  service: Service,
  port: number,
): OutboundContext {
  const wishes = readServiceWishes(service);
  const protocol = portProtocol(servicePort(service, port));
  const itself = serviceBackend({ settings, load: wishes.load, protocol }, service, port);
  return { store, settings, service, egress: undefined, itself, wishes, protocol };
}

export function egressContext(
  store: Store,
  settings: ResolveSettings,
  egress: EgressNetwork,
  to: { readonly ip: string; readonly port: number },
): OutboundContext {
  const itself = onwardBackend(egressMeta(egress, to.port), to.ip, to.port);
  const wishes = readServiceWishes(egress);
  return { store, settings, service: undefined, egress, itself, wishes, protocol: "detect" };
}

/** For rules that answer by a filter. */
const noBackends: Distribution = { kind: "empty" };

/** One for each rule of the route, in order. */
export function resolveOutboundRules(
  context: OutboundContext,
  route: RequestRoute,
): readonly Converted<OutboundHttpRule>[] {
  const wishes = readRouteWishes(route);
  return route.rules.map((rule, at) => resolveOutboundRule({ context, route, wishes }, rule, at));
}

type RouteWishes = {
  readonly timeouts: TimeoutWishes;
  readonly retry: RetryWishes;
  readonly problems: readonly Problem[];
};

/** An annotation counts like a field of every rule: one that cannot be read is not skipped. */
function readRouteWishes(route: RequestRoute): RouteWishes {
  const annotations = new Annotations(route.meta.annotations);
  const timeouts = readTimeoutWishes(annotations);
  const retry = readRetryWishes(annotations);
  const problems = annotations.faults.map(({ path, reason }) =>
    unsupported(`annotation ${path} ${reason}`),
  );
  return { timeouts, retry, problems };
}

type RouteContext = {
  readonly context: OutboundContext;
  readonly route: RequestRoute;
  readonly wishes: RouteWishes;
};

function resolveOutboundRule(
  within: RouteContext,
  rule: HttpRouteRule,
  at: number,
): Converted<OutboundHttpRule> {
  const { context, wishes } = within;
  const meant = rule.state === "broken" ? (rule.matches ?? rule.cover) : rule.matches;
  const matches = resolveMatches(context.settings, meant);
  const isGrpc = within.route.kind === "GRPCRoute";
  const refuse = (fatal: readonly Problem[], others: readonly Problem[]) => ({
    value: asKind(isGrpc, refusingRule(matches.value, answerWith500(joinMessages(fatal)))),
    problems: [...fatal, ...others],
  });
  if (rule.state === "broken") {
    return refuse([...matches.problems, unsupported(describeFaults(rule.faults))], []);
  }
  const filters = resolveFilters(
    backendContext(within.context, within.route.meta.namespace),
    rule.filters,
    "rule",
  );
  const incompatible = directResponseProblem(rule.filters, rule.backendRefs.length > 0);
  const target = resolveTarget(within, rule);
  const session = sessionOf(within, target.services, rule, at);
  const fatal = [
    ...matches.problems,
    ...wishes.problems,
    ...(incompatible === undefined ? [] : [incompatible]),
    ...filters.fatal,
    ...("problem" in session ? [session.problem] : []),
  ];
  const others = [...filters.dropped, ...target.problems];
  if (fatal.length > 0 || "problem" in session) return refuse(fatal, others);
  const budget = resolveBudget(context.store, target.services);
  return {
    value: asKind(isGrpc, {
      matches: matches.value,
      filters: [...filters.filters, ...target.filters],
      backends: target.backends,
      timeouts: resolveTimeouts(rule.timeouts, wishes.timeouts, context.wishes.timeouts),
      retry: resolveRetry({
        ofRule: rule.retry,
        ofRoute: wishes.retry,
        ofService: context.wishes.retry,
        budget,
        protocol: isGrpc ? "grpc" : "http",
      }),
      session: session.value,
    }),
    problems: others,
  };
}

function asKind(isGrpc: boolean, rule: OutboundHttpRule): OutboundHttpRule {
  return isGrpc ? asGrpcRule(rule) : rule;
}

/** The rule that every request of these matches is refused by. */
export function refusingRule(
  matches: OutboundHttpRule["matches"],
  refusal: Filter,
): OutboundHttpRule {
  return {
    matches,
    filters: [refusal],
    backends: noBackends,
    timeouts: noTimeouts,
    retry: undefined,
    session: undefined,
  };
}

/** `namespace`: of the route. */
export function backendContext(context: OutboundContext, namespace: string): BackendContext {
  const { store, settings, wishes, egress, itself, protocol } = context;
  return {
    store,
    settings,
    namespace,
    load: wishes.load,
    protocol,
    egress: egress && { network: egress, backend: itself },
  };
}

/** What holds for a Service to which no route is attached, and for what those of an EgressNetwork leave. */
export function plainRule(context: OutboundContext, backends: Distribution): OutboundHttpRule {
  const { store, service, itself, wishes } = context;
  const services = service === undefined ? [] : [service];
  const inherited = inheritedSession(store, services);
  const unsaid = { requestMs: undefined, backendRequestMs: undefined };
  return {
    matches: [everyRequest],
    filters: [],
    backends,
    timeouts: resolveTimeouts(unsaid, wishes.timeouts, wishes.timeouts),
    retry: resolveRetry({
      ofRule: undefined,
      ofRoute: wishes.retry,
      ofService: wishes.retry,
      budget: resolveBudget(store, services),
    }),
    session:
      inherited === undefined ? undefined : resolveSession(inherited, describeMeta(itself.meta)),
  };
}

/** The name of a rule stays when others are put before it; a rule without one is known by its place. */
function sessionOf(
  { context, route }: RouteContext,
  services: readonly Service[],
  rule: ValidHttpRouteRule,
  at: number,
): { readonly value: SessionPersistence | undefined } | { readonly problem: Problem } {
  const wish = rule.sessionPersistence ?? inheritedSession(context.store, services);
  if (wish === undefined) return { value: undefined };
  const problem =
    rule.sessionPersistence === undefined
      ? undefined
      : affinityProblem(context.service === undefined ? services : [context.service, ...services]);
  if (problem !== undefined) return { problem };
  const { group, meta } = route;
  const place = rule.name === "" ? `rule ${at}` : rule.name;
  return { value: resolveSession(wish, `${group} ${meta.namespace}/${meta.name} ${place}`) };
}

/** With a Server as parent a rule ends at the application: backends, timeouts and retries are the client side's. */
export function resolveInboundRule(
  settings: ResolveSettings,
  rule: HttpRouteRule,
  kind: RequestRoute["kind"] = "HTTPRoute",
): Converted<InboundHttpRule> {
  const matches = matchesOf(settings, rule);
  const filters: ResolvedFilters =
    rule.state === "broken"
      ? { filters: [], fatal: [unsupported(describeFaults(rule.faults))], dropped: [] }
      : resolveInboundFilters(rule.filters);
  const problems = [...matches.problems, ...filters.fatal];
  const own = problems.length > 0 ? [answerWith500(joinMessages(problems))] : filters.filters;
  const value = {
    matches: matches.value,
    filters: kind === "GRPCRoute" ? asGrpcFilters(own) : own,
  };
  return { value, problems };
}

/** Fields of a route that mean nothing in a direction. They are not honoured there, and its status says so. */
export function unusedFields(route: RequestRoute, direction: Direction): readonly string[] {
  if (direction === "outbound") {
    // GEP-1294: a mesh routes by the Service that was dialed, not by name.
    return [
      ...(route.hostnames.length > 0 ? ["hostnames"] : []),
      ...(route.useDefaultGateways === "All" ? ["useDefaultGateways"] : []),
      ...annotated(route, [
        route.kind === "GRPCRoute" ? retryAnnotations.http : retryAnnotations.grpc,
      ]),
    ];
  }
  const rules = route.rules.filter((rule) => rule.state === "valid");
  const used = (field: string, isSet: (rule: ValidHttpRouteRule) => boolean): string[] =>
    rules.some(isSet) ? [field] : [];
  return [
    ...used("backendRefs", ({ backendRefs }) => backendRefs.length > 0),
    ...used(
      "timeouts",
      ({ timeouts }) => timeouts.requestMs !== undefined || timeouts.backendRequestMs !== undefined,
    ),
    ...used("retry", ({ retry }) => retry !== undefined),
    ...used("sessionPersistence", ({ sessionPersistence }) => sessionPersistence !== undefined),
    ...annotated(route, [...Object.values(timeoutAnnotations), ...Object.values(retryAnnotations)]),
  ];
}

function annotated(route: RequestRoute, names: readonly string[]): readonly string[] {
  return names
    .filter((name) => route.meta.annotations.has(name))
    .map((name) => `annotation ${name}`);
}

/** A rule of which not even the matches can be read speaks for every request. */
function matchesOf(
  settings: ResolveSettings,
  rule: HttpRouteRule,
): Converted<OutboundHttpRule["matches"]> {
  return rule.matches === undefined
    ? { value: [everyRequest], problems: [] }
    : resolveMatches(settings, rule.matches);
}

type RuleTarget = {
  readonly filters: readonly Filter[];
  readonly backends: Distribution;
  readonly problems: readonly Problem[];
  /** Of the mesh; those without a share may still have sessions (GEP-1619). */
  readonly services: readonly Service[];
};

function resolveTarget(within: RouteContext, rule: ValidHttpRouteRule): RuleTarget {
  const nothing: RuleTarget = { filters: [], backends: noBackends, problems: [], services: [] };
  // Gateway API HTTPRequestRedirectFilter: the proxy answers, nothing goes to a backend. A DirectResponse does the same.
  if (
    rule.filters.some((filter) => filter.type === "RequestRedirect" || isDirectResponse(filter))
  ) {
    return nothing;
  }
  if (rule.backendRefs.length === 0) return targetWithoutBackends(within);
  const context = backendContext(within.context, within.route.meta.namespace);
  const resolved = rule.backendRefs.map((ref) => resolveBackend(context, ref));
  const problems = resolved.flatMap((backend) => backend.problems);
  // Gateway API leaves a sum of 0 open. A 500 says that the rule was taken, where a 404 or 503 would hide it.
  if (rule.backendRefs.every(({ weight }) => weight === 0)) {
    const filters = [answerWith500("every backend of the rule has weight 0")];
    return { ...nothing, filters, problems };
  }
  const backends = resolved.map(({ value }) => value);
  return {
    filters: [],
    backends: { kind: "random-available", backends },
    problems,
    services: resolved.flatMap(({ service }) => service ?? []),
  };
}

/** Gateway API asks for a 500; the documentation of `policy.linkerd.io` promises the parent. */
function targetWithoutBackends({ context, route }: RouteContext): RuleTarget {
  if (route.group === "gateway.networking.k8s.io") {
    const filters = [answerWith500("the rule has no backendRefs")];
    return { filters, backends: noBackends, problems: [], services: [] };
  }
  const { service, itself: backend } = context;
  return {
    filters: [],
    backends: { kind: "first-available", backends: [{ backend, filters: [], weight: 1 }] },
    problems: [],
    services: service === undefined ? [] : [service],
  };
}
