/**
 * What one port of a pod admits. Every doubt is decided against the client: an object that cannot be read and may have
 * spoken for the port leaves it closed.
 */
import type { InboundHttpRoute } from "../model/http-route.ts";
import type { InboundPolicy, ServerLabels } from "../model/inbound-policy.ts";
import { everyRequest, type HttpMatch, type RpcMatch } from "../model/match.ts";
import { defaultMeta, type Meta } from "../model/meta.ts";
import { matchOfRpc } from "../model/rpc-match.ts";
import type { Workload } from "../model/workload.ts";
import type { RequestRoute } from "../resource/http-route.ts";
import type { Pod, Probe } from "../resource/pod.ts";
import type { AccessPolicy, ProxyProtocol, Server } from "../resource/server.ts";
import { unreachable } from "../std/unreachable.ts";
import { parentOf, routesAt } from "./attachment.ts";
import {
  accessAuthorizations,
  allUnauthenticated,
  type Grants,
  grantsOf,
  joinGrants,
  serverGrants,
} from "./authorization.ts";
import { describeBroken } from "./broken.ts";
import { findDefaultPolicy, isOpaqueInbound } from "./default-policy.ts";
import { resolveHosts } from "./http-match.ts";
import { resolveInboundRule } from "./http-route.ts";
import { metaOf, metaOfBroken } from "./object-meta.ts";
import { readsRequests } from "./parent.ts";
import { answerWith500 } from "./problem.ts";
import { findBrokenRateLimit, resolveRateLimit } from "./rate-limit.ts";
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
      return { policy: closedButForProbes({ store, settings, pod, port }, found.server.name) };
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

/** What a Server that cannot be read would have said about probes is known: they always pass. */
function closedButForProbes(context: Context, server: string): InboundPolicy {
  return { ...closed(serverLabels(server)), routes: withProbes(context, []) };
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
  const grants = joinGrants(
    grantsOf(store, settings, ofThis, namespace),
    grantsOf(store, settings, ofNamespace, namespace),
    serverGrants(store, settings, server),
  );
  const gate = gateOf(server.accessPolicy, grants);
  const rateLimit = resolveRateLimit(store, settings, server);
  return {
    protocol: protocols[server.proxyProtocol],
    detectTimeoutMs,
    server: serverLabels(name),
    authorizations: [
      ...grants.enforced,
      ...(gate.isOpen ? grants.audited : []),
      ...accessAuthorizations(settings, gate.access),
    ],
    routes: readsRequests(server)
      ? withProbes(context, limitedRoutesOf({ ...context, gate }, server))
      : [],
    ...(rateLimit === undefined ? {} : { rateLimit }),
  };
}

/** How a Server stands to policies in audit mode, its own and those of its routes. */
type Gate = {
  readonly access: AccessPolicy;
  /** Everybody is admitted, and who is admitted by `audit` alone would be denied. */
  readonly isOpen: boolean;
  /** Something is enforced, so that policies in audit mode change nothing. */
  readonly isEnforced: boolean;
};

/** A Server all of whose policies are in audit mode is in audit mode itself: nothing it could deny is in force. */
function gateOf(access: AccessPolicy, { isEnforced, isAudited }: Grants): Gate {
  if (access === "audit") return { access, isOpen: true, isEnforced };
  const decides = isEnforced || access !== "deny";
  const isOpen = isAudited && !decides;
  return { access: isOpen ? "audit" : access, isOpen, isEnforced: decides };
}

type ServerContext = Context & { readonly gate: Gate };

/** While the limit of a Server cannot be read, whom its policies admit is answered with 500, and the others as ever. */
function limitedRoutesOf(context: ServerContext, server: Server): readonly InboundHttpRoute[] {
  const routes = routesOf(context, server);
  const limit = findBrokenRateLimit(context.store, server);
  if (limit === undefined) return routes;
  const filters = [answerWith500(describeBroken(limit))];
  if (routes.length === 0) return [catchAll(filters)];
  return routes.map((route) => ({
    ...route,
    rules: route.rules.map((rule) => ({ ...rule, filters })),
  }));
}

function routesOf(context: ServerContext, server: Server): readonly InboundHttpRoute[] {
  const { store } = context;
  const { namespace, name } = server.meta;
  const ref = { group: policyGroup, kind: "Server", namespace, name };
  const { requests: attached } = routesAt(store, parentOf(ref, undefined), namespace);
  // Of every kind: what it meant to govern is not known.
  const broken = (store.broken.routes.get(referenceKey(ref)) ?? []).filter(
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
  attached: readonly RequestRoute[],
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
function hasUnclearRule(route: RequestRoute): boolean {
  return route.rules.some((rule) => rule.state === "broken" && rule.matches === undefined);
}

function refusingRoute(meta: Meta, message: string): InboundHttpRoute {
  return { ...catchAll([answerWith500(message)]), meta };
}

function resolveRoute(
  { store, settings, gate }: ServerContext,
  route: RequestRoute,
): InboundHttpRoute {
  const { namespace, name } = route.meta;
  const target = { group: route.group, kind: route.kind, name };
  const grants = grantsOf(store, settings, target, namespace);
  // The authorizations of the Server count here as well, so that any that is enforced decides.
  const opensItself = grants.isAudited && !grants.isEnforced && !gate.isEnforced && !gate.isOpen;
  return {
    meta: metaOf(route),
    hosts: resolveHosts(route.hostnames),
    authorizations: [
      ...grants.enforced,
      ...(gate.isOpen || opensItself ? grants.audited : []),
      ...(opensItself ? accessAuthorizations(settings, "audit") : []),
    ],
    rules: route.rules.map((rule) => resolveInboundRule(settings, rule, route.kind).value),
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

/** What the kubelet calls (gRPC Health Checking Protocol). */
const healthCheck: RpcMatch = {
  service: { kind: "exact", value: "grpc.health.v1.Health" },
  method: { kind: "exact", value: "Check" },
};

function probeMatch(probe: Probe): HttpMatch {
  if (probe.kind === "grpc") {
    return matchOfRpc(healthCheck, []);
  }
  const [path = "/"] = probe.path.split("?");
  return {
    ...everyRequest,
    path: { kind: "exact", value: path.startsWith("/") ? path : `/${path}` },
    method: "GET",
  };
}
