/**
 * What a proxy writes first inside a mesh TLS connection to another proxy's inbound port: which port, host and protocol
 * the bytes that follow are meant for. The ASCII preface, a 4-byte length, and one protobuf message, `proto/linkerd/transport_header.proto`.
 * It is read field by field: a worker needs no other message, and all of protobuf with its descriptors takes 4 MiB in each.
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
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

/** Numbers of the fields of `Header`. */
const headerFields = { port: 1, name: 2, sessionProtocol: 3 } as const;

/** Numbers of the fields of `SessionProtocol`. What they hold is an empty message. */
const sessionProtocols = { http1: 1, http2: 2 } as const;

export function writeTransportHeader(target: TransportTarget): Buffer {
  const { port, name } = target;
  if (!isPort(port)) throw new Error(`Name a port from 1 to 65535, not '${port}'`);
  if (!isName(name))
    throw new Error(`Name a host of at most ${maxNameBytes} letters, not '${name}'`);
  const message = encode(target);
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
  const target = decode(message);
  if (target === undefined) return invalid("Send a header that protobuf can decode");
  const { port, name, protocol } = target;
  if (!isPort(port)) return invalid(`Name a port from 1 to 65535, not ${port}`);
  if (!isName(name)) return invalid(`Name a host of letters, digits, '-', '.', '_' and '~'`);
  return { state: "header", end, port, name: name.toLowerCase(), protocol };
}

function encode({ port, name, protocol }: TransportTarget): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(headerFields.port, WireType.Varint).int32(port);
  if (name !== "") writer.tag(headerFields.name, WireType.LengthDelimited).string(name);
  if (protocol !== "none") {
    writer.tag(headerFields.sessionProtocol, WireType.LengthDelimited).fork();
    writer.tag(sessionProtocols[protocol], WireType.LengthDelimited).bytes(new Uint8Array());
    writer.join();
  }
  return writer.finish();
}

/** The library throws on bytes that are no message; for us those are an expected failure of the peer. */
function decode(message: Buffer): TransportTarget | undefined {
  try {
    return readHeader(new BinaryReader(message));
  } catch {
    return undefined;
  }
}

/** What is left out has its default; what is unknown, or of another type, is passed over. */
function readHeader(reader: BinaryReader): TransportTarget {
  let port = 0;
  let name = "";
  let protocol: TransportProtocol = "none";
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === headerFields.port && type === WireType.Varint) port = reader.int32();
    else if (type !== WireType.LengthDelimited) reader.skip(type, field);
    else if (field === headerFields.name) name = reader.string(true);
    else if (field === headerFields.sessionProtocol) {
      protocol = readProtocol(new BinaryReader(reader.bytes())) ?? protocol;
    } else reader.skip(type, field);
  }
  return { port, name, protocol };
}

/** The last one counts (protobuf, "oneof"). Undefined: none that is known. */
function readProtocol(reader: BinaryReader): TransportProtocol | undefined {
  let protocol: TransportProtocol | undefined;
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    reader.skip(type, field);
    if (type !== WireType.LengthDelimited) continue;
    if (field === sessionProtocols.http1) protocol = "http1";
    else if (field === sessionProtocols.http2) protocol = "http2";
  }
  return protocol;
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
