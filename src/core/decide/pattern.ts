/**
 * Regular expressions that users write, in RE2's syntax and time: the match takes time in proportion to the length of the value, whatever the
 * pattern. The three limits below bound the factor, which is the other half of an attack.
 */
import { RE2JS } from "re2js";
import { fail, fault, ok, type Result } from "../std/result.ts";

/** Characters of a pattern. Gateway API allows as many for a path and a query value; patterns in use are a tenth of it. */
export const maxPatternLength = 1_024;

/** Instructions of a compiled pattern: room for every pattern of the length above that does not count repetitions (`{1,1000}`). */
export const maxPatternProgram = 1_100;

/**
 * Characters of a value that is tested. Servers commonly refuse longer lines (8 KiB); with the worst pattern within the limits above a value of this
 * length takes some 0.3 s. A longer value is not judged but refused, since "does not match" could hand the request to a weaker rule.
 */
export const maxTestedLength = 8_192;

/** `test` says whether the whole value matches. */
export type Pattern = { readonly test: (value: string) => boolean };

/**
 * Values are strings of octets (Latin-1): `.` takes any octet but the line feed, and a pattern with a letter outside of ASCII does not see UTF-8.
 * No flags are set; `(?i)` and `(?s)` at the start of the pattern set them.
 */
export function compilePattern(source: string): Result<Pattern> {
  if (source.length > maxPatternLength) {
    return fail(fault("", `must have at most ${maxPatternLength} characters`));
  }
  let expression: RE2JS;
  try {
    expression = RE2JS.compile(source);
  } catch (error) {
    return fail(fault("", `is not a regular expression of RE2: ${messageOf(error)}`));
  }
  if (expression.programSize() > maxPatternProgram) {
    return fail(fault("", `must compile to at most ${maxPatternProgram} instructions`));
  }
  return ok({ test: (value) => expression.testExact(value) });
}

function messageOf(error: unknown): string {
  return Error.isError(error) ? error.message : String(error);
}
