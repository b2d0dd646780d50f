/**
 * Whether a try that failed is followed by another (Gateway API GEP-1731, Linkerd's `retry.linkerd.io/*`).
 *
 * Methods do not count: whoever writes a retry into a rule has said that its requests may be sent twice, and Linkerd reads it so too. What counts is that the body can be
 * sent again from the start.
 */
import type { Retry } from "../model/retry.ts";
import { backoffMs } from "./backoff.ts";
import { mayRetry, withdraw } from "./retry-budget.ts";

/** How a try ended without a response: never connected, connection lost, out of time, or no endpoint that was ready. */
export type TryFailure = "connect" | "reset" | "timeout" | "unavailable";

export type FinishedTry = {
  /** Tries so far, this one included. */
  readonly tries: number;
  /** The status of the response, or why there is none. */
  readonly outcome: number | TryFailure;
  /** Of the response to a gRPC request, when it is known: that of its head or trailers. */
  readonly grpcCode?: number;
  /** The request has no body, or all of it so far is in the replay buffer. */
  readonly bodyReplayable: boolean;
  /** The client has seen a part of the response. */
  readonly responseStarted: boolean;
  /** What the response asked for (see retry-after). */
  readonly retryAfterMs: number | undefined;
};

/** `state` is that of the retry budget. */
export type RetryChance = {
  readonly state: Float64Array;
  readonly nowMs: number;
  readonly random01: number;
};

/** Why there is no further try; also the label of a metric. */
export type NoRetryReason =
  | "not-listed"
  | "response-started"
  | "limit"
  | "body-too-large"
  | "retry-after"
  | "budget";

export type RetryDecision =
  | { readonly kind: "retry"; readonly waitMs: number }
  | { readonly kind: "give-up"; readonly reason: NoRetryReason };

/**
 * A backend that asks for a longer pause than this is not tried again: the client gets its answer, Retry-After included, and can wait better than we can. Five
 * seconds are half of what people wait for.
 */
export const maxRetryAfterMs = 5_000;

/** Takes from the budget when the answer is to retry. */
export function decideRetry(retry: Retry, last: FinishedTry, chance: RetryChance): RetryDecision {
  const reason = reasonAgainst(retry, last);
  if (reason !== undefined) return giveUp[reason];
  const { state, nowMs, random01 } = chance;
  if (!mayRetry(state, retry.budget, nowMs)) return giveUp.budget;
  withdraw(state, retry.budget, nowMs);
  const waitMs = backoffMs(retry.backoff, last.tries - 1, random01);
  return { kind: "retry", waitMs: Math.max(waitMs, last.retryAfterMs ?? 0) };
}

const giveUp: Readonly<Record<NoRetryReason, RetryDecision>> = {
  "not-listed": { kind: "give-up", reason: "not-listed" },
  "response-started": { kind: "give-up", reason: "response-started" },
  limit: { kind: "give-up", reason: "limit" },
  "body-too-large": { kind: "give-up", reason: "body-too-large" },
  "retry-after": { kind: "give-up", reason: "retry-after" },
  budget: { kind: "give-up", reason: "budget" },
};

function reasonAgainst(retry: Retry, last: FinishedTry): NoRetryReason | undefined {
  if (!isRetryable(retry, last.outcome, last.grpcCode)) return "not-listed";
  if (last.responseStarted) return "response-started";
  if (last.tries > retry.limit) return "limit";
  if (!last.bodyReplayable) return "body-too-large";
  if ((last.retryAfterMs ?? 0) > maxRetryAfterMs) return "retry-after";
  return undefined;
}

/** GEP-1731: what never became a response is retried whatever the list of statuses says. */
export function isRetryable(
  { statuses, grpcCodes = [] }: Retry,
  outcome: number | TryFailure,
  grpcCode?: number,
): boolean {
  if (typeof outcome !== "number") return true;
  if (grpcCode !== undefined && grpcCodes.includes(grpcCode)) return true;
  return statuses.some(({ start, end }) => outcome >= start && outcome <= end);
}

/**
 * What the client gets when the last try had no response of its own to hand on. GEP-1731 takes 500 or 503 for a lost connection and not 502; out of time is 504.
 */
export const failureStatuses: Readonly<Record<TryFailure, number>> = {
  connect: 503,
  reset: 503,
  timeout: 504,
  unavailable: 503,
};

/** RFC 9110 §9.2.2. */
const idempotentMethods: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "OPTIONS",
  "TRACE",
  "PUT",
  "DELETE",
]);

export type LostConnection = {
  readonly method: string;
  /** It had served another request before. */
  readonly reused: boolean;
  /** A byte of the response was read. */
  readonly answered: boolean;
  readonly bodyReplayable: boolean;
};

/**
 * Whether a request goes out once more, on a fresh connection, after a kept one turned out to be dead. No rule has to ask for it: the backend closed the connection before it
 * saw the request (RFC 9112 §9.3.1), and methods for which that cannot be told from having been served are left out.
 */
export function maySendOnFreshConnection(lost: LostConnection): boolean {
  return lost.reused && !lost.answered && lost.bodyReplayable && idempotentMethods.has(lost.method);
}
