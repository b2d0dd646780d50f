/**
 * Reads the first line of a message byte by byte, resumable anywhere. Only what is exactly the grammar of RFC 9112 §3
 * and §4 passes: one space between the parts, CR LF at the end.
 */
import { Byte, targetByte, tokenLower, valueByte } from "./byte-class.ts";
import { wrongByte } from "./field-lines.ts";
import type { RequestHead, ResponseHead } from "./http1-head.ts";
import type { MessageHead } from "./message-head.ts";
import { Refusal } from "./refusal.ts";

/** The longest registered method has 17 bytes; custom ones stay well below 32. */
export const maxMethodBytes = 32;

/** RFC 9112 §3 wants at least 8000 bytes. Twice that holds the signed URLs of object stores. */
export const maxRequestLineBytes: number = 16 * 1024;

/** Where a start line stands. `fields` is common to both kinds and comes after the line. */
export const Step = {
  start: 0,
  startLf: 1,
  method: 2,
  target: 3,
  version: 4,
  status: 5,
  reason: 6,
  lineLf: 7,
  fields: 8,
  done: 9,
} as const;

const versionLetters = "HTTP/";
const versionBytes = 8;

/** Answers 1 when the line is complete, 0 when bytes are missing, or a negative refusal. */
export function scanRequestLine(head: RequestHead, bytes: Buffer, limit: number): number {
  while (head.at < limit) {
    let result: number;
    switch (head.step) {
      case Step.start:
        result = beginRequest(head, bytes);
        break;
      case Step.startLf:
        // RFC 9112 §2.2: one empty line may come before a request; old clients sent it after a body.
        if (bytes[head.at] !== Byte.lf) return -Refusal.bareCr;
        head.at++;
        head.start = head.at;
        head.step = Step.method;
        continue;
      case Step.method:
        result = scanMethod(head, bytes, limit);
        break;
      case Step.target:
        result = scanTarget(head, bytes, limit);
        break;
      case Step.version:
        result = scanRequestVersion(head, bytes, limit);
        break;
      default:
        return scanLineLf(head, bytes);
    }
    if (result < 0) return result;
  }
  return 0;
}

function beginRequest(head: RequestHead, bytes: Buffer): number {
  head.targetEnd = -1;
  head.queryAt = -1;
  head.hasPercent = false;
  if (bytes[head.at] === Byte.cr) {
    head.at++;
    head.step = Step.startLf;
    return 0;
  }
  head.start = head.at;
  head.step = Step.method;
  return 0;
}

function scanMethod(head: RequestHead, bytes: Buffer, limit: number): number {
  let at = head.at;
  while (at < limit && tokenLower[bytes[at] as number] !== 0) at++;
  if (at - head.start > maxMethodBytes) return -Refusal.longMethod;
  head.at = at;
  if (at === limit) return 0;
  if (bytes[at] !== Byte.space || at === head.start) {
    return -wrongByte(bytes[at], Refusal.badMethod);
  }
  head.at = at + 1;
  head.targetStart = at + 1;
  head.step = Step.target;
  return 0;
}

function scanTarget(head: RequestHead, bytes: Buffer, limit: number): number {
  let at = head.at;
  for (;;) {
    while (at < limit && targetByte[bytes[at] as number] !== 0) at++;
    head.at = at;
    if (at === limit) return 0;
    const byte = bytes[at] as number;
    if (byte === Byte.space) break;
    if (byte === Byte.question) {
      if (head.queryAt < 0) head.queryAt = at;
    } else if (byte === Byte.percent) {
      head.hasPercent = true;
    } else if (byte !== Byte.backslash || head.queryAt < 0) {
      // HTTP/0.9 ends here: a line end in the place of the version.
      const otherwise = byte === Byte.cr ? Refusal.badVersion : Refusal.badTarget;
      return -wrongByte(byte, otherwise);
    }
    at++;
  }
  if (at === head.targetStart) return -Refusal.badTarget;
  if (head.hasPercent && hasEncodedNul(bytes, head.targetStart, at)) return -Refusal.badTarget;
  head.targetEnd = at;
  head.at = at + 1;
  head.mark = at + 1;
  head.step = Step.version;
  return 0;
}

/** `%00` ends the path early for everything that is written in C. */
function hasEncodedNul(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at + 2 < end; at++) {
    if (bytes[at] === Byte.percent && bytes[at + 1] === Byte.zero && bytes[at + 2] === Byte.zero) {
      return true;
    }
  }
  return false;
}

function scanRequestVersion(head: MessageHead, bytes: Buffer, limit: number): number {
  const result = scanVersion(head, bytes, limit);
  if (result !== 1) return result;
  if (bytes[head.at] !== Byte.cr) return -wrongByte(bytes[head.at], Refusal.badVersion);
  head.at++;
  head.step = Step.lineLf;
  return 0;
}

/**
 * `HTTP/1.1` or `HTTP/1.0` from `head.mark` on, and a byte behind it. Answers 1 when both are there, 0 when bytes are
 * missing. Later minor versions do not exist; who sends one wants something that nobody defined.
 */
function scanVersion(head: MessageHead, bytes: Buffer, limit: number): number {
  for (; head.at < limit; head.at++) {
    const index = head.at - head.mark;
    if (index === versionBytes) return 1;
    const byte = bytes[head.at] as number;
    if (index < versionLetters.length) {
      if (byte !== versionLetters.charCodeAt(index)) return -wrongByte(byte, Refusal.badVersion);
    } else if (index === versionLetters.length + 1) {
      if (byte !== Byte.dot) return -wrongByte(byte, Refusal.badVersion);
    } else if (byte < Byte.zero || byte > Byte.nine) {
      return -wrongByte(byte, Refusal.badVersion);
    } else if (index === versionLetters.length) {
      if (byte !== Byte.one) return -Refusal.otherVersion;
    } else {
      if (byte > Byte.one) return -Refusal.otherVersion;
      head.versionMinor = byte === Byte.one ? 1 : 0;
    }
  }
  return 0;
}

/** The line is complete with its LF; the fields begin behind it. */
function scanLineLf(head: MessageHead, bytes: Buffer): number {
  if (bytes[head.at] !== Byte.lf) return -Refusal.bareCr;
  head.at++;
  head.fields.at = head.at;
  head.step = Step.fields;
  return 1;
}

/** Answers as `scanRequestLine` does. */
export function scanStatusLine(head: ResponseHead, bytes: Buffer, limit: number): number {
  while (head.at < limit) {
    let result: number;
    switch (head.step) {
      case Step.start:
        head.mark = head.at;
        head.status = 0;
        head.step = Step.version;
        continue;
      case Step.version:
        result = scanResponseVersion(head, bytes, limit);
        break;
      case Step.status:
        result = scanStatus(head, bytes, limit);
        break;
      case Step.reason:
        result = scanReason(head, bytes, limit);
        break;
      default:
        return scanLineLf(head, bytes);
    }
    if (result < 0) return result;
  }
  return 0;
}

function scanResponseVersion(head: MessageHead, bytes: Buffer, limit: number): number {
  const result = scanVersion(head, bytes, limit);
  if (result !== 1) return result;
  if (bytes[head.at] !== Byte.space) return -wrongByte(bytes[head.at], Refusal.badVersion);
  head.at++;
  head.mark = head.at;
  head.step = Step.status;
  return 0;
}

/** Three digits. RFC 9112 §4 wants a space behind them even without a reason; many servers leave it out. */
function scanStatus(head: ResponseHead, bytes: Buffer, limit: number): number {
  for (; head.at < limit; head.at++) {
    const byte = bytes[head.at] as number;
    if (head.at - head.mark < 3) {
      if (byte < Byte.zero || byte > Byte.nine) return -wrongByte(byte, Refusal.badStatus);
      head.status = head.status * 10 + (byte - Byte.zero);
      continue;
    }
    if (head.status < 100) return -Refusal.badStatus;
    if (byte !== Byte.space && byte !== Byte.cr) return -wrongByte(byte, Refusal.badStatus);
    head.step = byte === Byte.space ? Step.reason : Step.lineLf;
    head.at++;
    return 0;
  }
  return 0;
}

function scanReason(head: MessageHead, bytes: Buffer, limit: number): number {
  let at = head.at;
  while (at < limit && valueByte[bytes[at] as number] !== 0) at++;
  head.at = at;
  if (at === limit) return 0;
  if (bytes[at] !== Byte.cr) return -wrongByte(bytes[at], Refusal.badStatus);
  head.at = at + 1;
  head.step = Step.lineLf;
  return 0;
}
