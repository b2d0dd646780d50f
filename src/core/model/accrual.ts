import type { Backoff } from "./retry.ts";

/** When an endpoint is taken out because of its answers (`balancer.linkerd.io/failure-accrual`). It comes back for one request after a pause. */
export type FailureAccrual = {
  /** In a row; 0: does not count. */
  readonly maxConsecutiveFailures: number;
  /** Share of good answers below which it is taken out; 0: does not count. 429 counts as a failure here. */
  readonly successRateThreshold: number;
  readonly decayMs: number;
  readonly minRequests: number;
  readonly backoff: Backoff;
  /** Retry-After of the response that takes it out makes the pause longer, up to the longest of `backoff`. */
  readonly honorsRetryAfter?: true;
};

/** Linkerd's: a second to a minute, up to half as much again. */
export const defaultAccrualBackoff: Backoff = { minMs: 1_000, maxMs: 60_000, jitter: 0.5 };

/** Linkerd's window of the success rate. */
export const defaultAccrualDecayMs = 10_000;

/** Linkerd's: a rate of fewer requests says nothing. */
export const defaultAccrualMinRequests = 5;
