/**
 * Circuit breaker of one endpoint (`balancer.linkerd.io/failure-accrual`). Closed: requests flow and their results are counted. Open: none for a while. Then
 * probation: exactly one request, which closes the breaker or opens it for twice as long.
 *
 * State is a Float64Array that the caller owns, `accrualSlots` numbers for each endpoint; `at` is the index of the endpoint. All zero is closed.
 */
import type { FailureAccrual } from "../model/accrual.ts";
import { grpcCode } from "../model/grpc-status.ts";
import { backoffMs } from "./backoff.ts";

export const accrualSlots = 7;

const phaseSlot = 0;
const inRowSlot = 1;
const untilSlot = 2;
const tripsSlot = 3;
const goodSlot = 4;
const totalSlot = 5;
const countedSlot = 6;

const closed = 0;
const open = 1;
const probing = 2;

/** `limited` is 429: the endpoint is well but has too much to do, which counts for the success rate alone. */
export type AccrualAnswer = "success" | "limited" | "failure";

/** UNKNOWN, DEADLINE_EXCEEDED, PERMISSION_DENIED, INTERNAL, UNAVAILABLE and DATA_LOSS. */
const failedGrpc: ReadonlySet<number> = new Set([2, 4, 7, 13, 14, 15]);

/** Linkerd's default classification. Undefined: there was no response, or it says nothing of gRPC. */
export function accrualAnswer(status: number | undefined, grpcStatus?: number): AccrualAnswer {
  if (status === undefined || status >= 500) return "failure";
  if (grpcStatus !== undefined && failedGrpc.has(grpcStatus)) return "failure";
  return status === 429 || grpcStatus === grpcCode.resourceExhausted ? "limited" : "success";
}

export type AccrualResult = {
  readonly answer: AccrualAnswer;
  /** What `beginTry` said of this request. */
  readonly probe: boolean;
  readonly nowMs: number;
  readonly random01: number;
  /** What the response asked for. Where the policy honours it, an open breaker stays open as long, up to the policy's longest pause. */
  readonly retryAfterMs: number | undefined;
};

export type BreakerChange = "none" | "opened" | "closed";

/** For an endpoint that takes the place of another. */
export function startAccrual(state: Float64Array, at: number): void {
  state.fill(0, at * accrualSlots, (at + 1) * accrualSlots);
}

/** Whether the balancer may pick the endpoint. */
export function isAvailable(state: Float64Array, at: number, nowMs: number): boolean {
  const slot = at * accrualSlots;
  const phase = state[slot + phaseSlot];
  return phase === closed || (phase === open && nowMs >= (state[slot + untilSlot] ?? 0));
}

/** From when on the balancer may pick the endpoint, if nothing happens before. Infinite: not before the end of its probe. */
export function availableAtMs(state: Float64Array, at: number): number {
  const slot = at * accrualSlots;
  const phase = state[slot + phaseSlot];
  if (phase === closed) return 0;
  return phase === open ? (state[slot + untilSlot] ?? 0) : Number.POSITIVE_INFINITY;
}

/** A request goes to an available endpoint. True: it is the one of the probation, and owes a call of `onResult` or `abandonProbe`. */
export function beginTry(state: Float64Array, at: number): boolean {
  const slot = at * accrualSlots;
  if (state[slot + phaseSlot] !== open) return false;
  state[slot + phaseSlot] = probing;
  return true;
}

/** The request of the probation ended without a result, because the client left: the next one takes its place. */
export function abandonProbe(state: Float64Array, at: number): void {
  const slot = at * accrualSlots;
  if (state[slot + phaseSlot] === probing) state[slot + phaseSlot] = open;
}

/** A request ended. Results of requests that began before the breaker opened say nothing new and do not count. */
export function onResult(
  policy: FailureAccrual,
  state: Float64Array,
  at: number,
  result: AccrualResult,
): BreakerChange {
  const phase = state[at * accrualSlots + phaseSlot];
  if (result.probe && phase === probing) return endProbation(policy, state, at, result);
  if (phase !== closed) return "none";
  count(policy, state, at, result);
  if (!isTripped(policy, state, at)) return "none";
  trip(policy, state, at, result);
  return "opened";
}

function endProbation(
  policy: FailureAccrual,
  state: Float64Array,
  at: number,
  result: AccrualResult,
): BreakerChange {
  const { answer } = result;
  if (answer === "failure" || (answer === "limited" && policy.successRateThreshold > 0)) {
    trip(policy, state, at, result);
    return "opened";
  }
  startAccrual(state, at);
  return "closed";
}

function count(
  policy: FailureAccrual,
  state: Float64Array,
  at: number,
  { answer, nowMs }: AccrualResult,
): void {
  const slot = at * accrualSlots;
  state[slot + inRowSlot] = answer === "failure" ? (state[slot + inRowSlot] ?? 0) + 1 : 0;
  if (policy.successRateThreshold <= 0) return;
  const elapsedMs = Math.max(nowMs - (state[slot + countedSlot] ?? 0), 0);
  const keep = policy.decayMs > 0 ? Math.exp(-elapsedMs / policy.decayMs) : 0;
  state[slot + goodSlot] = (state[slot + goodSlot] ?? 0) * keep + (answer === "success" ? 1 : 0);
  state[slot + totalSlot] = (state[slot + totalSlot] ?? 0) * keep + 1;
  state[slot + countedSlot] = nowMs;
}

function isTripped(policy: FailureAccrual, state: Float64Array, at: number): boolean {
  const slot = at * accrualSlots;
  const { maxConsecutiveFailures: most, successRateThreshold: threshold, minRequests } = policy;
  if (most > 0 && (state[slot + inRowSlot] ?? 0) >= most) return true;
  const total = state[slot + totalSlot] ?? 0;
  // Old results weigh less than one, even a millisecond later; rounding counts a burst as what it is.
  if (threshold <= 0 || total === 0 || Math.round(total) < minRequests) return false;
  return (state[slot + goodSlot] ?? 0) / total < threshold;
}

function trip(
  { backoff, honorsRetryAfter }: FailureAccrual,
  state: Float64Array,
  at: number,
  { nowMs, random01, retryAfterMs }: AccrualResult,
): void {
  const slot = at * accrualSlots;
  const trips = state[slot + tripsSlot] ?? 0;
  const asked = honorsRetryAfter === true ? Math.min(retryAfterMs ?? 0, backoff.maxMs) : 0;
  startAccrual(state, at);
  state[slot + phaseSlot] = open;
  state[slot + tripsSlot] = trips + 1;
  state[slot + untilSlot] = nowMs + Math.max(backoffMs(backoff, trips, random01), asked);
}
