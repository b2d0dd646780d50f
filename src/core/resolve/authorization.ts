/** AuthorizationPolicies and access policies as authorizations. One that cannot be completed admits nobody. */
import type { Authentication, Authorization, Network } from "../model/authorization.ts";
import { identityName } from "../model/identity.ts";
import { defaultMeta } from "../model/meta.ts";
import type { AuthenticationRef, AuthorizationPolicy } from "../resource/authorization-policy.ts";
import type { IdentityRef, MeshTlsAuthentication } from "../resource/mesh-tls-authentication.ts";
import type { AccessPolicy } from "../resource/server.ts";
import { fail, fault, ok, type Result } from "../std/result.ts";
import { unreachable } from "../std/unreachable.ts";
import { metaOf } from "./object-meta.ts";
import type { ResolveSettings } from "./settings.ts";
import { findBroken, objectName, referenceKey, type Store } from "./store.ts";

const everyNetwork: readonly Network[] = [
  { net: { ip: { family: 4, bits: 0 }, prefix: 0 }, except: [] },
  { net: { ip: { family: 6, words: [0, 0, 0, 0] }, prefix: 0 }, except: [] },
];

const anybody: Authentication = { kind: "unauthenticated" };
/** The empty ending fits every identity. */
const anyIdentity: Authentication = { kind: "identities", identities: [], suffixes: [""] };

export const allUnauthenticated: Pick<Authorization, "networks" | "authentication"> = {
  networks: everyNetwork,
  authentication: anybody,
};

/** What a policy's name grants: `accessPolicy` of a Server, or the default for ports without one. */
export function accessAuthorizations(
  settings: Pick<ResolveSettings, "clusterNetworks">,
  policy: AccessPolicy,
): readonly Authorization[] {
  const meta = defaultMeta(policy);
  const cluster = settings.clusterNetworks.map((net) => ({ net, except: [] }));
  switch (policy) {
    case "deny":
      return [];
    case "audit":
    case "all-unauthenticated":
      return [{ meta, networks: everyNetwork, authentication: anybody }];
    case "all-authenticated":
      return [{ meta, networks: everyNetwork, authentication: anyIdentity }];
    // The contract wants a network in each authorization; without one there is nobody to admit.
    case "cluster-unauthenticated":
      return cluster.length === 0 ? [] : [{ meta, networks: cluster, authentication: anybody }];
    case "cluster-authenticated":
      return cluster.length === 0 ? [] : [{ meta, networks: cluster, authentication: anyIdentity }];
    default:
      return unreachable(policy);
  }
}

/** Those that target the object, in policy order, without the ones that admit nobody. */
export function authorizationsFor(
  store: Store,
  settings: ResolveSettings,
  target: { readonly group: string; readonly kind: string; readonly name: string },
  namespace: string,
): readonly Authorization[] {
  // A Namespace has none of its own, but a policy names it from inside.
  const key = referenceKey({ ...target, namespace: target.kind === "Namespace" ? "" : namespace });
  return (store.authorizationPolicies.get(key) ?? [])
    .filter((policy) => policy.meta.namespace === namespace)
    .map((policy) => resolveAuthorization(store, settings, policy))
    .flatMap((resolved) => (resolved.ok ? [resolved.value] : []));
}

/** All required authentications have to hold at once, so one that is missing leaves nobody to admit. */
export function resolveAuthorization(
  store: Store,
  settings: ResolveSettings,
  policy: AuthorizationPolicy,
): Result<Authorization> {
  const refs = policy.requiredAuthenticationRefs;
  const networks = resolveNetworks(
    store,
    refs.filter(({ kind }) => kind === "NetworkAuthentication"),
  );
  const authentication = resolveClients(
    store,
    settings,
    refs.filter(({ kind }) => kind !== "NetworkAuthentication"),
  );
  if (networks.ok && authentication.ok) {
    return ok({
      meta: metaOf(policy),
      networks: networks.value,
      authentication: authentication.value,
    });
  }
  return fail(
    ...(networks.ok ? [] : networks.faults),
    ...(authentication.ok ? [] : authentication.faults),
  );
}

function resolveNetworks(
  store: Store,
  refs: readonly AuthenticationRef[],
): Result<readonly Network[]> {
  const [ref, second] = refs;
  if (ref === undefined) return ok(everyNetwork);
  if (second !== undefined) return tooMany(refs);
  const found = store.networkAuthentications.get(objectName(ref));
  if (found === undefined) return missing(store, ref);
  return ok(found.networks.map(({ cidr, except }) => ({ net: cidr, except })));
}

function resolveClients(
  store: Store,
  settings: ResolveSettings,
  refs: readonly AuthenticationRef[],
): Result<Authentication> {
  const [ref, second] = refs;
  if (ref === undefined) return ok(anybody);
  if (second !== undefined) return tooMany(refs);
  if (ref.kind === "ServiceAccount") {
    const identity = identityOf(settings, ref.namespace, ref.name);
    return ok({ kind: "identities", identities: [identity], suffixes: [] });
  }
  const found = store.meshTlsAuthentications.get(objectName(ref));
  return found === undefined ? missing(store, ref) : ok(identitiesOf(settings, found));
}

function identitiesOf(
  settings: ResolveSettings,
  authentication: MeshTlsAuthentication,
): Authentication {
  const identities: string[] = [];
  const suffixes: string[] = [];
  for (const pattern of authentication.identities) {
    if (pattern.kind === "any") suffixes.push("");
    else if (pattern.kind === "suffix") suffixes.push(pattern.suffix);
    else identities.push(pattern.identity);
  }
  for (const ref of authentication.identityRefs) {
    const namespace = namespaceOf(ref);
    if (namespace !== undefined) suffixes.push(identityOf(settings, namespace, ""));
    else identities.push(identityOf(settings, ref.namespace, ref.name));
  }
  return { kind: "identities", identities, suffixes };
}

/** The namespace whose ServiceAccounts are all meant; undefined when a single one is. */
function namespaceOf(ref: IdentityRef): string | undefined {
  if (ref.kind === "Namespace") return ref.name;
  return ref.name === "" ? ref.namespace : undefined;
}

/** Without a ServiceAccount it is the ending, with its dot, of all identities of the namespace. */
function identityOf(settings: ResolveSettings, namespace: string, serviceAccount: string): string {
  const { controlNamespace, trustDomain } = settings;
  return identityName({ serviceAccount, namespace, controlNamespace, trustDomain });
}

function tooMany<T>(refs: readonly AuthenticationRef[]): Result<T> {
  const names = refs.map((ref) => `${ref.kind} ${objectName(ref)}`).join(", ");
  return fail(fault("", `only one of these can be required: ${names}`));
}

function missing<T>(store: Store, ref: AuthenticationRef): Result<T> {
  const broken = ref.kind === "ServiceAccount" ? undefined : findBroken(store, ref.kind, ref);
  const state = broken === undefined ? "does not exist" : "cannot be read";
  return fail(fault("", `${ref.kind} ${objectName(ref)} ${state}`));
}
