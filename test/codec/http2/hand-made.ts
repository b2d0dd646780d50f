/** Frames and header blocks made by hand, and sessions that are fed with them. */

import { clientPreface, Flag, Frame } from "../../../src/codec/http2/frames.ts";
import { Pseudo, pseudoNames } from "../../../src/codec/http2/header-block.ts";
import { HpackEncoder } from "../../../src/codec/http2/hpack-encode.ts";
import { OutBuffer } from "../../../src/codec/http2/out-buffer.ts";
import { defaultHttp2Limits, type Http2Limits } from "../../../src/codec/http2/protection.ts";
import { SensitiveNames } from "../../../src/codec/http2/sensitive-names.ts";
import { Http2Session } from "../../../src/codec/http2/session.ts";
import { Http2Shared } from "../../../src/codec/http2/session-core.ts";
import type { Http2Stream } from "../../../src/codec/http2/stream.ts";

export type FieldList = readonly (readonly [string, string])[];

export const getRequest: FieldList = [
  [":method", "GET"],
  [":scheme", "http"],
  [":authority", "web.demo"],
  [":path", "/"],
];

export type MadeFrame = {
  readonly type: number;
  readonly flags?: number;
  readonly stream?: number;
  readonly payload?: Buffer;
};

export function frame({ type, flags = 0, stream = 0, payload }: MadeFrame): Buffer {
  const body = payload ?? Buffer.alloc(0);
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

export function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Literals without indexing: what is said does not depend on what was said before. */
export function literals(fields: FieldList): Buffer {
  return Buffer.concat(
    fields.flatMap(([name, value]) => [Buffer.from([0]), string(name), string(value)]),
  );
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = [0x7f];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}

export function headers(stream: number, fields: FieldList, endsStream = true): Buffer {
  const flags = Flag.endHeaders | (endsStream ? Flag.endStream : 0);
  return frame({ type: Frame.headers, flags, stream, payload: literals(fields) });
}

/** What a client says first. */
export const hello: Buffer = Buffer.concat([clientPreface, frame({ type: Frame.settings })]);

export type Told = {
  readonly session: Http2Session;
  readonly shared: Http2Shared;
  readonly out: OutBuffer;
  readonly streams: Http2Stream[];
  /** Everything that was called, a line each. */
  readonly calls: string[];
  /** The frames that the session has written since the last time. */
  frames(): readonly MadeFrame[];
};

/** A server (or client) whose calls are written down. */
export function listening(
  limits: Partial<Http2Limits> = {},
  role: "client" | "server" = "server",
): Told {
  const calls: string[] = [];
  const streams: Http2Stream[] = [];
  const shared = new Http2Shared();
  const out = new OutBuffer(Buffer.alloc(128 * 1024));
  const session = new Http2Session({
    role,
    limits: { ...defaultHttp2Limits, ...limits },
    shared,
    out,
    nowMs: 0,
    owner: {
      onStream: (stream) => {
        streams.push(stream);
        stream.consumer = consumer(stream, calls);
      },
      onGoAway: (code) => calls.push(`goaway ${code}`),
      onDrained: () => calls.push("drained"),
      onFailed: (code) => calls.push(`failed ${code}`),
    },
  });
  if (role === "client") out.end = 0;
  return {
    session,
    shared,
    out,
    streams,
    calls,
    frames: () => {
      const made = cutFrames(out.bytes.subarray(0, out.end));
      out.end = 0;
      return made;
    },
  };
}

export function consumer(
  stream: { readonly id: number },
  calls: string[],
): Http2Stream["consumer"] {
  return {
    onHead: (block, isAll) => {
      const fields = Array.from({ length: block.count }, (_none, i) => {
        return `${block.name(i)}=${block.value(i)}`;
      });
      calls.push(`${stream.id} head ${fields.join(" ")}${isAll ? " all" : ""}`);
    },
    onData: (bytes, start, end) =>
      calls.push(`${stream.id} data ${bytes.toString("latin1", start, end)}`),
    onTrailers: (block) => calls.push(`${stream.id} trailers ${block.name(0)}=${block.value(0)}`),
    onEnd: () => calls.push(`${stream.id} end`),
    onReset: (code) => calls.push(`${stream.id} reset ${code}`),
    onWritable: () => calls.push(`${stream.id} writable`),
  };
}

export function cutFrames(bytes: Buffer): readonly MadeFrame[] {
  const made: MadeFrame[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    made.push({
      type: bytes[at + 3] ?? -1,
      flags: bytes[at + 4] ?? -1,
      stream: bytes.readUInt32BE(at + 5),
      payload: Buffer.from(bytes.subarray(at + 9, at + 9 + length)),
    });
    at += 9 + length;
  }
  return made;
}

/** Feeds all of `parts`, one after the other. */
export function feed(told: Told, ...parts: readonly Buffer[]): void {
  for (const part of parts) told.session.feed(part, 0, part.length);
}

/** Sends a head with the session's own encoder. */
export function sendFields(
  session: Http2Session,
  stream: Http2Stream,
  fields: FieldList,
  endsStream: boolean,
): void {
  const octets = fields.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  const encoder = session.beginHead(stream, octets, fields.length);
  for (const [name, value] of fields) encodeField(encoder, name, value);
  session.endHead(stream, endsStream);
}

export function encodeField(encoder: HpackEncoder, name: string, value: string): void {
  const bytes = Buffer.from(name + value, "latin1");
  const pseudo = pseudoNames.get(name);
  if (pseudo === Pseudo.method) encoder.method(value);
  else if (pseudo === Pseudo.scheme) encoder.scheme(value);
  else if (pseudo === Pseudo.status) encoder.status(Number(value));
  else if (pseudo !== undefined) encoder.pseudo(pseudo, bytes, name.length, bytes.length);
  else encoder.field(bytes, 0, name.length, name.length, bytes.length);
}

/** Encodes each list as one block of one connection. */
export function encodeAll(lists: readonly FieldList[]): readonly Buffer[] {
  const encoder = new HpackEncoder(new SensitiveNames());
  return lists.map((fields) => {
    const out = Buffer.alloc(100_000);
    encoder.begin(out, 0);
    for (const [name, value] of fields) encodeField(encoder, name, value);
    return Buffer.from(out.subarray(0, encoder.at));
  });
}
