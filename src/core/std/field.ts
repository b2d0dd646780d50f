/** The characters that HTTP fields are made of (RFC 9110 §5.1, §5.5, §5.6.2). */

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const fieldValue = /^[\t\u0020-\u007e\u0080-\u{10ffff}]*$/u;

export function isToken(text: string): boolean {
  return token.test(text);
}

/** No control character but the tab, so that a value can never end its line. */
export function isFieldValue(text: string): boolean {
  return fieldValue.test(text);
}

/**
 * Text as one line of visible ASCII that may stand in a field value, cut to `limit` characters. What does not fit the character set becomes `?`,
 * because explanations quote names that peers chose.
 */
export function toFieldText(text: string, limit: number): string {
  const line = text.replaceAll(/[^\u0020-\u007e]/g, "?");
  return line.length <= limit ? line : `${line.slice(0, Math.max(limit - 3, 0))}...`;
}
