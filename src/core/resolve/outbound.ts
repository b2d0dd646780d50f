/** The policy of one destination for one client: which routes speak for it, and where requests go without one. */
import type { Backend, Distribution } from "../model/backend.ts";
import { failAlways } from "../model/filter.ts";
import type { OutboundHttpRoute, OutboundHttpRule } from "../model/http-route.ts";
import { everyRequest } from "../model/match.ts";
import { defaultMeta, type Meta, resourceMeta } from "../model/meta.ts";
import type {
  OpaqueRoute,
  OutboundPolicy,
  OutboundTarget,
  TlsRoute,
} from "../model/outbound-policy.ts";
import { noTimeouts } from "../model/timeouts.ts";
import type { Workload } from "../model/workload.ts";
import type { BrokenResource } from "../resource/broken.ts";
import type { EgressNetwork } from "../resource/egress-network.ts";
import type { Service, ServicePort } from "../resource/service.ts";
import type { StreamRoute } from "../resource/stream-route.ts";
import { unreachable } from "../std/unreachable.ts";
import { type Attached, egressPort, type Parent, parentOf, routesAt } from "./attachment.ts";
import { isOpaquePort, serviceMeta, servicePort } from "./backend.ts";
import { portProtocol } from "./backend-protocol.ts";
import { describeBroken } from "./broken.ts";
import { findDestination } from "./destination.ts";
import { egressMeta, findEgress, onwardBackend } from "./egress.ts";
import { asGrpcRule } from "./grpc-rule.ts";
import { resolveHosts } from "./http-match.ts";
import {
  backendContext,
  egressContext,
  type OutboundContext,
  outboundContext,
  plainRule,
  refusingRule,
  resolveOutboundRules,
} from "./http-route.ts";
import { metaOf, metaOfBroken } from "./object-meta.ts";
import { hasFrontEnd } from "./parent.ts";
import { answerWith500 } from "./problem.ts";
import type { Resolution, ResolveSettings } from "./settings.ts";
import type { Store } from "./store.ts";
import { resolveStreamBackends } from "./stream-route.ts";

/** `client`: its namespace. */
type Asked = { readonly port: number; readonly client: string };

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
        policy: ofService(
          outboundContext(store, settings, found.service, found.port),
          found.service,
          { port: found.port, client: client.namespace },
        ),
      };
    case "broken":
      return { policy: ofBrokenService(found.service, found.port) };
    case "outside":
      return { policy: ofOutside(store, settings, found, client) };
    case "pod":
      // GEP-1294: requests to pod IPs are untouched by routes. The endpoint's profile says how to reach it.
      return { unknown: `${found.ip} is a pod, which routes do not speak for` };
    case "unknown":
      return { unknown: found.reason };
    default:
      return unreachable(found);
  }
}

function ofService(context: OutboundContext, service: Service, to: Asked): OutboundPolicy {
  const { port, client } = to;
  const parent = serviceMeta(service, port);
  const declared = servicePort(service, port);
  if (declared === undefined && (service.ports.length > 0 || hasFrontEnd(service))) {
    return ofUndeclaredPort(parent);
  }
  const toItself = firstAvailable(context.itself);
  const { namespace, name } = service.meta;
  const ref = { group: "", kind: "Service", namespace, name };
  const attached =
    declared === undefined || !hasFrontEnd(service)
      ? noRoutes
      : routesFor(context.store, parentOf(ref, declared), { client, own: namespace });
  return {
    parent,
    accrual: context.wishes.accrual,
    ...routed(context, attached, {
      protocol: protocolOf(declared),
      http: defaultRoute("http", plainRule(context, toItself)),
      opaque: { meta: defaultMeta("opaq"), refusal: "", backends: toItself },
      tls: undefined,
    }),
  };
}

/** Linkerd: routes of an EgressNetwork come before what it says itself, and never take its place. */
function ofEgress(context: OutboundContext, network: EgressNetwork, to: Asked): OutboundPolicy {
  const { port, client } = to;
  const { group, kind, meta, trafficPolicy } = network;
  const { namespace, name } = meta;
  const parent = parentOf({ group, kind, namespace, name }, egressPort(port));
  const attached = routesFor(context.store, parent, { client, own: namespace });
  const isDenied = trafficPolicy === "Deny";
  const onward = firstAvailable(context.itself);
  const rule = isDenied
    ? refusingRule([everyRequest], failAlways(403, "traffic not allowed"))
    : plainRule(context, onward);
  const nameOf = (protocol: string): string => `${protocol}-egress-${trafficPolicy.toLowerCase()}`;
  const isGrpc = attached.kind === "GRPCRoute";
  const bytes = {
    refusal: isDenied ? "forbidden" : "",
    backends: isDenied ? ({ kind: "empty" } as const) : onward,
  } as const;
  return {
    parent: egressMeta(network, port),
    accrual: undefined,
    ...routed(context, attached, {
      protocol: "detect",
      http: isGrpc
        ? defaultRoute(nameOf("grpc"), asGrpcRule(rule))
        : defaultRoute(nameOf("http"), rule),
      opaque: { meta: defaultMeta(nameOf("tcp")), ...bytes },
      tls: { meta: defaultMeta(nameOf("tls")), snis: [], ...bytes },
    }),
  };
}

function protocolOf(port: ServicePort | undefined): OutboundPolicy["protocol"] {
  return isOpaquePort(port) ? "opaque" : portProtocol(port);
}

const noRoutes: Attached = { kind: undefined, requests: [], streams: [], broken: [] };

/**
 * GEP-1294: a client in whose namespace routes for a foreign Service stand (consumer routes) sees those only; every other
 * client sees the routes of the Service's own namespace (producer routes).
 */
function routesFor(
  store: Store,
  parent: Parent,
  namespaces: { readonly client: string; readonly own: string },
): Attached {
  const consumer = routesAt(store, parent, namespaces.client);
  return consumer.kind !== undefined ? consumer : routesAt(store, parent, namespaces.own);
}

/** What holds where no route is attached. */
type Unrouted = {
  readonly protocol: OutboundPolicy["protocol"];
  readonly http: OutboundHttpRoute;
  readonly opaque: OpaqueRoute;
  /** Set: what is left by routes is for these, each in its protocol. Undefined: it is refused (GEP-1294). */
  readonly tls: TlsRoute | undefined;
};

function routed(
  context: OutboundContext,
  attached: Attached,
  unrouted: Unrouted,
): Pick<OutboundPolicy, "protocol" | "httpRoutes" | "opaque" | "tlsRoutes"> {
  const { protocol, http, opaque, tls } = unrouted;
  switch (attached.kind) {
    case undefined:
      return { protocol, httpRoutes: protocol === "opaque" ? [] : [http], opaque };
    case "GRPCRoute":
    case "HTTPRoute": {
      const routes = requestRoutes(context, attached);
      return {
        protocol: attached.kind === "GRPCRoute" ? "grpc" : protocol,
        httpRoutes: tls === undefined ? routes : [...routes, http],
        opaque,
      };
    }
    case "TLSRoute": {
      const routes = [
        ...attached.streams.map((route) => tlsRoute(context, route)),
        ...attached.broken.map((route) => ({ ...refusedBytes(metaOfBroken(route)), snis: [] })),
      ];
      return {
        protocol: "tls",
        httpRoutes: [],
        opaque: refusedBytes(context.itself.meta),
        tlsRoutes: tls === undefined ? routes : [...routes, tls],
      };
    }
    case "TCPRoute":
      return { protocol: "opaque", httpRoutes: [], opaque: tcpRoute(context, attached) };
    default:
      return unreachable(attached.kind);
  }
}

function requestRoutes(
  context: OutboundContext,
  { requests, broken }: Attached,
): readonly OutboundHttpRoute[] {
  const routes = requests.map((route) => ({
    meta: metaOf(route),
    hosts: [],
    rules: resolveOutboundRules(context, route).map(({ value }) => value),
  }));
  // Behind all others: what they say holds, and what is left is refused.
  const refusing = broken.map((route) => refusingRoute(metaOfBroken(route), describeBroken(route)));
  return [...routes, ...refusing];
}

/** Connections carry nothing by which routes could share them: the oldest has them all. */
function tcpRoute(context: OutboundContext, { streams, broken }: Attached): OpaqueRoute {
  const [oldest] = streams;
  if (oldest !== undefined) return streamRoute(context, oldest);
  const [unreadable] = broken;
  return refusedBytes(unreadable === undefined ? context.itself.meta : metaOfBroken(unreadable));
}

function tlsRoute(context: OutboundContext, route: StreamRoute): TlsRoute {
  return { ...streamRoute(context, route), snis: resolveHosts(route.hostnames) };
}

function streamRoute(context: OutboundContext, route: StreamRoute): OpaqueRoute {
  const { value } = resolveStreamBackends(backendContext(context, route.meta.namespace), route);
  return { meta: metaOf(route), refusal: value.kind === "empty" ? "invalid" : "", backends: value };
}

function refusedBytes(meta: Meta): OpaqueRoute {
  return { meta, refusal: "invalid", backends: { kind: "empty" } };
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
  return refusingAll(service, parent);
}

function refusingAll(object: BrokenResource, parent: Meta): OutboundPolicy {
  return {
    parent,
    protocol: "detect",
    httpRoutes: [refusingRoute(parent, describeBroken(object))],
    accrual: undefined,
    opaque: { meta: parent, refusal: "invalid", backends: { kind: "empty" } },
  };
}

/** What leaves the mesh goes where it was sent, unless an EgressNetwork has something to say. */
function ofOutside(
  store: Store,
  settings: ResolveSettings,
  to: { readonly ip: string; readonly port: number },
  client: Workload,
): OutboundPolicy {
  const { ip, port } = to;
  const egress = findEgress(store, settings, ip, client.namespace);
  if (egress?.kind === "network") {
    const context = egressContext(store, settings, egress.network, to);
    return ofEgress(context, egress.network, { port, client: client.namespace });
  }
  if (egress?.kind === "broken") return refusingAll(egress.network, metaOfBroken(egress.network));
  const meta = defaultMeta("egress-fallback");
  const onward = firstAvailable(onwardBackend(meta, ip, port));
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
