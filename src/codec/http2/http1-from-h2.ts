/**
 * What comes on a stream, as an HTTP/1.1 message (RFC 9113 §8, RFC 9112): so one data plane serves both protocols. One
 * object serves one stream after the other. Everything is written to the caller's buffer, which has the room that is asked
 * for.
 */
import { Byte } from "../byte-class.ts";
import { Known } from "../header-list.ts";
import { BodyKind } from "../http1-body.ts";
import { copyBytes, Good, type HeaderBlock } from "./header-block.ts";

/** The lines that are added to a head: start line, Host, framing, and those of an upgrade with its key. */
const addedBytes = 256;

/** What a piece of content takes beyond itself as a chunk: eight digits, and two line ends. */
export const chunkOverhead = 12;

/** The last chunk and the empty line behind it. */
const lastChunk: Buffer = Buffer.from("0\r\n\r\n", "latin1");

const noBytes: Buffer = Buffer.alloc(0);

const lowerA = 0x61;

/** The protocol that an extended CONNECT asked for, and the field in which the other side proves it (RFC 6455 §4). */
export type Upgrade = {
  readonly protocol: string;
  /** The value of Sec-WebSocket-Key in a request, of Sec-WebSocket-Accept in a response. */
  readonly proof: string;
};

/** The room for `head`. */
export function headRoom(block: HeaderBlock): number {
  const { authority, path, spans } = block;
  // A plain CONNECT names its authority in the start line and in Host.
  const isTwice = authority >= 0 && path < 0;
  const slot = 4 * authority;
  const again = isTwice ? (spans[slot + 3] as number) - (spans[slot + 2] as number) : 0;
  return block.length + again + addedBytes;
}

/** The room for trailers behind the content. */
export function trailersRoom(block: HeaderBlock): number {
  return block.length + lastChunk.length;
}

export class Http1FromH2 {
  #kind: BodyKind = BodyKind.none;

  /**
   * Writes the head of a request and answers the position after it. `isAll`: no content follows. `key`: for the upgrade that
   * an extended CONNECT becomes (RFC 8441 §5).
   */
  // biome-ignore lint/complexity/useMaxParams: an options object would be made for every head.
  request(block: HeaderBlock, isAll: boolean, key: string, out: Buffer, start: number): number {
    if (isKept(block, isAll)) return this.#again(block, out, start);
    const isConnect = block.path < 0;
    let at = start;
    if (block.protocol >= 0) at = write(out, at, "GET ");
    else at = write(out, copyValue(block, block.method, out, at), " ");
    at = copyValue(block, isConnect ? block.authority : block.path, out, at);
    at = write(out, at, " HTTP/1.1\r\nhost: ");
    at = copyValue(block, block.authority >= 0 ? block.authority : block.host, out, at);
    at = write(out, at, "\r\n");
    if (block.protocol >= 0) {
      const protocol = block.value(block.protocol);
      at = write(out, at, upgradeLines(protocol, "sec-websocket-key", key));
    }
    if (isConnect || block.protocol >= 0) this.#kind = BodyKind.close;
    else if (isAll) this.#kind = BodyKind.none;
    else this.#kind = framingOf(block);
    const end = this.#endHead(block, out, at);
    if (this.#kind !== BodyKind.close) this.#keep(block, isAll, out, start, end);
    return end;
  }

  #again(block: HeaderBlock, out: Buffer, at: number): number {
    this.#kind = block.http1Kind;
    return copyBytes(block.http1, 0, block.http1.length, out, at);
  }

  /** The head that was written depends on nothing but the block and `isAll`. */
  // biome-ignore lint/complexity/useMaxParams: an options object would be made for every head.
  #keep(block: HeaderBlock, isAll: boolean, out: Buffer, start: number, end: number): void {
    if (block.goodAs === Good.unknown) return;
    block.http1 = Buffer.from(out.subarray(start, end));
    block.http1IsAll = isAll;
    block.http1Kind = this.#kind;
  }

  /**
   * Writes the head of a response. `method` is the one that is answered; `upgrade` says what the request was, if it was an
   * extended CONNECT, and a 200 becomes the 101 that the HTTP/1.1 client waits for.
   */
  // biome-ignore lint/complexity/useMaxParams: an options object would be made for every head.
  response(
    block: HeaderBlock,
    isAll: boolean,
    request: { readonly method: string; readonly upgrade: Upgrade | undefined },
    out: Buffer,
    start: number,
  ): number {
    const { status } = block;
    const { method, upgrade } = request;
    const isPlain = upgrade === undefined && method !== "HEAD" && method !== "CONNECT";
    if (isPlain && isKept(block, isAll)) return this.#again(block, out, start);
    const isGood = status >= 200 && status < 300;
    this.#kind = BodyKind.none;
    if (upgrade !== undefined && isGood) {
      this.#kind = BodyKind.close;
      const lines = upgradeLines(upgrade.protocol, "sec-websocket-accept", upgrade.proof);
      return this.#endHead(block, out, write(out, start, `${statusLine(101)}${lines}`));
    }
    let at = write(out, start, statusLine(status));
    const isEmpty = status < 200 || status === 204 || status === 304 || method === "HEAD";
    if (method === "CONNECT" && isGood) {
      this.#kind = BodyKind.close;
    } else if (!isEmpty && isAll) {
      if (block.contentLength < 0) at = write(out, at, "content-length: 0\r\n");
    } else if (!isEmpty) {
      this.#kind = framingOf(block);
    }
    const end = this.#endHead(block, out, at);
    if (isPlain) this.#keep(block, isAll, out, start, end);
    return end;
  }

  /** Whether content is passed on as it is, so that the caller need not copy it through `data`. */
  get isPlain(): boolean {
    return this.#kind !== BodyKind.chunked;
  }

  /** Writes content, which takes `chunkOverhead` more than it is long. */
  // biome-ignore lint/complexity/useMaxParams: an options object would be made for every piece of a body.
  data(bytes: Buffer, start: number, end: number, out: Buffer, to: number): number {
    if (this.#kind !== BodyKind.chunked) return copyBytes(bytes, start, end, out, to);
    const from = writeLineEnd(out, writeHex(out, to, end - start));
    return writeLineEnd(out, copyBytes(bytes, start, end, out, from));
  }

  /** The end of the content, empty where the framing needs none or it was written. Nobody changes these bytes. */
  get end(): Buffer {
    return this.#kind === BodyKind.chunked ? lastChunk : noBytes;
  }

  /**
   * Writes the end with trailers, for which `trailersRoom` is room. Where HTTP/1.1 has no place for trailers, behind content
   * of a length told before, they are left out (RFC 9110 §6.5.1).
   */
  trailers(block: HeaderBlock, out: Buffer, start: number): number {
    if (this.#kind !== BodyKind.chunked) return start;
    const at = copyBytes(block.bytes, 0, block.length, out, write(out, start, "0\r\n"));
    this.#kind = BodyKind.none;
    return write(out, at, "\r\n");
  }

  /** The fields as they came, but for Host, which is written already, Cookie, which becomes one line, and a length that does not frame the content. */
  #endHead(block: HeaderBlock, out: Buffer, start: number): number {
    const { spans, ids, count } = block;
    const isTunnel = this.#kind === BodyKind.close;
    let at = start;
    let from =
      block.firstRegular < count ? (spans[4 * block.firstRegular] as number) : block.length;
    for (let i = block.firstRegular; i < count; i++) {
      const id = ids[i] as number;
      const isLeftOut =
        id === Known.host ||
        (id === Known.cookie && block.cookies > 1) ||
        (id === Known.contentLength && (isTunnel || this.#kind === BodyKind.chunked));
      if (!isLeftOut) continue;
      at = copyBytes(block.bytes, from, spans[4 * i] as number, out, at);
      from = (spans[4 * i + 3] as number) + 2;
    }
    at = copyBytes(block.bytes, from, block.length, out, at);
    if (block.cookies > 1) at = writeCookies(block, out, at);
    if (this.#kind === BodyKind.chunked) at = write(out, at, "transfer-encoding: chunked\r\n");
    return writeLineEnd(out, at);
  }
}

/**
 * gRPC says in trailers what became of a call, also behind content whose length was told before, and there HTTP/1.1 has no place for trailers. So its length is
 * left out; that the content has it was seen to when the frames came.
 */
function framingOf(block: HeaderBlock): BodyKind {
  return block.contentLength < 0 || isGrpc(block) ? BodyKind.chunked : BodyKind.length;
}

/** `application/grpc` with or without a format, but not gRPC-Web, whose trailers are content. */
function isGrpc(block: HeaderBlock): boolean {
  for (let i = block.firstRegular; i < block.count; i++) {
    if (block.ids[i] === Known.contentType) return /^application\/grpc(?!-)/i.test(block.value(i));
  }
  return false;
}

function isKept({ http1, http1IsAll }: HeaderBlock, isAll: boolean): boolean {
  return http1.length > 0 && http1IsAll === isAll;
}

/** RFC 9113 §8.2.3. */
function writeCookies(block: HeaderBlock, out: Buffer, start: number): number {
  let at = write(out, start, "cookie: ");
  let isFirst = true;
  for (let i = block.firstRegular; i < block.count; i++) {
    if (block.ids[i] !== Known.cookie) continue;
    if (!isFirst) at = write(out, at, "; ");
    at = copyValue(block, i, out, at);
    isFirst = false;
  }
  return write(out, at, "\r\n");
}

function upgradeLines(protocol: string, proofName: string, proof: string): string {
  const lines = `connection: upgrade\r\nupgrade: ${protocol}\r\n`;
  return protocol === "websocket" ? `${lines}${proofName}: ${proof}\r\n` : lines;
}

/** Without a reason, which HTTP/2 does not have; the space before it is part of the grammar (RFC 9112 §4). */
function statusLine(status: number): string {
  return `HTTP/1.1 ${status} \r\n`;
}

function copyValue(block: HeaderBlock, i: number, out: Buffer, at: number): number {
  const { spans } = block;
  return copyBytes(block.bytes, spans[4 * i + 2] as number, spans[4 * i + 3] as number, out, at);
}

/** The size of a chunk. */
function writeHex(out: Buffer, start: number, value: number): number {
  let digits = 1;
  for (let rest = value >>> 4; rest > 0; rest >>>= 4) digits++;
  let rest = value;
  for (let at = start + digits - 1; at >= start; at--) {
    const digit = rest & 0xf;
    out[at] = digit < 10 ? Byte.zero + digit : lowerA + digit - 10;
    rest >>>= 4;
  }
  return start + digits;
}

function writeLineEnd(out: Buffer, at: number): number {
  out[at] = Byte.cr;
  out[at + 1] = Byte.lf;
  return at + 2;
}

function write(out: Buffer, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) out[at + i] = text.charCodeAt(i);
  return at + text.length;
}
