/**
 * The generic cell rate algorithm (ITU-T I.371), with a burst of what one second allows. Its whole state is one number, the time at which the next request would come
 * if all came evenly, so that workers can share it by compare-and-exchange.
 *
 * Times are microseconds in 32 bits, which come round after 71 minutes. Only differences count, and a state is never more than a second ahead of the clock:
 * whatever says more is one that was left behind long ago.
 */
import type { RateLimit } from "../model/rate-limit.ts";
import type { InboundTable } from "../table/inbound.ts";
import type { Peer } from "./admit.ts";

const secondUs = 1_000_000;

/** The next state after a request that is let through; undefined: it came too early. */
export function nextArrival(state: number, nowUs: number, perSecond: number): number | undefined {
  const next = arrivalAfter(state, nowUs, perSecond);
  return ((next - nowUs) | 0) > secondUs ? undefined : next;
}

/** Whole seconds (RFC 9110 §10.2.3) until a request would be let through. */
export function retryAfterSeconds(state: number, nowUs: number, perSecond: number): number {
  const excessUs = ((arrivalAfter(state, nowUs, perSecond) - nowUs) | 0) - secondUs;
  return Math.max(1, Math.ceil(excessUs / secondUs));
}

function arrivalAfter(state: number, nowUs: number, perSecond: number): number {
  const aheadUs = (state - nowUs) | 0;
  const isInForce = aheadUs > 0 && aheadUs <= secondUs;
  return ((isInForce ? state : nowUs) + Math.floor(secondUs / perSecond)) | 0;
}

/** What a client may send by itself; 0: no limit. The first override that names it holds. */
export function clientRate(limit: RateLimit, { identity }: Pick<Peer, "identity">): number {
  if (identity !== undefined) {
    for (const { identities, perSecond } of limit.overrides) {
      if (identities.includes(identity)) return perSecond;
    }
  }
  return limit.identityPerSecond;
}

/** The kubelet ends a pod that does not answer it, so that a limit on its probes would add to the load it is against. */
export function isLimited({ rateLimit, http }: InboundTable, route: number): boolean {
  const meta = http.routes[route]?.meta;
  const isProbe = meta?.type === "default" && meta.name === "probe";
  return rateLimit !== undefined && !isProbe;
}
