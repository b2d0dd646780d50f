/**
 * Which routes speak for a parent. Of several kinds only the highest does (GEP-1294 "Route types": GRPCRoute, HTTPRoute, TLSRoute, TCPRoute); the others are told so.
 */
import type { BrokenResource } from "../resource/broken.ts";
import type { RequestRoute } from "../resource/http-route.ts";
import type { ObjectRef, ParentRef } from "../resource/reference.ts";
import type { ServicePort } from "../resource/service.ts";
import type { StreamRoute } from "../resource/stream-route.ts";
import { isOpaquePort } from "./backend.ts";
import { parentsOf } from "./broken.ts";
import { type Cargo, fitsPort, parentKind, refusalOfParent } from "./parent.ts";
import { objectName, referenceKey, type Store } from "./store.ts";

const routeKinds = ["GRPCRoute", "HTTPRoute", "TLSRoute", "TCPRoute"] as const;

type RouteKind = (typeof routeKinds)[number];

/** What a route attaches to: a port of a Service or of an EgressNetwork, or a Server, which is one port. */
export type Parent = {
  readonly key: string;
  readonly port: Pick<ServicePort, "port" | "name" | "appProtocol"> | undefined;
};

export type Attached = {
  /** Undefined: no route is attached. */
  readonly kind: RouteKind | undefined;
  /** Of that kind, as are the others. */
  readonly requests: readonly RequestRoute[];
  readonly streams: readonly StreamRoute[];
  readonly broken: readonly BrokenResource[];
};

export function parentOf(ref: ObjectRef, port: Parent["port"]): Parent {
  return { key: referenceKey(ref), port };
}

/** An EgressNetwork has every port, none of them with a name. */
export function egressPort(port: number): NonNullable<Parent["port"]> {
  return { port, name: "", appProtocol: undefined };
}

/** Routes of one namespace: those of others make a set of their own (GEP-1294, producer and consumer routes). */
export function routesAt(store: Store, parent: Parent, namespace: string): Attached {
  const { key } = parent;
  const takes = (cargo: Cargo) => (route: RequestRoute | StreamRoute) =>
    route.meta.namespace === namespace &&
    route.parentRefs.some(
      (ref) => isFor(parent, ref) && refusalOfParent(store, ref, namespace, cargo) === undefined,
    );
  // Opaque bytes hold no requests.
  const known = isOpaquePort(parent.port) ? [] : (store.routes.get(key) ?? []);
  const requests = known.filter(takes("requests"));
  const streams = (store.streamRoutes.get(key) ?? []).filter(takes("connections"));
  const broken = (store.broken.routes.get(key) ?? []).filter(
    (route) => route.namespace === namespace && parentsOf(route).some((ref) => isFor(parent, ref)),
  );
  const present = new Set<string>([...requests, ...streams, ...broken].map(({ kind }) => kind));
  const kind = routeKinds.find((one) => present.has(one));
  const isOfKind = (route: { readonly kind: string }): boolean => route.kind === kind;
  return {
    kind,
    requests: requests.filter(isOfKind),
    streams: streams.filter(isOfKind),
    broken: broken.filter(isOfKind),
  };
}

function isFor({ key, port }: Parent, ref: ParentRef): boolean {
  return referenceKey(ref) === key && (port === undefined || fitsPort(ref, port));
}

/** Why a route that fits a parent has no say at any of its ports; undefined: it has. */
export function conflictOf(
  store: Store,
  route: RequestRoute | StreamRoute,
  ref: ParentRef,
): string | undefined {
  const reasons = portsOf(store, ref).map((port) => {
    const attached = routesAt(store, parentOf(ref, port), route.meta.namespace);
    if (attached.kind !== undefined && attached.kind !== route.kind) {
      return `a ${attached.kind} of the same parent comes before every ${route.kind}`;
    }
    // Connections carry nothing by which TCPRoutes could share them.
    const [oldest] = attached.streams;
    return route.kind === "TCPRoute" && oldest !== undefined && oldest !== route
      ? `TCPRoute ${objectName(oldest.meta)} is older and takes every connection`
      : undefined;
  });
  return reasons.includes(undefined) ? undefined : reasons[0];
}

function portsOf(store: Store, ref: ParentRef): readonly Parent["port"][] {
  if (parentKind(ref) === "egress") return [egressPort(ref.port ?? 0)];
  if (parentKind(ref) === "server") return [undefined];
  const ports = store.services.get(objectName(ref))?.ports ?? [];
  return ports.filter((port) => port.protocol === "TCP" && fitsPort(ref, port));
}
