/**
 * Server name and protocols from a TLS ClientHello (RFC 8446 §4.1.2, RFC 6066 §3, RFC 7301), read without ending the TLS
 * connection: for routing by name, and to see whether a connection is meant for the mesh.
 */
import { hostLower } from "./byte-class.ts";

export type ClientHello =
  | { readonly state: "more" }
  | { readonly state: "invalid" }
  | {
      readonly state: "hello";
      /** In lower case; empty when the client names none. */
      readonly serverName: string;
      /** One character per byte; clients put arbitrary bytes here (RFC 8701), so escape before logging. */
      readonly alpn: readonly string[];
    };

/** Hellos with post-quantum key shares take 2 KiB, with session tickets 4. One TLS record holds at most 16 KiB. */
export const maxClientHelloBytes: number = 16 * 1024;

const more: ClientHello = { state: "more" };
const invalid: ClientHello = { state: "invalid" };

const handshakeRecord = 22;
const tlsMajor = 3;
const recordHeaderBytes = 5;
const maxRecordBytes = 16 * 1024;
const helloType = 1;
const messageHeaderBytes = 4;
const serverNameExtension = 0;
const alpnExtension = 16;
const hostNameType = 0;
const maxNameBytes = 255;

export function parseClientHello(bytes: Buffer, start: number, end: number): ClientHello {
  const limit = Math.min(end, start + maxClientHelloBytes);
  const length = measure(bytes, start, limit);
  if (length < 0) return invalid;
  if (length === 0) return limit === end && end - start < maxClientHelloBytes ? more : invalid;
  return readHello(gather(bytes, start, length)) ?? invalid;
}

/**
 * The length of the ClientHello with its header once all of it is there; 0 while bytes are missing, -1 when this is no
 * ClientHello. The message may be spread over records (RFC 8446 §5.1). Only their headers are looked at, so that a client
 * who dribbles costs a walk for each piece and not a copy.
 */
function measure(bytes: Buffer, start: number, limit: number): number {
  let header = 0;
  let gathered = 0;
  let at = start;
  for (;;) {
    const record = recordLength(bytes, at, limit);
    if (record <= 0) return record;
    at += recordHeaderBytes;
    const partEnd = Math.min(at + record, limit);
    for (let i = at; i < partEnd && gathered + i - at < messageHeaderBytes; i++) {
      header = header * 256 + (bytes[i] as number);
    }
    gathered += partEnd - at;
    if (at < partEnd && gathered === partEnd - at && bytes[at] !== helloType) return -1;
    if (gathered >= messageHeaderBytes) {
      const wanted = messageHeaderBytes + (header % 2 ** 24);
      if (wanted > maxClientHelloBytes) return -1;
      if (gathered >= wanted) return wanted;
    }
    if (partEnd - at < record) return 0;
    at = partEnd;
  }
}

/** The length of the record at `at`; 0 while its header is incomplete, -1 when it is no handshake record. */
function recordLength(bytes: Buffer, at: number, limit: number): number {
  if (at < limit && bytes[at] !== handshakeRecord) return -1;
  if (at + 1 < limit && bytes[at + 1] !== tlsMajor) return -1;
  if (at + recordHeaderBytes > limit) return 0;
  const length = bytes.readUInt16BE(at + 3);
  // RFC 8446 §5.1: handshake records are never empty.
  return length > 0 && length <= maxRecordBytes ? length : -1;
}

/** The body of a message that `measure` found complete. */
function gather(bytes: Buffer, start: number, length: number): Buffer {
  const whole = Buffer.allocUnsafe(length);
  let gathered = 0;
  let at = start;
  while (gathered < length) {
    const record = bytes.readUInt16BE(at + 3);
    at += recordHeaderBytes;
    gathered += bytes.copy(whole, gathered, at, at + Math.min(record, length - gathered));
    at += record;
  }
  return whole.subarray(messageHeaderBytes);
}

/** Reads a length in front of a part, and answers where the part ends; -1 when it does not fit. */
function partEnd(bytes: Buffer, at: number, lengthBytes: 1 | 2, limit: number): number {
  if (at + lengthBytes > limit) return -1;
  const end = at + lengthBytes + bytes.readUIntBE(at, lengthBytes);
  return end <= limit ? end : -1;
}

/** RFC 8446 §4.1.2: version, random, session id, cipher suites, compression methods, extensions. */
function readHello(hello: Buffer): ClientHello | undefined {
  const sessionEnd = partEnd(hello, 2 + 32, 1, hello.length);
  if (sessionEnd < 0) return undefined;
  const suitesEnd = partEnd(hello, sessionEnd, 2, hello.length);
  if (suitesEnd < 0) return undefined;
  const methodsEnd = partEnd(hello, suitesEnd, 1, hello.length);
  if (methodsEnd < 0) return undefined;
  // TLS 1.2 allows a hello without extensions (RFC 5246 §7.4.1.2).
  if (methodsEnd === hello.length) return { state: "hello", serverName: "", alpn: [] };
  const extensionsEnd = partEnd(hello, methodsEnd, 2, hello.length);
  if (extensionsEnd !== hello.length) return undefined;
  return readExtensions(hello, methodsEnd + 2);
}

function readExtensions(hello: Buffer, start: number): ClientHello | undefined {
  let serverName: string | undefined;
  let alpn: string[] | undefined;
  let at = start;
  while (at < hello.length) {
    const end = at + 4 <= hello.length ? partEnd(hello, at + 2, 2, hello.length) : -1;
    if (end < 0) return undefined;
    const type = hello.readUInt16BE(at);
    // RFC 8446 §4.2: no extension comes twice. Two names would let two readers each take another one.
    if (type === serverNameExtension) {
      if (serverName !== undefined) return undefined;
      serverName = readServerName(hello, at + 4, end);
      if (serverName === undefined) return undefined;
    } else if (type === alpnExtension) {
      if (alpn !== undefined) return undefined;
      alpn = readAlpn(hello, at + 4, end);
      if (alpn === undefined) return undefined;
    }
    at = end;
  }
  return { state: "hello", serverName: serverName ?? "", alpn: alpn ?? [] };
}

/** RFC 6066 §3: a list with one host name, in ASCII. Control bytes and spaces in it would split a log line. */
function readServerName(hello: Buffer, start: number, end: number): string | undefined {
  if (partEnd(hello, start, 2, end) !== end) return undefined;
  const nameAt = start + 3;
  if (hello[start + 2] !== hostNameType || partEnd(hello, nameAt, 2, end) !== end) return undefined;
  const first = nameAt + 2;
  if (first === end || end - first > maxNameBytes) return undefined;
  for (let at = first; at < end; at++) {
    if (hostLower[hello[at] as number] === 0) return undefined;
  }
  return hello.toString("latin1", first, end).toLowerCase();
}

/** RFC 7301 §3.1: protocol names of 1 to 255 bytes. */
function readAlpn(hello: Buffer, start: number, end: number): string[] | undefined {
  if (partEnd(hello, start, 2, end) !== end) return undefined;
  const protocols: string[] = [];
  let at = start + 2;
  while (at < end) {
    const next = partEnd(hello, at, 1, end);
    if (next < 0 || next === at + 1) return undefined;
    protocols.push(hello.toString("latin1", at + 1, next));
    at = next;
  }
  return protocols.length > 0 ? protocols : undefined;
}
