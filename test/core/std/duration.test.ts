import test from "ava";
import fc from "fast-check";
import {
  formatDurationMs,
  parseDurationMs,
  parseGoDurationMs,
} from "../../../src/core/std/duration.ts";

const reads = test.macro({
  exec: (t, text: string, ms: number | undefined) => {
    t.is(parseDurationMs(text), ms);
  },
  title: (_given, text: string, ms: number | undefined) =>
    `parseDurationMs() reads ${JSON.stringify(text)} as ${ms}`,
});

// The examples of GEP-2257.
test(reads, "1h", 3_600_000);
test(reads, "60m", 3_600_000);
test(reads, "00060m", 3_600_000);
test(reads, "100ms200ms300ms", 600);
test(reads, "1h30m15s5ms", 5_415_005);
test(reads, "0s", 0);
test(reads, "0ms0h", 0);
test(reads, "99999h", 359_996_400_000);
for (const text of ["", "0", "1", "1d", "1.5h", "-15m", "999999h", "1h1m1s1ms1s", " 1s", "1S"]) {
  test(reads, text, undefined);
}

const goReads = test.macro({
  exec: (t, text: string, ms: number | undefined) => {
    t.is(parseGoDurationMs(text), ms);
  },
  title: (_given, text: string, ms: number | undefined) =>
    `parseGoDurationMs() reads ${JSON.stringify(text)} as ${ms}`,
});
test(goReads, "300ms", 300);
test(goReads, "1.1s", 1_100);
test(goReads, "1h1.5m", 3_690_000);
test(goReads, "1us", 1);
test(goReads, "0", 0);
for (const text of ["", "1", "-1s", "1d", "s", "1s ", ".5s"]) test(goReads, text, undefined);

test("formatDurationMs() prints descending units", (t) => {
  t.deepEqual([0, 9_000_000, 7_230_000, 864_000_000, 1_001].map(formatDurationMs), [
    "0s",
    "2h30m",
    "2h30s",
    "240h",
    "1s1ms",
  ]);
});

test("parseDurationMs() reads what formatDurationMs() prints", (t) => {
  fc.assert(
    fc.property(fc.nat(99_999 * 3_600_000), (ms) => {
      t.is(parseDurationMs(formatDurationMs(ms)), ms);
    }),
    { numRuns: 1_000 },
  );
});
