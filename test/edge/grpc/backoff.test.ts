import test from "ava";
import { backoffMs, watchBackoff } from "../../../src/edge/grpc/backoff.ts";

const backoff = { minMs: 100, maxMs: 1_000, jitter: 0.5 };

test("backoffMs() doubles up to the limit", (t) => {
  const pauses = [1, 2, 3, 4, 5, 6].map((failures) => backoffMs(backoff, failures, () => 0));
  t.deepEqual(pauses, [100, 200, 400, 800, 1_000, 1_000]);
});

test("backoffMs() adds at most the share of the pause that jitter allows", (t) => {
  t.is(
    backoffMs(backoff, 1, () => 0.5),
    125,
  );
  t.is(
    backoffMs(backoff, 9, () => 1),
    1_500,
  );
});

test("backoffMs() stays at the limit after any number of failures", (t) => {
  t.is(
    backoffMs(backoff, 5_000, () => 0),
    1_000,
  );
});

test("the longest pause of a watch leaves 5 s room for a reconnect", (t) => {
  t.true(backoffMs(watchBackoff, 100, () => 1) + 1_200 < 5_000);
});
