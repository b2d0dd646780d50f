import test from "ava";
import fc from "fast-check";
import { pickBackend } from "../../src/core/decide/pick-backend.ts";
import { noTimeouts } from "../../src/core/model/timeouts.ts";
import type { OutboundRule } from "../../src/core/table/outbound.ts";
import { type Reach, sharesOf } from "../../src/explain/backends.ts";

/** Evenly spread random numbers: each share is drawn within one part of this. */
const draws = 1_000;

function ruleOf(
  distribution: OutboundRule["distribution"],
  weights: readonly number[],
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

function reach(state: Reach["state"]): Reach {
  return { state, name: "", to: "", speaks: "", reason: "", endpoints: [], places: 0 };
}

test("sharesOf() tells the shares that pickBackend() draws", (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(0, 1, 3, 10, 1_000), { minLength: 1, maxLength: 5 }),
      (weights) => {
        const rule = ruleOf("random-available", weights);
        const picked = weights.map(() => 0);
        for (let draw = 0; draw < draws; draw++) {
          const at = pickBackend(rule, (draw + 0.5) / draws);
          if (at >= 0) picked[at] = (picked[at] ?? 0) + 1;
        }
        const shares = sharesOf(rule, []);
        t.true(shares.every((share, at) => Math.abs(share * draws - (picked[at] ?? 0)) <= 1));
      },
    ),
    { numRuns: 200 },
  );
});

test("sharesOf() gives everything to the first backend that is ready, or to the first", (t) => {
  const rule = ruleOf("first-available", [1, 1]);
  t.deepEqual(sharesOf(rule, [reach("no-endpoints"), reach("ready")]), [0, 1]);
  t.deepEqual(sharesOf(rule, [reach("no-endpoints"), reach("no-endpoints")]), [1, 0]);
  t.deepEqual(sharesOf(ruleOf("empty", []), []), []);
});
