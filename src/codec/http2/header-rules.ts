/**
 * What makes a header section malformed (RFC 9113 §8.2 and §8.3, RFC 8441 §4). A malformed one costs its stream. Only what
 * cannot be said in HTTP/1.1 or would change its meaning there is judged here; methods, paths and authorities are then
 * read by the rules of HTTP/1.1, for both protocols alike.
 */
import { sameAuthority } from "../authority.ts";
import { Byte, spells, tokenLower, visibleByte } from "../byte-class.ts";
import { Known } from "../header-list.ts";
import { type HeaderBlock, Pseudo } from "./header-block.ts";

/** Content-Length of at most 16 digits, then compared with 2^53 - 1: what a number counts exactly. */
const maxLengthDigits = 16;

/** Whether the block is a good request. Extended CONNECT is always offered. */
export function readRequestBlock(block: HeaderBlock): boolean {
  if (block.isWrong || !readPseudo(block) || !readRegular(block)) return false;
  const { method, path, scheme, authority, protocol } = block;
  if (method < 0 || block.status !== 0 || !isEvery(block, method, tokenLower)) return false;
  if (authority >= 0 && !isEvery(block, authority, visibleByte)) return false;
  const isConnect = isValue(block, method, "connect") && block.value(method) === "CONNECT";
  if (protocol >= 0 && !(isConnect && isEvery(block, protocol, tokenLower))) {
    return false;
  }
  if (isConnect && protocol < 0) return path < 0 && scheme < 0 && authority >= 0;
  if (path < 0 || scheme < 0 || !isEvery(block, path, visibleByte)) return false;
  if (!isValue(block, scheme, "http") && !isValue(block, scheme, "https")) return false;
  return isPath(block) && agreesWithHost(block);
}

/** Whether the block is a good response head, final or not. */
export function readResponseBlock(block: HeaderBlock): boolean {
  if (block.isWrong || !readPseudo(block) || !readRegular(block)) return false;
  const { status } = block;
  // RFC 9113 §8.6: there is no switching of protocols.
  if (status < 100 || status === 101) return false;
  return block.method + block.path + block.scheme + block.authority + block.protocol === -5;
}

/** Whether the block is a good trailer section. */
export function readTrailerBlock(block: HeaderBlock): boolean {
  if (block.isWrong || !readPseudo(block)) return false;
  return block.firstRegular === 0 && readRegular(block);
}

/** Pseudo-fields come first, each once. */
function readPseudo(block: HeaderBlock): boolean {
  block.method = -1;
  block.path = -1;
  block.scheme = -1;
  block.authority = -1;
  block.protocol = -1;
  block.status = 0;
  let i = 0;
  for (; i < block.count; i++) {
    const id = block.ids[i] as number;
    if (id < Pseudo.other) break;
    if (!notePseudo(block, i, id)) return false;
  }
  block.firstRegular = i;
  for (; i < block.count; i++) if ((block.ids[i] as number) >= Pseudo.other) return false;
  return true;
}

function notePseudo(block: HeaderBlock, i: number, id: number): boolean {
  switch (id) {
    case Pseudo.method:
      if (block.method >= 0) return false;
      block.method = i;
      return true;
    case Pseudo.path:
      if (block.path >= 0) return false;
      block.path = i;
      return true;
    case Pseudo.scheme:
      if (block.scheme >= 0) return false;
      block.scheme = i;
      return true;
    case Pseudo.authority:
      if (block.authority >= 0) return false;
      block.authority = i;
      return true;
    case Pseudo.protocol:
      if (block.protocol >= 0) return false;
      block.protocol = i;
      return true;
    case Pseudo.status:
      if (block.status !== 0) return false;
      block.status = statusOf(block, i);
      return block.status !== 0;
    default:
      return false;
  }
}

function readRegular(block: HeaderBlock): boolean {
  block.host = -1;
  block.cookies = 0;
  block.contentLength = -1;
  for (let i = block.firstRegular; i < block.count; i++) {
    switch (block.ids[i] as number) {
      case Known.host:
        if (block.host >= 0) return false;
        block.host = i;
        break;
      case Known.cookie:
        block.cookies++;
        break;
      case Known.contentLength:
        if (block.contentLength >= 0 || !readContentLength(block, i)) return false;
        break;
      case Known.te:
        if (!isValue(block, i, "trailers")) return false;
        break;
      // RFC 9113 §8.2.2: these speak of a connection, which is not the next hop's.
      case Known.connection:
      case Known.proxyConnection:
      case Known.keepAlive:
      case Known.transferEncoding:
      case Known.upgrade:
        return false;
      default:
        break;
    }
  }
  return true;
}

function readContentLength(block: HeaderBlock, i: number): boolean {
  const { bytes, spans } = block;
  const start = spans[4 * i + 2] as number;
  const end = spans[4 * i + 3] as number;
  if (start === end || end - start > maxLengthDigits) return false;
  if (bytes[start] === Byte.zero && end - start > 1) return false;
  let length = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte < Byte.zero || byte > Byte.nine) return false;
    length = length * 10 + (byte - Byte.zero);
  }
  block.contentLength = length;
  return length <= Number.MAX_SAFE_INTEGER;
}

/** Three digits, or 0. */
function statusOf(block: HeaderBlock, i: number): number {
  const { bytes, spans } = block;
  const start = spans[4 * i + 2] as number;
  if ((spans[4 * i + 3] as number) - start !== 3) return 0;
  let status = 0;
  for (let at = start; at < start + 3; at++) {
    const digit = (bytes[at] as number) - Byte.zero;
    if (digit < 0 || digit > 9) return 0;
    status = status * 10 + digit;
  }
  return status;
}

/** RFC 9113 §8.3.1: begins with a slash, or is the asterisk of OPTIONS. */
function isPath(block: HeaderBlock): boolean {
  const { bytes, spans } = block;
  const start = spans[4 * block.path + 2] as number;
  if (bytes[start] === Byte.slash) return true;
  return isValue(block, block.path, "*") && block.value(block.method) === "OPTIONS";
}

/** RFC 9113 §8.3.1: one of them is there, and two say the same. */
function agreesWithHost(block: HeaderBlock): boolean {
  const { authority, host, scheme } = block;
  if (authority < 0 || host < 0) return authority >= 0 || host >= 0;
  return sameAuthority(
    block.value(scheme).toLowerCase(),
    block.value(authority).toLowerCase(),
    block.value(host).toLowerCase(),
  );
}

function isValue(block: HeaderBlock, i: number, word: string): boolean {
  const { bytes, spans } = block;
  return spells(bytes, spans[4 * i + 2] as number, spans[4 * i + 3] as number, word);
}

/** Whether a value has one byte at least, and all of them are in the class. */
function isEvery(block: HeaderBlock, i: number, byteClass: Uint8Array): boolean {
  const { bytes, spans } = block;
  const start = spans[4 * i + 2] as number;
  const end = spans[4 * i + 3] as number;
  for (let at = start; at < end; at++) if (byteClass[bytes[at] as number] === 0) return false;
  return end > start;
}
