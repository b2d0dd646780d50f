import test from "ava";
import fc from "fast-check";
import { clientRate, nextArrival, retryAfterSeconds } from "../../../src/core/decide/rate-limit.ts";
import { defaultMeta } from "../../../src/core/model/meta.ts";

const secondUs = 1_000_000;

/** How many of the requests at these times are let through. */
function passed(timesUs: readonly number[], perSecond: number, start = 0): number {
  let state = start;
  let count = 0;
  for (const timeUs of timesUs) {
    const next = nextArrival(state, timeUs | 0, perSecond);
    if (next === undefined) continue;
    state = next;
    count++;
  }
  return count;
}

function burst(length: number, atUs: number): readonly number[] {
  return Array.from({ length }, () => atUs);
}

test("nextArrival() lets a burst of one second's requests through, and no more", (t) => {
  for (const perSecond of [1, 2, 3, 10, 100, 1_000]) {
    t.is(passed(burst(3 * perSecond + 5, 12_345), perSecond), perSecond);
  }
});

test("nextArrival() lets one more through as soon as its share of the second is over", (t) => {
  t.is(passed([...burst(20, 0), 99_999, 100_000, 100_001, 200_000], 10), 12);
});

test("nextArrival() lets at most the rate and a burst through in any time", (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 50 }),
      fc.array(fc.integer({ min: 0, max: 200_000 }), { maxLength: 300 }),
      fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      (perSecond, pausesUs, startUs) => {
        let nowUs = startUs;
        const times = pausesUs.map((pauseUs) => (nowUs += pauseUs));
        const lengthUs = (times.at(-1) ?? startUs) - startUs;
        // Each share of a second is rounded down to whole microseconds.
        const most = perSecond + Math.ceil(lengthUs / Math.floor(secondUs / perSecond));
        t.true(passed(times, perSecond, startUs | 0) <= most);
      },
    ),
    { numRuns: 300 },
  );
});

test("nextArrival() is not held up by a state that was left behind long ago", (t) => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 2, max: 2_000 }), (state, seconds) => {
      const nowUs = (state + seconds * secondUs) | 0;
      t.not(nextArrival(state, nowUs, 1), undefined);
    }),
    { numRuns: 300 },
  );
});

test("retryAfterSeconds() is the time after which a request is let through, in whole seconds", (t) => {
  const first = nextArrival(0, 5, 1);
  if (first === undefined) throw new Error("the first request was refused");
  t.is(nextArrival(first, 6, 1), undefined);
  t.is(retryAfterSeconds(first, 6, 1), 1);
  t.not(nextArrival(first, 6 + secondUs, 1), undefined);
});

test("clientRate() takes the first override that names the client, else the rate of identities", (t) => {
  const limit = {
    meta: defaultMeta("a"),
    totalPerSecond: 100,
    identityPerSecond: 5,
    overrides: [
      { perSecond: 7, identities: ["x", "y"] },
      { perSecond: 9, identities: ["y", "z"] },
    ],
  };
  const rates = ["x", "y", "z", "other", undefined].map((identity) =>
    clientRate(limit, { identity }),
  );
  t.deepEqual(rates, [7, 7, 9, 5, 5]);
});
