/**
 * The fields of one head, in the order they came: where each name and value lies in the buffer, and which names are
 * known. Nothing is decoded until somebody asks. One `Fields` serves a connection for its whole life.
 */
import { Byte, tokenLower } from "./byte-class.ts";
import { WordTable } from "./word-table.ts";

/** Decisions 7. Browsers send about 20 fields, meshes add 10; 200 leaves room and bounds every loop over fields. */
export const maxFields = 200;

/** Room that a head has from the start; it is doubled for longer ones. All of it made an idle connection cost 4 KiB more (`benchmarks/proxy/memory.ts`). */
const firstFields = 25;

const noBytes: Buffer = Buffer.alloc(0);

/**
 * The names that the data plane asks for, each with a small number, so that looking one up compares numbers. Names that
 * nobody asks for by id stay out: they would only make the table longer. `framing.ts` reads those up to `expect`.
 */
export const Known = {
  none: 0,
  host: 1,
  connection: 2,
  contentLength: 3,
  transferEncoding: 4,
  te: 5,
  upgrade: 6,
  expect: 7,
  keepAlive: 8,
  proxyConnection: 9,
  trailer: 10,
  proxyAuthenticate: 11,
  proxyAuthorization: 12,
  http2Settings: 13,
  contentType: 14,
  contentEncoding: 15,
  authorization: 16,
  cookie: 17,
  setCookie: 18,
  accept: 19,
  acceptEncoding: 20,
  userAgent: 21,
  date: 22,
  server: 23,
  location: 24,
  retryAfter: 25,
  origin: 26,
  via: 27,
  forwarded: 28,
  xForwardedFor: 29,
  xForwardedHost: 30,
  xForwardedProto: 31,
  xRealIp: 32,
  xRequestId: 33,
  traceparent: 34,
  tracestate: 35,
  b3: 36,
  xB3Traceid: 37,
  grpcStatus: 38,
  grpcMessage: 39,
  grpcTimeout: 40,
  l5dClientId: 41,
  l5dDstCanonical: 42,
  l5dDstOverride: 43,
  l5dOrigProto: 44,
  l5dProxyConnection: 45,
  l5dProxyError: 46,
  l5dRequireId: 47,
} as const;

/** The name of each id, in lower case; its position is the id. */
const knownNames: readonly string[] = Object.keys(Known).map(fieldName);

/** Finds the id of a name in bytes, in any case; 0 for a name that is not known. */
export const knownTable: WordTable = new WordTable(knownNames.slice(1));

const ids: ReadonlyMap<string, number> = new Map(
  knownNames.slice(1).map((name, at) => [name, at + 1]),
);

/** The id of a name in lower case, 0 if it is not known. */
export function knownId(name: string): number {
  return ids.get(name) ?? 0;
}

/** `xForwardedFor` is `x-forwarded-for`; a digit belongs to the word before it (`l5d`, `b3`). */
function fieldName(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

export class Fields {
  bytes: Buffer = noBytes;
  count = 0;
  /** nameStart, nameEnd, valueStart, valueEnd of each field. The value is without the white space around it. */
  spans: Int32Array = new Int32Array(4 * firstFields);
  /** `Known` id of each name. */
  known: Uint8Array = new Uint8Array(firstFields);
  /** The empty line's position once the fields are complete: where a line could be added. */
  blank = 0;
  /** State of `scanFields` (`field-lines.ts`): the step, and how far it has read. */
  step = 0;
  at = 0;

  reset(): void {
    this.count = 0;
    this.step = 0;
  }

  /** For twice as many fields, up to as many as a head may have. */
  makeRoom(): void {
    const { spans, known } = this;
    const room = Math.min(2 * known.length, maxFields);
    this.spans = new Int32Array(4 * room);
    this.spans.set(spans);
    this.known = new Uint8Array(room);
    this.known.set(known);
  }

  /** The buffer was copied: every position is `delta` further on. Includes the field that is half read. */
  shift(bytes: Buffer, delta: number): void {
    this.bytes = bytes;
    this.at += delta;
    this.blank += delta;
    const last = Math.min(4 * (this.count + 1), this.spans.length);
    for (let at = 0; at < last; at++) this.spans[at] = (this.spans[at] as number) + delta;
  }

  /** All values of a name (in lower case) in their order, joined by `, ` (RFC 9110 §5.3). */
  get(name: string): string | undefined {
    let all: string | undefined;
    for (let i = this.find(name, 0); i >= 0; i = this.find(name, i + 1)) {
      all = all === undefined ? this.value(i) : `${all}, ${this.value(i)}`;
    }
    return all;
  }

  /** The next field of a name (in lower case) at or after `from`, or -1. */
  find(name: string, from: number): number {
    const id = knownId(name);
    if (id !== 0) return this.findKnown(id, from);
    for (let i = from; i < this.count; i++) {
      if (this.known[i] === 0 && this.#isNamed(i, name)) return i;
    }
    return -1;
  }

  /** The next field of a `Known` id at or after `from`, or -1. */
  findKnown(id: number, from: number): number {
    for (let i = from; i < this.count; i++) if (this.known[i] === id) return i;
    return -1;
  }

  /** In lower case. */
  name(i: number): string {
    const id = this.known[i];
    if (id !== undefined && id !== 0) return knownNames[id] ?? "";
    return this.bytes.toString("latin1", this.spans[4 * i], this.spans[4 * i + 1]).toLowerCase();
  }

  value(i: number): string {
    return this.bytes.toString("latin1", this.spans[4 * i + 2], this.spans[4 * i + 3]);
  }

  /**
   * Whether a name begins with `prefix` (in lower case, with dashes), where an underscore counts as a dash: servers that
   * hand fields to applications as variables make both the same, so `l5d_client_id` is as dangerous as `l5d-client-id`.
   */
  hasPrefix(i: number, prefix: string): boolean {
    const start = this.spans[4 * i] as number;
    if ((this.spans[4 * i + 1] as number) - start < prefix.length) return false;
    for (let at = 0; at < prefix.length; at++) {
      const letter = tokenLower[this.bytes[start + at] as number] as number;
      if ((letter === Byte.underscore ? Byte.dash : letter) !== prefix.charCodeAt(at)) return false;
    }
    return true;
  }

  #isNamed(i: number, name: string): boolean {
    const start = this.spans[4 * i] as number;
    if ((this.spans[4 * i + 1] as number) - start !== name.length) return false;
    for (let at = 0; at < name.length; at++) {
      if (tokenLower[this.bytes[start + at] as number] !== name.charCodeAt(at)) return false;
    }
    return true;
  }
}
