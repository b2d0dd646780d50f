/**
 * Query parameters as HTML forms write them (URL standard §5.1): `name=value` joined by `&`, a plus for a space, percent-encoded UTF-8. Nothing is
 * split or decoded beyond what the question needs. Gateway API HTTPQueryParamMatch: of a repeated parameter the first counts.
 */

/** The value of the first parameter of this name, decoded; undefined when there is none. `query` is without its question mark. */
export function queryValue(query: string, name: string): string | undefined {
  let start = 0;
  while (start < query.length) {
    const ampersand = query.indexOf("&", start);
    const end = ampersand < 0 ? query.length : ampersand;
    const sign = query.indexOf("=", start);
    const nameEnd = sign < 0 || sign > end ? end : sign;
    if (nameEnd > start && isNamed(query, start, nameEnd, name)) {
      return decodeBetween(query, Math.min(nameEnd + 1, end), end);
    }
    start = end + 1;
  }
  return undefined;
}

function isNamed(query: string, start: number, end: number, name: string): boolean {
  if (isEncoded(query, start, end)) return decode(query.slice(start, end)) === name;
  return end - start === name.length && query.startsWith(name, start);
}

function decodeBetween(query: string, start: number, end: number): string {
  const text = query.slice(start, end);
  return isEncoded(query, start, end) ? decode(text) : text;
}

function isEncoded(query: string, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const code = query.charCodeAt(at);
    if (code === 0x25 || code === 0x2b || code > 0x7f) return true;
  }
  return false;
}

/**
 * One character of UTF-8, or as much of one as its first octets promise (the maximal subparts of Unicode §3.9, table 3-7, each of which becomes one
 * U+FFFD), or any other octet.
 */
const rest = "%[89ab][0-9a-f]";
const sequence = new RegExp(
  [
    `%(?:c[2-9a-f]|d[0-9a-f])(?:${rest})?`,
    `%e0(?:%[ab][0-9a-f](?:${rest})?)?`,
    `%ed(?:%[89][0-9a-f](?:${rest})?)?`,
    `%e[1-9a-cef](?:${rest}){0,2}`,
    `%f0(?:%[9ab][0-9a-f](?:${rest}){0,2})?`,
    `%f4(?:%8[0-9a-f](?:${rest}){0,2})?`,
    `%f[1-3](?:${rest}){0,3}`,
    "%[0-9a-f]{2}",
  ].join("|"),
  "gi",
);

/** As in the standard, a percent sign without two digits stands for itself, and what is not UTF-8 becomes U+FFFD. */
function decode(text: string): string {
  return text
    .replaceAll("+", " ")
    .replaceAll(/[\u0080-\u00ff]/g, (octet) => `%${octet.charCodeAt(0).toString(16)}`)
    .replaceAll(sequence, decodeSequence);
}

function decodeSequence(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return "\ufffd";
  }
}
