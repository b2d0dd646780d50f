import test from "ava";
import fc from "fast-check";
import {
  type AccrualAnswer,
  type AccrualResult,
  abandonProbe,
  accrualAnswer,
  accrualSlots,
  availableAtMs,
  type BreakerChange,
  beginTry,
  isAvailable,
  onResult,
  startAccrual,
} from "../../../src/core/decide/accrual.ts";
import type { FailureAccrual } from "../../../src/core/model/accrual.ts";

const consecutive: FailureAccrual = {
  maxConsecutiveFailures: 3,
  successRateThreshold: 0,
  decayMs: 10_000,
  minRequests: 5,
  backoff: { minMs: 1_000, maxMs: 60_000, jitter: 0.5 },
};

const byRate: FailureAccrual = {
  ...consecutive,
  maxConsecutiveFailures: 0,
  successRateThreshold: 0.8,
};

/** One endpoint among three, with a clock. */
class Breaker {
  readonly state: Float64Array = new Float64Array(3 * accrualSlots);
  nowMs = 0;
  readonly #policy: FailureAccrual;

  constructor(policy: FailureAccrual) {
    this.#policy = policy;
  }

  get available(): boolean {
    return isAvailable(this.state, 1, this.nowMs);
  }

  begin(): boolean {
    return beginTry(this.state, 1);
  }

  end(answer: AccrualAnswer, parts: Partial<AccrualResult> = {}): BreakerChange {
    const result = { answer, probe: false, nowMs: this.nowMs, random01: 0, ...parts };
    return onResult(this.#policy, this.state, 1, { retryAfterMs: undefined, ...result });
  }

  /** One request after the other. */
  serve(answers: readonly AccrualAnswer[]): readonly BreakerChange[] {
    return answers.map((answer) => this.end(answer, { probe: this.begin() }));
  }
}

function opened(policy: FailureAccrual = consecutive): Breaker {
  const breaker = new Breaker(policy);
  breaker.serve(["failure", "failure", "failure"]);
  return breaker;
}

test("onResult() opens after so many failures in a row", (t) => {
  const breaker = new Breaker(consecutive);
  t.deepEqual(breaker.serve(["failure", "failure"]), ["none", "none"]);
  t.true(breaker.available);
  t.deepEqual(breaker.serve(["failure"]), ["opened"]);
  t.false(breaker.available);
});

test("onResult() leaves the other endpoints alone", (t) => {
  const { state } = opened();
  t.true(isAvailable(state, 0, 0));
  t.true(isAvailable(state, 2, 0));
});

test("onResult() begins to count anew after a success, and 429 is none in a row", (t) => {
  const breaker = new Breaker(consecutive);
  breaker.serve(["failure", "failure", "success", "failure", "failure", "limited", "failure"]);
  t.true(breaker.available);
});

test("isAvailable() is true again after the pause, until the probe has begun", (t) => {
  const breaker = opened();
  breaker.nowMs = 999;
  t.false(breaker.available);
  breaker.nowMs = 1_000;
  t.true(breaker.available);
  t.true(breaker.begin());
  t.false(breaker.available);
});

test("availableAtMs() tells when isAvailable() becomes true, unless a probe has to end first", (t) => {
  t.is(availableAtMs(new Breaker(consecutive).state, 1), 0);
  const breaker = opened();
  t.is(availableAtMs(breaker.state, 1), 1_000);
  breaker.nowMs = 1_000;
  breaker.begin();
  t.is(availableAtMs(breaker.state, 1), Number.POSITIVE_INFINITY);
  breaker.end("failure", { probe: true });
  t.is(availableAtMs(breaker.state, 1), 3_000);
});

test("beginTry() makes no probe of a request to an endpoint that is closed", (t) => {
  t.false(new Breaker(consecutive).begin());
});

test("onResult() closes after a good probe", (t) => {
  const breaker = opened();
  breaker.nowMs = 1_000;
  t.deepEqual(breaker.serve(["success"]), ["closed"]);
  t.true(breaker.available);
  breaker.serve(["failure", "failure"]);
  t.true(breaker.available);
});

test("onResult() doubles the pause after each bad probe, up to the most", (t) => {
  const breaker = opened();
  const pauses: number[] = [];
  for (let round = 0; round < 8; round++) {
    const startMs = breaker.nowMs;
    while (!breaker.available) breaker.nowMs += 500;
    pauses.push(breaker.nowMs - startMs);
    breaker.serve(["failure"]);
  }
  t.deepEqual(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
});

test("onResult() begins with the shortest pause after the endpoint was well", (t) => {
  const breaker = opened();
  breaker.nowMs = 1_000;
  breaker.serve(["failure"]);
  breaker.nowMs = 10_000;
  breaker.serve(["success", "failure", "failure", "failure"]);
  breaker.nowMs = 10_999;
  t.false(breaker.available);
  breaker.nowMs = 11_000;
  t.true(breaker.available);
});

test("onResult() adds the jitter to the pause", (t) => {
  const breaker = new Breaker(consecutive);
  breaker.serve(["failure", "failure"]);
  breaker.end("failure", { random01: 0.9 });
  breaker.nowMs = 1_449;
  t.false(breaker.available);
  breaker.nowMs = 1_450;
  t.true(breaker.available);
});

test("onResult() stays open as long as the endpoint asked for, up to the most, where that is honoured", (t) => {
  const honouring: FailureAccrual = { ...consecutive, honorsRetryAfter: true };
  for (const [policy, asked, pause] of [
    [honouring, 5_000, 5_000],
    [honouring, 10, 1_000],
    [honouring, 1e9, 60_000],
    [consecutive, 5_000, 1_000],
  ] as const) {
    const breaker = new Breaker(policy);
    breaker.serve(["failure", "failure"]);
    breaker.end("failure", { retryAfterMs: asked });
    breaker.nowMs = pause - 1;
    t.false(breaker.available);
    breaker.nowMs = pause;
    t.true(breaker.available);
  }
});

test("onResult() does not count requests that began before the breaker opened", (t) => {
  const breaker = opened();
  t.is(breaker.end("success"), "none");
  t.false(breaker.available);
  breaker.nowMs = 1_000;
  t.true(breaker.begin());
  t.is(breaker.end("success"), "none");
  t.is(breaker.end("failure"), "none");
  t.false(breaker.available);
  t.is(breaker.end("success", { probe: true }), "closed");
});

test("abandonProbe() lets the next request be the probe", (t) => {
  const breaker = opened();
  breaker.nowMs = 1_000;
  t.true(breaker.begin());
  abandonProbe(breaker.state, 1);
  t.true(breaker.available);
  t.true(breaker.begin());
  t.is(breaker.end("success", { probe: true }), "closed");
});

test("abandonProbe() does not open an endpoint that is closed", (t) => {
  const breaker = new Breaker(consecutive);
  abandonProbe(breaker.state, 1);
  t.true(breaker.available);
});

test("startAccrual() forgets one endpoint", (t) => {
  const breaker = opened();
  startAccrual(breaker.state, 0);
  t.false(breaker.available);
  startAccrual(breaker.state, 1);
  t.true(breaker.available);
});

test("onResult() opens when the share of good answers is too small", (t) => {
  const breaker = new Breaker(byRate);
  breaker.serve(["success", "success", "success", "success", "failure"]);
  t.true(breaker.available);
  t.deepEqual(breaker.serve(["failure"]), ["opened"]);
});

test("onResult() waits for enough requests", (t) => {
  const breaker = new Breaker(byRate);
  breaker.serve(["failure", "failure", "failure", "failure"]);
  t.true(breaker.available);
  breaker.nowMs = 10;
  t.deepEqual(breaker.serve(["failure"]), ["opened"]);
});

test("onResult() counts 429 for the success rate, also of a probe", (t) => {
  const breaker = new Breaker(byRate);
  breaker.serve(["limited", "limited", "limited", "limited", "limited"]);
  t.false(breaker.available);
  breaker.nowMs = 1_000;
  t.deepEqual(breaker.serve(["limited"]), ["opened"]);
  const other = opened();
  other.nowMs = 1_000;
  t.deepEqual(other.serve(["limited"]), ["closed"]);
});

test("onResult() forgets old failures", (t) => {
  const breaker = new Breaker({ ...byRate, minRequests: 4 });
  breaker.serve(["failure", "failure", "failure"]);
  breaker.nowMs = 100_000;
  breaker.serve(["success", "success", "success", "success", "success"]);
  t.true(breaker.available);
});

test("onResult() with both criteria off never opens", (t) => {
  const breaker = new Breaker({ ...consecutive, maxConsecutiveFailures: 0 });
  breaker.serve(Array.from({ length: 100 }, () => "failure" as const));
  t.true(breaker.available);
});

test("accrualAnswer() takes 5xx and silence for failures, and 429 for too much to do", (t) => {
  const answers = [200, 304, 404, 429, 499, 500, 503, undefined].map((status) =>
    accrualAnswer(status),
  );
  const [s, l, f] = ["success", "limited", "failure"] as const;
  t.deepEqual(answers, [s, s, s, l, s, f, f, f]);
});

type Step = { readonly afterMs: number; readonly kind: "begin" | "end" | "abandon" };

test("a breaker has one probe at most, and lets requests through again after any history", (t) => {
  const step: fc.Arbitrary<Step & { readonly answer: AccrualAnswer }> = fc.record({
    afterMs: fc.nat(3_000),
    kind: fc.constantFrom("begin", "begin", "end", "end", "abandon"),
    answer: fc.constantFrom("success", "failure", "failure", "limited"),
  });
  const policies = fc.constantFrom(consecutive, byRate);
  fc.assert(
    fc.property(policies, fc.array(step, { maxLength: 100 }), (policy, steps) => {
      const breaker = new Breaker(policy);
      const inFlight: boolean[] = [];
      for (const { afterMs, kind, answer } of steps) {
        breaker.nowMs += afterMs;
        if (kind === "begin" && breaker.available) inFlight.push(breaker.begin());
        const probe = kind === "begin" ? undefined : inFlight.shift();
        if (probe !== undefined && kind === "end") breaker.end(answer, { probe });
        if (probe === true && kind === "abandon") abandonProbe(breaker.state, 1);
        t.true(inFlight.filter(Boolean).length <= 1);
      }
      for (const probe of inFlight) breaker.end("success", { probe });
      breaker.nowMs += 90_000;
      t.true(breaker.available);
    }),
    { numRuns: 300 },
  );
});
