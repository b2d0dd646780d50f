/** Random timeouts, retries, sessions and breakers, in the form in which they come back from the wire. */
import fc from "fast-check";
import {
  defaultAccrualDecayMs,
  defaultAccrualMinRequests,
  type FailureAccrual,
} from "../../src/core/model/accrual.ts";
import {
  type Backoff,
  defaultRetryBudget,
  type Retry,
  type StatusRange,
} from "../../src/core/model/retry.ts";
import type { SessionPersistence } from "../../src/core/model/session.ts";
import type { Timeouts } from "../../src/core/model/timeouts.ts";
import { anyDurationMs } from "./backend.ts";

const limitMs = fc.oneof(fc.constant(0), fc.constantFrom(500, 1_000), anyDurationMs);

export const anyTimeouts: fc.Arbitrary<Timeouts> = fc.record({
  requestMs: limitMs,
  backendRequestMs: limitMs,
  responseMs: limitMs,
  idleMs: limitMs,
});

const backoff: fc.Arbitrary<Backoff> = fc.record({
  minMs: fc.constantFrom(0, 1, 25),
  maxMs: fc.constantFrom(25, 250, 60_000),
  jitter: fc.constantFrom(0, 0.1, 0.5, 1, 100),
});

const statuses: fc.Arbitrary<readonly StatusRange[]> = fc.subarray([
  { start: 500, end: 599 },
  { start: 502, end: 504 },
  { start: 1, end: 1 },
]);

export const anyRetry: fc.Arbitrary<Retry> = fc.record({
  limit: fc.constantFrom(0, 1, 3, 65_535),
  statuses,
  perTryMs: limitMs,
  backoff,
  maxBodyBytes: fc.constantFrom(0, 65_536, 4_294_967_295),
  budget: fc.oneof(
    fc.constant(defaultRetryBudget),
    fc.record({
      percent: fc.constantFrom(0, 20, 100),
      intervalMs: fc.constantFrom(1, 10_000),
      minPerSecond: fc.constantFrom(0, 10),
    }),
  ),
});

const sessionName = fc.constantFrom("session", "X-Session");

const timesOfSession = {
  name: sessionName,
  absoluteMs: fc.constantFrom(0, 60_000),
  idleMs: fc.constantFrom(0, 1_000),
};

export const anySession: fc.Arbitrary<SessionPersistence> = fc.oneof(
  fc.record({
    type: fc.constant("header" as const),
    cookiePath: fc.constant(""),
    lifetime: fc.constant("session" as const),
    ...timesOfSession,
  }),
  fc.record({
    type: fc.constant("cookie" as const),
    cookiePath: fc.constantFrom("/", "/a b"),
    lifetime: fc.constant("session" as const),
    ...timesOfSession,
  }),
  fc.record({
    ...timesOfSession,
    type: fc.constant("cookie" as const),
    cookiePath: fc.constantFrom("/", "/a"),
    lifetime: fc.constant("permanent" as const),
    absoluteMs: fc.constantFrom(1, 60_000),
  }),
);

const maxConsecutiveFailures = fc.constantFrom(0, 1, 7);

const patient = fc.constantFrom({}, { honorsRetryAfter: true } as const);

export const anyAccrual: fc.Arbitrary<FailureAccrual> = fc
  .tuple(
    fc.oneof(
      fc.record({
        maxConsecutiveFailures,
        successRateThreshold: fc.constant(0),
        decayMs: fc.constant(defaultAccrualDecayMs),
        minRequests: fc.constant(defaultAccrualMinRequests),
        backoff,
      }),
      fc.record({
        maxConsecutiveFailures,
        successRateThreshold: fc.constantFrom(0.1, 0.8, 1),
        decayMs: fc.constantFrom(10, 10_000),
        minRequests: fc.constantFrom(0, 5, 1_000_000),
        backoff,
      }),
    ),
    patient,
  )
  .map(([accrual, also]) => ({ ...accrual, ...also }));
