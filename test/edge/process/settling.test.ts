import test from "ava";
import { Settling } from "../../../src/edge/process/settling.ts";

type Thread = { nowMs: number; utilization: number; given: number; readonly settling: Settling };

function threadOf(): Thread {
  const thread = { nowMs: 0, utilization: 0, given: 0 };
  const settling = new Settling({
    nowMs: () => thread.nowMs,
    takeUtilization: () => thread.utilization,
    giveBack: () => {
      thread.given++;
    },
  });
  return Object.assign(thread, { settling });
}

/** One look a second, each with so many connections. Answers how often memory was given back by then. */
function look(thread: Thread, ...counts: readonly number[]): number {
  for (const open of counts) {
    thread.nowMs += 1_000;
    thread.settling.look(open);
  }
  return thread.given;
}

test("look() gives back once after the start, however long nothing happens", (t) => {
  t.is(look(threadOf(), 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 1);
});

test("look() waits while the thread is busy", (t) => {
  const thread = threadOf();
  thread.utilization = 0.5;
  t.is(look(thread, 0, 0, 0), 0);
  thread.utilization = 0.01;
  t.is(look(thread, 0), 1);
});

test("look() gives back again when a crowd has left, and once for each crowd", (t) => {
  const thread = threadOf();
  look(thread, 0);
  thread.nowMs = 60_000;
  t.is(look(thread, 5_000, 10_000, 10_000), 1);
  t.is(look(thread, 100, 100, 0), 2);
  thread.nowMs = 120_000;
  t.is(look(thread, 0, 0, 2_000), 2);
  t.is(look(thread, 0, 0), 3);
});

test("look() leaves alone what is left of a crowd by half, and what is no crowd", (t) => {
  const thread = threadOf();
  look(thread, 0);
  thread.nowMs = 60_000;
  t.is(look(thread, 10_000, 6_000, 6_000), 1);
  const other = threadOf();
  look(other, 0);
  other.nowMs = 60_000;
  t.is(look(other, 900, 0, 0), 1);
});

test("look() does not collect over and over for crowds that come and go", (t) => {
  const thread = threadOf();
  look(thread, 0);
  t.is(look(thread, 2_000, 0, 2_000, 0, 2_000, 0), 1);
  thread.nowMs += 10_000;
  t.is(look(thread, 0), 2);
});
