import test from "ava";
import fc from "fast-check";
import {
  alikeFactor,
  begin,
  better,
  defaultSlowStartMs,
  end,
  firstOf,
  firstShare,
  load,
  loadSlots,
  minResponseMs,
  observe,
  observeAtLeast,
  pass,
  penalize,
  pickTwo,
  pickWarm,
  secondOf,
  settle,
  startLoad,
  warmUp,
} from "../../../src/core/decide/balance.ts";

const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test("pickTwo() names two different endpoints of a set", (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 10_000 }), random, random, (count, a, b) => {
      const pair = pickTwo(count, a, b);
      const [first, second] = [firstOf(pair), secondOf(pair)];
      t.not(first, second);
      t.true(first >= 0 && first < count && second >= 0 && second < count);
    }),
    { numRuns: 2_000 },
  );
});

test("pickTwo() draws every pair alike", (t) => {
  const seen = new Map<string, number>();
  for (let a = 0; a < 3; a++) {
    for (let b = 0; b < 2; b++) {
      const pair = pickTwo(3, (a + 0.5) / 3, (b + 0.5) / 2);
      const key = `${firstOf(pair)} ${secondOf(pair)}`;
      seen.set(key, (seen.get(key) ?? 0) + 1);
    }
  }
  t.deepEqual([...seen.keys()].sort(), ["0 1", "0 2", "1 0", "1 2", "2 0", "2 1"]);
});

test("pickTwo() names one endpoint twice when there is one, and none when there is none", (t) => {
  t.deepEqual([firstOf(pickTwo(1, 0.9, 0.9)), secondOf(pickTwo(1, 0.9, 0.9))], [0, 0]);
  t.true(pickTwo(0, 0, 0) < 0);
});

function endpoints(count: number): Float64Array {
  const state = new Float64Array(count * loadSlots);
  for (let at = 0; at < count; at++) startLoad(state, at, 30, 0);
  return state;
}

const decayMs = 10_000;

test("load() begins with the default response time", (t) => {
  t.is(load(endpoints(1), 0, { nowMs: 0, decayMs }), 30);
});

test("load() grows with the requests in flight, and comes back when they end", (t) => {
  const state = endpoints(2);
  begin(state, 1);
  begin(state, 1);
  t.is(load(state, 1, { nowMs: 0, decayMs }), 90);
  t.is(load(state, 0, { nowMs: 0, decayMs }), 30);
  end(state, 1);
  end(state, 1);
  end(state, 1);
  t.is(load(state, 1, { nowMs: 0, decayMs }), 30);
});

test("observe() jumps up to a slow response at once", (t) => {
  const state = endpoints(1);
  observe(state, 0, 500, { nowMs: 1, decayMs });
  t.is(load(state, 0, { nowMs: 1, decayMs }), 500);
});

test("observeAtLeast() believes an endpoint that has not answered to be as slow as that, never quicker", (t) => {
  const state = new Float64Array(loadSlots);
  startLoad(state, 0, 30, 0);
  observeAtLeast(state, 0, 500, { nowMs: 1, decayMs });
  t.is(load(state, 0, { nowMs: 1, decayMs }), 500);
  observeAtLeast(state, 0, 5, { nowMs: 1, decayMs });
  t.is(load(state, 0, { nowMs: 1, decayMs }), 500);
});

test("observe() comes down slowly", (t) => {
  const state = endpoints(1);
  observe(state, 0, 500, { nowMs: 0, decayMs });
  observe(state, 0, 1, { nowMs: 100, decayMs });
  const soon = load(state, 0, { nowMs: 100, decayMs });
  t.true(soon > 490 && soon < 500);
  for (let at = 1; at <= 100; at++) observe(state, 0, 1, { nowMs: at * 1_000, decayMs });
  const late = load(state, 0, { nowMs: 100_000, decayMs });
  t.true(late < 2, `load is ${late}`);
});

test("observe() comes down sooner for an endpoint that has answered quickly many times since", (t) => {
  const state = endpoints(1);
  observe(state, 0, 500, { nowMs: 0, decayMs });
  for (let at = 0; at < 300; at++) observe(state, 0, 1, { nowMs: 1, decayMs });
  const after = load(state, 0, { nowMs: 1, decayMs });
  t.true(after < 10, `load is ${after}`);
});

test("load() forgets what is long ago, but still tells a busy endpoint from a free one", (t) => {
  const state = endpoints(2);
  begin(state, 0);
  const timing = { nowMs: 1e9, decayMs };
  t.is(load(state, 1, timing), minResponseMs);
  t.is(better(state, pickTwo(2, 0, 0), timing), 1);
});

test("load() does not fall when the clock is set back", (t) => {
  const state = endpoints(1);
  observe(state, 0, 500, { nowMs: 1_000, decayMs });
  t.is(load(state, 0, { nowMs: 0, decayMs }), 500);
});

test("better() prefers the endpoint that answers faster", (t) => {
  const state = endpoints(2);
  observe(state, 0, 200, { nowMs: 1, decayMs });
  t.is(better(state, pickTwo(2, 0, 0), { nowMs: 1, decayMs }), 1);
  t.is(better(state, pickTwo(2, 0.9, 0), { nowMs: 1, decayMs }), 1);
});

test("better() spreads requests over equal endpoints", (t) => {
  const state = endpoints(4);
  for (let at = 0; at < 40; at++) {
    const pair = pickTwo(4, (at % 4) / 4, ((at * 7) % 3) / 3);
    begin(state, better(state, pair, { nowMs: 0, decayMs }));
  }
  const inFlight = [0, 1, 2, 3].map((at) => load(state, at, { nowMs: 0, decayMs }) / 30 - 1);
  t.true(Math.max(...inFlight) - Math.min(...inFlight) <= 3, inFlight.join(" "));
});

test("better() prefers of endpoints whose loads are alike the one that was given less", (t) => {
  const state = endpoints(2);
  const pair = pickTwo(2, 0, 0);
  const timing = { nowMs: 0, decayMs };
  const taken = [1, 2, 3, 4, 5, 6].map(() => {
    const at = better(state, pair, timing);
    begin(state, at);
    end(state, at);
    return at;
  });
  t.deepEqual(taken, [0, 1, 0, 1, 0, 1]);
  observe(state, 0, 30 * alikeFactor - 1, timing);
  t.is(better(state, pair, timing), 0);
  observe(state, 0, 30 * alikeFactor, timing);
  t.is(better(state, pair, timing), 1);
});

test("pass() takes the turn of an endpoint without a request", (t) => {
  const state = endpoints(2);
  const pair = pickTwo(2, 0, 0);
  pass(state, 0);
  t.is(better(state, pair, { nowMs: 0, decayMs }), 1);
  pass(state, 1);
  t.is(better(state, pair, { nowMs: 0, decayMs }), 0);
});

test("settle() forgets bit by bit who was given more, and not which it was", (t) => {
  const state = endpoints(2);
  const given = (): number => (state[loadSlots - 1] ?? 0) - (state[2 * loadSlots - 1] ?? 0);
  for (let at = 0; at < 100; at++) pass(state, 0);
  settle(state, 0);
  t.is(given(), 100);
  settle(state, 10_000);
  t.true(Math.abs(given() - 100 / Math.E) < 0.001, `${given()}`);
  settle(state, 1e9);
  t.is(given(), 0);
});

test("warmUp() ends what an endpoint could claim for the time without requests", (t) => {
  const state = endpoints(2);
  for (let at = 0; at < 100; at++) pass(state, 0);
  settle(state, 0);
  warmUp(state, 1, 0);
  t.is(state[2 * loadSlots - 1], 0);
});

const penalty = { penaltyMs: 5_000, maxRetryAfterMs: 300_000, decayMs: 10_000 };

test("penalize() makes an endpoint that fails look slow, and less so over time", (t) => {
  const state = endpoints(2);
  penalize(state, 1, penalty, { nowMs: 0, retryAfterMs: undefined });
  t.is(load(state, 1, { nowMs: 0, decayMs }), 5_030);
  t.is(load(state, 0, { nowMs: 0, decayMs }), 30);
  const later = load(state, 1, { nowMs: 10_000, decayMs });
  t.true(Math.abs(later - 5_030 / Math.E) < 0.001, `load is ${later}`);
});

test("penalize() takes what the response asked for, up to the most", (t) => {
  const state = endpoints(3);
  for (const [at, retryAfterMs] of [60_000, 1e9, 0].entries()) {
    penalize(state, at, penalty, { nowMs: 0, retryAfterMs });
  }
  const loads = [0, 1, 2].map((at) => load(state, at, { nowMs: 0, decayMs }));
  t.deepEqual(loads, [60_030, 300_030, 30]);
});

test("penalize() does not add up, and never shortens a longer penalty", (t) => {
  const state = endpoints(1);
  penalize(state, 0, penalty, { nowMs: 0, retryAfterMs: undefined });
  penalize(state, 0, penalty, { nowMs: 0, retryAfterMs: undefined });
  penalize(state, 0, penalty, { nowMs: 0, retryAfterMs: 1 });
  t.is(load(state, 0, { nowMs: 0, decayMs }), 5_030);
});

test("startLoad() forgets the penalty of the endpoint that had the place before", (t) => {
  const state = endpoints(1);
  penalize(state, 0, penalty, { nowMs: 0, retryAfterMs: undefined });
  startLoad(state, 0, 30, 0);
  t.is(load(state, 0, { nowMs: 0, decayMs }), 30);
});

/** Requests of a hundred that the second endpoint of two gets, when nothing is in flight and it is the faster one. */
function shareOfSecond(state: Float64Array, nowMs: number): number {
  let taken = 0;
  for (let at = 0; at < 100; at++) {
    const start = { nowMs, decayMs, slowStartMs: defaultSlowStartMs, random01: at / 100 };
    if (pickWarm(state, pickTwo(2, 0, 0), start) === 1) taken++;
  }
  return taken;
}

test("pickWarm() ramps the share of an endpoint that has just come", (t) => {
  const state = endpoints(2);
  startLoad(state, 1, 1, 100_000);
  observe(state, 0, 500, { nowMs: 100_000, decayMs });
  const shares = [0, 500, 2_500, 5_000, 9_000, 10_000].map((ms) =>
    shareOfSecond(state, 100_000 + ms),
  );
  t.deepEqual(shares, [firstShare * 100, 10, 25, 50, 90, 100]);
});

test("pickWarm() ramps again after warmUp()", (t) => {
  const state = endpoints(2);
  observe(state, 0, 500, { nowMs: 100_000, decayMs });
  t.is(shareOfSecond(state, 100_000), 100);
  warmUp(state, 1, 100_000);
  t.is(shareOfSecond(state, 100_000), 10);
});

test("pickWarm() hands nothing over between endpoints that began together, or to itself", (t) => {
  const state = endpoints(2);
  observe(state, 0, 500, { nowMs: 0, decayMs });
  t.is(shareOfSecond(state, 0), 100);
  const start = { nowMs: 0, decayMs, slowStartMs: defaultSlowStartMs, random01: 0.99 };
  t.is(pickWarm(endpoints(1), pickTwo(1, 0, 0), start), 0);
});

test("pickWarm() without slow start is better()", (t) => {
  const state = endpoints(2);
  startLoad(state, 1, 1, 100_000);
  observe(state, 0, 500, { nowMs: 100_000, decayMs });
  const start = { nowMs: 100_000, decayMs, slowStartMs: 0, random01: 0.99 };
  t.is(pickWarm(state, pickTwo(2, 0, 0), start), 1);
});
