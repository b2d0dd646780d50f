/** The policy of one destination for one client: which routes speak for it, and where requests go without one. */
import type { Backend, Distribution } from "../model/backend.ts";
import type { OutboundHttpRoute, OutboundHttpRule } from "../model/http-route.ts";
import { everyRequest } from "../model/match.ts";
import { defaultMeta, type Meta, resourceMeta } from "../model/meta.ts";
import type { OutboundPolicy, OutboundTarget } from "../model/outbound-policy.ts";
import { noTimeouts } from "../model/timeouts.ts";
import type { Workload } from "../model/workload.ts";
import type { BrokenResource } from "../resource/broken.ts";
import type { ParentRef } from "../resource/reference.ts";
import type { ServicePort } from "../resource/service.ts";
import { unreachable } from "../std/unreachable.ts";
import { isOpaquePort, serviceBackend, serviceMeta, servicePort } from "./backend.ts";
import { describeBroken, parentsOf } from "./broken.ts";
import { findDestination } from "./destination.ts";
import { plainWeight } from "./endpoints.ts";
import {
  type OutboundContext,
  outboundContext,
  plainRule,
  refusingRule,
  resolveOutboundRules,
} from "./http-route.ts";
import { metaOf, metaOfBroken } from "./object-meta.ts";
import { fitsPort, hasFrontEnd } from "./parent.ts";
import { answerWith500 } from "./problem.ts";
import type { Resolution, ResolveSettings } from "./settings.ts";
import { referenceKey, type Store } from "./store.ts";

/** The client counts by its namespace only: it selects consumer routes (GEP-1294). */
export function resolveOutbound(
  store: Store,
  settings: ResolveSettings,
  target: OutboundTarget,
  client: Workload,
): Resolution<OutboundPolicy> {
  const found = findDestination(store, settings, target);
  switch (found.kind) {
    case "service":
      return {
        policy: ofService(outboundContext(store, settings, found.service, found.port), client),
      };
    case "broken":
      return { policy: ofBrokenService(found.service, found.port) };
    case "outside":
      return { policy: ofOutside(found.ip, found.port) };
    case "pod":
      // GEP-1294: requests to pod IPs are untouched by routes. The endpoint's profile says how to reach it.
      return { unknown: `${found.ip} is a pod, which routes do not speak for` };
    case "unknown":
      return { unknown: found.reason };
    default:
      return unreachable(found);
  }
}

function ofService(context: OutboundContext, client: Workload): OutboundPolicy {
  const { service, settings, port, wishes } = context;
  const parent = serviceMeta(service, port);
  const declared = servicePort(service, port);
  if (declared === undefined && (service.ports.length > 0 || hasFrontEnd(service))) {
    return ofUndeclaredPort(parent);
  }
  const { accrual, load } = wishes;
  const toItself = firstAvailable(serviceBackend({ settings, load }, service, port));
  const protocol = protocolOf(declared);
  const plainRoute = defaultRoute("http", plainRule(context, toItself));
  const routes = declared === undefined ? [] : routesOf(context, declared, client);
  return {
    parent,
    protocol,
    httpRoutes: protocol === "opaque" ? [] : routes.length > 0 ? routes : [plainRoute],
    accrual,
    opaque: { meta: defaultMeta("opaq"), refusal: "", backends: toItself },
  };
}

/** A value that we do not know says nothing about how to read the bytes, so they are looked at. */
function protocolOf(port: ServicePort | undefined): OutboundPolicy["protocol"] {
  if (isOpaquePort(port)) return "opaque";
  if (port?.appProtocol === "http") return "http1";
  if (port?.appProtocol === "kubernetes.io/h2c") return "http2";
  return "detect";
}

/**
 * GEP-1294: a client in whose namespace routes for a foreign Service stand (consumer routes) sees those only; every other
 * client sees the routes of the Service's own namespace (producer routes).
 */
function routesOf(
  context: OutboundContext,
  port: ServicePort,
  client: Workload,
): readonly OutboundHttpRoute[] {
  if (!hasFrontEnd(context.service)) return [];
  const consumer = routesFrom(context, port, client.namespace);
  return consumer.length > 0 ? consumer : routesFrom(context, port, context.service.meta.namespace);
}

function routesFrom(
  context: OutboundContext,
  port: ServicePort,
  namespace: string,
): readonly OutboundHttpRoute[] {
  const { store, service } = context;
  const { name } = service.meta;
  const key = referenceKey({
    group: "",
    kind: "Service",
    namespace: service.meta.namespace,
    name,
  });
  const attached = (refs: readonly ParentRef[]): boolean =>
    refs.some((ref) => referenceKey(ref) === key && fitsPort(ref, port));
  const routes = (store.routes.get(key) ?? [])
    .filter((route) => route.meta.namespace === namespace && attached(route.parentRefs))
    .map((route) => ({
      meta: metaOf(route),
      hosts: [],
      rules: resolveOutboundRules(context, route).map(({ value }) => value),
    }));
  // Behind all others: what they say holds, and what is left is refused.
  const broken = (store.broken.routes.get(key) ?? [])
    .filter((route) => route.namespace === namespace && attached(parentsOf(route)))
    .map((route) => refusingRoute(metaOfBroken(route), describeBroken(route)));
  return [...routes, ...broken];
}

/** Takes every request that no other route takes, which would go to the Service as if nobody had written a route. */
function refusingRoute(meta: Meta, message: string): OutboundHttpRoute {
  const rule = refusingRule([everyRequest], answerWith500(message));
  return { meta, hosts: [], rules: [rule] };
}

function defaultRoute(name: string, rule: OutboundHttpRule): OutboundHttpRoute {
  return { meta: defaultMeta(name), hosts: [], rules: [rule] };
}

function firstAvailable(backend: Backend): Distribution {
  return { kind: "first-available", backends: [{ backend, filters: [], weight: 1 }] };
}

/** GEP-1294: a port that the Service does not declare is not a port of it; the connection is refused. */
function ofUndeclaredPort(parent: Meta): OutboundPolicy {
  return {
    parent,
    protocol: "opaque",
    httpRoutes: [],
    accrual: undefined,
    opaque: {
      meta: defaultMeta("undefined-port"),
      refusal: "forbidden",
      backends: { kind: "empty" },
    },
  };
}

function ofBrokenService(service: BrokenResource, port: number): OutboundPolicy {
  const { namespace, name } = service;
  const parent = resourceMeta({ group: "core", kind: "Service", namespace, name, port });
  return {
    parent,
    protocol: "detect",
    httpRoutes: [refusingRoute(parent, describeBroken(service))],
    accrual: undefined,
    opaque: { meta: parent, refusal: "invalid", backends: { kind: "empty" } },
  };
}

/** What leaves the mesh goes where it was sent. */
function ofOutside(ip: string, port: number): OutboundPolicy {
  const meta = defaultMeta("egress-fallback");
  const endpoint = {
    ip,
    port,
    weight: plainWeight,
    tls: undefined,
    inboundPort: 0,
    hint: "none",
    labels: {},
  } as const;
  const onward = firstAvailable({ meta, dispatch: { kind: "forward", endpoint } });
  const onwardRule = {
    matches: [everyRequest],
    filters: [],
    backends: onward,
    timeouts: noTimeouts,
    retry: undefined,
    session: undefined,
  };
  return {
    parent: meta,
    protocol: "detect",
    httpRoutes: [defaultRoute("egress-fallback", onwardRule)],
    accrual: undefined,
    opaque: { meta, refusal: "", backends: onward },
  };
}
