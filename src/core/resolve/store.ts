/**
 * All resources of one snapshot, with the lookups that the rest of this folder needs. Built once per change and never
 * changed after, so that every policy computed from it is computed from the same moment.
 *
 * Lists are in policy order (Gateway API HTTPRouteRule: oldest first, then by name), so that no reader has to sort.
 */
import type { AuthorizationPolicy } from "../resource/authorization-policy.ts";
import type { KgatewayBackend } from "../resource/backend.ts";
import type { BackendTrafficPolicy } from "../resource/backend-traffic-policy.ts";
import type { BrokenResource } from "../resource/broken.ts";
import type { DirectResponse } from "../resource/direct-response.ts";
import type { EgressNetwork } from "../resource/egress-network.ts";
import type { EndpointSlice } from "../resource/endpoint-slice.ts";
import type { HttpFault } from "../resource/http-fault.ts";
import type { RequestRoute } from "../resource/http-route.ts";
import type { JwtAuthentication } from "../resource/jwt-authentication.ts";
import type { MeshTlsAuthentication } from "../resource/mesh-tls-authentication.ts";
import type { Namespace } from "../resource/namespace.ts";
import type { NetworkAuthentication } from "../resource/network-authentication.ts";
import type { ObjectMeta } from "../resource/object-meta.ts";
import type { Pod } from "../resource/pod.ts";
import type { RateLimitPolicy } from "../resource/rate-limit-policy.ts";
import type { ObjectRef } from "../resource/reference.ts";
import type { Kind, Resource } from "../resource/resource.ts";
import type { KubernetesSecret } from "../resource/secret.ts";
import type { Server } from "../resource/server.ts";
import type { ServerAuthorization } from "../resource/server-authorization.ts";
import type { Service } from "../resource/service.ts";
import type { ServiceProfile } from "../resource/service-profile.ts";
import type { StreamRoute } from "../resource/stream-route.ts";
import { indexPlaces, type PlaceIndex } from "./place.ts";

/** What a source knows at one moment. */
export type StoreContent = {
  readonly resources: readonly Resource[];
  readonly broken: readonly BrokenResource[];
  /** A document that nobody could ever read may have held anything, a Server that denies included. */
  readonly unreadableAtStart: boolean;
};

export type Store = {
  readonly namespaces: ReadonlyMap<string, Namespace>;
  /** By `objectName`, as are the others unless they say otherwise. */
  readonly pods: ReadonlyMap<string, Pod>;
  /** By canonical address. Pods on the network of their node and pods that have ended own no address. */
  readonly podsByIp: ReadonlyMap<string, Pod>;
  readonly services: ReadonlyMap<string, Service>;
  /** By canonical cluster IP. */
  readonly servicesByIp: ReadonlyMap<string, Service>;
  /** By name of their Service. */
  readonly slices: ReadonlyMap<string, readonly EndpointSlice[]>;
  /** Where pods and nodes are, as far as the slices tell. */
  readonly places: PlaceIndex;
  readonly secrets: ReadonlyMap<string, KubernetesSecret>;
  readonly directResponses: ReadonlyMap<string, DirectResponse>;
  readonly httpFaults: ReadonlyMap<string, HttpFault>;
  readonly kgatewayBackends: ReadonlyMap<string, KgatewayBackend>;
  /** By `referenceKey` of each target. */
  readonly trafficPolicies: ReadonlyMap<string, readonly BackendTrafficPolicy[]>;
  readonly allTrafficPolicies: readonly BackendTrafficPolicy[];
  readonly serviceProfiles: ReadonlyMap<string, ServiceProfile>;
  /** By `referenceKey` of each parent. */
  readonly routes: ReadonlyMap<string, readonly RequestRoute[]>;
  readonly allRoutes: readonly RequestRoute[];
  /** By `referenceKey` of each parent. */
  readonly streamRoutes: ReadonlyMap<string, readonly StreamRoute[]>;
  readonly allStreamRoutes: readonly StreamRoute[];
  readonly egressNetworks: ReadonlyMap<string, EgressNetwork>;
  readonly servers: ReadonlyMap<string, Server>;
  /** By `selectorKey`: a namespace may have thousands, of which a pod's labels fit a few. */
  readonly serversBySelector: ReadonlyMap<string, readonly Server[]>;
  /** By `referenceKey` of the target. */
  readonly authorizationPolicies: ReadonlyMap<string, readonly AuthorizationPolicy[]>;
  /** By namespace: each may speak for any Server there. */
  readonly serverAuthorizations: ReadonlyMap<string, readonly ServerAuthorization[]>;
  /** By `referenceKey` of the target. */
  readonly rateLimitPolicies: ReadonlyMap<string, readonly RateLimitPolicy[]>;
  readonly jwtAuthentications: ReadonlyMap<string, JwtAuthentication>;
  readonly meshTlsAuthentications: ReadonlyMap<string, MeshTlsAuthentication>;
  readonly networkAuthentications: ReadonlyMap<string, NetworkAuthentication>;
  readonly broken: BrokenIndex;
  readonly unreadableAtStart: boolean;
};

type BrokenIndex = {
  readonly all: readonly BrokenResource[];
  /** By `brokenKey`. */
  readonly byName: ReadonlyMap<string, BrokenResource>;
  /** Routes whose parents are known, by `referenceKey` of each parent. */
  readonly routes: ReadonlyMap<string, readonly BrokenResource[]>;
  /** By namespace. */
  readonly servers: ReadonlyMap<string, readonly BrokenResource[]>;
};

export function objectName(object: { readonly namespace: string; readonly name: string }): string {
  return `${object.namespace}/${object.name}`;
}

export function referenceKey(
  ref: Pick<ObjectRef, "group" | "kind" | "namespace" | "name">,
): string {
  return `${ref.group}/${ref.kind}/${ref.namespace}/${ref.name}`;
}

export function findBroken(
  store: Store,
  kind: Kind,
  object: { readonly namespace: string; readonly name: string },
): BrokenResource | undefined {
  return store.broken.byName.get(brokenKey(kind, object));
}

function brokenKey(
  kind: Kind,
  object: { readonly namespace: string; readonly name: string },
): string {
  return `${kind}/${object.namespace}/${object.name}`;
}

/** A selector is filed under the first label that it asks for, or under none. */
export function selectorKey(
  namespace: string,
  label: readonly [key: string, value: string] | undefined,
): string {
  return label === undefined ? namespace : `${namespace}/${label[0]}=${label[1]}`;
}

export function inPolicyOrder(
  left: { readonly meta: ObjectMeta; readonly group: string },
  right: { readonly meta: ObjectMeta; readonly group: string },
): number {
  return (
    left.meta.creationTimestampMs - right.meta.creationTimestampMs ||
    compareText(left.meta.namespace, right.meta.namespace) ||
    compareText(left.meta.name, right.meta.name) ||
    compareText(left.group, right.group)
  );
}

/** By code unit, not by locale: the order is part of the policy and must not depend on where it is computed. */
function compareText(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

export function buildStore(content: StoreContent): Store {
  const sorted = Map.groupBy(content.resources.toSorted(inPolicyOrder), ({ kind }) => kind);
  const pods = ofKind(sorted, "Pod");
  const services = ofKind(sorted, "Service");
  const slices = ofKind(sorted, "EndpointSlice").filter(({ serviceName }) => serviceName !== "");
  const allRoutes = inOneOrder<RequestRoute>(
    ofKind(sorted, "HTTPRoute"),
    ofKind(sorted, "GRPCRoute"),
  );
  const allStreamRoutes = inOneOrder<StreamRoute>(
    ofKind(sorted, "TLSRoute"),
    ofKind(sorted, "TCPRoute"),
  );
  const servers = ofKind(sorted, "Server");
  const allTrafficPolicies = ofKind(sorted, "XBackendTrafficPolicy");
  return {
    namespaces: new Map(
      ofKind(sorted, "Namespace").map((namespace) => [namespace.meta.name, namespace]),
    ),
    pods: byName(pods),
    podsByIp: byAddress(pods.filter(ownsItsAddress), ({ ips }) => ips),
    services: byName(services),
    servicesByIp: byAddress(services, ({ clusterIps }) => clusterIps),
    slices: Map.groupBy(slices, ({ meta, serviceName }) => `${meta.namespace}/${serviceName}`),
    places: indexPlaces(slices),
    secrets: byName(ofKind(sorted, "Secret")),
    directResponses: byName(ofKind(sorted, "DirectResponse")),
    httpFaults: byName(ofKind(sorted, "HTTPFault")),
    kgatewayBackends: byName(ofKind(sorted, "Backend")),
    trafficPolicies: byEach(allTrafficPolicies, ({ targetRefs }) => targetRefs.map(referenceKey)),
    allTrafficPolicies,
    serviceProfiles: byName(ofKind(sorted, "ServiceProfile")),
    routes: byEach(allRoutes, ({ parentRefs }) => parentRefs.map(referenceKey)),
    allRoutes,
    streamRoutes: byEach(allStreamRoutes, ({ parentRefs }) => parentRefs.map(referenceKey)),
    allStreamRoutes,
    egressNetworks: byName(ofKind(sorted, "EgressNetwork")),
    servers: byName(servers),
    serversBySelector: Map.groupBy(servers, ({ meta, selector }) => {
      const [label] = selector.labels.matchLabels;
      return selectorKey(meta.namespace, label);
    }),
    authorizationPolicies: Map.groupBy(ofKind(sorted, "AuthorizationPolicy"), ({ targetRef }) =>
      referenceKey(targetRef),
    ),
    serverAuthorizations: Map.groupBy(
      ofKind(sorted, "ServerAuthorization"),
      ({ meta }) => meta.namespace,
    ),
    rateLimitPolicies: Map.groupBy(ofKind(sorted, "HTTPLocalRateLimitPolicy"), ({ targetRef }) =>
      referenceKey(targetRef),
    ),
    jwtAuthentications: byName(ofKind(sorted, "JWTAuthentication")),
    meshTlsAuthentications: byName(ofKind(sorted, "MeshTLSAuthentication")),
    networkAuthentications: byName(ofKind(sorted, "NetworkAuthentication")),
    broken: indexBroken(content.broken),
    unreadableAtStart: content.unreadableAtStart,
  };
}

function indexBroken(broken: readonly BrokenResource[]): BrokenIndex {
  return {
    all: broken,
    byName: new Map(broken.map((object) => [brokenKey(object.kind, object), object])),
    routes: byEach(broken, ({ scope }) =>
      scope?.type === "parents" ? scope.parentRefs.map(referenceKey) : [],
    ),
    servers: Map.groupBy(
      broken.filter(({ kind }) => kind === "Server"),
      ({ namespace }) => namespace,
    ),
  };
}

function inOneOrder<T extends { readonly meta: ObjectMeta; readonly group: string }>(
  left: readonly T[],
  right: readonly T[],
): readonly T[] {
  return right.length === 0 ? left : [...left, ...right].toSorted(inPolicyOrder);
}

type OfKind<K extends Kind> = Extract<Resource, { readonly kind: K }>;

function ofKind<K extends Kind>(
  sorted: ReadonlyMap<Kind, readonly Resource[]>,
  kind: K,
): readonly OfKind<K>[] {
  return (sorted.get(kind) ?? []).filter((resource) => isOfKind(resource, kind));
}

function isOfKind<K extends Kind>(resource: Resource, kind: K): resource is OfKind<K> {
  return resource.kind === kind;
}

function ownsItsAddress(pod: Pod): boolean {
  return !pod.hostNetwork && pod.phase !== "Succeeded" && pod.phase !== "Failed";
}

function byName<T extends { readonly meta: ObjectMeta }>(
  resources: readonly T[],
): ReadonlyMap<string, T> {
  return new Map(resources.map((resource) => [objectName(resource.meta), resource]));
}

/** Two objects with one address are a mistake of the source; the older one has it. */
function byAddress<T>(
  resources: readonly T[],
  addressesOf: (resource: T) => readonly string[],
): ReadonlyMap<string, T> {
  const found = new Map<string, T>();
  for (const resource of resources) {
    for (const address of addressesOf(resource)) {
      if (!found.has(address)) found.set(address, resource);
    }
  }
  return found;
}

/** A resource with two equal keys stands once in their list. */
function byEach<T>(
  resources: readonly T[],
  keysOf: (resource: T) => readonly string[],
): ReadonlyMap<string, readonly T[]> {
  const found = new Map<string, T[]>();
  for (const resource of resources) {
    for (const key of new Set(keysOf(resource))) {
      const list = found.get(key);
      if (list === undefined) found.set(key, [resource]);
      else list.push(resource);
    }
  }
  return found;
}
