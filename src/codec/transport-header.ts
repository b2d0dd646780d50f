/**
 * What a proxy writes first inside a mesh TLS connection to another proxy's inbound port: which port, host and protocol
 * the bytes that follow are meant for. The ASCII preface, a 4-byte length, and one protobuf message.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type Header,
  HeaderSchema,
  type SessionProtocol,
  SessionProtocolSchema,
} from "../core/wire/gen/linkerd/transport_header_pb.ts";
import { hostLower } from "./byte-class.ts";

type TransportProtocol = "http1" | "http2" | "none";

export type TransportTarget = {
  /** The application's port, 1 to 65535. */
  readonly port: number;
  /** The host that a gateway is asked for; empty for the workload itself. */
  readonly name: string;
  /** `none` is opaque TCP. */
  readonly protocol: TransportProtocol;
};

export type TransportHeader =
  | { readonly state: "more" }
  | { readonly state: "invalid"; readonly reason: string }
  | ({
      readonly state: "header" /** Where the application's bytes begin. */;
      readonly end: number;
    } & TransportTarget);

/** A port, a protocol and a DNS name of at most 255 bytes; the rest is room for what later versions add. */
export const maxTransportHeaderBytes: number = 4 * 1024;

const preface: Buffer = Buffer.from("transport.l5d.io/v1\r\n\r\n", "latin1");
const lengthBytes = 4;
const maxNameBytes = 255;
const more: TransportHeader = { state: "more" };

const sessionProtocols: Readonly<Record<TransportProtocol, SessionProtocol | undefined>> = {
  http1: create(SessionProtocolSchema, { kind: { case: "http1", value: {} } }),
  http2: create(SessionProtocolSchema, { kind: { case: "http2", value: {} } }),
  none: undefined,
};

export function writeTransportHeader(target: TransportTarget): Buffer {
  const { port, name } = target;
  if (!isPort(port)) throw new Error(`Name a port from 1 to 65535, not '${port}'`);
  if (!isName(name))
    throw new Error(`Name a host of at most ${maxNameBytes} letters, not '${name}'`);
  const sessionProtocol = sessionProtocols[target.protocol];
  const message = toBinary(HeaderSchema, create(HeaderSchema, { port, name, sessionProtocol }));
  const length = Buffer.alloc(lengthBytes);
  length.writeUInt32BE(message.length);
  return Buffer.concat([preface, length, message]);
}

export function parseTransportHeader(bytes: Buffer, start: number, end: number): TransportHeader {
  const prefaceEnd = start + preface.length;
  const seen = Math.min(end, prefaceEnd);
  if (bytes.compare(preface, 0, seen - start, start, seen) !== 0) {
    return invalid("Begin with 'transport.l5d.io/v1' and an empty line");
  }
  const messageAt = prefaceEnd + lengthBytes;
  if (end < messageAt) return more;
  const length = bytes.readUInt32BE(prefaceEnd);
  if (length > maxTransportHeaderBytes) {
    return invalid(`Send a header of at most ${maxTransportHeaderBytes} bytes, not ${length}`);
  }
  if (end < messageAt + length) return more;
  return readMessage(bytes.subarray(messageAt, messageAt + length), messageAt + length);
}

function readMessage(message: Buffer, end: number): TransportHeader {
  const header = decode(message);
  if (header === undefined) return invalid("Send a header that protobuf can decode");
  const { port, name } = header;
  if (!isPort(port)) return invalid(`Name a port from 1 to 65535, not ${port}`);
  if (!isName(name)) return invalid(`Name a host of letters, digits, '-', '.', '_' and '~'`);
  const protocol = header.sessionProtocol?.kind.case ?? "none";
  return { state: "header", end, port, name: name.toLowerCase(), protocol };
}

/** The library throws on bytes that are no message; for us those are an expected failure of the peer. */
function decode(message: Buffer): Header | undefined {
  try {
    return fromBinary(HeaderSchema, message);
  } catch {
    return undefined;
  }
}

function invalid(reason: string): TransportHeader {
  return { state: "invalid", reason };
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65535;
}

/** The name goes into routing and logs, so it may contain what Host may contain. */
function isName(name: string): boolean {
  if (name.length > maxNameBytes) return false;
  for (let at = 0; at < name.length; at++) {
    const code = name.charCodeAt(at);
    if (code > 0xff || hostLower[code] === 0) return false;
  }
  return true;
}
