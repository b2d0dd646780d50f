/** Retries, sessions and breakers as another control plane might send them, or a damaged one of ours. */
import { create } from "@bufbuild/protobuf";
import test from "ava";
import { defaultAccrualBackoff, type FailureAccrual } from "../../../src/core/model/accrual.ts";
import {
  defaultRetryBackoff,
  defaultRetryBudget,
  type Retry,
} from "../../../src/core/model/retry.ts";
import type { SessionPersistence } from "../../../src/core/model/session.ts";
import { fromWireAccrual, toWireAccrual } from "../../../src/core/wire/accrual.ts";
import { type Decoded, decode } from "../../../src/core/wire/decode.ts";
import {
  FailureAccrualSchema,
  HttpRoute_RetrySchema,
} from "../../../src/core/wire/gen/linkerd/outbound_pb.ts";
import { SessionPersistenceSchema } from "../../../src/core/wire/gen/weft/extensions_pb.ts";
import { fromWireRetry, toWireRetry } from "../../../src/core/wire/retry.ts";
import { fromWireSession } from "../../../src/core/wire/session.ts";
import type { Init } from "./init.ts";

function retry(init: Init<typeof HttpRoute_RetrySchema>): Decoded<Retry | undefined> {
  return decode((trace) => fromWireRetry(create(HttpRoute_RetrySchema, init), trace));
}

test("fromWireRetry() has a budget and pauses where Linkerd's controller sends none", (t) => {
  t.deepEqual(retry({ maxRetries: 1, maxRequestBytes: 65_536, conditions: {} }), {
    value: {
      limit: 1,
      statuses: [],
      perTryMs: 0,
      backoff: defaultRetryBackoff,
      maxBodyBytes: 65_536,
      budget: defaultRetryBudget,
    },
    faults: [],
  });
});

test("fromWireRetry() sends requests once when it is not known how long a try may take", (t) => {
  const { value, faults } = retry({ conditions: {}, timeout: { seconds: -1n } });
  t.is(value, undefined);
  t.is(faults[0]?.path, "timeout");
});

test("fromWireRetry() leaves out what is no range of statuses", (t) => {
  const statusRanges = [
    { start: 0, end: 500 },
    { start: 504, end: 502 },
    { start: 500, end: 600 },
    { start: 500, end: 500 },
  ];
  const { value, faults } = retry({ conditions: { statusRanges } });
  t.deepEqual(value?.statuses, [{ start: 500, end: 500 }]);
  t.is(faults.length, 3);
});

test("fromWireRetry() takes the defaults for pauses and budgets that are none", (t) => {
  const second = { seconds: 1n };
  const backoffs: readonly Init<typeof HttpRoute_RetrySchema>["backoff"][] = [
    {},
    { minBackoff: second },
    { minBackoff: second, maxBackoff: {} },
    { minBackoff: { seconds: -1n }, maxBackoff: second },
    { minBackoff: second, maxBackoff: second, jitterRatio: Number.NaN },
    { minBackoff: second, maxBackoff: second, jitterRatio: -1 },
    { minBackoff: second, maxBackoff: second, jitterRatio: 101 },
  ];
  for (const backoff of backoffs) {
    const { value, faults } = retry({ conditions: {}, ...(backoff && { backoff }) });
    t.deepEqual(value?.backoff, defaultRetryBackoff);
    t.is(faults[0]?.path, "backoff");
  }
  const { value, faults } = retry({ conditions: {}, budget: { percent: 50 } });
  t.deepEqual(value?.budget, defaultRetryBudget);
  t.is(faults[0]?.path, "budget.interval");
});

test("fromWireRetry() takes at most 65535 retries, and says when conditions are missing", (t) => {
  const { value, faults } = retry({ maxRetries: 70_000 });
  t.is(value?.limit, 65_535);
  t.deepEqual(
    faults.map(({ path }) => path),
    ["maxRetries", "conditions"],
  );
});

test("toWireRetry() sends nothing for which Linkerd's proxy refuses a policy", (t) => {
  const init = toWireRetry({
    limit: 100_000,
    statuses: [
      { start: 600, end: 700 },
      { start: 500, end: 599 },
    ],
    perTryMs: 0,
    backoff: { minMs: 100, maxMs: 0, jitter: 1_000 },
    maxBodyBytes: 2 ** 40,
    budget: defaultRetryBudget,
  });
  const sent = create(HttpRoute_RetrySchema, init);
  t.is(sent.maxRetries, 65_535);
  t.is(sent.maxRequestBytes, 4_294_967_295);
  t.like(sent.conditions?.statusRanges, [{ start: 500, end: 599 }]);
  t.deepEqual(sent.backoff?.maxBackoff, sent.backoff?.minBackoff);
  t.is(sent.backoff?.jitterRatio, 100);
  t.is(sent.timeout, undefined);
  t.is(sent.budget, undefined);
});

function accrual(init: Init<typeof FailureAccrualSchema>): Decoded<FailureAccrual | undefined> {
  return decode((trace) => fromWireAccrual(create(FailureAccrualSchema, init), trace));
}

test("fromWireAccrual() takes nobody out by a breaker of no known kind", (t) => {
  const { value, faults } = accrual({});
  t.is(value, undefined);
  t.is(faults.length, 1);
});

test("fromWireAccrual() takes Linkerd's pauses and window where there are none", (t) => {
  const consecutive = accrual({
    kind: { case: "consecutiveFailures", value: { maxFailures: 7 } },
  });
  t.like(consecutive.value, { maxConsecutiveFailures: 7, successRateThreshold: 0 });
  t.deepEqual(consecutive.value?.backoff, defaultAccrualBackoff);
  t.deepEqual(consecutive.faults[0]?.path, "consecutiveFailures.backoff");
  const value = { successRateThreshold: 0.5, decay: { nanos: 9_000_000 }, minRequests: 2_000_000 };
  const unified = accrual({ kind: { case: "unified", value } });
  t.like(unified.value, { successRateThreshold: 0.5, decayMs: 10_000, minRequests: 1_000_000 });
});

test("fromWireAccrual() does not count by a rate that is none", (t) => {
  for (const successRateThreshold of [-0.1, 1.1, Number.NaN]) {
    const backoff = { maxBackoff: { seconds: 1n }, minBackoff: {} };
    const value = { successRateThreshold, backoff };
    const read = accrual({ kind: { case: "unified", value } });
    t.is(read.value?.successRateThreshold, 0);
    t.is(read.faults.length, 1);
  }
});

test("fromWireAccrual() says what it does not support", (t) => {
  const backoff = { maxBackoff: { seconds: 1n }, minBackoff: {} };
  const { faults } = accrual({
    kind: { case: "consecutiveFailures", value: { backoff } },
    ejection: { minReadyEndpoints: 1 },
  });
  t.deepEqual(
    faults.map(({ path }) => path),
    ["ejection"],
  );
});

test("toWireAccrual() speaks the older form when no rate counts", (t) => {
  const model = { maxConsecutiveFailures: 7, decayMs: 1, minRequests: 5 };
  const sent = (successRateThreshold: number): unknown =>
    create(
      FailureAccrualSchema,
      toWireAccrual({ ...model, successRateThreshold, backoff: defaultAccrualBackoff }),
    ).kind;
  t.like(sent(0), { case: "consecutiveFailures", value: { maxFailures: 7 } });
  // A window that Linkerd's proxy would refuse is as short as it bears.
  t.like(sent(0.8), {
    case: "unified",
    value: { maxConsecutiveFailures: 7, successRateThreshold: 0.8, decay: { nanos: 10_000_000 } },
  });
});

function session(
  init: Init<typeof SessionPersistenceSchema>,
): Decoded<SessionPersistence | undefined> {
  return decode((trace) => fromWireSession(create(SessionPersistenceSchema, init), trace));
}

test("fromWireSession() keeps no session that cannot be kept as it was meant", (t) => {
  const header = { type: { case: "header" as const, value: { name: "x" } } };
  const broken: readonly Init<typeof SessionPersistenceSchema>[] = [
    {},
    { type: { case: "header", value: { name: "a b" } } },
    { type: { case: "cookie", value: { name: "" } } },
    { type: { case: "cookie", value: { name: "a", path: "b" } } },
    { type: { case: "cookie", value: { name: "a", path: "/; Domain=com" } } },
    { type: { case: "cookie", value: { name: "a", permanent: true } } },
    { ...header, absolute: { seconds: -1n } },
    { ...header, idle: { seconds: -1n } },
  ];
  for (const init of broken) {
    const { value, faults } = session(init);
    t.is(value, undefined);
    t.is(faults.length, 1);
  }
  t.is(session(header).value?.name, "x");
});

test("fromWireSession() has Gateway API's path for a cookie without one", (t) => {
  const { value } = session({ type: { case: "cookie", value: { name: "a" } } });
  t.is(value?.cookiePath, "/");
});
