/**
 * A policy for a client that knows Linkerd's contract alone, in the model: what needs a field of ours fails with 500 and names it, since the client would
 * skip the field and send the requests on. A backend fails its own share, anything else its whole rule.
 */
import type { Authorization } from "../model/authorization.ts";
import type { Backend, Distribution, RouteBackend } from "../model/backend.ts";
import { type Filter, failAlways } from "../model/filter.ts";
import type { OutboundHttpRoute, OutboundHttpRule } from "../model/http-route.ts";
import type { InboundPolicy } from "../model/inbound-policy.ts";
import type { HttpMatch } from "../model/match.ts";
import type { Meta } from "../model/meta.ts";
import type { OutboundPolicy } from "../model/outbound-policy.ts";
import { defaultRetryBudget } from "../model/retry.ts";
import { noTimeouts, type Timeouts } from "../model/timeouts.ts";
import { extensionFilterNames, isExtensionFilter } from "./filter-extension.ts";

export function withoutExtensions(policy: OutboundPolicy): OutboundPolicy {
  const { httpRoutes, opaque, tlsRoutes } = policy;
  return {
    ...policy,
    httpRoutes: httpRoutes.map((route) =>
      plainRoute(policy.protocol === "grpc" ? plainGrpcRoute(route) : route),
    ),
    opaque: { ...opaque, backends: plainDistribution(opaque.backends) },
    ...(tlsRoutes === undefined
      ? {}
      : {
          tlsRoutes: tlsRoutes.map((route) => ({
            ...route,
            backends: plainDistribution(route.backends),
          })),
        }),
  };
}

/** A client that skips the tokens of an authorization would admit without them, so that it gets none of these. */
export function inboundWithoutExtensions(policy: InboundPolicy): InboundPolicy {
  return {
    ...policy,
    authorizations: policy.authorizations.filter(asksNoToken),
    routes: policy.routes.map((route) => ({
      ...route,
      rules: route.rules.map((rule) =>
        needsPatterns(rule.matches) ? { ...rule, filters: [refusal(patterns)] } : rule,
      ),
      authorizations: route.authorizations.filter(asksNoToken),
    })),
  };
}

function asksNoToken({ tokens = [] }: Authorization): boolean {
  return tokens.length === 0;
}

/** Routes of gRPC have fewer filters than those of HTTP, and names only. */
function plainGrpcRoute(route: OutboundHttpRoute): OutboundHttpRoute {
  return {
    ...route,
    rules: route.rules.map((rule) => {
      const needed = needsPatterns(rule.matches) ? patterns : neededByGrpc(rule.filters);
      if (needed !== undefined) return failingRule(rule, route.meta, needed);
      return { ...rule, backends: plainGrpcDistribution(rule.backends) };
    }),
  };
}

function plainGrpcDistribution(distribution: Distribution): Distribution {
  if (distribution.kind === "empty") return distribution;
  const backends = distribution.backends.map((share) => {
    const needed = neededByGrpc(share.filters);
    if (needed === undefined) return share;
    const backend = { meta: share.backend.meta, dispatch: { kind: "fail" } } as const;
    return { backend, filters: [refusal(needed)], weight: share.weight };
  });
  return { ...distribution, backends };
}

const patterns = "a regular expression of a service or method";

function needsPatterns(matches: readonly HttpMatch[]): boolean {
  return matches.some(({ condition }) => condition !== undefined);
}

function neededByGrpc(filters: readonly Filter[]): string | undefined {
  return filters.some(({ kind }) => kind === "response-headers")
    ? "ResponseHeaderModifier"
    : undefined;
}

function plainRoute(route: OutboundHttpRoute): OutboundHttpRoute {
  return { ...route, rules: route.rules.map((rule) => plainRule(rule, route.meta)) };
}

function plainRule(rule: OutboundHttpRule, routeMeta: Meta): OutboundHttpRule {
  const needed =
    neededByFilters(rule.filters) ??
    (rule.session === undefined ? undefined : "sessionPersistence");
  if (needed !== undefined) return failingRule(rule, routeMeta, needed);
  const timeouts = plainTimeouts(rule);
  if (timeouts === undefined) return failingRule(rule, routeMeta, "timeouts.backendRequest");
  return {
    ...rule,
    backends:
      rule.backends.kind === "empty" && rule.filters.length > 0
        ? nobodyBehind(rule.filters, routeMeta)
        : plainDistribution(rule.backends),
    timeouts,
    // Linkerd's retries have no budget. One is a bound on what is sent beside the requests and changes none of their answers, so the rule is sent
    // without it; the default is what is not sent.
    retry: rule.retry === undefined ? undefined : { ...rule.retry, budget: defaultRetryBudget },
  };
}

/** A client without retries has one try, whose limit is that of the request. Undefined: the limit of each of several tries cannot be told. */
function plainTimeouts({
  timeouts,
  retry,
}: Pick<OutboundHttpRule, "timeouts" | "retry">): Timeouts | undefined {
  const { requestMs, backendRequestMs } = timeouts;
  const isBinding = backendRequestMs > 0 && (requestMs === 0 || backendRequestMs < requestMs);
  if (!isBinding) return { ...timeouts, backendRequestMs: 0 };
  if (retry !== undefined && retry.limit > 0) return undefined;
  return { ...timeouts, requestMs: backendRequestMs, backendRequestMs: 0 };
}

function failingRule({ matches }: OutboundHttpRule, meta: Meta, needed: string): OutboundHttpRule {
  const filters = [refusal(needed)];
  return {
    matches,
    filters,
    backends: nobodyBehind(filters, meta),
    timeouts: noTimeouts,
    retry: undefined,
    session: undefined,
  };
}

/**
 * For a rule whose filters answer: one that is broken, or redirects. Linkerd's proxy asks its backends whether they are ready before its filters, and one
 * without backends never is: the requests would get 503 and no reason. The backend of no kind is always ready.
 */
function nobodyBehind(filters: readonly Filter[], meta: Meta): Distribution {
  const backend = { meta, dispatch: { kind: "fail" } } as const;
  return { kind: "first-available", backends: [{ backend, filters, weight: 1 }] };
}

function plainDistribution(distribution: Distribution): Distribution {
  return distribution.kind === "empty"
    ? distribution
    : { ...distribution, backends: distribution.backends.map(plainBackend) };
}

function plainBackend(share: RouteBackend): RouteBackend {
  const { backend, filters, weight } = share;
  const needed = neededByDispatch(share) ?? neededByFilters(filters);
  if (needed === undefined) return { ...share, backend: withoutProtocol(backend) };
  const failing = { meta: backend.meta, dispatch: { kind: "fail" } } as const;
  return { backend: failing, filters: [refusal(needed)], weight };
}

/** Linkerd's proxy goes by what the policy says of the destination, under its own control plane as well. */
function withoutProtocol({ meta, dispatch }: Backend): Backend {
  return { meta, dispatch };
}

function neededByDispatch({ backend }: RouteBackend): string | undefined {
  switch (backend.dispatch.kind) {
    case "static":
      return "Backend.static";
    case "lambda":
      return "Backend.aws.lambda";
    case "balancer":
    case "forward":
    case "fail":
      return undefined;
  }
}

function neededByFilters(filters: readonly Filter[]): string | undefined {
  const needed = filters.find(isExtensionFilter);
  return needed && extensionFilterNames[needed.kind];
}

function refusal(needed: string): Filter {
  return failAlways(500, `${needed} needs a Weft sidecar`);
}
