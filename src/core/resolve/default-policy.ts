/** What holds on a port that no Server speaks for. */
import type { Pod } from "../resource/pod.ts";
import type { AccessPolicy } from "../resource/server.ts";
import { findServer } from "./server.ts";
import type { ResolveSettings } from "./settings.ts";
import { findBroken, type Store } from "./store.ts";
import { annotationOf, annotations, listsPort } from "./workload.ts";

export type DefaultPolicy = {
  /** The metric label `srv_name`. */
  readonly name: string;
  readonly access: AccessPolicy;
};

export const accessPolicies: readonly AccessPolicy[] = [
  "deny",
  "audit",
  "all-unauthenticated",
  "all-authenticated",
  "cluster-unauthenticated",
  "cluster-authenticated",
];

/** Something that may have said otherwise cannot be read. The name tells it from a `deny` that somebody chose. */
const unreadable: DefaultPolicy = { name: "unreadable", access: "deny" };

/** The pod decides over its namespace, and that over the cluster. */
export function findDefaultPolicy(
  store: Store,
  settings: Pick<ResolveSettings, "defaultInboundPolicy">,
  pod: Pod,
  port: number,
): DefaultPolicy {
  const { namespace } = pod.meta;
  if (store.unreadableAtStart) return unreadable;
  if (findBroken(store, "Namespace", { namespace: "", name: namespace }) !== undefined) {
    return unreadable;
  }
  const text = annotationOf(store, pod, annotations.defaultInboundPolicy);
  const access = text === undefined ? settings.defaultInboundPolicy : parseAccess(text);
  if (access === undefined) return unreadable;
  const required = annotationOf(store, pod, annotations.requireIdentityPorts);
  const requiresIdentity = required === undefined ? false : listsPort(required, pod, port);
  if (requiresIdentity === undefined) return unreadable;
  const effective = requiresIdentity ? withIdentity(access) : access;
  return { name: effective, access: effective };
}

export function parseAccess(text: string): AccessPolicy | undefined {
  return accessPolicies.find((policy) => policy === text);
}

function withIdentity(access: AccessPolicy): AccessPolicy {
  if (access === "audit" || access === "all-unauthenticated") return "all-authenticated";
  return access === "cluster-unauthenticated" ? "cluster-authenticated" : access;
}

/** Whether the bytes of a port are passed on unread: its Server says so, or without one the pod or namespace. */
export function isOpaqueInbound(store: Store, pod: Pod, port: number): boolean {
  const found = findServer(store, pod, port);
  if (found.kind !== "none") {
    return found.kind === "server" && found.server.proxyProtocol === "opaque";
  }
  const list = annotationOf(store, pod, annotations.opaquePorts);
  return list !== undefined && listsPort(list, pod, port) === true;
}
