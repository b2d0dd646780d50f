import test from "ava";
import fc from "fast-check";
import { backoffMs } from "../../../src/core/decide/backoff.ts";
import {
  decideRetry,
  type FinishedTry,
  failureStatuses,
  isRetryable,
  type LostConnection,
  maxRetryAfterMs,
  maySendOnFreshConnection,
  type TryFailure,
} from "../../../src/core/decide/retry.ts";
import { retryBudgetSlots } from "../../../src/core/decide/retry-budget.ts";
import {
  defaultRetryBackoff,
  defaultRetryBodyBytes,
  defaultRetryBudget,
  type Retry,
} from "../../../src/core/model/retry.ts";

const policy: Retry = {
  limit: 3,
  statuses: [
    { start: 500, end: 500 },
    { start: 502, end: 504 },
  ],
  perTryMs: 0,
  backoff: { minMs: 100, maxMs: 1_000, jitter: 0 },
  maxBodyBytes: defaultRetryBodyBytes,
  budget: defaultRetryBudget,
};

const failed: FinishedTry = {
  tries: 1,
  outcome: 503,
  bodyReplayable: true,
  responseStarted: false,
  retryAfterMs: undefined,
};

function decide(
  last: Partial<FinishedTry>,
  retry: Partial<Retry> = {},
  state: Float64Array = new Float64Array(retryBudgetSlots),
): string {
  const chance = { state, nowMs: 0, random01: 0.5 };
  const decision = decideRetry({ ...policy, ...retry }, { ...failed, ...last }, chance);
  return decision.kind === "retry" ? `in ${decision.waitMs} ms` : decision.reason;
}

test("decideRetry() retries the listed statuses, both ends included", (t) => {
  const retried = [499, 500, 501, 502, 503, 504, 505].filter(
    (outcome) => decide({ outcome }) !== "not-listed",
  );
  t.deepEqual(retried, [500, 502, 503, 504]);
});

test("decideRetry() retries what has no response, without any listed status", (t) => {
  for (const outcome of ["connect", "reset", "timeout", "unavailable"] as const) {
    t.is(decide({ outcome }, { statuses: [] }), "in 100 ms");
  }
  t.is(decide({ outcome: 503 }, { statuses: [] }), "not-listed");
});

test("decideRetry() counts retries, so that three make four tries", (t) => {
  const waits = [1, 2, 3, 4].map((tries) => decide({ tries }));
  t.deepEqual(waits, ["in 100 ms", "in 200 ms", "in 400 ms", "limit"]);
  t.is(decide({}, { limit: 0 }), "limit");
});

test("decideRetry() gives up when the client has seen a part of the response", (t) => {
  t.is(decide({ outcome: "reset", responseStarted: true }), "response-started");
});

test("decideRetry() gives up when the body cannot be sent again", (t) => {
  t.is(decide({ bodyReplayable: false }), "body-too-large");
});

test("decideRetry() waits as long as the response asks for, up to a limit", (t) => {
  t.is(decide({ retryAfterMs: 3_000 }), "in 3000 ms");
  t.is(decide({ retryAfterMs: 10 }), "in 100 ms");
  t.is(decide({ retryAfterMs: maxRetryAfterMs }), `in ${maxRetryAfterMs} ms`);
  t.is(decide({ retryAfterMs: maxRetryAfterMs + 1 }), "retry-after");
});

test("decideRetry() gives up when the budget is spent", (t) => {
  const state = new Float64Array(retryBudgetSlots);
  const budget = { percent: 0, intervalMs: 1_000, minPerSecond: 2 };
  const decisions = [1, 2, 3].map(() => decide({}, { budget }, state));
  t.deepEqual(decisions, ["in 100 ms", "in 100 ms", "budget"]);
});

test("decideRetry() takes nothing from the budget when it gives up", (t) => {
  const state = new Float64Array(retryBudgetSlots);
  const budget = { percent: 0, intervalMs: 1_000, minPerSecond: 1 };
  decide({ outcome: 200 }, { budget }, state);
  decide({ tries: 9 }, { budget }, state);
  decide({ bodyReplayable: false }, { budget }, state);
  t.is(decide({}, { budget }, state), "in 100 ms");
});

test("backoffMs() is never shorter than the policy asks for, nor longer than its most", (t) => {
  const random01 = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  const backoffs = fc.record({
    minMs: fc.nat(10_000),
    maxMs: fc.nat(100_000),
    jitter: fc.double({ min: 0, max: 100, noNaN: true }),
  });
  fc.assert(
    fc.property(backoffs, fc.nat(10_000), random01, (backoff, round, random) => {
      const wait = backoffMs(backoff, round, random);
      t.true(wait >= backoff.minMs);
      t.true(wait <= Math.max(backoff.minMs, backoff.maxMs) * (1 + backoff.jitter));
    }),
  );
});

test("backoffMs() doubles up to the most, and adds the jitter", (t) => {
  const waits = [0, 1, 2, 3, 4, 5].map((round) => backoffMs(defaultRetryBackoff, round, 0));
  t.deepEqual(waits, [25, 50, 100, 200, 250, 250]);
  t.is(backoffMs(defaultRetryBackoff, 0, 0.5), 37.5);
});

test("isRetryable() takes every failure without a response", (t) => {
  const never = { ...policy, statuses: [] };
  t.true(isRetryable(never, "reset"));
  t.false(isRetryable(never, 500));
});

test("failureStatuses are 504 for a timeout and 503 otherwise", (t) => {
  const expected: Record<TryFailure, number> = {
    connect: 503,
    reset: 503,
    timeout: 504,
    unavailable: 503,
  };
  t.deepEqual(failureStatuses, expected);
});

const stale: LostConnection = {
  method: "GET",
  reused: true,
  answered: false,
  bodyReplayable: true,
};

test("maySendOnFreshConnection() takes an idempotent request from a connection that had died", (t) => {
  t.true(maySendOnFreshConnection(stale));
  t.true(maySendOnFreshConnection({ ...stale, method: "PUT" }));
});

test("maySendOnFreshConnection() leaves what could be served twice, or what was answered", (t) => {
  t.false(maySendOnFreshConnection({ ...stale, method: "POST" }));
  t.false(maySendOnFreshConnection({ ...stale, method: "PATCH" }));
  t.false(maySendOnFreshConnection({ ...stale, reused: false }));
  t.false(maySendOnFreshConnection({ ...stale, answered: true }));
  t.false(maySendOnFreshConnection({ ...stale, bodyReplayable: false }));
});

test("decideRetry() retries the codes of gRPC that the policy names, whatever the status", (t) => {
  const calls: Retry = { ...policy, statuses: [], grpcCodes: [14] };
  const chance = { state: new Float64Array(retryBudgetSlots), nowMs: 0, random01: 0 };
  const decide = (retry: Retry, grpcCode: number): string =>
    decideRetry(retry, { ...failed, outcome: 200, grpcCode }, chance).kind;
  t.is(decide(calls, 14), "retry");
  t.is(decide(calls, 13), "give-up");
  t.is(decide({ ...policy, statuses: [] }, 14), "give-up");
});
