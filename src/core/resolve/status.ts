/** What became of every object of a snapshot that has something to be told. Not on the way of any request or update. */
import type { AuthorizationPolicy } from "../resource/authorization-policy.ts";
import type { EgressNetwork } from "../resource/egress-network.ts";
import type { EndpointSlice } from "../resource/endpoint-slice.ts";
import { selects } from "../resource/label-selector.ts";
import type { Namespace } from "../resource/namespace.ts";
import type { ObjectMeta } from "../resource/object-meta.ts";
import type { Pod } from "../resource/pod.ts";
import type { Kind, Resource } from "../resource/resource.ts";
import type { Server } from "../resource/server.ts";
import type { ServerAuthorization } from "../resource/server-authorization.ts";
import type { Service } from "../resource/service.ts";
import { describeFaults } from "../std/result.ts";
import { resolveAuthorization } from "./authorization.ts";
import { parentsOf } from "./broken.ts";
import {
  brokenRouteConditions,
  type Condition,
  condition,
  notAccepted,
  type ParentConditions,
  routeConditions,
  type Verdict,
} from "./conditions.ts";
import { accessPolicies, parseAccess } from "./default-policy.ts";
import { overlapOf } from "./egress.ts";
import { rateLimitVerdict } from "./rate-limit.ts";
import { findServer, serversOf } from "./server.ts";
import { serviceProfileVerdicts } from "./service-profile-status.ts";
import { readServiceWishes } from "./service-wishes.ts";
import type { ResolveSettings } from "./settings.ts";
import { objectName, type Store } from "./store.ts";
import { trafficPolicyVerdicts } from "./traffic-policy-status.ts";
import { annotations, portsNamed } from "./workload.ts";

export type ObjectStatus = {
  readonly group: string;
  readonly kind: Kind;
  readonly namespace: string;
  readonly name: string;
  /** Of a route. */
  readonly parents: readonly ParentConditions[];
  /** Of any other object. */
  readonly conditions: readonly Condition[];
};

const routeKinds: ReadonlySet<Kind> = new Set(["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"]);

/** Every route and AuthorizationPolicy, and those of the other objects that something is wrong with. */
export function resolveStatus(store: Store, settings: ResolveSettings): readonly ObjectStatus[] {
  return [
    ...[...store.allRoutes, ...store.allStreamRoutes].map((route) => ({
      ...identify(route),
      parents: routeConditions(store, settings, route),
      conditions: [],
    })),
    ...store.broken.all
      .filter(({ kind }) => routeKinds.has(kind))
      .map((route) => ({
        group: route.group,
        kind: route.kind,
        namespace: route.namespace,
        name: route.name,
        parents: brokenRouteConditions(route, parentsOf(route)),
        conditions: [],
      })),
    ...[...store.authorizationPolicies.values()]
      .flat()
      .map((policy) => judged(policy, policyVerdicts(store, settings, policy))),
    ...[...store.rateLimitPolicies.values()]
      .flat()
      .map((policy) => judged(policy, [rateLimitVerdict(store, policy)])),
    ...[...store.serverAuthorizations.values()]
      .flat()
      .flatMap((policy) => serverAuthorizationStatus(store, settings, policy)),
    ...[...store.servers.values()].flatMap(externalServerStatus),
    ...shadowedServers(store),
    ...store.allTrafficPolicies.map((policy) =>
      judged(policy, trafficPolicyVerdicts(store, policy)),
    ),
    ...[...store.serviceProfiles.values()].map((profile) =>
      judged(profile, serviceProfileVerdicts(store, settings, profile)),
    ),
    ...[...store.services.values()].flatMap(serviceStatus),
    ...[...store.egressNetworks.values()].map((network) =>
      judged(network, [egressVerdict(settings, network)]),
    ),
    ...[...store.namespaces.values(), ...store.pods.values()].flatMap(annotationStatus),
    ...[...store.slices.values()].flat().flatMap((slice) => sliceStatus(store, slice)),
  ];
}

function identify(
  resource: Pick<Resource, "group" | "kind" | "meta">,
): Pick<ObjectStatus, "group" | "kind" | "namespace" | "name"> {
  const { group, kind, meta } = resource;
  return { group, kind, namespace: meta.namespace, name: meta.name };
}

function judged(
  resource: { readonly group: Resource["group"]; readonly kind: Kind; readonly meta: ObjectMeta },
  verdicts: readonly Verdict[],
): ObjectStatus {
  return {
    ...identify(resource),
    parents: [],
    conditions: verdicts.map((verdict) => condition(resource.meta.generation, verdict)),
  };
}

/** GEP-713 has TargetNotFound; for authentications that are missing or exclude each other no standard has a word. */
function policyVerdicts(
  store: Store,
  settings: ResolveSettings,
  policy: AuthorizationPolicy,
): readonly Verdict[] {
  const missing = missingTarget(store, policy);
  const resolved = resolveAuthorization(store, settings, policy);
  return [
    missing === undefined
      ? { type: "Accepted", status: "True", reason: "Accepted", message: auditNote(policy) }
      : notAccepted("TargetNotFound", missing),
    resolved.ok
      ? { type: "ResolvedRefs", status: "True", reason: "ResolvedRefs", message: "" }
      : {
          type: "ResolvedRefs",
          status: "False",
          // What names the field is no missing object, but objects that exclude each other.
          reason: resolved.faults.every(({ path }) => path === "")
            ? "AuthenticationNotFound"
            : "NothingInCommon",
          message: `${describeFaults(resolved.faults)}: the policy admits nobody`,
        },
  ];
}

function auditNote({ enforcement }: AuthorizationPolicy): string {
  return enforcement === "audit"
    ? "in audit mode: it admits nobody beside an enforced policy, and alone it denies nobody"
    : "";
}

/** One that speaks for no Server, or admits nobody, is a mistake; of the others there is nothing to be told. */
function serverAuthorizationStatus(
  store: Store,
  settings: ResolveSettings,
  policy: ServerAuthorization,
): readonly ObjectStatus[] {
  const { server, meta, networks } = policy;
  const speaks = [...store.servers.values()].some(
    (one) =>
      one.meta.namespace === meta.namespace &&
      (server.by === "name"
        ? server.name === one.meta.name
        : selects(server.labels, one.meta.labels)),
  );
  if (!speaks) {
    const which =
      server.by === "name" ? `Server ${server.name} does not exist` : "no Server has the labels";
    return [judged(policy, [notAccepted("TargetNotFound", which)])];
  }
  if (networks.length > 0 || settings.clusterNetworks.length > 0) return [];
  const message = "it names no networks, and those of the cluster are not known: it admits nobody";
  return [judged(policy, [notAccepted("Invalid", message)])];
}

function externalServerStatus(server: Server): readonly ObjectStatus[] {
  if (server.selector.workload === "pods") return [];
  const message = "externalWorkloadSelector selects nothing: ExternalWorkloads are not served";
  return [judged(server, [notAccepted("UnsupportedValue", message)])];
}

function missingTarget(store: Store, { meta, targetRef }: AuthorizationPolicy): string | undefined {
  const { group, kind, name } = targetRef;
  const named = (object: { readonly meta: ObjectMeta; readonly group: string }): boolean =>
    object.group === group && object.meta.namespace === meta.namespace && object.meta.name === name;
  const broken = store.broken.all.some(
    (object) => object.kind === kind && object.namespace === meta.namespace && object.name === name,
  );
  if (broken) return `${kind} ${name} cannot be read`;
  switch (kind) {
    case "Namespace":
      return name === meta.namespace ? undefined : `Namespace ${name} is not that of the policy`;
    case "Server": {
      const found = store.servers.has(objectName({ namespace: meta.namespace, name }));
      return found ? undefined : `Server ${meta.namespace}/${name} does not exist`;
    }
    case "HTTPRoute":
    case "GRPCRoute": {
      const found = store.allRoutes.some((route) => route.kind === kind && named(route));
      return found ? undefined : `${group} ${kind} ${meta.namespace}/${name} does not exist`;
    }
    default:
      return `${kind} is not served`;
  }
}

/** A Server that asks for ports, each of which an older Server has already, is in force nowhere. */
function shadowedServers(store: Store): readonly ObjectStatus[] {
  const speaking = new Set<Server>();
  const shadowedBy = new Map<Server, Set<string>>();
  for (const pod of store.pods.values()) {
    for (const server of serversOf(store, pod)) {
      for (const port of portsNamed(pod, server.port)) {
        const found = findServer(store, pod, port);
        if (found.kind !== "server" || found.server === server) speaking.add(server);
        else addTo(shadowedBy, server, `Server ${objectName(found.server.meta)}`);
      }
    }
  }
  return [...shadowedBy]
    .filter(([server]) => !speaking.has(server))
    .map(([server, others]) => {
      const message = `every port it asks for is that of ${[...others].join(", ")}`;
      return judged(server, [notAccepted("Conflicted", message)]);
    });
}

function addTo(lists: Map<Server, Set<string>>, server: Server, name: string): void {
  const names = lists.get(server) ?? new Set();
  lists.set(server, names.add(name));
}

function annotationStatus(object: Namespace | Pod): readonly ObjectStatus[] {
  const text = object.meta.annotations.get(annotations.defaultInboundPolicy);
  if (text === undefined || parseAccess(text) !== undefined) return [];
  const wanted = accessPolicies.join(", ");
  const message = `annotation ${annotations.defaultInboundPolicy} is ${JSON.stringify(text)}, not one of ${wanted}: ports without a Server admit nobody`;
  return [judged(object, [notAccepted("InvalidAnnotation", message)])];
}

/** The reason is Linkerd's. */
function egressVerdict(settings: ResolveSettings, network: EgressNetwork): Verdict {
  const overlap = overlapOf(settings, network);
  if (overlap !== undefined) return notAccepted("EgressReasonNetworkOverlap", overlap);
  const { faults } = readServiceWishes(network);
  if (faults.length > 0) {
    return notAccepted("InvalidAnnotation", `annotations not in force: ${describeFaults(faults)}`);
  }
  return { type: "Accepted", status: "True", reason: "Accepted", message: "" };
}

function serviceStatus(service: Service): readonly ObjectStatus[] {
  const { faults } = readServiceWishes(service);
  if (faults.length === 0) return [];
  const message = `not in force: ${describeFaults(faults)}`;
  return [judged(service, [notAccepted("InvalidAnnotation", message)])];
}

function sliceStatus(store: Store, slice: EndpointSlice): readonly ObjectStatus[] {
  const missing = slice.endpoints.flatMap(({ targetRef }) =>
    targetRef?.kind === "Pod" && !store.pods.has(objectName(targetRef))
      ? [objectName(targetRef)]
      : [],
  );
  if (missing.length === 0) return [];
  const message = `left out, because their pods are not known: ${missing.join(", ")}`;
  return [
    judged(slice, [{ type: "ResolvedRefs", status: "False", reason: "TargetNotFound", message }]),
  ];
}
