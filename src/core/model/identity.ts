/**
 * The name of a workload in the mesh: the DNS name in its certificate, `<account>.<namespace>.serviceaccount.identity.
 * <control namespace>.<trust domain>`. The issuer writes it, policies compare it, people read it.
 */
import { isDnsLabel, isDnsName } from "../std/dns-name.ts";
import { fail, fault, ok, type Result } from "../std/result.ts";

export type WorkloadIdentity = {
  readonly serviceAccount: string;
  readonly namespace: string;
  /** Where the control plane runs: two meshes of one cluster have two. */
  readonly controlNamespace: string;
  readonly trustDomain: string;
};

const kind = "serviceaccount";
const marker = "identity";

export function identityName(identity: WorkloadIdentity): string {
  const { serviceAccount, namespace, controlNamespace, trustDomain } = identity;
  return `${serviceAccount}.${namespace}.${kind}.${marker}.${controlNamespace}.${trustDomain}`;
}

/** Every name that `identityName` gives for DNS labels and a DNS trust domain, and no other. */
export function parseIdentityName(name: string): Result<WorkloadIdentity> {
  if (!isDnsName(name))
    return fail(fault("", "write a DNS name in lower case of at most 253 characters"));
  const [serviceAccount, namespace, ofKind, ofMarker, controlNamespace, ...domain] =
    name.split(".");
  if (serviceAccount === undefined || namespace === undefined || controlNamespace === undefined)
    return malformed();
  if (ofKind !== kind || ofMarker !== marker || domain.length === 0) return malformed();
  return ok({ serviceAccount, namespace, controlNamespace, trustDomain: domain.join(".") });
}

/**
 * The account in the username of a Kubernetes service account, `system:serviceaccount:<namespace>:<account>`. Kubernetes
 * allows dots in the name of an account; here it must be one label, because an identity name with a dotted account could
 * not be read back into account and namespace.
 */
export function parseServiceAccountUsername(
  username: string,
): Result<Pick<WorkloadIdentity, "serviceAccount" | "namespace">> {
  const [system, ofKind, namespace, serviceAccount, ...more] = username.split(":");
  if (system !== "system" || ofKind !== kind || more.length > 0) return badUsername();
  if (namespace === undefined || serviceAccount === undefined) return badUsername();
  if (!isDnsLabel(namespace) || !isDnsLabel(serviceAccount)) return badUsername();
  return ok({ serviceAccount, namespace });
}

function malformed<T>(): Result<T> {
  const form = `<account>.<namespace>.${kind}.${marker}.<control namespace>.<trust domain>`;
  return fail(fault("", `write a name of the form "${form}"`));
}

function badUsername<T>(): Result<T> {
  return fail(fault("", `use "system:${kind}:<namespace>:<account>" with two DNS labels`));
}
