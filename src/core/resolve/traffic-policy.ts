/** XBackendTrafficPolicies: which one speaks for a Service, and what it means for the rules that send there. */
import { defaultRetryBudget, type RetryBudget } from "../model/retry.ts";
import type { BackendTrafficPolicy, RetryConstraint } from "../resource/backend-traffic-policy.ts";
import type { Service } from "../resource/service.ts";
import type { SessionPersistence } from "../resource/session-persistence.ts";
import { referenceKey, type Store } from "./store.ts";

/** Of two policies for one Service the older one speaks, then the first by name (GEP-713). */
export function findTrafficPolicy(
  store: Store,
  service: Service,
): BackendTrafficPolicy | undefined {
  const { namespace, name } = service.meta;
  const key = referenceKey({ group: "", kind: "Service", namespace, name });
  return store.trafficPolicies.get(key)?.[0];
}

/**
 * A rule has one budget for all its backends, so of several the tightest holds: the one with the smallest percentage, then with the smallest rate. A Service
 * without a policy asks for nothing.
 */
export function resolveBudget(store: Store, services: readonly Service[]): RetryBudget {
  const [tightest] = services
    .flatMap((service) => findTrafficPolicy(store, service)?.retryConstraint ?? [])
    .map(toBudget)
    .toSorted(
      (left, right) => left.percent - right.percent || left.minPerSecond - right.minPerSecond,
    );
  return tightest ?? defaultRetryBudget;
}

/** A rate below one a second is rounded up: it is the least that must be allowed. */
function toBudget(constraint: RetryConstraint): RetryBudget {
  const { percent, intervalMs, minRetryCount, minRetryIntervalMs } = constraint;
  const minPerSecond = Math.ceil((minRetryCount * 1_000) / minRetryIntervalMs);
  return { percent, intervalMs, minPerSecond };
}

/** For a rule that has none of its own (GEP-1619): that of its first backend with one. */
export function inheritedSession(
  store: Store,
  services: readonly Service[],
): SessionPersistence | undefined {
  return services
    .filter(({ sessionAffinity }) => sessionAffinity === "None")
    .map((service) => findTrafficPolicy(store, service)?.sessionPersistence)
    .find((session) => session !== undefined);
}
