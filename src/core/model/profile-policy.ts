/**
 * A ServiceProfile in force. One with routes or overrides replaces the HTTP part of the policy: its timeouts, retries, circuit breaker and HTTPRoutes do
 * not apply then, as in Linkerd, so that a profile means the same as before there were routes. A profile that says nothing changes nothing.
 */
import { type Backend, type Distribution, defaultLoad, type RouteBackend } from "./backend.ts";
import type { OutboundHttpRoute, OutboundHttpRule } from "./http-route.ts";
import { everyRequest, type HttpMatch, type RequestCondition } from "./match.ts";
import { defaultMeta, type Meta, resourceMeta } from "./meta.ts";
import type { OutboundPolicy } from "./outbound-policy.ts";
import type { Profile, ProfileRoute, ResponseClass, ResponseCondition } from "./profile.ts";
import {
  defaultRetryBackoff,
  defaultRetryBodyBytes,
  type Retry,
  type RetryBudget,
  type StatusRange,
} from "./retry.ts";
import { noTimeouts } from "./timeouts.ts";

/**
 * Tries after the first. In Linkerd the budget alone bounds them, and they follow each other at once; with pauses in between, one request to a dead
 * Service would never be done with a budget of some retries a second.
 */
const maxRetries = 10;

const finalStatuses = { min: 200, max: 599 };
const firstFailure = 500;

/** `port`: the one that the client asked for. */
export function profileAsPolicy(
  policy: OutboundPolicy,
  profile: Profile | undefined,
  port: number,
): OutboundPolicy {
  if (profile === undefined || isRefused(policy)) return policy;
  const { name, routes, overrides } = profile;
  const source = profile.source ?? defaultMeta(`profile of ${name}`);
  const backends = distributionOf(profile, policy.parent, port);
  if (profile.opaque || policy.protocol === "opaque") {
    const isOurs = name !== "" && (overrides.length > 0 || policy.opaque.refusal !== "");
    const opaque = isOurs ? opaqueOf(source, backends) : policy.opaque;
    const isSame = policy.protocol === "opaque" && opaque === policy.opaque;
    return isSame ? policy : { ...policy, protocol: "opaque", opaque };
  }
  if (name === "" || (routes.length === 0 && overrides.length === 0)) return policy;
  const context: RouteContext = { source, backends, budget: profile.budget };
  const canonical = `${name}:${port}`;
  return {
    ...policy,
    routeOrder: "list",
    httpRoutes: [...routes.map((route) => routeOf(route, context)), restOf(context)].map((route) =>
      naming(route, canonical),
    ),
    accrual: undefined,
    opaque: overrides.length === 0 ? policy.opaque : opaqueOf(source, backends),
  };
}

/** What the policy refuses stays refused. One of HTTP alone says nothing about other bytes. */
function isRefused({ protocol, opaque }: OutboundPolicy): boolean {
  return opaque.refusal !== "" && protocol !== "http1" && protocol !== "http2";
}

function opaqueOf(meta: Meta, backends: Distribution): OutboundPolicy["opaque"] {
  return { meta, refusal: "", backends };
}

type RouteContext = {
  readonly source: Meta;
  readonly backends: Distribution;
  readonly budget: RetryBudget | undefined;
};

function routeOf(route: ProfileRoute, context: RouteContext): OutboundHttpRoute {
  const { source, backends, budget } = context;
  const meta = source.type === "resource" ? { ...source, section: route.name } : source;
  const rule: OutboundHttpRule = {
    matches: [matchOf(route)],
    filters: [],
    backends,
    timeouts: { ...noTimeouts, requestMs: route.timeoutMs },
    retry: route.isRetryable && budget !== undefined ? retryOf(route, budget) : undefined,
    session: undefined,
  };
  return { meta, hosts: [], rules: [rule] };
}

/** Requests that no route takes go to the destination all the same, with neither limit nor retry. */
function restOf({ source, backends }: RouteContext): OutboundHttpRoute {
  const rule: OutboundHttpRule = {
    matches: [everyRequest],
    filters: [],
    backends,
    timeouts: noTimeouts,
    retry: undefined,
    session: undefined,
  };
  return { meta: source, hosts: [], rules: [rule] };
}

function naming(route: OutboundHttpRoute, canonical: string): OutboundHttpRoute {
  return { ...route, rules: route.rules.map((rule) => ({ ...rule, canonical })) };
}

/** Path and method have places of their own in a match, which cost less and are explained better. */
function matchOf({ condition, unreadable }: ProfileRoute): HttpMatch {
  if (unreadable !== "") return { ...everyRequest, unreadable };
  const parts = condition.kind === "all" ? condition.of : [condition];
  const paths = parts.filter((one) => one.kind === "path");
  const methods = parts.filter((one) => one.kind === "method");
  const [path] = paths;
  const [method] = methods;
  const rest: RequestCondition[] = parts.filter((one) => one !== path && one !== method);
  const [first] = rest;
  return {
    ...everyRequest,
    ...(path === undefined ? {} : { path: { kind: "regex", value: path.pattern } }),
    ...(method === undefined ? {} : { method: method.method }),
    ...(first === undefined
      ? {}
      : { condition: rest.length === 1 ? first : { kind: "all", of: rest } }),
  };
}

function retryOf(route: ProfileRoute, budget: RetryBudget): Retry {
  return {
    limit: maxRetries,
    statuses: failuresAmong(route.responseClasses),
    perTryMs: 0,
    backoff: defaultRetryBackoff,
    maxBodyBytes: defaultRetryBodyBytes,
    budget,
    sharesBudget: true,
  };
}

function failuresAmong(classes: readonly ResponseClass[]): readonly StatusRange[] {
  const ranges: { start: number; end: number }[] = [];
  for (let status = finalStatuses.min; status <= finalStatuses.max; status++) {
    if (!isFailure(classes, status)) continue;
    const last = ranges.at(-1);
    if (last?.end === status - 1) last.end = status;
    else ranges.push({ start: status, end: status });
  }
  return ranges;
}

function isFailure(classes: readonly ResponseClass[], status: number): boolean {
  const found = classes.find(({ condition }) => holds(condition, status));
  return found === undefined ? status >= firstFailure : found.isFailure;
}

function holds(condition: ResponseCondition, status: number): boolean {
  switch (condition.kind) {
    case "status":
      return status >= condition.min && status <= condition.max;
    case "all":
      return condition.of.every((one) => holds(one, status));
    case "any":
      return condition.of.some((one) => holds(one, status));
    case "not":
      return !holds(condition.of, status);
  }
}

/** Linkerd: what has no weight is left out; without anything left the destination itself takes the traffic. */
function distributionOf(profile: Profile, parent: Meta, port: number): Distribution {
  const weighted = profile.overrides.filter(({ weight }) => weight > 0);
  if (weighted.length === 0) {
    const itself = balancer(profile.parent ?? parent, `${profile.name}:${port}`);
    return { kind: "first-available", backends: [toRouteBackend(itself, 1)] };
  }
  return {
    kind: "random-available",
    backends: weighted.map(({ authority, weight, backend }) =>
      toRouteBackend(balancer(backend ?? metaOfAuthority(authority), authority), weight),
    ),
  };
}

function balancer(meta: Meta, authority: string): Backend {
  return { meta, dispatch: { kind: "balancer", authority, load: defaultLoad } };
}

function toRouteBackend(backend: Backend, weight: number): RouteBackend {
  return { backend, filters: [], weight };
}

/** `service.namespace.svc.…:port`. */
function metaOfAuthority(authority: string): Meta {
  const [, name = "", namespace = "", port = ""] =
    /^([^.:]+)\.([^.:]+)\.svc[.:](?:.*:)?([0-9]+)$/.exec(authority) ?? [];
  return name === ""
    ? defaultMeta(authority)
    : resourceMeta({ group: "core", kind: "Service", namespace, name, port: Number(port) });
}
