/**
 * What each byte may be, as tables of 256: one array load per byte instead of comparisons or a regular expression
 * (`benchmarks/codec/parse-request-head.ts`). Indexing with `as number` is safe here and in the scanners because every
 * index is below a limit that was checked against the buffer's length.
 */

/** Bytes with a meaning in the HTTP/1 grammar. */
export const Byte = {
  tab: 0x09,
  lf: 0x0a,
  cr: 0x0d,
  space: 0x20,
  percent: 0x25,
  asterisk: 0x2a,
  comma: 0x2c,
  dash: 0x2d,
  dot: 0x2e,
  slash: 0x2f,
  zero: 0x30,
  one: 0x31,
  nine: 0x39,
  colon: 0x3a,
  semicolon: 0x3b,
  question: 0x3f,
  openBracket: 0x5b,
  backslash: 0x5c,
  closeBracket: 0x5d,
  underscore: 0x5f,
} as const;

/** RFC 9110 §5.6.2: the lower-case form of a token byte, 0 for every byte that may not be in a token. */
export const tokenLower: Uint8Array = lowerCased("!#$%&'*+-.^_`|~");

/**
 * The lower-case form of a byte that may be in a host name, else 0. RFC 3986 §3.2.2 also allows sub-delimiters and
 * percent-encoding: no name that resolves contains them, and `a%2eb` or `a,b` is read differently by different hops.
 */
export const hostLower: Uint8Array = lowerCased("-._~");

/** RFC 9110 §5.5: 1 for HTAB, SP, visible ASCII and obs-text (0x80 to 0xff), 0 for controls and DEL. */
export const valueByte: Uint8Array = filled(
  (byte) => byte === Byte.tab || (byte >= 0x20 && byte !== 0x7f),
);

/**
 * 1 for the bytes of a request target that need no closer look. The rest of what is visible ASCII is looked at: `?` and
 * `%` mean something, `\` is read as `/` by some origins, and `#` may not be in a target (RFC 9112 §3.2).
 */
export const targetByte: Uint8Array = filled(
  (byte) => byte > 0x20 && byte < 0x7f && !"#%?\\".includes(String.fromCharCode(byte)),
);

/** 1 for the visible ASCII bytes, 0x21 to 0x7e. */
export const visibleByte: Uint8Array = filled((byte) => byte > 0x20 && byte < 0x7f);

/** The value of a hexadecimal digit, 255 for every other byte. */
export const hexValue: Uint8Array = new Uint8Array(256).fill(255);
for (const [value, digit] of [..."0123456789abcdef"].entries()) {
  hexValue[digit.charCodeAt(0)] = value;
  hexValue[digit.toUpperCase().charCodeAt(0)] = value;
}

function filled(belongs: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_none, byte) => (belongs(byte) ? 1 : 0));
}

/** Letters and digits, and the bytes of `marks`. */
function lowerCased(marks: string): Uint8Array {
  const table = new Uint8Array(256);
  for (const character of `0123456789abcdefghijklmnopqrstuvwxyz${marks}`) {
    const byte = character.charCodeAt(0);
    table[byte] = byte;
    table[character.toUpperCase().charCodeAt(0)] = byte;
  }
  return table;
}

/** Whether `bytes[start, end)` spells `word`, which is given in lower case, in any case. */
export function spells(bytes: Uint8Array, start: number, end: number, word: string): boolean {
  if (end - start !== word.length) return false;
  for (let at = 0; at < word.length; at++) {
    if (tokenLower[bytes[start + at] as number] !== word.charCodeAt(at)) return false;
  }
  return true;
}
