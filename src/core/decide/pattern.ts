/**
 * Regular expressions that users write, in RE2's syntax and time: the match takes time in proportion to the length of the value, whatever the
 * pattern. The three limits below bound the factor, which is the other half of an attack.
 */
import { RE2JS } from "re2js";
import { fail, fault, ok, type Result } from "../std/result.ts";
import { type PatternLiterals, patternLiterals } from "./pattern-literals.ts";

/** Characters of a pattern. Gateway API allows as many for a path and a query value; patterns in use are a tenth of it. */
export const maxPatternLength = 1_024;

/** Instructions of a compiled pattern: room for every pattern of the length above that does not count repetitions (`{1,1000}`). */
export const maxPatternProgram = 1_100;

/**
 * Characters of a value that is tested. Servers commonly refuse longer lines (8 KiB); with the worst pattern within the limits above a value of this
 * length takes some 0.3 s. A longer value is not judged but refused, since "does not match" could hand the request to a weaker rule.
 */
export const maxTestedLength = 8_192;

/** What is known to compile is compiled when a value first asks for it. `test` says whether the whole value matches. */
export type Pattern = { readonly test: (value: string) => boolean };

/**
 * Values are strings of octets (Latin-1): `.` takes any octet but the line feed, and a pattern with a letter outside of ASCII does not see UTF-8.
 * No flags are set; `(?i)` and `(?s)` at the start of the pattern set them.
 */
export function compilePattern(source: string): Result<Pattern> {
  if (source.length > maxPatternLength) {
    return fail(fault("", `must have at most ${maxPatternLength} characters`));
  }
  const literals = patternLiterals(source);
  if (literals?.isSound === true) return ok(lazyPattern(source, literals));
  let expression: RE2JS;
  try {
    expression = RE2JS.compile(source);
  } catch (error) {
    return fail(fault("", `is not a regular expression of RE2: ${messageOf(error)}`));
  }
  if (expression.programSize() > maxPatternProgram) {
    return fail(fault("", `must compile to at most ${maxPatternProgram} instructions`));
  }
  return ok({ test: (value) => mayMatch(literals, value) && expression.testExact(value) });
}

/** A compilation takes some 50 µs, and a request needs few of a table's patterns (benchmarks/core/find-route.ts). */
function lazyPattern(source: string, literals: PatternLiterals): Pattern {
  if (literals.isWhole) return { test: (value) => value === literals.start };
  let expression: RE2JS | undefined;
  return {
    test: (value) => {
      if (!mayMatch(literals, value)) return false;
      expression ??= RE2JS.compile(source);
      return expression.testExact(value);
    },
  };
}

function mayMatch(literals: PatternLiterals | undefined, value: string): boolean {
  return (
    literals === undefined || (value.startsWith(literals.start) && value.endsWith(literals.end))
  );
}

function messageOf(error: unknown): string {
  return Error.isError(error) ? error.message : String(error);
}
