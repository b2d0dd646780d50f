/** Texts are cut, so that a line of the log is never longer than can be written in one piece (`edge/telemetry/line-writer.ts`). */

const maxText = 256;

export function short(text: string): string {
  return cut(text, maxText);
}

/** So that the escaped form fits as well: an octet that is not ASCII, or a backslash, takes up to six characters. */
export function cut(text: string, limit: number): string {
  let cost = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    cost += code < 0x20 || code > 0x7e ? 6 : code === 0x22 || code === 0x5c ? 2 : 1;
    if (cost > limit) return text.slice(0, at);
  }
  return text;
}
