/** Where a Service port is answered, and what has to be known of each place to reach it. */
import { type Endpoint, type EndpointSet, endpointKey } from "../model/endpoint.ts";
import { identityName } from "../model/identity.ts";
import type { Workload } from "../model/workload.ts";
import type { EndpointSlice, SliceEndpoint } from "../resource/endpoint-slice.ts";
import type { Pod } from "../resource/pod.ts";
import type { Service } from "../resource/service.ts";
import { servicePort } from "./backend.ts";
import { isOpaqueInbound } from "./default-policy.ts";
import { findDestination } from "./destination.ts";
import { asksForNode, nearest, zoneLocality } from "./nearest.ts";
import { findPlace, type Place, unknownPlace } from "./place.ts";
import type { ResolveSettings } from "./settings.ts";
import { objectName, type Store } from "./store.ts";
import { annotations, controlPlaneLabel, listsPort } from "./workload.ts";

/** Linkerd's weight for an endpoint that nothing speaks for or against. */
const plainWeight = 10_000;

/** Linkerd's inbound port, where a sidecar reads transport headers. */
const defaultInboundPort = 4143;

/** The sidecar's own admin and control ports: it does not stand in front of itself. */
const portsOfSidecar: ReadonlySet<number> = new Set([4190, 4191]);

/**
 * `authority` is canonical (see model/authority). Where the client is decides only for Services that ask for near endpoints; a client nobody knows gets all of
 * them.
 */
export function resolveEndpoints(
  store: Store,
  settings: ResolveSettings,
  authority: string,
  client?: Workload,
): EndpointSet {
  const view = viewOf(store, settings, authority, client);
  return endpointsSeenFrom(store, settings, authority, view);
}

/** As much of the client's place as the answer depends on, so that clients can share answers: its node counts for few Services. */
export function viewOf(
  store: Store,
  settings: ResolveSettings,
  authority: string,
  client: Workload | undefined,
): Place {
  if (client === undefined) return unknownPlace;
  const name = objectName({ namespace: client.namespace, name: client.pod });
  const place = findPlace(store.places, name, store.pods.get(name));
  const found = findDestination(store, settings, { kind: "authority", authority });
  return found.kind === "service" && asksForNode(found.service)
    ? place
    : { ...place, node: undefined };
}

/** All clients with one view see the same. */
export function endpointsSeenFrom(
  store: Store,
  settings: ResolveSettings,
  authority: string,
  place: Place,
): EndpointSet {
  const found = findDestination(store, settings, { kind: "authority", authority });
  if (found.kind !== "service") return { exists: false, endpoints: [] };
  const { service, port } = found;
  const name = portNameOf(service, port);
  if (name === undefined) return { exists: false, endpoints: [] };
  const candidates = (store.slices.get(objectName(service.meta)) ?? []).flatMap((slice) =>
    candidatesOf({ store, settings, service, slice, place }, name, port),
  );
  // Two slices may name one place for a moment, while Kubernetes moves it from one to the other.
  const endpoints = new Map<string, Endpoint>();
  for (const { context, endpoint, target } of nearest(service, place, candidates)) {
    for (const one of placesOf(context, endpoint, target)) endpoints.set(endpointKey(one), one);
  }
  return { exists: true, endpoints: [...endpoints.values()] };
}

/** Slices name their ports as the Service does; a headless Service may leave its ports to its slices. */
function portNameOf(service: Service, port: number): string | undefined {
  if (service.ports.length === 0 && service.headless) return "";
  return servicePort(service, port)?.name;
}

type SliceContext = {
  readonly store: Store;
  readonly settings: ResolveSettings;
  readonly service: Service;
  readonly slice: EndpointSlice;
  readonly place: Place;
};

type Candidate = {
  readonly context: SliceContext;
  readonly endpoint: SliceEndpoint;
  readonly target: number;
};

function candidatesOf(context: SliceContext, portName: string, port: number): readonly Candidate[] {
  const { service, slice } = context;
  // Names would have to be resolved by every client; Kubernetes itself does nothing with them.
  if (slice.addressType === "FQDN") return [];
  const slicePort = slice.ports.find(
    (candidate) => candidate.name === portName && candidate.protocol === "TCP",
  );
  if (slicePort === undefined) return [];
  // EndpointSlice: a port without a number stands for all.
  const target = slicePort.port ?? port;
  return slice.endpoints
    .filter(({ ready }) => ready || service.publishNotReadyAddresses)
    .map((endpoint) => ({ context, endpoint, target }));
}

function placesOf(
  context: SliceContext,
  endpoint: SliceEndpoint,
  port: number,
): readonly Endpoint[] {
  const { store, settings, service, place } = context;
  const labels = {
    service: service.meta.name,
    namespace: service.meta.namespace,
    ...(endpoint.zone === undefined ? {} : { zone: endpoint.zone }),
    zone_locality: zoneLocality(place, endpoint),
  };
  const ref = endpoint.targetRef;
  const pod = ref?.kind === "Pod" ? store.pods.get(objectName(ref)) : undefined;
  // A pod that is not known may be meshed, and what is meant for its sidecar must not be sent to it in clear text.
  if (ref?.kind === "Pod" && pod === undefined) return [];
  return endpoint.addresses.map((ip) =>
    pod === undefined
      ? plainEndpoint(ip, port, labels)
      : podEndpoint({ store, settings, pod, ip, port }, labels),
  );
}

export type PodPlace = {
  readonly store: Store;
  readonly settings: ResolveSettings;
  readonly pod: Pod;
  readonly ip: string;
  readonly port: number;
};

/** How to reach a port of a pod: by mutual TLS and its sidecar when it has one, else directly. */
export function podEndpoint(place: PodPlace, labels: Endpoint["labels"]): Endpoint {
  const { store, settings, pod, ip, port } = place;
  const plain = plainEndpoint(ip, port, { ...labels, ...podLabels(pod) });
  if (!isBehindSidecar(settings, pod, port)) return plain;
  const identity = identityName({
    serviceAccount: pod.serviceAccountName,
    namespace: pod.meta.namespace,
    controlNamespace: settings.controlNamespace,
    trustDomain: settings.trustDomain,
  });
  return {
    ...plain,
    tls: { identity, serverName: identity },
    inboundPort: inboundPortOf(pod),
    hint: isOpaqueInbound(store, pod, port) ? "opaque" : "none",
  };
}

export function plainEndpoint(ip: string, port: number, labels: Endpoint["labels"]): Endpoint {
  return { ip, port, weight: plainWeight, tls: undefined, inboundPort: 0, hint: "none", labels };
}

/** Linkerd's metric labels of a pod (pkg/k8s/labels), without those that need its owner. */
function podLabels(pod: Pod): Endpoint["labels"] {
  const controlPlane = pod.meta.labels.get(controlPlaneLabel);
  const hash = pod.meta.labels.get("pod-template-hash");
  return {
    pod: pod.meta.name,
    serviceaccount: pod.serviceAccountName,
    ...(controlPlane === undefined ? {} : { control_plane_ns: controlPlane }),
    ...(hash === undefined ? {} : { pod_template_hash: hash }),
  };
}

function isBehindSidecar(settings: ResolveSettings, pod: Pod, port: number): boolean {
  if (pod.meta.labels.get(controlPlaneLabel) !== settings.controlNamespace) return false;
  if (portsOfSidecar.has(port)) return false;
  const skipped = pod.meta.annotations.get(annotations.skipInboundPorts);
  return skipped === undefined || listsPort(skipped, pod, port) !== true;
}

function inboundPortOf(pod: Pod): number {
  const text = pod.meta.annotations.get(annotations.inboundPort) ?? "";
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : defaultInboundPort;
}
