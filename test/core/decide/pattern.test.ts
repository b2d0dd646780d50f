import test from "ava";
import {
  compilePattern,
  maxPatternLength,
  maxPatternProgram,
  maxTestedLength,
} from "../../../src/core/decide/pattern.ts";
import { describeFaults } from "../../../src/core/std/result.ts";

function matches(source: string, value: string): boolean {
  const pattern = compilePattern(source);
  return pattern.ok && pattern.value.test(value);
}

function refusal(source: string): string {
  const pattern = compilePattern(source);
  return pattern.ok ? "" : describeFaults(pattern.faults);
}

test("compilePattern() matches the whole value", (t) => {
  t.true(matches("a.c", "abc"));
  t.false(matches("a.c", "xabc"));
  t.false(matches("a.c", "abcx"));
  t.true(matches("^a.c$", "abc"));
});

test("compilePattern() tries every alternative for the whole value", (t) => {
  t.true(matches("a|ab", "ab"));
  t.true(matches("(a|ab)(c|bcd)(d*)", "abcd"));
});

test("compilePattern() knows the flags and classes of RE2", (t) => {
  t.true(matches("(?i)abc", "ABC"));
  t.true(matches("[[:alpha:]]+", "abc"));
  t.true(matches("(?P<name>a)", "a"));
  t.false(matches(".", "\n"));
  t.true(matches("(?s).", "\n"));
});

test("compilePattern() takes octets beyond ASCII as characters", (t) => {
  t.true(matches(".", "\u00ff"));
  t.true(matches("[\u0080-\u00ff]+", "\u00c3\u00a9"));
});

for (const source of ["(", "a\\", "(a)\\1", "(?=a)a", "a{1001}", "[z-a]"]) {
  test(`compilePattern() refuses ${source}`, (t) => {
    t.regex(refusal(source), /is not a regular expression of RE2: /);
  });
}

test("compilePattern() refuses a longer pattern than the limit", (t) => {
  t.is(refusal("a".repeat(maxPatternLength)), "");
  t.regex(refusal("a".repeat(maxPatternLength + 1)), /at most 1024 characters/);
});

test("compilePattern() refuses a pattern that compiles to more than the limit", (t) => {
  t.is(refusal("a{1000}"), "");
  t.regex(refusal("(ab){900}"), new RegExp(`at most ${maxPatternProgram} instructions`));
});

/** Patterns that keep a backtracking engine busy for longer than there is a universe. */
for (const [source, character] of [
  ["(a+)+$", "a"],
  ["(a|a)*b", "a"],
  ["(.*)(.*)(.*)(.*)(.*)b", "a"],
  ["(a*)*b", "a"],
  ["(x+x+)+y", "x"],
] as const) {
  test(`compilePattern() tests ${source} in time that grows with the value alone`, (t) => {
    const pattern = compilePattern(source);
    if (!pattern.ok) throw new Error(describeFaults(pattern.faults));
    const value = `${character.repeat(maxTestedLength - 1)}!`;
    const start = performance.now();
    for (let at = 0; at < 10; at++) t.false(pattern.value.test(value));
    t.true(performance.now() - start < 5_000);
  });
}
