/** Short forms for the policies of data plane tests. */
import type { Authentication, Authorization } from "../../src/core/model/authorization.ts";
import { defaultLoad, type RouteBackend } from "../../src/core/model/backend.ts";
import type { Endpoint } from "../../src/core/model/endpoint.ts";
import type { Filter } from "../../src/core/model/filter.ts";
import type {
  InboundHttpRoute,
  OutboundHttpRoute,
  OutboundHttpRule,
} from "../../src/core/model/http-route.ts";
import { everyRequest, type HttpMatch } from "../../src/core/model/match.ts";
import { type Meta, resourceMeta } from "../../src/core/model/meta.ts";
import { noTimeouts } from "../../src/core/model/timeouts.ts";
import { parseCidr } from "../../src/core/std/ip.ts";
import { type InboundTable, inboundTable } from "../../src/core/table/inbound.ts";
import { type OutboundTable, outboundTable } from "../../src/core/table/outbound.ts";
import type { ToWorker } from "../../src/thread/messages.ts";

export const demoTarget = "web.demo.svc.cluster.local:80";

export function endpoint(port: number, parts: Partial<Endpoint> = {}): Endpoint {
  return {
    ip: "127.0.0.1",
    port,
    weight: 1,
    tls: undefined,
    inboundPort: 0,
    hint: "none",
    labels: {},
    ...parts,
  };
}

/** A backend whose endpoints are published under `name`. */
export function backend(name: string, parts: Partial<RouteBackend> = {}): RouteBackend {
  return {
    backend: {
      meta: serviceMeta(name),
      dispatch: { kind: "balancer", authority: name, load: defaultLoad },
    },
    filters: [],
    weight: 1,
    ...parts,
  };
}

export function rule(parts: Partial<OutboundHttpRule>): OutboundHttpRule {
  return {
    matches: [everyRequest],
    filters: [],
    backends: { kind: "empty" },
    timeouts: noTimeouts,
    retry: undefined,
    session: undefined,
    ...parts,
  };
}

export function to(...backends: readonly RouteBackend[]): OutboundHttpRule["backends"] {
  return { kind: "random-available", backends };
}

export function routed(...rules: readonly OutboundHttpRule[]): OutboundTable {
  const route: OutboundHttpRoute = { meta: routeMeta("web"), hosts: [], rules };
  return outboundTable({
    parent: serviceMeta("web"),
    protocol: "detect",
    httpRoutes: [route],
    accrual: undefined,
    opaque: { meta: routeMeta("opaque"), refusal: "", backends: { kind: "empty" } },
  });
}

export function withHeader(name: string, value: string): HttpMatch {
  return { ...everyRequest, headers: [{ name, kind: "exact", value }] };
}

export function withPath(value: string): HttpMatch {
  return { ...everyRequest, path: { kind: "prefix", value } };
}

let revision = 0;

export function outboundSnapshot(table: OutboundTable, target: string = demoTarget): ToWorker {
  return { kind: "outbound", target, revision: ++revision, answer: { kind: "policy", table } };
}

export function endpointSnapshot(authority: string, ...endpoints: readonly Endpoint[]): ToWorker {
  return {
    kind: "endpoints",
    authority,
    revision: ++revision,
    table: { exists: true, endpoints },
  };
}

export function inboundSnapshot(port: number, table: InboundTable): ToWorker {
  return { kind: "inbound", port, revision: ++revision, table };
}

/** A port with one authorization for everything. */
export function admitting(authentication: Authentication): InboundTable {
  return serverTable({ authorizations: [authorization("everyone", authentication)] });
}

export function serverTable(parts: {
  readonly authorizations?: readonly Authorization[];
  readonly routes?: readonly InboundHttpRoute[];
  readonly protocol?: InboundTable["protocol"];
}): InboundTable {
  return inboundTable({
    protocol: "detect",
    detectTimeoutMs: 1_000,
    server: { group: "policy.linkerd.io", kind: "server", name: "web" },
    authorizations: [],
    routes: [],
    ...parts,
  });
}

export function authorization(name: string, authentication: Authentication): Authorization {
  const networks = ["0.0.0.0/0", "::/0"].map((text) => {
    const net = parseCidr(text);
    if (net === undefined) throw new Error(`Wrote a bad network: ${text}`);
    return { net, except: [] };
  });
  const meta = resourceMeta({
    group: "policy.linkerd.io",
    kind: "AuthorizationPolicy",
    namespace: "demo",
    name,
  });
  return { meta, networks, authentication };
}

export function inboundRoute(
  name: string,
  match: HttpMatch,
  authorizations: readonly Authorization[],
  filters: readonly Filter[] = [],
): InboundHttpRoute {
  return {
    meta: routeMeta(name),
    hosts: [],
    authorizations,
    rules: [{ matches: [match], filters }],
  };
}

export function identities(...names: readonly string[]): Authentication {
  return { kind: "identities", identities: names, suffixes: [] };
}

export const anybody: Authentication = { kind: "unauthenticated" };

function serviceMeta(name: string): Meta {
  return resourceMeta({ group: "", kind: "Service", namespace: "demo", name });
}

function routeMeta(name: string): Meta {
  return resourceMeta({
    group: "gateway.networking.k8s.io",
    kind: "HTTPRoute",
    namespace: "demo",
    name,
  });
}

/** The snapshots that lead every request for `web` to one port of this machine. */
export function allTo(port: number, parts: Partial<OutboundHttpRule> = {}): readonly ToWorker[] {
  return [
    endpointSnapshot("a", endpoint(port)),
    outboundSnapshot(routed(rule({ backends: to(backend("a")), ...parts }))),
  ];
}
