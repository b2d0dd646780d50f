/** The cost of a head that comes in single bytes is a number of byte reads, not of milliseconds. */
import test from "ava";
import { maxHeadBytes, parseRequestHead, RequestHead } from "../../src/codec/http1-head.ts";
import { latin1 } from "./read-messages.ts";

/** How many bytes of `text` the parser reads when it is called again after every byte. */
function readsByteByByte(text: string): number {
  const bytes = latin1(text);
  let reads = 0;
  const counted = new Proxy(bytes, {
    get(target, key) {
      if (typeof key === "string" && key >= "0" && key < ":") reads++;
      const value: unknown = Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const head = new RequestHead();
  for (let end = 1; end < bytes.length; end++) {
    if (parseRequestHead(head, counted, 0, end) !== 0) throw new Error(`Expected more at ${end}`);
  }
  if (parseRequestHead(head, counted, 0, bytes.length) !== bytes.length)
    throw new Error("Expected a head");
  return reads;
}

const start = "GET / HTTP/1.1\r\nHost: a\r\n";

/** Heads of the greatest size that put all bytes into one place. */
const shapes: ReadonlyMap<string, string> = new Map([
  ["one long value", `${start}X: ${"v".repeat(maxHeadBytes - start.length - 7)}\r\n\r\n`],
  ["one long name", `${start}${"n".repeat(maxHeadBytes - start.length - 5)}:\r\n\r\n`],
  [
    "white space before a value",
    `${start}X:${" ".repeat(maxHeadBytes - start.length - 7)}v\r\n\r\n`,
  ],
  [
    "white space after a value",
    `${start}X:v${" ".repeat(maxHeadBytes - start.length - 7)}\r\n\r\n`,
  ],
  ["198 fields", `${start}${`${"n".repeat(20)}: ${"v".repeat(300)}\r\n`.repeat(198)}\r\n`],
  ["a long target", `GET /${"%41?".repeat(4000)} HTTP/1.1\r\nHost: a\r\n\r\n`],
  [
    "a long list in Connection",
    `${start}Connection: ${",".repeat(maxHeadBytes - start.length - 17)}a\r\n\r\n`,
  ],
]);

for (const [shape, text] of shapes) {
  test(`parseRequestHead() reads each byte at most five times when ${shape} comes byte by byte`, (t) => {
    const reads = readsByteByByte(text);
    t.true(text.length <= maxHeadBytes);
    t.true(reads >= text.length, `${reads} reads say that the counter counts`);
    t.true(reads <= 5 * text.length, `${reads} reads of ${text.length} bytes`);
  });
}
