/**
 * What a connection speaks, from its first bytes. The answer never depends on how the bytes were cut into pieces: who
 * dribbles them gets `more` until they are unmistakable.
 */
import { Byte, hostLower, tokenLower } from "./byte-class.ts";
import { maxMethodBytes } from "./start-line.ts";

export type Sniffed = "tls" | "http1" | "http2" | "opaque" | "more";

/** RFC 9113 §3.4. */
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const emptyLine = "\r\n";
const handshakeRecord = 0x16;
const tlsMajor = 0x03;

export function sniff(bytes: Buffer, start: number, end: number): Sniffed {
  if (start >= end) return "more";
  if (bytes[start] === handshakeRecord) {
    if (start + 1 === end) return "more";
    return bytes[start + 1] === tlsMajor ? "tls" : "opaque";
  }
  const matched = matchLength(bytes, start, end, preface);
  if (matched === preface.length) return "http2";
  if (start + matched === end) return "more";
  // The parser skips one empty line before a request, so it is skipped here.
  const skipped = matchLength(bytes, start, end, emptyLine);
  if (skipped === 1 && start + 1 < end) return "opaque";
  return sniffRequest(bytes, start + skipped, end);
}

/**
 * HTTP/1 is a method, a space, and a target in one of the four forms. The target is looked at because text protocols
 * begin with a word and a space too: `get key` is memcached, `EHLO host` is SMTP, `CONNECT {` is NATS.
 */
function sniffRequest(bytes: Buffer, start: number, end: number): Sniffed {
  let at = start;
  while (at < end && tokenLower[bytes[at] as number] !== 0) at++;
  if (at - start > maxMethodBytes) return "opaque";
  if (at === end) return "more";
  if (bytes[at] !== Byte.space || at === start) return "opaque";
  const target = at + 1;
  if (target === end) return "more";
  switch (bytes[target] as number) {
    case Byte.slash:
      return "http1";
    case Byte.asterisk:
      return isWord(bytes, start, at, "OPTIONS") || isWord(bytes, start, at, "PRI")
        ? "http1"
        : "opaque";
    default:
      return isWord(bytes, start, at, "CONNECT")
        ? sniffAuthority(bytes[target] as number)
        : sniffAbsolute(bytes, target, end);
  }
}

function sniffAuthority(byte: number): Sniffed {
  return hostLower[byte] !== 0 || byte === Byte.openBracket ? "http1" : "opaque";
}

/** `http://` or `https://`, in any case. */
function sniffAbsolute(bytes: Buffer, start: number, end: number): Sniffed {
  const plain = matchLength(bytes, start, end, "http://");
  const secure = matchLength(bytes, start, end, "https://");
  if (plain === "http://".length || secure === "https://".length) return "http1";
  return start + Math.max(plain, secure) === end ? "more" : "opaque";
}

/** How many bytes from `start` on agree with `text`, where a lower-case letter stands for both cases. */
function matchLength(bytes: Buffer, start: number, end: number, text: string): number {
  let length = 0;
  while (length < text.length && start + length < end) {
    const byte = bytes[start + length] as number;
    const wanted = text.charCodeAt(length);
    if (byte !== wanted && tokenLower[byte] !== wanted) break;
    length++;
  }
  return length;
}

function isWord(bytes: Buffer, start: number, end: number, word: string): boolean {
  return end - start === word.length && matchLength(bytes, start, end, word) === word.length;
}
