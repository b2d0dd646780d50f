/** When a request is sent again, and what bounds that (Gateway API GEP-1731, Linkerd's `retry.linkerd.io/*`). */
export type StatusRange = { readonly start: number; readonly end: number };

export type Retry = {
  /** Tries after the first. */
  readonly limit: number;
  /** Inclusive ranges of response statuses. Refused, reset and timed-out tries are retried whatever these say. */
  readonly statuses: readonly StatusRange[];
  /** Of a gRPC route: the codes in `grpc-status` that are retried, whether they come in the head or in the trailers. */
  readonly grpcCodes?: readonly number[];
  /** Wait for the head of one try's response; 0: no limit. The last try has none. */
  readonly perTryMs: number;
  readonly backoff: Backoff;
  /** A request with a longer body is not sent again. */
  readonly maxBodyBytes: number;
  readonly budget: RetryBudget;
  /** Every rule of the policy that says so draws on one budget, as the routes of a ServiceProfile do. No message of a policy can carry it. */
  readonly sharesBudget?: true;
};

/** Grows from the smallest to the largest; up to `jitter` of it is added, so a wait is never shorter than asked for. */
export type Backoff = {
  readonly minMs: number;
  readonly maxMs: number;
  readonly jitter: number;
};

/** Retries may be `percent` of the requests of the last `intervalMs`, or `minPerSecond` if that is more. */
export type RetryBudget = {
  readonly percent: number;
  readonly intervalMs: number;
  readonly minPerSecond: number;
};

/** Gateway API XBackendTrafficPolicy's defaults, which are also those of Linkerd's ServiceProfiles. */
export const defaultRetryBudget: RetryBudget = {
  percent: 20,
  intervalMs: 10_000,
  minPerSecond: 10,
};

/** Linkerd's: 25 to 250 ms, up to doubled. */
export const defaultRetryBackoff: Backoff = { minMs: 25, maxMs: 250, jitter: 1 };

/** Linkerd's replay buffer. */
export const defaultRetryBodyBytes = 65_536;
