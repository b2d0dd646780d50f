/**
 * What the fields of a head say about the connection and the body's length (RFC 9112 §6 and §9, RFC 9110 §7.6.1). Two
 * hops that read this differently see different requests, which is how requests are smuggled: everything that any
 * implementation is known to read in its own way is refused.
 */
import { Byte, spells, tokenLower } from "./byte-class.ts";
import { type Fields, Known } from "./header-list.ts";
import type { MessageHead } from "./message-head.ts";
import { Refusal } from "./refusal.ts";
import { WordTable } from "./word-table.ts";

/** What Connection lists, as bits. `other` stands for names of fields that are to be dropped. */
export const ConnectionOption = { close: 1, keepAlive: 2, upgrade: 4, te: 8, other: 16 } as const;

/** Naming one of these in Connection asks the next hop to delete what frames or routes the message. */
const mustNotBeListed = 32;

/**
 * Each listed name costs a search through the fields. Real lists have three names; a head full of them would be the
 * cheapest way to make a proxy work.
 */
const maxConnectionOptions = 32;

const optionTable: WordTable = new WordTable([
  "close",
  "keep-alive",
  "upgrade",
  "te",
  "host",
  "content-length",
  "transfer-encoding",
]);
const optionBits: readonly number[] = [
  ConnectionOption.other,
  ConnectionOption.close,
  ConnectionOption.keepAlive,
  ConnectionOption.upgrade,
  ConnectionOption.te,
  mustNotBeListed,
  mustNotBeListed,
  mustNotBeListed,
];

/** Content-Length of at most 16 digits, then compared with 2^53 - 1: what a number counts exactly. */
const maxLengthDigits = 16;

/** Reads all fields that matter here into `head`. Answers 0 or a negative refusal. */
export function readFraming(head: MessageHead): number {
  const { fields } = head;
  head.contentLength = -1;
  head.options = 0;
  head.optionCount = 0;
  head.hostField = -1;
  head.lengthField = -1;
  head.codingField = -1;
  head.upgradeField = -1;
  head.expectField = -1;
  for (let i = 0; i < fields.count; i++) {
    const id = fields.known[i] as number;
    if (id === Known.none || id > Known.expect) continue;
    const refusal = readField(head, i, id);
    if (refusal !== 0) return refusal;
  }
  if (head.codingField >= 0) {
    // RFC 9112 §6.1: both together are an attack or a bug. Choosing one would be guessing what the next hop chooses.
    if (head.lengthField >= 0) return -Refusal.twoFramings;
    if (head.versionMinor === 0) return -Refusal.oldTransferEncoding;
    const refusal = readTransferEncoding(fields, head.codingField);
    if (refusal !== 0) return refusal;
  }
  const closes = (head.options & ConnectionOption.close) !== 0;
  const asksToStay = head.versionMinor === 1 || (head.options & ConnectionOption.keepAlive) !== 0;
  head.keepAlive = asksToStay && !closes;
  // RFC 9110 §7.8: an Upgrade that Connection does not list was not meant for this hop; with HTTP/1.0 it is ignored.
  head.upgrade =
    head.upgradeField >= 0 &&
    (head.options & ConnectionOption.upgrade) !== 0 &&
    head.versionMinor === 1;
  return 0;
}

function readField(head: MessageHead, i: number, id: number): number {
  switch (id) {
    case Known.host:
      if (head.hostField >= 0) return -Refusal.manyHosts;
      head.hostField = i;
      return 0;
    case Known.connection:
      return readConnection(head, i);
    case Known.contentLength:
      // RFC 9112 §6.3 lets equal duplicates pass; who sends them has been concatenating heads.
      if (head.lengthField >= 0) return -Refusal.manyContentLengths;
      head.lengthField = i;
      return readContentLength(head, i);
    case Known.transferEncoding:
      if (head.codingField >= 0) return -Refusal.badTransferEncoding;
      head.codingField = i;
      return 0;
    case Known.upgrade:
      head.upgradeField = i;
      return 0;
    case Known.expect:
      head.expectField = i;
      return 0;
    default:
      return 0;
  }
}

/** Ors the options of one Connection field into `head.options`. Empty list elements are skipped (RFC 9110 §5.6.1). */
function readConnection(head: MessageHead, i: number): number {
  const { bytes, fields } = head;
  const end = fields.spans[4 * i + 3] as number;
  let at = skipListGap(bytes, fields.spans[4 * i + 2] as number, end);
  while (at < end) {
    const optionEnd = tokenEnd(bytes, at, end);
    const next = skipListGap(bytes, optionEnd, end);
    if (optionEnd === at || (next < end && !hasComma(bytes, optionEnd, next))) {
      return -Refusal.badConnection;
    }
    const bit = optionBits[optionTable.find(bytes, at, optionEnd)] as number;
    if (bit === mustNotBeListed || ++head.optionCount > maxConnectionOptions) {
      return -Refusal.badConnection;
    }
    head.options |= bit;
    at = next;
  }
  return 0;
}

/** The position of the next list element: past white space and commas. */
export function skipListGap(bytes: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const byte = bytes[at];
    if (byte !== Byte.comma && byte !== Byte.space && byte !== Byte.tab) break;
    at++;
  }
  return at;
}

export function tokenEnd(bytes: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end && tokenLower[bytes[at] as number] !== 0) at++;
  return at;
}

function hasComma(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] === Byte.comma) return true;
  return false;
}

/**
 * RFC 9110 §8.6: digits. Signs, lists, hexadecimal, zeros in front (octal to some) and white space other than the usual
 * spaces before the value are read in different ways, so they are refused.
 */
function readContentLength(head: MessageHead, i: number): number {
  const { bytes, fields } = head;
  const start = fields.spans[4 * i + 2] as number;
  const end = fields.spans[4 * i + 3] as number;
  if (!isPlain(fields, i) || start === end || end - start > maxLengthDigits) {
    return -Refusal.badContentLength;
  }
  if (bytes[start] === Byte.zero && end - start > 1) return -Refusal.badContentLength;
  let length = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte < Byte.zero || byte > Byte.nine) return -Refusal.badContentLength;
    length = length * 10 + (byte - Byte.zero);
  }
  if (length > Number.MAX_SAFE_INTEGER) return -Refusal.badContentLength;
  head.contentLength = length;
  return 0;
}

/**
 * Exactly `chunked`, in any case (RFC 9112 §7). A well-formed list of other codings is 501 (§6.1), unless `chunked` is
 * somewhere in it but not once at the end, which leaves the length unknown (§6.3): 400.
 */
function readTransferEncoding(fields: Fields, i: number): number {
  const { bytes, spans } = fields;
  const start = spans[4 * i + 2] as number;
  const end = spans[4 * i + 3] as number;
  if (!isPlain(fields, i) || start === end) return -Refusal.badTransferEncoding;
  if (spells(bytes, start, end, "chunked")) return 0;
  let at = start;
  for (;;) {
    const codingEnd = tokenEnd(bytes, at, end);
    if (codingEnd === at) return -Refusal.badTransferEncoding;
    if (codingEnd === end) return -Refusal.otherCoding;
    if (spells(bytes, at, codingEnd, "chunked")) return -Refusal.badTransferEncoding;
    const next = skipListGap(bytes, codingEnd, end);
    if (!hasComma(bytes, codingEnd, next)) return -Refusal.badTransferEncoding;
    at = next;
  }
}

/**
 * Whether nothing but spaces stands between the colon and the value, and nothing after the value. Other white space is
 * legal (RFC 9112 §5.1), but hops that do not trim it read another value.
 */
function isPlain(fields: Fields, i: number): boolean {
  const { bytes, spans } = fields;
  const valueStart = spans[4 * i + 2] as number;
  for (let at = (spans[4 * i + 1] as number) + 1; at < valueStart; at++) {
    if (bytes[at] !== Byte.space) return false;
  }
  return bytes[spans[4 * i + 3] as number] === Byte.cr;
}
