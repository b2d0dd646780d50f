/**
 * The decoded fields of one header section. They lie in one buffer in the form of HTTP/1.1 lines, `name: value` and CR LF,
 * so that a head can be handed on as HTTP/1.1 by copying whole runs. A worker has one block for all of its sessions:
 * what it holds is valid until the next section is decoded. What comes again and again has a block of its own
 * (`kept-blocks.ts`), which nobody changes.
 */
import { Byte } from "../byte-class.ts";
import { maxFields } from "../header-list.ts";
import { BodyKind } from "../http1-body.ts";
import { WordTable } from "../word-table.ts";

/**
 * RFC 9113 §10.5.1: what the frames of one section may carry, compressed. A section at the limit of `maxHeadBytes` has no
 * reason to be longer than that, but for the prefix of each field.
 */
export const maxBlockBytes: number = 80 * 1024;

/**
 * Room for what is accepted (64 KiB) and one more literal of the longest block, whose octets have five bits at least: so
 * the decoder looks at a limit after writing a field, never before.
 */
const arenaBytes: number = 256 * 1024;

/** All pseudo-fields that exist, once more than each may appear, so that a doubled one is seen. */
const maxPseudoFields = 12;

/** Up to here a loop is faster than calling into the engine (`benchmarks/codec/write-head.ts`). */
const shortBytes = 24;

const noBytes: Buffer = Buffer.alloc(0);

/** The numbers of pseudo-fields. Those of regular fields are `Known` of `header-list.ts`, 0 for the others. */
export const Pseudo = {
  other: 249,
  authority: 250,
  method: 251,
  path: 252,
  scheme: 253,
  status: 254,
  protocol: 255,
} as const;

const pseudoWords: readonly string[] = "authority method path scheme status protocol".split(" ");
const pseudoTable: WordTable = new WordTable(pseudoWords);

/** The number of each pseudo-field, by its name with the colon. */
export const pseudoNames: ReadonlyMap<string, number> = new Map(
  pseudoWords.map((word, at) => [`:${word}`, Pseudo.authority + at]),
);

/** The number of the pseudo-field whose name is in `bytes[start, end)`, colon included. */
export function pseudoId(bytes: Uint8Array, start: number, end: number): number {
  const id = pseudoTable.find(bytes, start + 1, end);
  return id === 0 ? Pseudo.other : Pseudo.other + id;
}

/** What a section was found to be (`header-rules.ts`). */
export const Good = { unknown: 0, request: 1, response: 2, trailers: 3 } as const;

export class HeaderBlock {
  readonly bytes: Buffer;
  /** Where the next line begins. */
  length = 0;
  count = 0;
  /** nameStart, nameEnd, valueStart, valueEnd of each field. */
  readonly spans: Int32Array;
  /** `Pseudo` or `Known` number of each field. */
  readonly ids: Uint8Array;
  /** RFC 9113 §6.5.2: octets of names and values and 32 for each field. */
  listBytes = 0;
  /** A name or a value has bytes that it may not have (RFC 9113 §8.2.1). */
  isWrong = false;
  /** There was more than the limits allow; the fields are not complete. */
  isTooLarge = false;

  /** Set by `header-rules.ts`: the field of each pseudo-name or -1, and the first regular field. */
  method = -1;
  path = -1;
  scheme = -1;
  authority = -1;
  protocol = -1;
  firstRegular = 0;
  /** The Host field, or -1. */
  host = -1;
  /** How many Cookie fields there are: a section may have one for each pair (RFC 9113 §8.2.3). */
  cookies = 0;
  /** What Content-Length says, or -1. */
  contentLength = -1;
  /** Of a response. */
  status = 0;

  /** Of a block that is kept (`kept-blocks.ts`), `Good.unknown` of others: as what its section was found to be good. */
  goodAs: number = Good.unknown;
  /** Of a block that is kept: its head in HTTP/1.1, or empty, for a message with content or without, and how that is framed. */
  http1: Buffer = noBytes;
  http1IsAll = false;
  http1Kind: BodyKind = BodyKind.none;

  constructor(room: number = arenaBytes, fields: number = maxFields + maxPseudoFields) {
    this.bytes = Buffer.allocUnsafeSlow(room);
    this.spans = new Int32Array(4 * fields);
    this.ids = new Uint8Array(fields);
  }

  reset(): void {
    this.length = 0;
    this.count = 0;
    this.listBytes = 0;
    this.isWrong = false;
    this.isTooLarge = false;
  }

  /** Too much: what was there is forgotten, and what still comes is decoded for the dynamic table only. */
  #giveUp(): void {
    this.isTooLarge = true;
    this.length = 0;
    this.count = 0;
  }

  /** The name in lower case, for logs and tests. */
  name(i: number): string {
    return this.bytes.toString("latin1", this.spans[4 * i], this.spans[4 * i + 1]);
  }

  value(i: number): string {
    return this.bytes.toString("latin1", this.spans[4 * i + 2], this.spans[4 * i + 3]);
  }

  /** The line that was written from `length` on becomes a field. `maxListBytes` is the limit that it counts against. */
  endLine(nameLength: number, valueLength: number, id: number, maxListBytes: number): void {
    const nameEnd = this.length + nameLength;
    const valueEnd = nameEnd + 2 + valueLength;
    this.listBytes += nameLength + valueLength + 32;
    if (this.listBytes > maxListBytes || this.count === this.ids.length) this.#giveUp();
    if (this.isTooLarge) return;
    const { bytes, spans } = this;
    const slot = 4 * this.count;
    spans[slot] = this.length;
    spans[slot + 1] = nameEnd;
    spans[slot + 2] = nameEnd + 2;
    spans[slot + 3] = valueEnd;
    bytes[nameEnd] = Byte.colon;
    bytes[nameEnd + 1] = Byte.space;
    bytes[valueEnd] = Byte.cr;
    bytes[valueEnd + 1] = Byte.lf;
    this.ids[this.count++] = id;
    this.length = valueEnd + 2;
  }
}

/** A copy of a block that was found good, in as much room as it needs. */
export function keptCopy(block: HeaderBlock, goodAs: number): HeaderBlock {
  const copy = new HeaderBlock(block.length, block.count);
  block.bytes.copy(copy.bytes, 0, 0, block.length);
  copy.spans.set(block.spans.subarray(0, 4 * block.count));
  copy.ids.set(block.ids.subarray(0, block.count));
  copy.length = block.length;
  copy.count = block.count;
  copy.listBytes = block.listBytes;
  copy.method = block.method;
  copy.path = block.path;
  copy.scheme = block.scheme;
  copy.authority = block.authority;
  copy.protocol = block.protocol;
  copy.firstRegular = block.firstRegular;
  copy.host = block.host;
  copy.cookies = block.cookies;
  copy.contentLength = block.contentLength;
  copy.status = block.status;
  copy.goodAs = goodAs;
  return copy;
}

/** The method of a request; no string is made for the usual ones. */
export function methodOf(block: HeaderBlock): string {
  const { bytes, spans, method } = block;
  const start = spans[4 * method + 2] as number;
  const end = spans[4 * method + 3] as number;
  if (isText(bytes, start, end, "GET")) return "GET";
  return isText(bytes, start, end, "POST") ? "POST" : block.value(method);
}

function isText(bytes: Buffer, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false;
  return true;
}

/** Copies `from[start, end)` to `to` from `at` on. Answers the position after it. */
// biome-ignore lint/complexity/useMaxParams: an options object would be made for every string.
export function copyBytes(
  from: Buffer,
  start: number,
  end: number,
  to: Buffer,
  at: number,
): number {
  const length = end - start;
  if (length > shortBytes) {
    from.copy(to, at, start, end);
  } else {
    for (let i = 0; i < length; i++) to[at + i] = from[start + i] as number;
  }
  return at + length;
}
