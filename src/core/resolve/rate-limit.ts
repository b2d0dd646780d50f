/** Which HTTPLocalRateLimitPolicy holds for a Server. */
import type { RateLimit } from "../model/rate-limit.ts";
import type { BrokenResource } from "../resource/broken.ts";
import type { RateLimitPolicy } from "../resource/rate-limit-policy.ts";
import type { Server } from "../resource/server.ts";
import { identityOf } from "./authorization.ts";
import { notAccepted, type Verdict } from "./conditions.ts";
import { metaOf } from "./object-meta.ts";
import { readsRequests } from "./parent.ts";
import type { ResolveSettings } from "./settings.ts";
import { objectName, referenceKey, type Store } from "./store.ts";

/** The oldest one of its namespace; the others are in force nowhere. */
function findRateLimit(store: Store, server: Server): RateLimitPolicy | undefined {
  const { group, kind, meta } = server;
  const key = referenceKey({ group, kind, namespace: meta.namespace, name: meta.name });
  return store.rateLimitPolicies
    .get(key)
    ?.find((policy) => policy.meta.namespace === meta.namespace);
}

export function resolveRateLimit(
  store: Store,
  settings: ResolveSettings,
  server: Server,
): RateLimit | undefined {
  const policy = readsRequests(server) ? findRateLimit(store, server) : undefined;
  if (policy === undefined) return undefined;
  return {
    meta: metaOf(policy),
    totalPerSecond: policy.totalPerSecond ?? 0,
    identityPerSecond: policy.identityPerSecond ?? 0,
    overrides: policy.overrides.map(({ perSecond, clients }) => ({
      perSecond,
      identities: clients.map(({ namespace, name }) => identityOf(settings, namespace, name)),
    })),
  };
}

/** One that cannot be read may have been low, so that nothing passes where no other is in force. */
export function findBrokenRateLimit(store: Store, server: Server): BrokenResource | undefined {
  if (!readsRequests(server) || findRateLimit(store, server) !== undefined) return undefined;
  const { group, kind, meta } = server;
  const key = referenceKey({ group, kind, namespace: meta.namespace, name: meta.name });
  return store.broken.all.find(
    ({ kind: broken, namespace, scope }) =>
      broken === "HTTPLocalRateLimitPolicy" &&
      namespace === meta.namespace &&
      (scope?.type !== "target" || referenceKey(scope.targetRef) === key),
  );
}

/** Linkerd's reasons. */
export function rateLimitVerdict(store: Store, policy: RateLimitPolicy): Verdict {
  const { meta, targetRef } = policy;
  const name = `Server ${objectName(targetRef)}`;
  if (targetRef.namespace !== meta.namespace) {
    return notAccepted("NoMatchingTarget", `${name} is in another namespace than the policy`);
  }
  const server = store.servers.get(objectName(targetRef));
  if (server === undefined) return notAccepted("NoMatchingTarget", `${name} does not exist`);
  if (!readsRequests(server)) {
    const protocol = server.proxyProtocol;
    return notAccepted(
      "NoMatchingTarget",
      `${name} has proxyProtocol ${protocol}, without requests`,
    );
  }
  const speaking = findRateLimit(store, server);
  if (speaking !== undefined && speaking !== policy) {
    const other = `HTTPLocalRateLimitPolicy ${objectName(speaking.meta)}`;
    return notAccepted("RateLimitReasonAlreadyExists", `${name} is that of ${other}`);
  }
  return { type: "Accepted", status: "True", reason: "Accepted", message: "" };
}
