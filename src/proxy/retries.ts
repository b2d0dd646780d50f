/** Asks whether a try is followed by another (`core/decide/retry.ts`), and counts the answer. */
import {
  decideRetry,
  failureStatuses,
  type NoRetryReason,
  type TryFailure,
} from "../core/decide/retry.ts";
import type { Retry, RetryBudget } from "../core/model/retry.ts";
import type { Counts, Labels } from "./count.ts";
import type { Exchange } from "./exchange.ts";
import { type ErrorCode, rescue, rows } from "./rescue.ts";

export type LoadedRetry = {
  /** With this worker's share of the budget. */
  readonly policy: Retry;
  /** State of the budget. */
  readonly budget: Float64Array;
  readonly counts: RetryCounts;
};

/** In Linkerd's words where it has them. */
export class RetryCounts {
  readonly #counts: Counts;
  readonly #labels: Labels;
  readonly #requests: number;
  readonly #successes: number;
  readonly #overflow: number;
  readonly #limitExceeded: number;

  constructor(counts: Counts, labels: Labels) {
    this.#counts = counts;
    this.#labels = labels;
    this.#requests = counts.place("outbound_http_route_retry_requests_total", labels);
    this.#successes = counts.place("outbound_http_route_retry_successes_total", labels);
    this.#overflow = counts.place("outbound_http_route_retry_overflow_total", labels);
    this.#limitExceeded = counts.place("outbound_http_route_retry_limit_exceeded_total", labels);
  }

  request(): void {
    this.#counts.add(this.#requests);
  }

  success(): void {
    this.#counts.add(this.#successes);
  }

  giveUp(reason: NoRetryReason): void {
    if (reason === "budget") this.#counts.add(this.#overflow);
    else if (reason === "limit") this.#counts.add(this.#limitExceeded);
    else {
      const labels = { ...this.#labels, reason };
      this.#counts.add(this.#counts.place("weft_http_route_retry_skipped_total", labels));
    }
  }
}

/** For people, behind "not retried: ". */
const reasons: Readonly<Record<NoRetryReason, string>> = {
  "not-listed": "the rule does not list the status",
  "response-started": "a part of the response has been sent",
  limit: "no try is left",
  "body-too-large": "the request is too long to be kept",
  "retry-after": "the endpoint asks for a longer pause",
  budget: "the retry budget is used up",
};

export type TryOutcome = number | TryFailure;

/** Failures that another try may mend. What is not here was understood by nobody, or is wrong with the request. */
export const tryFailures: ReadonlyMap<ErrorCode, TryFailure> = new Map<ErrorCode, TryFailure>([
  ["connect-failed", "connect"],
  ["connect-timeout", "connect"],
  ["wrong-identity", "connect"],
  ["upstream-closed", "reset"],
  ["try-timeout", "timeout"],
  ["no-endpoints", "unavailable"],
  ["fail-fast", "unavailable"],
]);

/** Milliseconds until the next try. Negative: there is none, and `guard.noRetry` says why if the outcome is one to be retried. */
export function msToNextTry(
  exchange: Exchange,
  outcome: TryOutcome,
  retryAfterMs: number | undefined,
  grpcCode?: number,
): number {
  const { guard, shard, responseStarted } = exchange;
  const retry = exchange.rule?.retry;
  if (guard === undefined || retry === undefined) return -1;
  const bodyReplayable = guard.body.isWhole;
  const { tries } = guard;
  const grpc = grpcCode === undefined ? {} : { grpcCode };
  const last = { tries, outcome, ...grpc, bodyReplayable, responseStarted, retryAfterMs };
  const chance = { state: retry.budget, nowMs: shard.nowMs(), random01: shard.random() };
  const decision = decideRetry(retry.policy, last, chance);
  if (decision.kind === "retry") {
    retry.counts.request();
    return decision.waitMs;
  }
  retry.counts.giveUp(decision.reason);
  guard.noRetry = decision.reason;
  return -1;
}

/** The request has failed for good. With retries the status is one of those that a client of retries expects. */
export function rescueTry(exchange: Exchange, code: ErrorCode, reason?: string): void {
  const noRetry = exchange.guard?.noRetry;
  const kind = tryFailures.get(code);
  const why = reason ?? rows[code].reason;
  if (noRetry === undefined || kind === undefined) {
    rescue(exchange, code, { reason: why });
    return;
  }
  rescue(exchange, code, {
    reason: `${why}; not retried: ${reasons[noRetry]}`,
    // XBackendTrafficPolicy: whoever is over the budget gets 503.
    status: noRetry === "budget" ? 503 : failureStatuses[kind],
  });
}

/**
 * A worker's share of a budget. Percentages are the same for each; the rest is divided, since connections are spread over the
 * workers. A share is never less than one retry in an interval, if the budget is not: else a seldom used rule had none.
 */
export function shareOf(budget: RetryBudget, workers: number): RetryBudget {
  const { minPerSecond, intervalMs } = budget;
  const one = 1_000 / Math.max(intervalMs, 1);
  const share = Math.max(minPerSecond / Math.max(workers, 1), Math.min(minPerSecond, one));
  return { ...budget, minPerSecond: share };
}
