import test from "ava";
import fc from "fast-check";
import { fineTickMs, Timer, TimerWheel, tickMs } from "../../src/proxy/timer-wheel.ts";

/** A wheel that is turned by hand. */
class Turned {
  nowMs = 12_345;
  /** 0: it does not tick. */
  everyMs = 0;
  readonly wheel: TimerWheel = new TimerWheel({
    nowMs: () => this.nowMs,
    start: (_tick, everyMs) => {
      this.everyMs = everyMs;
      return {
        stop: () => {
          this.everyMs = 0;
        },
      };
    },
  });

  pass(ms: number): void {
    this.nowMs += ms;
    this.wheel.advance();
  }
}

test("TimerWheel expires a timer not before its time, and at most a tick and its granularity after", (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 200_000 }),
      fc.integer({ min: 0, max: 99 }),
      (delayMs, phase) => {
        const turned = new Turned();
        let expiredMs = -1;
        const timer = new Timer(() => {
          expiredMs = turned.nowMs;
        });
        // Another timer keeps the wheel turning, so that `phase` is within a tick.
        turned.wheel.arm(new Timer(() => {}), 1_000_000);
        turned.pass(phase);
        const startMs = turned.nowMs;
        turned.wheel.arm(timer, delayMs);
        while (expiredMs < 0 && turned.nowMs < startMs + delayMs + 3 * tickMs) turned.pass(tickMs);
        return expiredMs >= startMs + delayMs && expiredMs <= startMs + delayMs + 3 * tickMs;
      },
    ),
  );
  t.pass();
});

test("TimerWheel forgets a timer that is disarmed", (t) => {
  const turned = new Turned();
  const timer = new Timer(() => t.fail());
  turned.wheel.arm(timer, 500);
  turned.wheel.disarm(timer);
  turned.pass(10_000);
  t.pass();
});

test("TimerWheel keeps nothing of a timer that it is to forget", (t) => {
  const turned = new Turned();
  const [before, timer, after] = [0, 1, 2].map(() => new Timer(() => t.pass()));
  if (before === undefined || timer === undefined || after === undefined)
    throw new Error("No timers");
  for (const one of [before, timer, after]) turned.wheel.arm(one, 500);
  turned.wheel.forget(timer);
  turned.wheel.forget(timer);
  t.is(timer.next, timer);
  t.plan(3);
  for (let i = 0; i < 20; i++) turned.pass(tickMs);
});

test("TimerWheel expires a timer once, by its last arming, sooner or later", (t) => {
  const turned = new Turned();
  const expired: number[] = [];
  const timer = new Timer(() => expired.push(turned.nowMs));
  const startMs = turned.nowMs;
  turned.wheel.arm(timer, 60_000);
  turned.wheel.arm(timer, 1_000);
  turned.wheel.arm(timer, 90_000);
  turned.wheel.arm(timer, 2_000);
  for (let i = 0; i < 2_000; i++) turned.pass(tickMs);
  t.is(expired.length, 1);
  t.true((expired[0] ?? 0) - startMs <= 2_300);
});

test("TimerWheel lets a timer be armed while it expires", (t) => {
  const turned = new Turned();
  let count = 0;
  const timer = new Timer(() => {
    count++;
    if (count < 3) turned.wheel.arm(timer, 1_000);
  });
  turned.wheel.arm(timer, 1_000);
  for (let i = 0; i < 100; i++) turned.pass(tickMs);
  t.is(count, 3);
});

test("TimerWheel catches up after the machine was asleep", (t) => {
  const turned = new Turned();
  let count = 0;
  for (const delayMs of [100, 10_000, 50_000, 80_000]) {
    turned.wheel.arm(new Timer(() => count++), delayMs);
  }
  turned.pass(3_600_000);
  turned.pass(3_600_000);
  t.is(count, 4);
});

test("TimerWheel counts from now for a timer that is armed while it catches up", (t) => {
  const turned = new Turned();
  const events: string[] = [];
  const second = new Timer(() => events.push("second"));
  const first = new Timer(() => {
    events.push("first");
    turned.wheel.arm(second, 1_000);
  });
  turned.wheel.arm(first, 1_000);
  turned.pass(10_000);
  t.deepEqual(events, ["first"]);
  turned.pass(1_200);
  t.deepEqual(events, ["first", "second"]);
});

test("TimerWheel does not tick while there is nothing to time", (t) => {
  const turned = new Turned();
  for (const delayMs of [200, 2_000]) {
    t.is(turned.everyMs, 0);
    turned.wheel.arm(new Timer(() => {}), delayMs);
    t.not(turned.everyMs, 0);
    turned.pass(3_000);
    t.is(turned.everyMs, 0);
  }
  const timer = new Timer(() => {});
  turned.wheel.arm(timer, 200);
  turned.wheel.forget(timer);
  turned.pass(fineTickMs);
  t.is(turned.everyMs, 0);
});

test("TimerWheel ticks often only while a short delay is armed, and is exact then", (t) => {
  const turned = new Turned();
  const expired: number[] = [];
  turned.wheel.arm(new Timer(() => {}), 60_000);
  t.is(turned.everyMs, tickMs);
  turned.pass(37);
  const startMs = turned.nowMs;
  turned.wheel.arm(new Timer(() => expired.push(turned.nowMs - startMs)), 25);
  t.is(turned.everyMs, fineTickMs);
  for (let i = 0; i < 50; i++) turned.pass(1);
  t.is(expired.length, 1);
  const [delayMs = 0] = expired;
  t.true(delayMs >= 25 && delayMs <= 35, `${delayMs} ms`);
  t.is(turned.everyMs, tickMs);
});

test("TimerWheel takes a timer from short delays to long ones and back", (t) => {
  const turned = new Turned();
  const expired: number[] = [];
  const timer = new Timer(() => expired.push(turned.nowMs));
  turned.wheel.arm(timer, 50);
  turned.wheel.arm(timer, 5_000);
  for (let i = 0; i < 400; i++) turned.pass(fineTickMs);
  t.deepEqual(expired, []);
  turned.wheel.arm(timer, 50);
  for (let i = 0; i < 13; i++) turned.pass(fineTickMs);
  t.is(expired.length, 1);
  turned.pass(10_000);
  t.is(expired.length, 1);
});

test("TimerWheel goes on when a timer arms the same slot again while it catches up", (t) => {
  const turned = new Turned();
  let count = 0;
  const timer = new Timer(() => {
    count++;
    if (count < 5) turned.wheel.arm(timer, 511 * fineTickMs);
  });
  for (const delayMs of [fineTickMs, 511 * tickMs]) {
    count = 0;
    turned.wheel.arm(timer, delayMs);
    for (let i = 0; i < 20_000 && count < 5; i++) turned.pass(50);
    t.is(count, 5);
  }
});

test("TimerWheel stays stopped when a timer stops it", (t) => {
  const turned = new Turned();
  turned.wheel.arm(new Timer(() => t.fail()), 5_000);
  turned.wheel.arm(new Timer(() => turned.wheel.stop()), 50);
  turned.pass(100);
  t.is(turned.everyMs, 0);
});
