/**
 * Rules of an HTTPRoute as the two directions run them. Whatever cannot be honoured answers 500 for its own requests and
 * is named in the problems, from which the status is made; the other rules are not touched by it.
 */
import type { Distribution } from "../model/backend.ts";
import type { Filter } from "../model/filter.ts";
import type { InboundHttpRule, OutboundHttpRule } from "../model/http-route.ts";
import { everyRequest } from "../model/match.ts";
import type { HttpRouteFilter } from "../resource/http-filter.ts";
import type {
  HttpRoute,
  HttpRouteRule,
  HttpRouteTimeouts,
  ValidHttpRouteRule,
} from "../resource/http-route.ts";
import type { Service } from "../resource/service.ts";
import { describeFaults } from "../std/result.ts";
import { resolveBackend, serviceBackend } from "./backend.ts";
import { type Direction, resolveFilter } from "./http-filter.ts";
import { resolveMatches } from "./http-match.ts";
import {
  answerWith500,
  type Converted,
  joinMessages,
  type Problem,
  unsupported,
} from "./problem.ts";
import type { ResolveSettings } from "./settings.ts";
import type { Store } from "./store.ts";

/** What the rules of a route with a Service as parent are resolved against. */
export type OutboundContext = {
  readonly store: Store;
  readonly settings: ResolveSettings;
  readonly service: Service;
  readonly port: number;
};

/** For rules that answer by a filter. */
const noBackends: Distribution = { kind: "empty" };

export function resolveOutboundRule(
  context: OutboundContext,
  group: HttpRoute["group"],
  rule: HttpRouteRule,
): Converted<OutboundHttpRule> {
  const { value, problems } = resolveRule(context.settings, rule, "outbound");
  if (problems.length > 0 || rule.state === "broken") {
    return { value: { ...value, backends: noBackends, requestTimeoutMs: 0 }, problems };
  }
  const target = resolveTarget(context, group, rule);
  return {
    value: {
      matches: value.matches,
      filters: [...value.filters, ...target.value.filters],
      backends: target.value.backends,
      requestTimeoutMs: requestTimeout(rule.timeouts),
    },
    problems: target.problems,
  };
}

/** With a Server as parent a rule ends at the application: backends, timeouts and retries are the client side's. */
export function resolveInboundRule(
  settings: ResolveSettings,
  rule: HttpRouteRule,
): Converted<InboundHttpRule> {
  return resolveRule(settings, rule, "inbound");
}

/** Fields of a route that mean nothing in a direction. They are not honoured there, and its status says so. */
export function unusedFields(route: HttpRoute, direction: Direction): readonly string[] {
  if (direction === "outbound") {
    // GEP-1294: a mesh routes by the Service that was dialed, not by name.
    return [
      ...(route.hostnames.length > 0 ? ["hostnames"] : []),
      ...(route.useDefaultGateways === "All" ? ["useDefaultGateways"] : []),
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
  ];
}

/** Matches and filters; in place of the filters a 500 when there is a problem. */
function resolveRule(
  settings: ResolveSettings,
  rule: HttpRouteRule,
  direction: Direction,
): Converted<InboundHttpRule> {
  const matches =
    rule.matches === undefined
      ? { value: [everyRequest], problems: [] }
      : resolveMatches(settings, rule.matches);
  const filters: Converted<readonly Filter[]> =
    rule.state === "broken"
      ? { value: [], problems: [unsupported(describeFaults(rule.faults))] }
      : resolveFilters(rule.filters, direction);
  const fields = rule.state === "valid" && direction === "outbound" ? unsupportedFields(rule) : [];
  const problems = [...matches.problems, ...filters.problems, ...fields];
  const value = {
    matches: matches.value,
    filters: problems.length > 0 ? [answerWith500(joinMessages(problems))] : filters.value,
  };
  return { value, problems };
}

function resolveFilters(
  filters: readonly HttpRouteFilter[],
  direction: Direction,
): Converted<readonly Filter[]> {
  const value: Filter[] = [];
  const problems: Problem[] = [];
  for (const filter of filters) {
    const resolved = resolveFilter(filter, direction);
    if (resolved !== undefined) value.push(resolved);
    else problems.push(unsupported(`filter ${filter.type} is not supported${on(direction)}`));
  }
  return { value, problems };
}

function on(direction: Direction): string {
  return direction === "inbound" ? " on a route to a Server" : "";
}

function unsupportedFields(rule: ValidHttpRouteRule): readonly Problem[] {
  return [
    ...(rule.retry === undefined ? [] : [unsupported("retry is not supported")]),
    ...(rule.sessionPersistence === undefined
      ? []
      : [unsupported("sessionPersistence is not supported")]),
  ];
}

type RuleTarget = { readonly filters: readonly Filter[]; readonly backends: Distribution };

function resolveTarget(
  context: OutboundContext,
  group: HttpRoute["group"],
  rule: ValidHttpRouteRule,
): Converted<RuleTarget> {
  // Gateway API HTTPRequestRedirectFilter: the proxy answers, nothing goes to a backend.
  if (rule.filters.some(({ type }) => type === "RequestRedirect")) {
    return { value: { filters: [], backends: noBackends }, problems: [] };
  }
  if (rule.backendRefs.length === 0) {
    return { value: targetWithoutBackends(context, group), problems: [] };
  }
  const resolved = rule.backendRefs.map((ref) =>
    resolveBackend(context.store, context.settings, ref),
  );
  const problems = resolved.flatMap((backend) => backend.problems);
  // Gateway API leaves a sum of 0 open. A 500 says that the rule was taken, where a 404 or 503 would hide it.
  if (rule.backendRefs.every(({ weight }) => weight === 0)) {
    const filters = [answerWith500("every backend of the rule has weight 0")];
    return { value: { filters, backends: noBackends }, problems };
  }
  const backends = resolved.map(({ value }) => value);
  return {
    value: { filters: [], backends: { kind: "random-available", backends } },
    problems,
  };
}

/** Gateway API asks for a 500; the documentation of `policy.linkerd.io` promises the parent. */
function targetWithoutBackends(context: OutboundContext, group: HttpRoute["group"]): RuleTarget {
  if (group === "gateway.networking.k8s.io") {
    return { filters: [answerWith500("the rule has no backendRefs")], backends: noBackends };
  }
  const backend = serviceBackend(context.settings, context.service, context.port);
  return {
    filters: [],
    backends: { kind: "first-available", backends: [{ backend, filters: [], weight: 1 }] },
  };
}

/** Without retries one try is the whole exchange, so the shorter limit holds. 0 lifts a limit (HTTPRouteTimeouts). */
function requestTimeout({ requestMs, backendRequestMs }: HttpRouteTimeouts): number {
  const limits = [requestMs ?? 0, backendRequestMs ?? 0].filter((ms) => ms > 0);
  return limits.length === 0 ? 0 : Math.min(...limits);
}
