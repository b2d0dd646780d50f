/**
 * What one port of a pod admits. Every doubt is decided against the client: an object that cannot be read and may have
 * spoken for the port leaves it closed.
 */
import type { InboundHttpRoute } from "../model/http-route.ts";
import type { InboundPolicy, ServerLabels } from "../model/inbound-policy.ts";
import { everyRequest, type HttpMatch } from "../model/match.ts";
import { defaultMeta, type Meta } from "../model/meta.ts";
import type { Workload } from "../model/workload.ts";
import type { HttpRoute } from "../resource/http-route.ts";
import type { Pod, Probe } from "../resource/pod.ts";
import type { ProxyProtocol, Server } from "../resource/server.ts";
import { unreachable } from "../std/unreachable.ts";
import { accessAuthorizations, allUnauthenticated, authorizationsFor } from "./authorization.ts";
import { describeBroken } from "./broken.ts";
import { findDefaultPolicy, isOpaqueInbound } from "./default-policy.ts";
import { resolveHosts } from "./http-match.ts";
import { resolveInboundRule } from "./http-route.ts";
import { metaOf, metaOfBroken } from "./object-meta.ts";
import { readsRequests, refusalOfParent } from "./parent.ts";
import { answerWith500 } from "./problem.ts";
import { findServer } from "./server.ts";
import type { Resolution, ResolveSettings } from "./settings.ts";
import { findBroken, objectName, referenceKey, type Store } from "./store.ts";
import { isPort } from "./workload.ts";

/** Linkerd's default for how long a connection may stay silent before it counts as opaque. */
const detectTimeoutMs = 10_000;

const policyGroup = "policy.linkerd.io";

const protocols: Readonly<Record<ProxyProtocol, InboundPolicy["protocol"]>> = {
  unknown: "detect",
  "HTTP/1": "http1",
  "HTTP/2": "http2",
  gRPC: "grpc",
  opaque: "opaque",
  TLS: "tls",
};

export function resolveInbound(
  store: Store,
  settings: ResolveSettings,
  workload: Workload,
  port: number,
): Resolution<InboundPolicy> {
  const name = { namespace: workload.namespace, name: workload.pod };
  const pod = store.pods.get(objectName(name));
  if (pod === undefined) {
    const broken = findBroken(store, "Pod", name);
    return broken === undefined
      ? { unknown: `Pod ${objectName(name)} does not exist` }
      : { policy: closed(defaultServer("unreadable")) };
  }
  const found = findServer(store, pod, port);
  switch (found.kind) {
    case "server":
      return { policy: ofServer({ store, settings, pod, port }, found.server) };
    case "broken":
      return { policy: closed(serverLabels(found.server.name)) };
    case "none":
      return { policy: ofDefault({ store, settings, pod, port }) };
    default:
      return unreachable(found);
  }
}

type Context = {
  readonly store: Store;
  readonly settings: ResolveSettings;
  readonly pod: Pod;
  readonly port: number;
};

function serverLabels(name: string): ServerLabels {
  return { group: policyGroup, kind: "server", name };
}

function defaultServer(name: string): ServerLabels {
  return { group: "", kind: "default", name };
}

/** Still read as HTTP, so that a client is told with 403 and a reason instead of a closed connection. */
function closed(server: ServerLabels): InboundPolicy {
  return { protocol: "detect", detectTimeoutMs, server, authorizations: [], routes: [] };
}

function ofDefault(context: Context): InboundPolicy {
  const { store, settings, pod, port } = context;
  const { name, access } = findDefaultPolicy(store, settings, pod, port);
  const opaque = isOpaqueInbound(store, pod, port);
  return {
    protocol: opaque ? "opaque" : "detect",
    detectTimeoutMs,
    server: defaultServer(name),
    authorizations: accessAuthorizations(settings, access),
    routes: opaque ? [] : withProbes(context, []),
  };
}

/** Linkerd: what names the Server comes beside what names its namespace, and any of them admits. */
function ofServer(context: Context, server: Server): InboundPolicy {
  const { store, settings } = context;
  const { namespace, name } = server.meta;
  const ofThis = { group: policyGroup, kind: "Server", name };
  const ofNamespace = { group: "", kind: "Namespace", name: namespace };
  return {
    protocol: protocols[server.proxyProtocol],
    detectTimeoutMs,
    server: serverLabels(name),
    authorizations: [
      ...authorizationsFor(store, settings, ofThis, namespace),
      ...authorizationsFor(store, settings, ofNamespace, namespace),
      ...accessAuthorizations(settings, server.accessPolicy),
    ],
    routes: readsRequests(server) ? withProbes(context, routesOf(context, server)) : [],
  };
}

function routesOf(context: Context, server: Server): readonly InboundHttpRoute[] {
  const { store } = context;
  const { namespace, name } = server.meta;
  const key = referenceKey({ group: policyGroup, kind: "Server", namespace, name });
  const attached = (store.routes.get(key) ?? []).filter((route) =>
    route.parentRefs.some(
      (ref) =>
        referenceKey(ref) === key &&
        refusalOfParent(store, ref, route.meta.namespace) === undefined,
    ),
  );
  const broken = (store.broken.routes.get(key) ?? []).filter(
    (route) => route.namespace === namespace,
  );
  const routes = attached.map((route) => resolveRoute(context, route));
  const refusing = broken.map((route) => refusingRoute(metaOfBroken(route), describeBroken(route)));
  // Of the two ways to refuse, the one that leaves the other routes alone is for when nothing can be opened by it.
  if (!opens(attached, routes, broken.length > 0)) return [...routes, ...refusing];
  const unclear = attached.filter(hasUnclearRule);
  const reason = "a rule cannot be read, and another route would admit its requests";
  return [...unclear.map((route) => refusingRoute(metaOf(route), reason)), ...refusing];
}

/**
 * Whether requests of something unreadable could fall to a route that admits more. Its own place in the order of
 * precedence is not known, so while a route has authorizations of its own, none of them can be trusted to be reached by
 * the right requests only.
 */
function opens(
  attached: readonly HttpRoute[],
  routes: readonly InboundHttpRoute[],
  isAnyBroken: boolean,
): boolean {
  return routes.some(
    ({ authorizations }, at) =>
      authorizations.length > 0 &&
      (isAnyBroken || attached.some((other, place) => place !== at && hasUnclearRule(other))),
  );
}

/** A rule of which not even the matches could be read. */
function hasUnclearRule(route: HttpRoute): boolean {
  return route.rules.some((rule) => rule.state === "broken" && rule.matches === undefined);
}

function refusingRoute(meta: Meta, message: string): InboundHttpRoute {
  return { ...catchAll([answerWith500(message)]), meta };
}

function resolveRoute({ store, settings }: Context, route: HttpRoute): InboundHttpRoute {
  const { namespace, name } = route.meta;
  const target = { group: route.group, kind: route.kind, name };
  return {
    meta: metaOf(route),
    hosts: resolveHosts(route.hostnames),
    authorizations: authorizationsFor(store, settings, target, namespace),
    rules: route.rules.map((rule) => resolveInboundRule(settings, rule).value),
  };
}

function catchAll(filters: InboundHttpRoute["rules"][number]["filters"]): InboundHttpRoute {
  const rule = { matches: [everyRequest], filters };
  return { meta: defaultMeta("default"), hosts: [], authorizations: [], rules: [rule] };
}

/**
 * Probes of the kubelet have no identity and must pass whatever is attached: a pod that is killed for its policy helps
 * nobody. They come first, and where nobody wrote a route the one that takes all requests has to be written out.
 */
function withProbes(
  context: Context,
  routes: readonly InboundHttpRoute[],
): readonly InboundHttpRoute[] {
  const probe = probeRoute(context);
  if (probe === undefined) return routes;
  return [probe, ...(routes.length > 0 ? routes : [catchAll([])])];
}

function probeRoute({ pod, port }: Context): InboundHttpRoute | undefined {
  const matches = pod.containers
    .flatMap(({ probes }) => probes)
    .filter((probe) => isPort(pod, probe.port, port))
    .map(probeMatch);
  if (matches.length === 0) return undefined;
  const meta = defaultMeta("probe");
  return {
    meta,
    hosts: [],
    authorizations: [{ meta, ...allUnauthenticated }],
    rules: [{ matches, filters: [] }],
  };
}

function probeMatch(probe: Probe): HttpMatch {
  if (probe.kind === "grpc") {
    const path = { kind: "exact", value: "/grpc.health.v1.Health/Check" } as const;
    return { ...everyRequest, path, method: "POST" };
  }
  const [path = "/"] = probe.path.split("?");
  return {
    ...everyRequest,
    path: { kind: "exact", value: path.startsWith("/") ? path : `/${path}` },
    method: "GET",
  };
}
