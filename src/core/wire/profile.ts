/** What `Destination.GetProfile` answers. Linkerd's proxy and ours ask it beside the policy of every target. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { RequestCondition } from "../model/match.ts";
import type { Meta } from "../model/meta.ts";
import {
  budgetTtlMs,
  maxBudgetRatio,
  type Profile,
  type ProfileOverride,
  type ProfileRoute,
  type ResponseClass,
  type ResponseCondition,
} from "../model/profile.ts";
import type { RetryBudget } from "../model/retry.ts";
import { type Decoded, decode, report, type Trace, under } from "./decode.ts";
import { fromWireDuration, toWireDuration } from "./duration.ts";
import { fromWireEndpoint, toWireEndpoint } from "./endpoint.ts";
import {
  type DestinationProfile,
  DestinationProfileSchema,
  type RequestMatch,
  type RequestMatchSchema,
  type ResponseMatch,
  type ResponseMatchSchema,
  type RetryBudgetSchema,
  type RouteSchema,
  type WeightedDst,
  type ResponseClass as WireClass,
  type RetryBudget as WireRetryBudget,
  type Route as WireRoute,
} from "./gen/linkerd/destination_pb.ts";
import { fromWireMethod, toWireMethod } from "./match.ts";
import { fromWireMeta, toWireMeta } from "./meta.ts";
import { toUint32 } from "./uint32.ts";

/** The label by which Linkerd's service names a route. */
const routeLabel = "route";

export function toWireProfile(profile: Profile): DestinationProfile {
  const { name, opaque, parent, source, routes, budget, overrides, endpoint } = profile;
  return create(DestinationProfileSchema, {
    fullyQualifiedName: name,
    opaqueProtocol: opaque,
    routes: routes.map(toWireRoute),
    dstOverrides: overrides.map(({ authority, weight, backend }) => ({
      authority,
      weight: toUint32(weight),
      ...(backend === undefined ? {} : { backendRef: toWireMeta(backend) }),
    })),
    ...(budget === undefined ? {} : { retryBudget: toWireBudget(budget) }),
    ...(parent === undefined ? {} : { parentRef: toWireMeta(parent) }),
    ...(source === undefined ? {} : { profileRef: toWireMeta(source) }),
    ...(endpoint === undefined ? {} : { endpoint: toWireEndpoint(endpoint) }),
  });
}

/** A route that cannot be understood refuses what gets to it; whatever else cannot be is left out, which makes for fewer retries and shorter limits. */
export function fromWireProfile(message: DestinationProfile): Decoded<Profile> {
  return decode((trace) => ({
    name: message.fullyQualifiedName,
    opaque: message.opaqueProtocol,
    parent: fromOptionalMeta(message.parentRef, under(trace, "parentRef")),
    source: fromOptionalMeta(message.profileRef, under(trace, "profileRef")),
    routes: message.routes.map((route, at) => fromWireRoute(route, under(trace, "routes", at))),
    budget: message.retryBudget && fromWireBudget(message.retryBudget, under(trace, "retryBudget")),
    overrides: message.dstOverrides.map((one, at) =>
      fromWireOverride(one, under(trace, "dstOverrides", at)),
    ),
    endpoint: message.endpoint && fromWireEndpoint(message.endpoint, under(trace, "endpoint")),
  }));
}

function fromOptionalMeta(message: WeightedDst["backendRef"], trace: Trace): Meta | undefined {
  return message === undefined ? undefined : fromWireMeta(message, trace);
}

function toWireRoute(route: ProfileRoute): MessageInitShape<typeof RouteSchema> {
  const { name, condition, unreadable, isRetryable, timeoutMs, responseClasses } = route;
  return {
    // A condition that was not understood is not sent on as if it was.
    ...(unreadable === "" ? { condition: toWireRequest(condition) } : {}),
    metricsLabels: name === "" ? {} : { [routeLabel]: name },
    isRetryable,
    responseClasses: responseClasses.map((one) => ({
      condition: toWireResponse(one.condition),
      isFailure: one.isFailure,
    })),
    ...(timeoutMs === 0 ? {} : { timeout: toWireDuration(timeoutMs) }),
  };
}

function fromWireRoute(message: WireRoute, trace: Trace): ProfileRoute {
  const at = under(trace, "condition");
  const condition = message.condition && fromWireRequest(message.condition);
  const timeoutMs = message.timeout === undefined ? 0 : fromWireDuration(message.timeout);
  if (timeoutMs === undefined) report(under(trace, "timeout"), "must not be negative");
  return {
    name: new Map(Object.entries(message.metricsLabels)).get(routeLabel) ?? "",
    condition: condition ?? { kind: "all", of: [] },
    unreadable: condition === undefined ? report(at, "is missing or of no known kind") : "",
    isRetryable: message.isRetryable,
    timeoutMs: timeoutMs ?? 0,
    responseClasses: message.responseClasses.flatMap((one, index) =>
      fromWireClass(one, under(trace, "responseClasses", index)),
    ),
  };
}

function toWireRequest(condition: RequestCondition): MessageInitShape<typeof RequestMatchSchema> {
  switch (condition.kind) {
    case "path":
      return { match: { case: "path", value: { regex: condition.pattern } } };
    case "method":
      return { match: { case: "method", value: toWireMethod(condition.method) } };
    case "rpc-service":
    case "rpc-method":
      throw new Error("A ServiceProfile has no condition of gRPC");
    case "not":
      return { match: { case: "not", value: toWireRequest(condition.of) } };
    case "all":
    case "any":
      return {
        match: { case: condition.kind, value: { matches: condition.of.map(toWireRequest) } },
      };
  }
}

/** Undefined: a part of it is not known, so that nobody knows which requests are meant. */
function fromWireRequest({ match }: RequestMatch): RequestCondition | undefined {
  switch (match.case) {
    case "path":
      return { kind: "path", pattern: match.value.regex };
    case "method": {
      const method = fromWireMethod(match.value);
      return method === undefined ? undefined : { kind: "method", method };
    }
    case "not": {
      const of = fromWireRequest(match.value);
      return of && { kind: "not", of };
    }
    case "all":
    case "any": {
      const of = match.value.matches.map(fromWireRequest);
      const known = of.filter((one) => one !== undefined);
      return known.length === of.length ? { kind: match.case, of: known } : undefined;
    }
    case undefined:
      return undefined;
  }
}

function toWireResponse(
  condition: ResponseCondition,
): MessageInitShape<typeof ResponseMatchSchema> {
  switch (condition.kind) {
    case "status":
      return { match: { case: "status", value: { min: condition.min, max: condition.max } } };
    case "not":
      return { match: { case: "not", value: toWireResponse(condition.of) } };
    case "all":
    case "any":
      return {
        match: { case: condition.kind, value: { matches: condition.of.map(toWireResponse) } },
      };
  }
}

function fromWireClass(
  { condition, isFailure }: WireClass,
  trace: Trace,
): readonly ResponseClass[] {
  const read = condition && fromWireResponse(condition);
  if (read !== undefined) return [{ condition: read, isFailure }];
  report(under(trace, "condition"), "cannot be understood; the class is left out");
  return [];
}

function fromWireResponse({ match }: ResponseMatch): ResponseCondition | undefined {
  switch (match.case) {
    case "status": {
      const { min, max } = match.value;
      // Linkerd's proxy leaves the class out as well.
      return isStatus(min) && isStatus(max) ? { kind: "status", min, max } : undefined;
    }
    case "not": {
      const of = fromWireResponse(match.value);
      return of && { kind: "not", of };
    }
    case "all":
    case "any": {
      const of = match.value.matches.map(fromWireResponse);
      const known = of.filter((one) => one !== undefined);
      return known.length === of.length ? { kind: match.case, of: known } : undefined;
    }
    case undefined:
      return undefined;
  }
}

function isStatus(status: number): boolean {
  return status >= 100 && status <= 999;
}

function toWireBudget({
  percent,
  intervalMs,
  minPerSecond,
}: RetryBudget): MessageInitShape<typeof RetryBudgetSchema> {
  return {
    retryRatio: percent / 100,
    minRetriesPerSecond: toUint32(minPerSecond),
    ttl: toWireDuration(intervalMs),
  };
}

/** Undefined: nothing is retried, as in Linkerd. */
function fromWireBudget(message: WireRetryBudget, trace: Trace): RetryBudget | undefined {
  const { retryRatio, minRetriesPerSecond, ttl } = message;
  const intervalMs = ttl === undefined ? undefined : fromWireDuration(ttl);
  const isRatio = retryRatio >= 0 && retryRatio <= maxBudgetRatio;
  if (!isRatio) report(under(trace, "retryRatio"), `must be 0 to ${maxBudgetRatio}`);
  if (intervalMs === undefined || intervalMs < budgetTtlMs.min || intervalMs > budgetTtlMs.max) {
    report(under(trace, "ttl"), "must be 1 s to 60 s");
    return undefined;
  }
  // The contract has a number of 32 bits, of which 0.2 is not one.
  const percent = Math.round(retryRatio * 10_000) / 100;
  return isRatio ? { percent, intervalMs, minPerSecond: minRetriesPerSecond } : undefined;
}

function fromWireOverride(message: WeightedDst, trace: Trace): ProfileOverride {
  const { authority, weight, backendRef } = message;
  if (!/^[^\s:]+:[1-9][0-9]{0,4}$/.test(authority)) {
    report(under(trace, "authority"), "does not say which endpoints to ask for");
  }
  return { authority, weight, backend: fromOptionalMeta(backendRef, under(trace, "backendRef")) };
}
