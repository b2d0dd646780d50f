import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Filter, failAlways } from "../model/filter.ts";
import type {
  InboundHttpRoute,
  InboundHttpRule,
  OutboundHttpRoute,
  OutboundHttpRule,
} from "../model/http-route.ts";
import type { HttpMatch } from "../model/match.ts";
import { noTimeouts } from "../model/timeouts.ts";
import { fromWireAuthorizations, toWireAuthorizations } from "./authorization.ts";
import { type FilterReader, fromWireDistribution, toWireDistribution } from "./backend.ts";
import { report, type Trace, under } from "./decode.ts";
import { fromWireFilter, toWireInboundFilter, toWireOutboundFilter } from "./filter.ts";
import type {
  HttpRoute as WireInboundRoute,
  HttpRouteSchema as WireInboundRouteSchema,
} from "./gen/linkerd/inbound_pb.ts";
import type {
  HttpRoute_Filter,
  HttpRoute_Rule,
  HttpRoute_RuleSchema,
  HttpRoute as WireOutboundRoute,
  HttpRouteSchema as WireOutboundRouteSchema,
} from "./gen/linkerd/outbound_pb.ts";
import { fromWireHosts, fromWireMatches, toWireHost, toWireMatch } from "./match.ts";
import { fromWireMeta, toWireMeta } from "./meta.ts";
import { fromWireRetry, toWireRetry } from "./retry.ts";
import { fromWireSession, toWireSession } from "./session.ts";
import { fromWireTimeouts, toWireTimeouts } from "./timeouts.ts";

export function toWireOutboundRoute({
  meta,
  hosts,
  rules,
}: OutboundHttpRoute): MessageInitShape<typeof WireOutboundRouteSchema> {
  return {
    metadata: toWireMeta(meta),
    hosts: hosts.map(toWireHost),
    rules: rules.map(toWireOutboundRule),
  };
}

export function fromWireOutboundRoute(message: WireOutboundRoute, trace: Trace): OutboundHttpRoute {
  const { hosts, unreadable } = fromWireHosts(message.hosts, trace);
  return {
    meta: fromWireMeta(message.metadata, under(trace, "metadata")),
    hosts,
    rules: message.rules.map((rule, at) => {
      const read = fromWireOutboundRule(rule, under(trace, "rules", at));
      return { ...read, matches: withHostFault(read.matches, unreadable) };
    }),
  };
}

export function toWireInboundRoute({
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
      matches: matches.map(toWireMatch),
      filters: filters.map(toWireInboundFilter),
    })),
  };
}

export function fromWireInboundRoute(message: WireInboundRoute, trace: Trace): InboundHttpRoute {
  const { hosts, unreadable } = fromWireHosts(message.hosts, trace);
  return {
    meta: fromWireMeta(message.metadata, under(trace, "metadata")),
    hosts,
    authorizations: fromWireAuthorizations(message.authorizations, trace),
    rules: message.rules.map(({ matches, filters }, at): InboundHttpRule => {
      const here = under(trace, "rules", at);
      return {
        matches: withHostFault(fromWireMatches(matches, here), unreadable),
        filters: fromWireFilters(filters, here),
      };
    }),
  };
}

/** Nobody knows whose requests these are, so none of the matches can be judged (see HttpMatch). */
export function withHostFault(
  matches: readonly HttpMatch[],
  unreadable: string | undefined,
): readonly HttpMatch[] {
  return unreadable === undefined ? matches : matches.map((match) => ({ ...match, unreadable }));
}

function toWireOutboundRule({
  matches,
  filters,
  backends,
  timeouts,
  retry,
  session,
}: OutboundHttpRule): MessageInitShape<typeof HttpRoute_RuleSchema> {
  return {
    matches: matches.map(toWireMatch),
    filters: filters.map(toWireOutboundFilter),
    backends: toWireDistribution(backends, toWireOutboundFilter),
    ...toWireTimeouts(timeouts),
    ...(retry === undefined ? {} : { retry: toWireRetry(retry) }),
    ...(session === undefined ? {} : { sessionPersistence: toWireSession(session) }),
  };
}

/** A rule that cannot be carried out answers 500 for the requests that it takes. */
function fromWireOutboundRule(rule: HttpRoute_Rule, trace: Trace): OutboundHttpRule {
  const matches = fromWireMatches(rule.matches, trace);
  if (rule.allowL5dRequestHeaders) {
    report(under(trace, "allowL5dRequestHeaders"), "is not supported");
  }
  const backends = fromWireDistribution(rule.backends, readFilters, under(trace, "backends"));
  if (backends === undefined) {
    return failingRule(matches, `${trace.path}: has no backends that can be used`);
  }
  const timeouts = fromWireTimeouts(rule, trace);
  if (timeouts === undefined) {
    return failingRule(matches, `${trace.path}: has timeouts that cannot be kept`);
  }
  const session =
    rule.sessionPersistence &&
    fromWireSession(rule.sessionPersistence, under(trace, "sessionPersistence"));
  if (session === undefined && rule.sessionPersistence !== undefined) {
    return failingRule(matches, `${trace.path}: has a session that cannot be kept`);
  }
  return {
    matches,
    filters: fromWireFilters(rule.filters, trace),
    backends,
    timeouts,
    retry: rule.retry && fromWireRetry(rule.retry, under(trace, "retry")),
    session,
  };
}

const readFilters: FilterReader = (routeBackend, trace) =>
  fromWireFilters(routeBackend.filters as HttpRoute_Filter[], trace);

function fromWireFilters(
  filters: readonly Parameters<typeof fromWireFilter>[0][],
  trace: Trace,
): readonly Filter[] {
  return filters.map((filter, at) => fromWireFilter(filter, under(trace, "filters", at)));
}

/** What stands in for a rule that cannot be carried out. */
export function failingRule(matches: readonly HttpMatch[], reason: string): OutboundHttpRule {
  return {
    matches,
    filters: [failAlways(500, reason)],
    backends: { kind: "empty" },
    timeouts: noTimeouts,
    retry: undefined,
    session: undefined,
  };
}
