/**
 * Routes of gRPC. In the model they are routes of requests like all others (model/rpc-match); the contract has messages of their own for them, in which a match
 * names a service and a method and a failure is a code.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type FailureInjector, type Filter, failAlways } from "../model/filter.ts";
import { grpcCode, grpcCodeOf, statusOfGrpc } from "../model/grpc-status.ts";
import type { InboundHttpRoute, OutboundHttpRoute, OutboundHttpRule } from "../model/http-route.ts";
import type { HttpMatch } from "../model/match.ts";
import { everyRpc, matchOfRpc } from "../model/rpc-match.ts";
import { fromWireAuthorizations, toWireAuthorizations } from "./authorization.ts";
import { type FilterReader, fromWireDistribution, toWireDistribution } from "./backend.ts";
import { report, type Trace, under } from "./decode.ts";
import {
  fromWireFilter,
  fromWireModifier,
  toWireInboundFilter,
  toWireModifier,
  toWireOutboundFilter,
} from "./filter.ts";
import { brokenFilter } from "./filter-parts.ts";
import type {
  GrpcFailureInjector,
  GrpcRouteMatch,
  GrpcRouteMatchSchema,
} from "./gen/linkerd/grpc_route_pb.ts";
import type {
  GrpcRoute_Filter as InboundFilter,
  GrpcRoute_FilterSchema as InboundFilterSchema,
  GrpcRoute as WireInboundRoute,
  GrpcRouteSchema as WireInboundRouteSchema,
} from "./gen/linkerd/inbound_pb.ts";
import type {
  GrpcRoute_Rule,
  GrpcRoute_RuleSchema,
  GrpcRoute_Filter as OutboundFilter,
  GrpcRoute_FilterSchema as OutboundFilterSchema,
  GrpcRoute as WireOutboundRoute,
  GrpcRouteSchema as WireOutboundRouteSchema,
} from "./gen/linkerd/outbound_pb.ts";
import { failingRule, withHostFault } from "./http-route.ts";
import {
  fromWireHeaders,
  fromWireHosts,
  fromWireRpc,
  rpcName,
  toWireHeader,
  toWireHost,
  toWireRpc,
} from "./match.ts";
import { fromWireMeta, toWireMeta } from "./meta.ts";
import { fromWireGrpcRetry, toWireGrpcRetry } from "./retry.ts";
import { fromWireSession, toWireSession } from "./session.ts";
import { fromWireTimeouts, toWireTimeouts } from "./timeouts.ts";

/** gRPC has no greater code; Linkerd's proxy reads one as UNKNOWN. */
const maxCode = 16;

type RouteRules = {
  readonly rules: readonly { readonly matches: readonly HttpMatch[] }[];
};

/** Whether nothing is lost when the routes are sent as those of gRPC. Beside rules for calls one that takes every request takes every call. */
export function areRpcRoutes(routes: readonly RouteRules[]): boolean {
  const matches = routes.flatMap(({ rules }) => rules.flatMap((rule) => rule.matches));
  return (
    matches.every((match) => match.rpc !== undefined || isEvery(match)) &&
    (matches.length === 0 || matches.some(({ rpc }) => rpc !== undefined))
  );
}

function isEvery({
  path,
  headers,
  queryParams,
  method,
  condition,
  unreadable,
}: HttpMatch): boolean {
  return (
    path.kind === "prefix" &&
    path.value === "/" &&
    headers.length + queryParams.length === 0 &&
    method === "" &&
    condition === undefined &&
    unreadable === undefined
  );
}

export function toWireOutboundGrpcRoute({
  meta,
  hosts,
  rules,
}: OutboundHttpRoute): MessageInitShape<typeof WireOutboundRouteSchema> {
  return {
    metadata: toWireMeta(meta),
    hosts: hosts.map(toWireHost),
    rules: rules.map(toWireRule),
  };
}

export function fromWireOutboundGrpcRoute(
  message: WireOutboundRoute,
  trace: Trace,
): OutboundHttpRoute {
  const { hosts, unreadable } = fromWireHosts(message.hosts, trace);
  return {
    meta: fromWireMeta(message.metadata, under(trace, "metadata")),
    hosts,
    rules: message.rules.map((rule, at) => {
      const read = fromWireRule(rule, under(trace, "rules", at));
      return { ...read, matches: withHostFault(read.matches, unreadable) };
    }),
  };
}

export function toWireInboundGrpcRoute({
  meta,
  hosts,
  authorizations,
  rules,
}: InboundHttpRoute): MessageInitShape<typeof WireInboundRouteSchema> {
  return {
    metadata: toWireMeta(meta),
    hosts: hosts.map(toWireHost),
    authorizations: toWireAuthorizations(authorizations),
    rules: rules.map(({ matches, filters }) => ({
      matches: matches.map(toWireRpcMatch),
      filters: filters.map(toWireInbound),
    })),
  };
}

export function fromWireInboundGrpcRoute(
  message: WireInboundRoute,
  trace: Trace,
): InboundHttpRoute {
  const { hosts, unreadable } = fromWireHosts(message.hosts, trace);
  return {
    meta: fromWireMeta(message.metadata, under(trace, "metadata")),
    hosts,
    authorizations: fromWireAuthorizations(message.authorizations, trace),
    rules: message.rules.map(({ matches, filters }, at) => {
      const here = under(trace, "rules", at);
      return {
        matches: withHostFault(fromWireRpcMatches(matches, here), unreadable),
        filters: fromWireFilters(filters, here),
      };
    }),
  };
}

function toWireRpcMatch({
  rpc = everyRpc,
  headers,
}: HttpMatch): MessageInitShape<typeof GrpcRouteMatchSchema> {
  const { service, method } = rpc;
  const hasPatterns = service.kind === "regex" || method.kind === "regex";
  return {
    // Required by the contract. Without the patterns it takes more, which is why only their readers are sent them.
    rpc: {
      service: service.kind === "exact" ? service.value : "",
      method: method.kind === "exact" ? method.value : "",
    },
    headers: headers.map(toWireHeader),
    ...(hasPatterns ? { patterns: toWireRpc(rpc) } : {}),
  };
}

function fromWireRpcMatches(
  matches: readonly GrpcRouteMatch[],
  trace: Trace,
): readonly HttpMatch[] {
  if (matches.length === 0) return [matchOfRpc(everyRpc, [])];
  return matches.map((match, at) => fromWireRpcMatch(match, under(trace, "matches", at)));
}

/** Criteria that could not be read are left out, and the match says so (see HttpMatch). */
function fromWireRpcMatch({ rpc, headers, patterns }: GrpcRouteMatch, trace: Trace): HttpMatch {
  const reasons: string[] = [];
  if (rpc === undefined && patterns === undefined) {
    reasons.push(report(under(trace, "rpc"), "is missing"));
  }
  const exact = {
    service: rpcName(rpc?.service ?? "", ""),
    method: rpcName(rpc?.method ?? "", ""),
  };
  const named = patterns === undefined ? exact : fromWireRpc(patterns);
  return {
    ...matchOfRpc(named, fromWireHeaders(headers, trace, reasons)),
    ...(reasons.length === 0 ? {} : { unreadable: reasons.join("; ") }),
  };
}

function toWireRule({
  matches,
  filters,
  backends,
  timeouts,
  retry,
  session,
}: OutboundHttpRule): MessageInitShape<typeof GrpcRoute_RuleSchema> {
  return {
    matches: matches.map(toWireRpcMatch),
    filters: filters.map(toWireFilter),
    backends: toWireDistribution(backends, toWireFilter),
    ...toWireTimeouts(timeouts),
    ...(retry === undefined ? {} : { retry: toWireGrpcRetry(retry) }),
    ...(session === undefined ? {} : { sessionPersistence: toWireSession(session) }),
  };
}

/** A rule that cannot be carried out fails the requests that it takes. */
function fromWireRule(rule: GrpcRoute_Rule, trace: Trace): OutboundHttpRule {
  const matches = fromWireRpcMatches(rule.matches, trace);
  if (rule.allowL5dRequestHeaders) {
    report(under(trace, "allowL5dRequestHeaders"), "is not supported");
  }
  const refuse = (reason: string): OutboundHttpRule =>
    failingRule(matches, `${trace.path}: ${reason}`);
  const backends = fromWireDistribution(rule.backends, readFilters, under(trace, "backends"));
  if (backends === undefined) return refuse("has no backends that can be used");
  const timeouts = fromWireTimeouts(rule, trace);
  if (timeouts === undefined) return refuse("has timeouts that cannot be kept");
  const wish = rule.sessionPersistence;
  const session = wish && fromWireSession(wish, under(trace, "sessionPersistence"));
  if (session === undefined && wish !== undefined)
    return refuse("has a session that cannot be kept");
  return {
    matches,
    filters: fromWireFilters(rule.filters, trace),
    backends,
    timeouts,
    retry: rule.retry && fromWireGrpcRetry(rule.retry, under(trace, "retry")),
    session,
  };
}

const readFilters: FilterReader = (routeBackend, trace) =>
  fromWireFilters(routeBackend.filters as OutboundFilter[], trace);

function fromWireFilters(
  filters: readonly (OutboundFilter | InboundFilter)[],
  trace: Trace,
): readonly Filter[] {
  return filters.map((filter, at) => fromWireGrpcFilter(filter, under(trace, "filters", at)));
}

function fromWireGrpcFilter({ kind }: OutboundFilter | InboundFilter, trace: Trace): Filter {
  switch (kind.case) {
    case "failureInjector":
      return fromWireFailure(kind.value, trace);
    case "requestHeaderModifier":
      return fromWireModifier(kind.value, "request-headers", trace);
    case "http":
      return fromWireFilter(kind.value, under(trace, "http"));
    case undefined:
      return brokenFilter(trace, "is of no known kind");
  }
}

/** A share that cannot be computed is everything. */
function fromWireFailure({ code, message, ratio }: GrpcFailureInjector, trace: Trace): Filter {
  const { numerator = 1, denominator = 1 } = ratio ?? {};
  const grpcStatus = code > maxCode ? grpcCode.unknown : code;
  const failure = { status: statusOfGrpc(grpcStatus), message, grpcStatus };
  if (denominator > 0) return { kind: "failure", failure: { ...failure, numerator, denominator } };
  report(trace, "has a denominator of 0, so every request is failed");
  return { kind: "failure", failure: { ...failure, numerator: 1, denominator: 1 } };
}

function toWireFilter(filter: Filter): MessageInitShape<typeof OutboundFilterSchema> {
  if (filter.kind === "failure") return toWireFailure(filter.failure);
  if (filter.kind === "request-headers") {
    return { kind: { case: "requestHeaderModifier", value: toWireModifier(filter.modifier) } };
  }
  return { kind: { case: "http", value: toWireOutboundFilter(filter) } };
}

/** Where routes of gRPC have fewer filters than those of HTTP, a rule that needs one fails instead of losing it. */
function toWireInbound(filter: Filter): MessageInitShape<typeof InboundFilterSchema> {
  if (filter.kind === "request-headers") {
    return { kind: { case: "requestHeaderModifier", value: toWireModifier(filter.modifier) } };
  }
  if (filter.kind === "failure") return toWireFailure(filter.failure);
  const { kind } = toWireInboundFilter(filter);
  const reason = kind?.case === "failureInjector" ? kind.value.message : undefined;
  const refusal = failAlways(500, reason ?? "a redirection is not supported for gRPC");
  return toWireFailure((refusal as Extract<Filter, { kind: "failure" }>).failure);
}

type FailureInit = {
  readonly kind: {
    case: "failureInjector";
    value: { code: number; message: string; ratio: { numerator: number; denominator: number } };
  };
};

function toWireFailure(failure: FailureInjector): FailureInit {
  const { status, message, numerator, denominator, grpcStatus = grpcCodeOf(status) } = failure;
  const value = { code: grpcStatus, message, ratio: { numerator, denominator } };
  return { kind: { case: "failureInjector", value } };
}
