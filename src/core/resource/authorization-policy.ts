import type { Fault, Result } from "../std/result.ts";
import { FaultList, Field, listChoices, quote } from "./field.ts";
import { type ObjectMeta, readMeta } from "./object-meta.ts";
import { type ObjectRef, readKindRef } from "./reference.ts";

export type AuthorizationPolicy = {
  readonly kind: "AuthorizationPolicy";
  readonly group: "policy.linkerd.io";
  readonly meta: ObjectMeta;
  /** Server, HTTPRoute (either group), GRPCRoute or Namespace; always in the namespace of the policy. */
  readonly targetRef: ObjectRef;
  /** All must hold, however many of a kind there are. Empty: nothing is asked of the client. */
  readonly requiredAuthenticationRefs: readonly AuthenticationRef[];
  readonly enforcement: Enforcement;
};

/**
 * `audit`: the policy admits nobody beside one that is enforced; where every policy is audited, all requests are admitted, and those that would be denied are
 * counted.
 */
export type Enforcement = "enforce" | "audit";

export type AuthenticationRef = ObjectRef & {
  readonly kind:
    | "MeshTLSAuthentication"
    | "NetworkAuthentication"
    | "ServiceAccount"
    | "JWTAuthentication";
};

/** On an AuthorizationPolicy. */
const enforcementAnnotation = "weft.dev/enforcement";

const enforcements: readonly Enforcement[] = ["enforce", "audit"];

const targetKinds: readonly string[] = [
  "policy.linkerd.io Server",
  "policy.linkerd.io HTTPRoute",
  "gateway.networking.k8s.io HTTPRoute",
  "gateway.networking.k8s.io GRPCRoute",
  "Namespace",
];

const authenticationKinds: ReadonlyMap<string, AuthenticationRef["kind"]> = new Map([
  ["policy.linkerd.io MeshTLSAuthentication", "MeshTLSAuthentication"],
  ["policy.linkerd.io NetworkAuthentication", "NetworkAuthentication"],
  ["ServiceAccount", "ServiceAccount"],
  ["weft.dev JWTAuthentication", "JWTAuthentication"],
]);

export function parseAuthorizationPolicy(
  json: unknown,
  known: readonly Fault[] = [],
): Result<AuthorizationPolicy> {
  const list = new FaultList(known);
  const root = new Field(json, list);
  const spec = root.at("spec").required();
  const meta = readMeta(root.at("metadata"), "dns-name");
  return list.settle({
    kind: "AuthorizationPolicy",
    group: "policy.linkerd.io",
    meta,
    targetRef: readTargetRef(spec.at("targetRef"), meta.namespace),
    requiredAuthenticationRefs: readAuthenticationRefs(
      spec.at("requiredAuthenticationRefs"),
      meta.namespace,
    ),
    // A word that is not known must neither enforce nor open anything.
    enforcement: root
      .at("metadata")
      .at("annotations")
      .at(enforcementAnnotation)
      .choice(enforcements, "enforce"),
  });
}

export function readTargetRef(field: Field, namespace: string): ObjectRef {
  const ref = readKindRef(field.required(), namespace);
  if (field.at("kind").isPresent && !targetKinds.includes(describeKind(ref))) {
    field.fault(`must refer to ${listKinds(targetKinds)}, is ${quote(describeKind(ref))}`);
  }
  // A policy speaks for its own namespace only; else a user of one could open another.
  const isNamespace = ref.group === "" && ref.kind === "Namespace";
  if (isNamespace && ref.name !== namespace) {
    field
      .at("name")
      .fault(`must be the policy's own namespace ${quote(namespace)}, is ${quote(ref.name)}`);
  }
  return isNamespace ? { ...ref, namespace: "" } : ref;
}

function readAuthenticationRefs(field: Field, namespace: string): readonly AuthenticationRef[] {
  // Absent is not empty: the empty list asks nothing of anybody, and must be written down to be meant.
  field.required();
  return field.items().map((item) => readAuthenticationRef(item, namespace));
}

function readAuthenticationRef(field: Field, namespace: string): AuthenticationRef {
  const ref = readKindRef(field, namespace);
  const kind = authenticationKinds.get(describeKind(ref));
  if (kind === undefined && field.at("kind").isPresent) {
    field.fault(
      `must refer to ${listKinds([...authenticationKinds.keys()])}, is ${quote(describeKind(ref))}`,
    );
  }
  return { ...ref, kind: kind ?? "MeshTLSAuthentication" };
}

function listKinds(kinds: readonly string[]): string {
  return listChoices(kinds).replaceAll('"', "");
}

function describeKind(ref: ObjectRef): string {
  return ref.group === "" ? ref.kind : `${ref.group} ${ref.kind}`;
}
