/** AuthorizationPolicies, ServerAuthorizations and access policies as authorizations. One that cannot be completed admits nobody. */
import type { Authentication, Authorization, Network } from "../model/authorization.ts";
import { identityName } from "../model/identity.ts";
import { defaultMeta } from "../model/meta.ts";
import type {
  AuthenticationRef,
  AuthorizationPolicy,
  Enforcement,
} from "../resource/authorization-policy.ts";
import { selects } from "../resource/label-selector.ts";
import type { IdentityRef, MeshTlsAuthentication } from "../resource/mesh-tls-authentication.ts";
import type { AccessPolicy, Server } from "../resource/server.ts";
import type { ServerAuthorization, ServerClients } from "../resource/server-authorization.ts";
import { type Fault, fail, fault, ok, type Result } from "../std/result.ts";
import { unreachable } from "../std/unreachable.ts";
import { metaOf } from "./object-meta.ts";
import { commonIdentities, commonNetworks, maxCommonNetworks } from "./requirements.ts";
import type { ResolveSettings } from "./settings.ts";
import { findBroken, objectName, referenceKey, type Store } from "./store.ts";
import { resolveToken } from "./token.ts";

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

function clusterNetworks(settings: Pick<ResolveSettings, "clusterNetworks">): readonly Network[] {
  return settings.clusterNetworks.map((net) => ({ net, except: [] }));
}

/** What a policy's name grants: `accessPolicy` of a Server, or the default for ports without one. */
export function accessAuthorizations(
  settings: Pick<ResolveSettings, "clusterNetworks">,
  policy: AccessPolicy,
): readonly Authorization[] {
  const meta = defaultMeta(policy);
  const cluster = clusterNetworks(settings);
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

type Target = { readonly group: string; readonly kind: string; readonly name: string };

/** What the policies of one place grant together. */
export type Grants = {
  readonly enforced: readonly Authorization[];
  readonly audited: readonly Authorization[];
  /** Whether there is an enforced policy, be it one that admits nobody or cannot be read. */
  readonly isEnforced: boolean;
  readonly isAudited: boolean;
};

/** AuthorizationPolicies that target the object, in policy order, without the ones that admit nobody. */
export function grantsOf(
  store: Store,
  settings: ResolveSettings,
  target: Target,
  namespace: string,
): Grants {
  const key = targetKey(target, namespace);
  const policies = (store.authorizationPolicies.get(key) ?? []).filter(
    ({ meta }) => meta.namespace === namespace,
  );
  const resolve = (enforcement: Enforcement): readonly Authorization[] =>
    policies
      .filter((policy) => policy.enforcement === enforcement)
      .map((policy) => resolveAuthorization(store, settings, policy))
      .flatMap((resolved) => (resolved.ok ? [resolved.value] : []));
  return {
    enforced: resolve("enforce"),
    audited: resolve("audit"),
    isEnforced:
      policies.some(({ enforcement }) => enforcement === "enforce") ||
      hasBrokenPolicy(store, key, namespace),
    isAudited: policies.some(({ enforcement }) => enforcement === "audit"),
  };
}

/** A Namespace has none of its own, but a policy names it from inside. */
function targetKey(target: Target, namespace: string): string {
  return referenceKey({ ...target, namespace: target.kind === "Namespace" ? "" : namespace });
}

/** One that cannot be read may have been meant to be enforced, so that nothing is opened beside it. */
function hasBrokenPolicy(store: Store, key: string, namespace: string): boolean {
  return (
    store.unreadableAtStart ||
    store.broken.all.some(
      ({ kind, scope, ...object }) =>
        kind === "AuthorizationPolicy" &&
        object.namespace === namespace &&
        (scope?.type !== "target" || referenceKey(scope.targetRef) === key),
    )
  );
}

/** ServerAuthorizations that name the Server or select it by its labels, in policy order. They are always enforced. */
export function serverGrants(store: Store, settings: ResolveSettings, server: Server): Grants {
  const { namespace, name, labels } = server.meta;
  const policies = (store.serverAuthorizations.get(namespace) ?? []).filter(({ server: one }) =>
    one.by === "name" ? one.name === name : selects(one.labels, labels),
  );
  const isBroken = store.broken.all.some(
    (object) => object.kind === "ServerAuthorization" && object.namespace === namespace,
  );
  return {
    enforced: policies
      .map((policy) => resolveServerAuthorization(settings, policy))
      .filter(({ networks }) => networks.length > 0),
    audited: [],
    isEnforced: policies.length > 0 || isBroken,
    isAudited: false,
  };
}

export function joinGrants(...all: readonly Grants[]): Grants {
  return {
    enforced: all.flatMap(({ enforced }) => enforced),
    audited: all.flatMap(({ audited }) => audited),
    isEnforced: all.some(({ isEnforced }) => isEnforced),
    isAudited: all.some(({ isAudited }) => isAudited),
  };
}

function resolveServerAuthorization(
  settings: ResolveSettings,
  policy: ServerAuthorization,
): Authorization {
  const given = policy.networks.map(({ cidr, except }) => ({ net: cidr, except }));
  return {
    meta: metaOf(policy),
    networks: given.length > 0 ? given : clusterNetworks(settings),
    authentication: clientsOf(settings, policy.clients),
  };
}

function clientsOf(settings: ResolveSettings, clients: ServerClients): Authentication {
  switch (clients.kind) {
    case "unauthenticated":
      return anybody;
    case "tls":
      return { kind: "tls" };
    case "identities": {
      const { identities, serviceAccounts } = clients;
      return identitiesOf(settings, {
        identities,
        identityRefs: serviceAccounts.map((ref) => ({ ...ref, kind: "ServiceAccount" })),
      });
    }
    default:
      return unreachable(clients);
  }
}

/** All required authentications have to hold at once, so one that is missing leaves nobody to admit. */
export function resolveAuthorization(
  store: Store,
  settings: ResolveSettings,
  policy: AuthorizationPolicy,
): Result<Authorization> {
  const refs = policy.requiredAuthenticationRefs;
  const absent = refs.filter((ref) => !isThere(store, ref));
  if (absent.length > 0) return fail(...absent.map((ref) => missing(store, ref)));
  const networks = resolveNetworks(store, refs);
  if (networks.length === 0) return fail(fault(required, "have no network in common"));
  if (networks.length > maxCommonNetworks) {
    return fail(fault(required, `must have at most ${maxCommonNetworks} networks in common`));
  }
  const authentication = resolveClients(store, settings, refs);
  if (authentication === undefined) {
    return fail(fault(required, "have no identity in common"));
  }
  const tokens = refs.flatMap((ref) => {
    const found = ref.kind === "JWTAuthentication" && store.jwtAuthentications.get(objectName(ref));
    return found ? [resolveToken(found)] : [];
  });
  return ok({
    meta: metaOf(policy),
    networks,
    authentication,
    ...(tokens.length === 0 ? {} : { tokens }),
  });
}

const required = "requiredAuthenticationRefs";

function isThere(store: Store, ref: AuthenticationRef): boolean {
  switch (ref.kind) {
    case "ServiceAccount":
      return true;
    case "NetworkAuthentication":
      return store.networkAuthentications.has(objectName(ref));
    case "MeshTLSAuthentication":
      return store.meshTlsAuthentications.has(objectName(ref));
    case "JWTAuthentication":
      return store.jwtAuthentications.has(objectName(ref));
    default:
      return unreachable(ref.kind);
  }
}

function resolveNetworks(store: Store, refs: readonly AuthenticationRef[]): readonly Network[] {
  const lists = refs
    .filter(({ kind }) => kind === "NetworkAuthentication")
    .flatMap((ref) => store.networkAuthentications.get(objectName(ref)) ?? [])
    .map(({ networks }) => networks.map(({ cidr, except }) => ({ net: cidr, except })));
  const [first, ...others] = lists;
  return first === undefined
    ? everyNetwork
    : others.reduce<readonly Network[]>(
        (common, list) =>
          // Too many already: what is left does not matter any more.
          common.length > maxCommonNetworks ? common : commonNetworks(common, list),
        first,
      );
}

/** Undefined: nobody can be all of them. */
function resolveClients(
  store: Store,
  settings: ResolveSettings,
  refs: readonly AuthenticationRef[],
): Authentication | undefined {
  const lists = refs.flatMap((ref) => {
    if (ref.kind === "ServiceAccount") {
      const identities = [identityOf(settings, ref.namespace, ref.name)];
      return [{ kind: "identities", identities, suffixes: [] } as const];
    }
    const found =
      ref.kind === "MeshTLSAuthentication"
        ? store.meshTlsAuthentications.get(objectName(ref))
        : undefined;
    return found === undefined ? [] : [identitiesOf(settings, found)];
  });
  const [first, ...others] = lists;
  if (first === undefined) return anybody;
  const common = others.reduce(commonIdentities, first);
  const isNobody = others.length > 0 && common.identities.length + common.suffixes.length === 0;
  return isNobody ? undefined : common;
}

function identitiesOf(
  settings: ResolveSettings,
  authentication: Pick<MeshTlsAuthentication, "identities" | "identityRefs">,
): Extract<Authentication, { readonly kind: "identities" }> {
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
export function identityOf(
  settings: ResolveSettings,
  namespace: string,
  serviceAccount: string,
): string {
  const { controlNamespace, trustDomain } = settings;
  return identityName({ serviceAccount, namespace, controlNamespace, trustDomain });
}

function missing(store: Store, ref: AuthenticationRef): Fault {
  const broken = ref.kind === "ServiceAccount" ? undefined : findBroken(store, ref.kind, ref);
  const state = broken === undefined ? "does not exist" : "cannot be read";
  return fault("", `${ref.kind} ${objectName(ref)} ${state}`);
}
