import test from "ava";
import fc from "fast-check";
import { noBackend, pickBackend } from "../../../src/core/decide/pick-backend.ts";
import { noTimeouts } from "../../../src/core/model/timeouts.ts";
import type { OutboundRule } from "../../../src/core/table/outbound.ts";

function rule(
  weights: readonly number[],
  distribution: OutboundRule["distribution"] = "random-available",
): OutboundRule {
  return {
    filters: [],
    distribution,
    choices: weights.map((weight, backend) => ({ backend, weight, filters: [] })),
    totalWeight: weights.reduce((sum, weight) => sum + weight, 0),
    timeouts: noTimeouts,
    retry: undefined,
    session: undefined,
  };
}

test("pickBackend() gives each backend its share", (t) => {
  const weighted = rule([1, 0, 3]);
  const picks = Array.from({ length: 400 }, (_, at) => pickBackend(weighted, at / 400));
  t.is(picks.filter((pick) => pick === 0).length, 100);
  t.is(picks.filter((pick) => pick === 1).length, 0);
  t.is(picks.filter((pick) => pick === 2).length, 300);
});

test("pickBackend() gives nothing to a single backend of weight 0", (t) => {
  t.is(pickBackend(rule([0]), 0), noBackend);
});

test("pickBackend() gives nothing when all weights are 0", (t) => {
  t.is(pickBackend(rule([0, 0]), 0.5), noBackend);
});

test("pickBackend() picks nothing of nothing", (t) => {
  for (const distribution of ["empty", "first-available", "random-available"] as const) {
    t.is(pickBackend(rule([], distribution), 0), noBackend);
  }
});

test("pickBackend() begins with the first where the first that is ready is wanted", (t) => {
  t.is(pickBackend(rule([1, 1], "first-available"), 0.99), 0);
});

test("pickBackend() picks a backend with weight for any random number", (t) => {
  const weights = fc.array(fc.integer({ min: 0, max: 1_000_000 }), { minLength: 1, maxLength: 16 });
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(weights, random, (all, random01) => {
      const picked = pickBackend(rule(all), random01);
      t.is(
        picked >= 0,
        all.some((weight) => weight > 0),
      );
      t.not(all[picked], 0);
    }),
    { numRuns: 2_000 },
  );
});
