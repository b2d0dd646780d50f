/**
 * The trace that a request belongs to: W3C Trace Context (`traceparent`) and B3 (`b3`, or the `x-b3-` fields), which are read from the bytes of a head
 * without making a string of them. What is malformed is absent, as both specifications want; if both are there, W3C wins.
 */
import { type Fields, Known } from "../codec/header-list.ts";
import type { HeadEdit } from "../codec/http1-write.ts";

/** The formats that a context came in, as bits: what goes on goes on in the same. */
export const Format = { w3c: 1, b3Single: 2, b3Multi: 4 } as const;

/** W3C Trace Context §3.2.2.5. */
export const sampledFlag = 1;
/** W3C Trace Context Level 2: the identifier is random. Whoever passes a trace on keeps the flag. */
const randomFlag = 2;

/** The length of a `traceparent` of version 00. */
const traceparentLength = 55;

export type Sampling = "yes" | "no" | "undecided";

const hexDigits = "0123456789abcdef";

/** The value of a hexadecimal digit in lower case, 16 and more for others. */
const digitValue: Uint8Array = new Uint8Array(256).fill(0xff);
for (let value = 0; value < 16; value++) digitValue[hexDigits.charCodeAt(value)] = value;

const dash = 0x2d;

/** Words of 32 bits: four of the trace, two of the caller's span. One is used for all requests of a worker. */
export class TraceContext {
  readonly words: Uint32Array = new Uint32Array(6);
  /** Of `Format`; 0: the request brings no context. */
  formats = 0;
  /** Those of W3C that are kept. */
  flags = 0;
  sampling: Sampling = "undecided";
  /** The request has fields of W3C, whatever is in them. */
  hasW3c = false;
  /** B3: the trace has 64 bits, and stays so. */
  isShort = false;
  /** B3: also traces that would be left out are recorded. */
  isDebug = false;

  /** Answers whether the request brings a context. Without one `sampling` may still say no (B3). */
  read(fields: Fields): boolean {
    this.formats = 0;
    this.flags = 0;
    this.sampling = "undecided";
    this.isShort = false;
    this.isDebug = false;
    let parent = -1;
    let single = -1;
    let multi = -1;
    let parents = 0;
    let states = 0;
    for (let i = 0; i < fields.count; i++) {
      switch (fields.known[i] as number) {
        case Known.traceparent:
          parent = i;
          parents++;
          break;
        case Known.tracestate:
          states++;
          break;
        case Known.b3:
          single = i;
          break;
        case Known.xB3Traceid:
          multi = i;
          break;
        default:
          break;
      }
    }
    this.hasW3c = parents + states > 0;
    const isW3c = parents === 1 && this.#readTraceparent(fields, parent);
    if (isW3c) this.formats = Format.w3c;
    else if (single >= 0 && this.#readSingle(fields, single)) this.formats = Format.b3Single;
    else if (multi >= 0 && this.#readMulti(fields, multi)) this.formats = Format.b3Multi;
    if (this.formats === 0) return false;
    // Who reads only the other format is to see the same spans.
    if (single >= 0) this.formats |= Format.b3Single;
    if (multi >= 0) this.formats |= Format.b3Multi;
    return true;
  }

  #readTraceparent({ bytes, spans }: Fields, i: number): boolean {
    const start = spans[4 * i + 2] as number;
    const length = (spans[4 * i + 3] as number) - start;
    if (length < traceparentLength) return false;
    const version = hexByte(bytes, start);
    if (version < 0 || version === 0xff) return false;
    // §3.2.2: version 00 ends here, a later one may go on behind a dash.
    if (length > traceparentLength && (version === 0 || bytes[start + 55] !== dash)) return false;
    if (bytes[start + 2] !== dash || bytes[start + 35] !== dash || bytes[start + 52] !== dash) {
      return false;
    }
    const flags = hexByte(bytes, start + 53);
    if (flags < 0 || !this.#readTrace(bytes, start + 3, 4)) return false;
    if (!this.#readSpan(bytes, start + 36)) return false;
    this.flags = flags & randomFlag;
    this.sampling = (flags & sampledFlag) === 0 ? "no" : "yes";
    return true;
  }

  /** `{trace}-{span}[-{sampled}[-{parent}]]`, or a decision alone. */
  #readSingle({ bytes, spans }: Fields, i: number): boolean {
    const start = spans[4 * i + 2] as number;
    const length = (spans[4 * i + 3] as number) - start;
    if (length === 1) {
      if (bytes[start] === 0x30) this.sampling = "no";
      return false;
    }
    const traceLength = bytes[start + 16] === dash ? 16 : 32;
    const rest = length - traceLength - 17;
    if (rest < 0 || bytes[start + traceLength] !== dash) return false;
    if (!this.#readB3Trace(bytes, start, traceLength)) return false;
    if (!this.#readSpan(bytes, start + traceLength + 1)) return false;
    if (rest === 0) return true;
    if (rest === 1 || bytes[start + traceLength + 17] !== dash) return false;
    // Behind it there is no more than the caller's parent, which does not concern us.
    if (rest !== 2 && (rest !== 19 || bytes[start + traceLength + 19] !== dash)) return false;
    return this.#decide(bytes[start + traceLength + 18]);
  }

  #readMulti(fields: Fields, i: number): boolean {
    const { bytes, spans } = fields;
    const start = spans[4 * i + 2] as number;
    const length = (spans[4 * i + 3] as number) - start;
    if (length !== 16 && length !== 32) return false;
    const span = fields.find("x-b3-spanid", 0);
    if (span < 0) return false;
    const spanStart = spans[4 * span + 2] as number;
    if ((spans[4 * span + 3] as number) - spanStart !== 16) return false;
    if (!this.#readB3Trace(bytes, start, length) || !this.#readSpan(bytes, spanStart)) return false;
    const flags = oneByte(fields, "x-b3-flags");
    if (flags === 0x31) return this.#decide(0x64);
    const sampled = oneByte(fields, "x-b3-sampled");
    return sampled === 0 || this.#decide(sampled);
  }

  #decide(letter: number | undefined): boolean {
    this.isDebug = letter === 0x64;
    if (this.isDebug || letter === 0x31) this.sampling = "yes";
    else if (letter === 0x30) this.sampling = "no";
    else return false;
    return true;
  }

  #readB3Trace(bytes: Buffer, at: number, length: number): boolean {
    this.isShort = length === 16;
    if (!this.isShort) return this.#readTrace(bytes, at, 4);
    this.words[0] = 0;
    this.words[1] = 0;
    return this.#readTrace(bytes, at, 2);
  }

  /** The last `count` words of the trace. */
  #readTrace(bytes: Buffer, at: number, count: number): boolean {
    let isZero = true;
    for (let word = 0; word < count; word++) {
      const value = hexWord(bytes, at + 8 * word);
      if (value < 0) return false;
      if (value > 0) isZero = false;
      this.words[4 - count + word] = value;
    }
    return !isZero;
  }

  #readSpan(bytes: Buffer, at: number): boolean {
    const high = hexWord(bytes, at);
    const low = hexWord(bytes, at + 8);
    if (high < 0 || low < 0 || high + low === 0) return false;
    this.words[4] = high;
    this.words[5] = low;
    return true;
  }
}

/** The identifier of a request's trace for the access log; empty: it has none. */
export function traceIdOf(context: TraceContext, fields: Fields): string {
  return context.read(fields) ? hexText(context.words, 0, 4) : "";
}

/** B3: the decision alone, in a field of its own. */
export function refusesTrace(fields: Fields): boolean {
  return oneByte(fields, "x-b3-sampled") === 0x30;
}

export type Carried = {
  readonly words: Uint32Array;
  readonly formats: number;
  /** Those of W3C, the decision included. */
  readonly flags: number;
  readonly isShort: boolean;
  readonly isDebug: boolean;
};

/** Says in the formats that came which span the next hop is called by. `span` and `parent` are places of words. */
export function writeContext(edit: HeadEdit, carried: Carried, span: number, parent: number): void {
  const { formats } = carried;
  if ((formats & Format.w3c) !== 0) edit.set("traceparent", traceparent(carried, span));
  if (formats > Format.w3c) writeB3(edit, carried, span, parent);
}

function writeB3(edit: HeadEdit, carried: Carried, span: number, parent: number): void {
  const { words, formats, flags, isShort, isDebug } = carried;
  const trace = isShort ? hexText(words, 2, 2) : hexText(words, 0, 4);
  const id = hexText(words, span, 2);
  const parentId = hexText(words, parent, 2);
  const isSampled = (flags & sampledFlag) !== 0;
  if ((formats & Format.b3Single) !== 0) {
    const decision = isDebug ? "d" : isSampled ? "1" : "0";
    edit.set("b3", `${trace}-${id}-${decision}-${parentId}`);
  }
  if ((formats & Format.b3Multi) === 0) return;
  edit.set("x-b3-traceid", trace);
  edit.set("x-b3-spanid", id);
  edit.set("x-b3-parentspanid", parentId);
  if (!isDebug) edit.set("x-b3-sampled", isSampled ? "1" : "0");
}

/** Where texts of digits are put together. */
const written: Buffer = Buffer.from(`00-${"0".repeat(32)}-${"0".repeat(16)}-00`, "latin1");
const digits: Buffer = Buffer.alloc(32);

/** `span` is a place of words. */
export function traceparent({ words, flags }: Carried, span: number): string {
  for (let word = 0; word < 4; word++) writeWord(written, 3 + 8 * word, words[word] as number);
  writeWord(written, 36, words[span] as number);
  writeWord(written, 44, words[span + 1] as number);
  written[54] = hexDigits.charCodeAt(flags);
  return written.toString("latin1");
}

/** So many words from `at` on, eight digits each. */
export function hexText(words: Uint32Array, at: number, count: number): string {
  for (let word = 0; word < count; word++) writeWord(digits, 8 * word, words[at + word] as number);
  return digits.toString("latin1", 0, 8 * count);
}

function writeWord(out: Buffer, at: number, word: number): void {
  let rest = word;
  for (let to = at + 7; to >= at; to--) {
    out[to] = hexDigits.charCodeAt(rest & 0xf);
    rest >>>= 4;
  }
}

/** The value of a field of one byte; 0: there is none, or it is longer. */
function oneByte(fields: Fields, name: string): number {
  const i = fields.find(name, 0);
  if (i < 0) return 0;
  const start = fields.spans[4 * i + 2] as number;
  return fields.spans[4 * i + 3] === start + 1 ? (fields.bytes[start] as number) : 0;
}

/** Eight digits; negative: they are not. */
function hexWord(bytes: Buffer, at: number): number {
  let value = 0;
  for (let i = at; i < at + 8; i++) {
    const digit = digitValue[bytes[i] as number] as number;
    if (digit > 15) return -1;
    value = value * 16 + digit;
  }
  return value;
}

function hexByte(bytes: Buffer, at: number): number {
  const high = digitValue[bytes[at] as number] as number;
  const low = digitValue[bytes[at + 1] as number] as number;
  return high > 15 || low > 15 ? -1 : high * 16 + low;
}
