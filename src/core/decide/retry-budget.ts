/**
 * How many retries there may be beside the first tries of the last seconds (Gateway API XBackendTrafficPolicy `retryConstraint`), so that a backend that fails
 * everything is not sent a multiple of its load. The window slides in steps of a tenth: it covers between nine and ten tenths of the interval.
 *
 * State is a Float64Array that the caller owns: the number of the newest step, then first tries and retries of each step.
 */
import type { RetryBudget } from "../model/retry.ts";

const steps = 10;
const requestsAt = 1;
const retriesAt = requestsAt + steps;

export const retryBudgetSlots: number = retriesAt + steps;

/** A first try is sent. */
export function deposit(state: Float64Array, budget: RetryBudget, nowMs: number): void {
  const slot = requestsAt + slide(state, budget, nowMs);
  state[slot] = (state[slot] ?? 0) + 1;
}

/** Whether there may be one more retry now. */
export function mayRetry(state: Float64Array, budget: RetryBudget, nowMs: number): boolean {
  slide(state, budget, nowMs);
  const share = (sum(state, requestsAt) * budget.percent) / 100;
  const floor = (budget.minPerSecond * budget.intervalMs) / 1_000;
  return sum(state, retriesAt) + 1 <= Math.max(share, floor);
}

/** A retry is sent. */
export function withdraw(state: Float64Array, budget: RetryBudget, nowMs: number): void {
  const slot = retriesAt + slide(state, budget, nowMs);
  state[slot] = (state[slot] ?? 0) + 1;
}

/** Forgets what is older than the window, and answers with the step of now. A clock that was set back counts into the newest step. */
function slide(state: Float64Array, { intervalMs }: RetryBudget, nowMs: number): number {
  const newest = state[0] ?? 0;
  const step = Math.max(Math.floor((nowMs * steps) / Math.max(intervalMs, 1)), newest);
  for (let gone = Math.max(newest + 1, step - steps + 1); gone <= step; gone++) {
    state[requestsAt + (gone % steps)] = 0;
    state[retriesAt + (gone % steps)] = 0;
  }
  state[0] = step;
  return step % steps;
}

function sum(state: Float64Array, start: number): number {
  let total = 0;
  for (let at = start; at < start + steps; at++) total += state[at] ?? 0;
  return total;
}
