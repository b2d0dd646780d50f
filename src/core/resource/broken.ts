import type { Fault } from "../std/result.ts";
import { unreachable } from "../std/unreachable.ts";
import { readTargetRef } from "./authorization-policy.ts";
import { FaultList, Field } from "./field.ts";
import { parentDefaults, readRouteGroup } from "./http-route.ts";
import type { LabelSelector } from "./label-selector.ts";
import { readRateLimitTarget } from "./rate-limit-policy.ts";
import { type ObjectRef, type ParentRef, readParentRef } from "./reference.ts";
import { type Kind, keyOf, type Resource } from "./resource.ts";
import { readServerPort, readServerSelector } from "./server.ts";

/**
 * An object whose document is bad as a whole. It is not in force, and it is not absent either: what it was meant to
 * govern is refused instead of left open, as far as its scope says.
 */
export type BrokenResource = {
  readonly kind: Kind;
  readonly group: string;
  readonly namespace: string;
  readonly name: string;
  readonly faults: readonly Fault[];
  /** Undefined: unreadable too, so it may have meant anything of its namespace. */
  readonly scope: Scope | undefined;
  /** Where it was read, for people: `routes/a.yaml#2`. */
  readonly source: string;
};

/** What an object governs. */
export type Scope =
  /** Routes. */
  | { readonly type: "parents"; readonly parentRefs: readonly ParentRef[] }
  /** AuthorizationPolicy, HTTPLocalRateLimitPolicy. */
  | { readonly type: "target"; readonly targetRef: ObjectRef }
  /** Server. An undefined port is one that could not be read: any. */
  | {
      readonly type: "workloads";
      readonly workload: "pods" | "external-workloads";
      readonly labels: LabelSelector;
      readonly port: number | string | undefined;
    }
  /** The other kinds: those who refer to the object by its name. */
  | { readonly type: "self" };

/** What can still be read of the scope in a document that is bad. Rather too wide than too narrow. */
export function scopeOf(json: unknown): Scope | undefined {
  const key = keyOf(json);
  if (!key.ok) return undefined;
  const root = new Field(json, new FaultList());
  switch (key.value.kind) {
    case "HTTPRoute":
    case "GRPCRoute":
    case "TLSRoute":
    case "TCPRoute":
      return scopeOfRoute(root, key.value.namespace);
    case "AuthorizationPolicy":
      return scopeOfPolicy(root, key.value.namespace, readTargetRef);
    case "HTTPLocalRateLimitPolicy":
      return scopeOfPolicy(root, key.value.namespace, readRateLimitTarget);
    case "Server":
      return scopeOfServer(root);
    case "Namespace":
    case "Pod":
    case "Service":
    case "EndpointSlice":
    case "Secret":
    case "EgressNetwork":
    case "HTTPFault":
    case "DirectResponse":
    case "Backend":
    case "XBackendTrafficPolicy":
    case "ServiceProfile":
    case "MeshTLSAuthentication":
    case "ServerAuthorization":
    case "JWTAuthentication":
    case "NetworkAuthentication":
      return { type: "self" };
    default:
      return unreachable(key.value.kind);
  }
}

/** The scope of an object that was in force, for the time when its document cannot be read any more. */
export function scopeOfResource(resource: Resource): Scope {
  switch (resource.kind) {
    case "HTTPRoute":
    case "GRPCRoute":
    case "TLSRoute":
    case "TCPRoute":
      return { type: "parents", parentRefs: resource.parentRefs };
    case "AuthorizationPolicy":
    case "HTTPLocalRateLimitPolicy":
      return { type: "target", targetRef: resource.targetRef };
    case "Server":
      return { type: "workloads", ...resource.selector, port: resource.port };
    case "Namespace":
    case "Pod":
    case "Service":
    case "EndpointSlice":
    case "Secret":
    case "EgressNetwork":
    case "HTTPFault":
    case "DirectResponse":
    case "Backend":
    case "XBackendTrafficPolicy":
    case "ServiceProfile":
    case "MeshTLSAuthentication":
    case "ServerAuthorization":
    case "JWTAuthentication":
    case "NetworkAuthentication":
      return { type: "self" };
    default:
      return unreachable(resource);
  }
}

function scopeOfRoute(root: Field, namespace: string): Scope | undefined {
  const field = root.at("spec").at("parentRefs");
  if (field.isPresent && !Array.isArray(field.json)) return undefined;
  const group = readRouteGroup(root);
  const parentRefs: ParentRef[] = [];
  for (const item of field.items()) {
    const list = new FaultList();
    const ref = readParentRef(item.apart(list), parentDefaults(group, namespace));
    // Without its port or section a reference still names its parent, and speaks for all ports of it.
    const isNamed = list.faults.every(({ path }) => /\.(port|sectionName)$/.test(path));
    if (!isNamed) return undefined;
    parentRefs.push(ref);
  }
  return { type: "parents", parentRefs };
}

function scopeOfPolicy(
  root: Field,
  namespace: string,
  readTarget: (field: Field, namespace: string) => ObjectRef,
): Scope | undefined {
  const list = new FaultList();
  const targetRef = readTarget(root.at("spec").at("targetRef").apart(list), namespace);
  const settled = list.settle(targetRef);
  return settled.ok ? { type: "target", targetRef: settled.value } : undefined;
}

function scopeOfServer(root: Field): Scope | undefined {
  const list = new FaultList();
  const spec = root.at("spec");
  const selector = readServerSelector(spec.apart(list));
  // Without one of its labels a selector takes more than was meant, which errs on the right side.
  const isReadable = list.faults.every(({ path }) => /\.matchLabels[.[]/.test(path));
  if (!isReadable) return undefined;
  return { type: "workloads", ...selector, port: readServerPort(spec) };
}
