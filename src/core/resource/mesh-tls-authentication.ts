import { isDnsName } from "../std/dns-name.ts";
import type { Fault, Result } from "../std/result.ts";
import { FaultList, Field, quote } from "./field.ts";
import { type ObjectMeta, readMeta } from "./object-meta.ts";
import { type ObjectRef, readGroup, readNamespace } from "./reference.ts";

/** Clients by identity: either `identities` or `identityRefs` is set, the other is empty. Any entry admits. */
export type MeshTlsAuthentication = {
  readonly kind: "MeshTLSAuthentication";
  readonly group: "policy.linkerd.io";
  readonly meta: ObjectMeta;
  readonly identities: readonly IdentityPattern[];
  readonly identityRefs: readonly IdentityRef[];
};

export type IdentityPattern =
  | { readonly kind: "any" }
  /** A DNS-like name, or a SPIFFE URI. */
  | { readonly kind: "exact"; readonly identity: string }
  /** The ending with its dot: `.demo.serviceaccount.identity.linkerd.cluster.local`. */
  | { readonly kind: "suffix"; readonly suffix: string };

/** A ServiceAccount, or a Namespace: each ServiceAccount in it. A ServiceAccount with an empty name: the same. */
export type IdentityRef = ObjectRef & { readonly kind: "ServiceAccount" | "Namespace" };

/** SPIFFE-ID §2.3: longer ones need not be supported. */
const maxSpiffeLength = 2048;

export function parseMeshTlsAuthentication(
  json: unknown,
  known: readonly Fault[] = [],
): Result<MeshTlsAuthentication> {
  const list = new FaultList(known);
  const root = new Field(json, list);
  const meta = readMeta(root.at("metadata"), "dns-name");
  const spec = root.at("spec").required();
  const identities = spec.at("identities");
  const identityRefs = spec.at("identityRefs");
  if (identities.isPresent === identityRefs.isPresent) {
    spec.fault("must have exactly one of identities and identityRefs");
  }
  return list.settle({
    kind: "MeshTLSAuthentication",
    group: "policy.linkerd.io",
    meta,
    identities: identities.items().map(readIdentityPattern),
    identityRefs: identityRefs.items().map((item) => readIdentityRef(item, meta.namespace)),
  });
}

export function readIdentityPattern(field: Field): IdentityPattern {
  const text = field.text();
  if (text === "*") return { kind: "any" };
  if (text.startsWith("*.") && isDnsName(text.slice(2))) {
    return { kind: "suffix", suffix: text.slice(1) };
  }
  if (!isDnsName(text) && !isSpiffeId(text)) {
    field.fault(
      `must be a DNS name, "*", "*." and a DNS name, or a SPIFFE ID ("spiffe://domain/path"), is ${quote(field.json)}`,
    );
  }
  return { kind: "exact", identity: text };
}

/** SPIFFE-ID §2: a trust domain, then segments that are not empty and not relative. */
function isSpiffeId(text: string): boolean {
  if (text.length > maxSpiffeLength) return false;
  const [, domain = "", path = ""] =
    /^spiffe:\/\/([a-z0-9._-]+)((?:\/[A-Za-z0-9._-]+)*)$/.exec(text) ?? [];
  return domain !== "" && path.split("/").every((segment) => segment !== "." && segment !== "..");
}

function readIdentityRef(field: Field, namespace: string): IdentityRef {
  const group = readGroup(field.at("group")) ?? "";
  if (group !== "") field.at("group").fault(`must be empty, is ${quote(group)}`);
  const kind = field.at("kind").required().choice(["ServiceAccount", "Namespace"], "Namespace");
  const name = field.at("name").optionalText() ?? "";
  if (kind === "ServiceAccount") {
    return { group: "", kind, namespace: readNamespace(field.at("namespace")) ?? namespace, name };
  }
  field.at("name").required();
  if (field.at("namespace").isPresent) {
    field.at("namespace").fault("must be absent for kind Namespace");
  }
  return { group: "", kind, namespace: "", name };
}
