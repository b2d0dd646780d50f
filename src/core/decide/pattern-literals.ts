/**
 * What every value that a pattern matches begins and ends with, read off the pattern without its engine, so that a table of many patterns is searched by
 * looking the value up. A small part of RE2's syntax is understood (https://github.com/google/re2/wiki/Syntax); the analysis gives up on anything else.
 */

export type PatternLiterals = {
  /** Every value that matches begins with it, and ends with `end`; they may overlap. */
  readonly start: string;
  readonly end: string;
  /** `start` matches and nothing else does. */
  readonly isWhole: boolean;
  /** The pattern is known to compile within the limits of pattern.ts, so that it need not be compiled before its first use. */
  readonly isSound: boolean;
};

/** Characters of a pattern that cannot come to more instructions than pattern.ts allows: what is understood costs less than two for each character. */
export const maxSoundLength = 500;

/** Undefined: not understood. */
export function patternLiterals(source: string): PatternLiterals | undefined {
  const scan = new Scan();
  let at = source.startsWith("^") ? 1 : 0;
  const end = source.length - (endsWithAnchor(source) ? 1 : 0);
  while (at < end) {
    const token = readToken(source, at);
    if (token === undefined || at + token.length > end) return undefined;
    const next = at + token.length;
    const quantifier = quantifierAt(source, next);
    if (quantifier === undefined || !scan.take(token, quantifier)) return undefined;
    at = next + quantifier.length;
  }
  return scan.result(source.length);
}

type Token = {
  readonly kind: "literal" | "set" | "open" | "close" | "or";
  /** The character that a literal stands for. */
  readonly text: string;
  /** Characters of the pattern. */
  readonly length: number;
};

/** `isCounted`: it copies what it repeats, so the size of the program is open. */
type Quantifier = { readonly length: number; readonly isCounted: boolean };

class Scan {
  #start = "";
  #tail = "";
  #isLiteral = true;
  #hasChoice = false;
  #isCounted = false;
  #depth = 0;

  /** False: the pattern is not understood. */
  take({ kind, text }: Token, quantifier: Quantifier): boolean {
    const isRepeated = quantifier.length > 0;
    if (quantifier.isCounted) this.#isCounted = true;
    if (kind === "open") this.#depth++;
    if (kind === "close") this.#depth--;
    if (kind === "or" && this.#depth === 0) this.#hasChoice = true;
    if (this.#depth < 0 || (isRepeated && (kind === "open" || kind === "or"))) return false;
    if (kind === "literal" && !isRepeated && this.#depth === 0) {
      if (this.#isLiteral) this.#start += text;
      this.#tail += text;
    } else {
      this.#isLiteral = false;
      this.#tail = "";
    }
    return true;
  }

  result(length: number): PatternLiterals | undefined {
    if (this.#depth !== 0) return undefined;
    const isSound = !this.#isCounted && length <= maxSoundLength;
    if (this.#hasChoice) return { start: "", end: "", isWhole: false, isSound };
    return { start: this.#start, end: this.#tail, isWhole: this.#isLiteral, isSound };
  }
}

/** A dollar sign that is not escaped; an even number of backslashes before it escape one another. */
function endsWithAnchor(source: string): boolean {
  if (!source.endsWith("$")) return false;
  let backslashes = 0;
  while (source.charAt(source.length - 2 - backslashes) === "\\") backslashes++;
  return backslashes % 2 === 0;
}

/** Visible ASCII and the space, but for what has a meaning somewhere. */
const literal = /^[ !"#%&',\-/0-9:;<=>@A-Z_`a-z~]$/;
const escapedLiteral = /\\[!"#$%&'()*+,\-./:;<=>?@[\\\]^`{|}~]/y;
const escapedSet = /\\[dDsSwW]/y;
/** Letters, digits, marks without a meaning in a set, and ranges between two letters or digits. */
const set = /\[\^?(?:[0-9A-Za-z](?:-[0-9A-Za-z])?|[ !"#%&',./:;<=>@_`~]|\\[dsw\-.])+-?\]/y;
const range = /[0-9A-Za-z]-[0-9A-Za-z]/g;
const opening = /\((?:\?:)?(?!\?)/y;

function readToken(source: string, at: number): Token | undefined {
  const character = source.charAt(at);
  if (literal.test(character)) return { kind: "literal", text: character, length: 1 };
  switch (character) {
    case ".":
      return { kind: "set", text: "", length: 1 };
    case "|":
      return { kind: "or", text: "", length: 1 };
    case ")":
      return { kind: "close", text: "", length: 1 };
    case "(": {
      const length = lengthAt(opening, source, at);
      return length === 0 ? undefined : { kind: "open", text: "", length };
    }
    case "[":
      return readSet(source, at);
    case "\\": {
      if (lengthAt(escapedSet, source, at) > 0) return { kind: "set", text: "", length: 2 };
      if (lengthAt(escapedLiteral, source, at) === 0) return undefined;
      return { kind: "literal", text: source.charAt(at + 1), length: 2 };
    }
    default:
      return undefined;
  }
}

function readSet(source: string, at: number): Token | undefined {
  const length = lengthAt(set, source, at);
  const ranges = source.slice(at, at + length).match(range) ?? [];
  const areOrdered = ranges.every((one) => one.charAt(0) <= one.charAt(2));
  return length > 0 && areOrdered ? { kind: "set", text: "", length } : undefined;
}

const counted = /\{[0-9]{1,3}(?:,[0-9]{0,3})?\}\??/y;
const repeated = /[*+?]\??/y;
const repetition = /[*+?{]/y;

/** Undefined: a repetition of a repetition, which RE2 refuses, or a brace that counts nothing. */
function quantifierAt(source: string, at: number): Quantifier | undefined {
  const plain = lengthAt(repeated, source, at);
  const length = plain > 0 ? plain : lengthAt(counted, source, at);
  if (lengthAt(repetition, source, at + length) > 0) return undefined;
  return { length, isCounted: length > plain };
}

/** Of what a sticky expression of ours matches at a place. They have no nested repetition. */
function lengthAt(expression: RegExp, source: string, at: number): number {
  expression.lastIndex = at;
  return expression.exec(source)?.[0].length ?? 0;
}
