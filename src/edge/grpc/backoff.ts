/** Pauses between tries that all fail: doubling, with a limit, and spread so that clients do not come back as one. */
export type Backoff = {
  readonly minMs: number;
  readonly maxMs: number;
  /** The share of a pause that chance may add: 0.5 makes 2 s to at most 3 s. */
  readonly jitter: number;
};

/** Together with the reconnect limit of a channel it keeps a return of the control plane under 5 s. */
export const watchBackoff: Backoff = { minMs: 100, maxMs: 2_000, jitter: 0.5 };

/** The pause after so many failures in a row, 1 being the first. `random` answers in [0, 1). */
export function backoffMs(backoff: Backoff, failures: number, random: () => number): number {
  const pauseMs = Math.min(backoff.maxMs, backoff.minMs * 2 ** (failures - 1));
  return pauseMs * (1 + backoff.jitter * random());
}
