import type { Backoff } from "../model/retry.ts";

/** From a millisecond this leads beyond a month, and the number stays finite. */
const maxDoublings = 32;

/** The wait before attempt `round` (0 is the first) of something that failed: doubled each time, and never shorter than the policy asks for. */
export function backoffMs(backoff: Backoff, round: number, random01: number): number {
  const growth = 2 ** Math.min(round, maxDoublings);
  const grown = Math.min(backoff.minMs * growth, Math.max(backoff.maxMs, backoff.minMs));
  return grown * (1 + backoff.jitter * random01);
}
