import test from "ava";
import fc from "fast-check";
import {
  deposit,
  mayRetry,
  retryBudgetSlots,
  withdraw,
} from "../../../src/core/decide/retry-budget.ts";
import { defaultRetryBudget, type RetryBudget } from "../../../src/core/model/retry.ts";

const percent: RetryBudget = { percent: 20, intervalMs: 10_000, minPerSecond: 0 };

function budgetOf(requests: number, budget: RetryBudget, nowMs = 0): Float64Array {
  const state = new Float64Array(retryBudgetSlots);
  for (let at = 0; at < requests; at++) deposit(state, budget, nowMs);
  return state;
}

/** How many retries there may be at once. */
function drain(state: Float64Array, budget: RetryBudget, nowMs: number): number {
  let taken = 0;
  while (mayRetry(state, budget, nowMs) && taken < 10_000) {
    withdraw(state, budget, nowMs);
    taken++;
  }
  return taken;
}

test("mayRetry() allows the percentage of the requests", (t) => {
  t.is(drain(budgetOf(100, percent), percent, 0), 20);
  t.is(drain(budgetOf(4, percent), percent, 0), 0);
  t.is(drain(budgetOf(5, percent), percent, 0), 1);
});

test("mayRetry() allows the least number of retries without any request", (t) => {
  t.is(drain(budgetOf(0, defaultRetryBudget), defaultRetryBudget, 0), 100);
});

test("mayRetry() allows the larger of the two", (t) => {
  const budget = { ...percent, minPerSecond: 1 };
  t.is(drain(budgetOf(10, budget), budget, 0), 10);
  t.is(drain(budgetOf(100, budget), budget, 0), 20);
});

test("mayRetry() forgets requests and retries after the interval", (t) => {
  const state = budgetOf(100, percent, 500);
  t.is(drain(state, percent, 9_999), 20);
  t.false(mayRetry(state, percent, 10_000));
  for (let at = 0; at < 50; at++) deposit(state, percent, 12_000);
  // The requests of 500 are gone, the retries of 9,999 are not.
  t.false(mayRetry(state, percent, 18_000));
  t.is(drain(state, percent, 19_000), 10);
});

test("mayRetry() begins anew after a long silence", (t) => {
  const state = budgetOf(100, percent);
  drain(state, percent, 0);
  t.is(drain(state, percent, 1e12), 0);
  for (let at = 0; at < 10; at++) deposit(state, percent, 1e12);
  t.is(drain(state, percent, 1e12), 2);
});

test("mayRetry() does not refill when the clock is set back", (t) => {
  const state = budgetOf(100, percent, 50_000);
  t.is(drain(state, percent, 50_000), 20);
  t.false(mayRetry(state, percent, 0));
});

/** The obvious way: every event is kept, and counted if it is of the last ten steps. */
class Ledger {
  readonly #events: { readonly kind: "request" | "retry"; readonly atMs: number }[] = [];

  add(kind: "request" | "retry", atMs: number): void {
    this.#events.push({ kind, atMs });
  }

  mayRetry(budget: RetryBudget, nowMs: number): boolean {
    const stepMs = budget.intervalMs / 10;
    const from = Math.floor(nowMs / stepMs) - 9;
    const recent = this.#events.filter(({ atMs }) => Math.floor(atMs / stepMs) >= from);
    const retries = recent.filter(({ kind }) => kind === "retry").length;
    const share = ((recent.length - retries) * budget.percent) / 100;
    return retries + 1 <= Math.max(share, (budget.minPerSecond * budget.intervalMs) / 1_000);
  }
}

test("mayRetry() agrees with a ledger of all events", (t) => {
  const event = fc.record({
    afterMs: fc.oneof(fc.nat(50), fc.nat(3_000)),
    kind: fc.constantFrom("request" as const, "request" as const, "retry" as const),
  });
  const budgets = fc.record({
    percent: fc.constantFrom(0, 20, 50, 100),
    intervalMs: fc.constantFrom(1_000, 10_000),
    minPerSecond: fc.constantFrom(0, 1),
  });
  fc.assert(
    fc.property(budgets, fc.array(event, { maxLength: 200 }), (budget, events) => {
      const state = budgetOf(0, budget);
      const ledger = new Ledger();
      let nowMs = 0;
      for (const { afterMs, kind } of events) {
        nowMs += afterMs;
        if (kind === "request") {
          deposit(state, budget, nowMs);
          ledger.add("request", nowMs);
          continue;
        }
        const allowed = ledger.mayRetry(budget, nowMs);
        t.is(mayRetry(state, budget, nowMs), allowed);
        if (!allowed) continue;
        withdraw(state, budget, nowMs);
        ledger.add("retry", nowMs);
      }
    }),
    { numRuns: 200 },
  );
});
