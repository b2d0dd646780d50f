import test from "ava";
import fc from "fast-check";
import { RE2JS } from "re2js";
import { compilePattern, maxPatternProgram } from "../../../src/core/decide/pattern.ts";
import { maxSoundLength, patternLiterals } from "../../../src/core/decide/pattern-literals.ts";

/** `expected`: start and end; one alone is the whole. */
const reads = test.macro({
  exec: (t, source: string, expected: readonly string[]) => {
    const [start = "", end = start] = expected;
    const isWhole = expected.length === 1;
    t.deepEqual(patternLiterals(source), { start, end, isWhole, isSound: true });
  },
  title: (_, source: string, expected: readonly string[]) =>
    `patternLiterals() of ${source} are ${JSON.stringify(expected)}`,
});

test(reads, "^/api/v1/users/[0-9]+$", ["/api/v1/users/", ""]);
test(reads, "/api/v[0-9]+/things", ["/api/v", "/things"]);
test(reads, "/a", ["/a"]);
test(reads, "^/a\\.b$", ["/a.b"]);
test(reads, "", [""]);
test(reads, "ab*", ["a", ""]);
test(reads, "a+b", ["", "b"]);
test(reads, "a(b|c)d", ["a", "d"]);
test(reads, "a(b)?", ["a", ""]);
test(reads, "(?:a)b", ["", "b"]);
test(reads, "a|b", ["", ""]);
test(reads, "a\\d\\$", ["a", "$"]);
test(reads, "a\\\\$", ["a\\"]);
test(reads, "/[\\w.-]+/x", ["/", "/x"]);
test(reads, "a.*?b", ["a", "b"]);

for (const source of [
  "(?i)a",
  "(?P<name>a)",
  "a**",
  "a{2",
  "*a",
  "(*a)",
  "a|*",
  "a)",
  "(a",
  "[z-a]",
  "[[:alpha:]]",
  "a^b",
  "a$b",
  "\\Qa\\E",
  "\\pN",
  "a\\",
  "\u00e9",
]) {
  test(`patternLiterals() of ${source} are not known`, (t) => {
    t.is(patternLiterals(source), undefined);
  });
}

test("patternLiterals() leaves repetitions that count, and long patterns, to the compiler", (t) => {
  t.deepEqual(patternLiterals("/a{2}b"), { start: "/", end: "b", isWhole: false, isSound: false });
  t.true(patternLiterals("a".repeat(maxSoundLength))?.isSound);
  t.false(patternLiterals("a".repeat(maxSoundLength + 1))?.isSound);
});

/** Of what the analysis knows and what it must give up on. */
const piece = fc.constantFrom(
  ..."aab1/-*+?()|[]{}^$.\\".split(""),
  "(a",
  "(?:",
  ")*",
  "b)?",
  "[ab]",
  "[^a-b]",
  "{2}",
  "{1,2}",
  "\\.",
  "\\d",
  "\\$",
  ".*",
  "(?i)",
  "$",
);
const value = fc.string({ unit: fc.constantFrom(..."aaabb1/.$A\\-"), maxLength: 6 });

test("patternLiterals() are those of every value that RE2 matches, and sound patterns compile", (t) => {
  const seen = { sound: 0, matches: 0, known: 0 };
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 7 }).map((parts) => parts.join("")),
      fc.array(value, { minLength: 20, maxLength: 20 }),
      (source, texts) => {
        const literals = patternLiterals(source);
        if (literals === undefined) return;
        seen.known++;
        const pattern = compilePattern(source);
        if (literals.isSound) seen.sound++;
        let expression: RE2JS;
        try {
          expression = RE2JS.compile(source);
        } catch {
          t.false(literals.isSound, source);
          return;
        }
        t.true(!literals.isSound || expression.programSize() <= maxPatternProgram);
        for (const text of [...texts, literals.start, literals.start + literals.end]) {
          const isMatch = expression.testExact(text);
          t.is(pattern.ok && pattern.value.test(text), isMatch, `${source} of ${text}`);
          if (!isMatch) continue;
          seen.matches++;
          t.true(text.startsWith(literals.start) && text.endsWith(literals.end), source);
          t.true(!literals.isWhole || text === literals.start, source);
        }
      },
    ),
    { numRuns: 5_000 },
  );
  t.true(seen.sound > 500 && seen.matches > 1_000, JSON.stringify(seen));
});

for (const unit of ["(a*)*", "()*", "(|)", "(a|b)+", "a*?", "[^a]?", "((.))?"]) {
  test(`patternLiterals() of the longest sound pattern of ${unit} compile within the limit`, (t) => {
    const source = unit.repeat(Math.floor(maxSoundLength / unit.length));
    t.true(patternLiterals(source)?.isSound);
    t.true(RE2JS.compile(source).programSize() <= maxPatternProgram);
  });
}
