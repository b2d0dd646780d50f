import test from "ava";
import fc from "fast-check";
import { parseHttpDate, retryAfterMs } from "../../../src/core/decide/retry-after.ts";

const nowMs = Date.UTC(2026, 0, 2, 3, 4, 5);

// RFC 9110 §5.6.7 gives these three for one moment.
for (const text of [
  "Sun, 06 Nov 1994 08:49:37 GMT",
  "Sunday, 06-Nov-94 08:49:37 GMT",
  "Sun Nov  6 08:49:37 1994",
]) {
  test(`parseHttpDate() reads ${text}`, (t) => {
    t.is(parseHttpDate(text, nowMs), 784_111_777_000);
  });
}

test("parseHttpDate() reads every date that the platform writes", (t) => {
  const times = fc.integer({ min: 0, max: Date.UTC(9999, 11, 31) / 1_000 });
  fc.assert(
    fc.property(times, (seconds) => {
      const text = new Date(seconds * 1_000).toUTCString();
      t.is(parseHttpDate(text, nowMs), seconds * 1_000, text);
    }),
    { numRuns: 1_000 },
  );
});

test("parseHttpDate() takes a leap second and leap days", (t) => {
  t.is(parseHttpDate("Sat, 31 Dec 2016 23:59:60 GMT", nowMs), Date.UTC(2017, 0, 1));
  t.is(parseHttpDate("Thu, 29 Feb 2024 00:00:00 GMT", nowMs), Date.UTC(2024, 1, 29));
  t.is(parseHttpDate("Tue, 29 Feb 2000 00:00:00 GMT", nowMs), Date.UTC(2000, 1, 29));
});

test("parseHttpDate() takes two digits of a year for at most 50 years ahead", (t) => {
  t.is(parseHttpDate("Thursday, 01-Jan-76 00:00:00 GMT", nowMs), Date.UTC(2076, 0, 1));
  t.is(parseHttpDate("Saturday, 01-Jan-77 00:00:00 GMT", nowMs), Date.UTC(1977, 0, 1));
});

for (const text of [
  "",
  "soon",
  "-1",
  "1.5",
  "+5",
  "5 s",
  "sun, 06 Nov 1994 08:49:37 GMT",
  "Sun, 06 Nov 1994 08:49:37 UTC",
  "Sun, 6 Nov 1994 08:49:37 GMT",
  "Sun, 06 Nov 1994 08:49:37 GMT ",
  "Sun, 31 Nov 1994 08:49:37 GMT",
  "Sun, 00 Nov 1994 08:49:37 GMT",
  "Wed, 29 Feb 2023 00:00:00 GMT",
  "Thu, 29 Feb 2100 00:00:00 GMT",
  "Sun, 06 Nov 1994 24:00:00 GMT",
  "Sun, 06 Nov 1994 08:60:37 GMT",
  "Sun, 06 Nov 1994 08:49:61 GMT",
  "Sun, 06 Nop 1994 08:49:37 GMT",
]) {
  test(`retryAfterMs() does not read ${JSON.stringify(text)}`, (t) => {
    t.is(retryAfterMs(text, nowMs), undefined);
  });
}

test("retryAfterMs() reads seconds", (t) => {
  t.is(retryAfterMs("0", nowMs), 0);
  t.is(retryAfterMs("120", nowMs), 120_000);
  t.is(retryAfterMs("007", nowMs), 7_000);
});

test("retryAfterMs() tells the time until a date, and none for the past", (t) => {
  t.is(retryAfterMs("Fri, 02 Jan 2026 03:04:35 GMT", nowMs), 30_000);
  t.is(retryAfterMs("Fri, 02 Jan 2026 03:04:00 GMT", nowMs), 0);
});

test("retryAfterMs() answers any text", (t) => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 40 }), (text) => {
      const ms = retryAfterMs(text, nowMs);
      t.true(ms === undefined || (Number.isFinite(ms) && ms >= 0));
    }),
  );
});
