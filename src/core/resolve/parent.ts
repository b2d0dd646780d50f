/**
 * Whether a parentRef of a route takes. A route is in force at a parent exactly when this says that it is attached;
 * policies and statuses both ask here.
 */
import type { ParentRef } from "../resource/reference.ts";
import type { Server } from "../resource/server.ts";
import type { Service, ServicePort } from "../resource/service.ts";
import { unreachable } from "../std/unreachable.ts";
import { isOpaquePort } from "./backend.ts";
import { findBroken, objectName, type Store } from "./store.ts";

export type ParentKind = "service" | "server" | "egress" | "gateway" | "other";

/** What a route is about. */
export type Cargo = "requests" | "connections";

export function parentKind(ref: ParentRef): ParentKind {
  if (ref.group === "" && ref.kind === "Service") return "service";
  if (ref.group === "policy.linkerd.io" && ref.kind === "Server") return "server";
  if (ref.group === "policy.linkerd.io" && ref.kind === "EgressNetwork") return "egress";
  // Gateways belong to other controllers; Gateway API wants no status from us there.
  if (ref.group === "gateway.networking.k8s.io" && ref.kind === "Gateway") return "gateway";
  return "other";
}

/** Why a route is not attached to a parent, or undefined when it is. `namespace` is that of the route. */
export function refusalOfParent(
  store: Store,
  ref: ParentRef,
  namespace: string,
  cargo: Cargo = "requests",
): string | undefined {
  const kind = parentKind(ref);
  switch (kind) {
    case "service":
      return refusalOfService(store, ref, cargo);
    case "server":
      return cargo === "connections"
        ? "routes of connections have no meaning for a Server"
        : refusalOfServer(store, ref, namespace);
    case "egress":
      return refusalOfEgress(store, ref);
    case "gateway":
      return "Gateways are not served";
    case "other":
      return `${ref.group}/${ref.kind} cannot be a parent: ${otherAdvice(ref)}`;
    default:
      return unreachable(kind);
  }
}

function otherAdvice(ref: ParentRef): string {
  return ref.kind === "Service"
    ? 'write group: "" for a Service'
    : "use a Service, or a Server or an EgressNetwork of policy.linkerd.io";
}

/** Gateway API ParentReference: with both `sectionName` and `port` both have to fit. */
export function fitsPort(ref: ParentRef, port: Pick<ServicePort, "port" | "name">): boolean {
  return (
    (ref.port === undefined || ref.port === port.port) &&
    (ref.sectionName === undefined || ref.sectionName === port.name)
  );
}

/** Linkerd: an EgressNetwork declares no ports, so that a route has to name the one it means. */
function refusalOfEgress(store: Store, ref: ParentRef): string | undefined {
  const name = `EgressNetwork ${objectName(ref)}`;
  if (findBroken(store, "EgressNetwork", ref) !== undefined) return `${name} cannot be read`;
  if (!store.egressNetworks.has(objectName(ref))) return `${name} does not exist`;
  return ref.port === undefined ? `${name} has no ports of its own: give the port` : undefined;
}

function refusalOfService(store: Store, ref: ParentRef, cargo: Cargo): string | undefined {
  const name = `Service ${objectName(ref)}`;
  if (findBroken(store, "Service", ref) !== undefined) return `${name} cannot be read`;
  const service = store.services.get(objectName(ref));
  if (service === undefined) return `${name} does not exist`;
  // GEP-1294: a route speaks for the cluster IP, and these have none.
  if (!hasFrontEnd(service)) return `${name} has no cluster IP: use it as a backend only`;
  const fitting = service.ports.filter((port) => port.protocol === "TCP" && fitsPort(ref, port));
  if (fitting.length === 0) return `${name} has no ${describePort(ref)}`;
  if (cargo === "requests" && fitting.every(isOpaquePort))
    return `${name} has only opaque ports there, without requests`;
  return undefined;
}

/** A Service read from a folder has no cluster IP yet; it is known by its name all the same. */
export function hasFrontEnd(service: Service): boolean {
  return !service.headless && service.type !== "ExternalName";
}

function describePort(ref: ParentRef): string {
  const number = ref.port === undefined ? "" : ` ${ref.port}`;
  const name = ref.sectionName === undefined ? "" : ` named "${ref.sectionName}"`;
  return number === "" && name === "" ? "TCP port" : `TCP port${number}${name}`;
}

function refusalOfServer(store: Store, ref: ParentRef, namespace: string): string | undefined {
  const name = `Server ${objectName(ref)}`;
  if (ref.namespace !== namespace) return `${name} is in another namespace than the route`;
  if (ref.port !== undefined || ref.sectionName !== undefined) {
    return `${name} is one port: remove port and sectionName`;
  }
  if (findBroken(store, "Server", ref) !== undefined) return `${name} cannot be read`;
  const server = store.servers.get(objectName(ref));
  if (server === undefined) return `${name} does not exist`;
  if (!readsRequests(server)) {
    return `${name} has proxyProtocol ${server.proxyProtocol}, without requests`;
  }
  return undefined;
}

export function readsRequests(server: Server): boolean {
  return server.proxyProtocol !== "opaque" && server.proxyProtocol !== "TLS";
}
