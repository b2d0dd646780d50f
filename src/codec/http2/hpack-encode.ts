/**
 * Encodes header blocks (RFC 7541). A field goes into the dynamic table when it is small and was seen before on this
 * connection: paths with numbers, request ids and dates do not push out what repeats. Credentials are never indexed, and
 * nothing is spelled in the Huffman code (`huffman.ts` says why).
 */
import { tokenLower } from "../byte-class.ts";
import { DynamicTable, maxTableBytes } from "./dynamic-table.ts";
import { copyBytes, Pseudo } from "./header-block.ts";
import { hashName, type SensitiveNames } from "./sensitive-names.ts";
import {
  pseudoIndex,
  staticBytes,
  staticCount,
  staticNameIndex,
  staticSpans,
} from "./static-table.ts";

/** A field that takes more than a quarter of the table would push out more than it saves. */
const maxIndexedBytes: number = maxTableBytes / 4;

/** RFC 7541 §7.1.3: a short cookie has few values to guess. nghttp2 draws the line at the same length. */
const minIndexedCookie = 20;

/** Entries of the tables that find fields by their hash: twice what the dynamic table can hold. */
const hashSlots = 256;

/** What a field takes beyond its octets at most: a byte of form and index, and two lengths of up to five bytes. */
const fieldOverhead = 16;

/** What precedes the fields at most: two sizes of the table, and the pseudo-fields without their values. */
const blockOverhead = 96;

/** The longest string that comes as text (a method, a status, a scheme), and stands in a buffer for its encoding. */
const scratch: Buffer = Buffer.alloc(64);

const protocolName: Buffer = Buffer.from(":protocol", "latin1");

/** How a field is written (RFC 7541 §6): added to the table, not added, and never to be added by anyone. */
const Form = { indexed: 0x40, plain: 0x00, never: 0x10 } as const;

/** The room that a block may need whose names and values together have `octets`. */
export function blockRoom(octets: number, fields: number): number {
  return octets + fields * fieldOverhead + blockOverhead;
}

export class HpackEncoder {
  /** Where the next byte goes; the block's end when all fields are written. */
  at = 0;
  /** Counts the changes of the table: what a block refers to holds while it is the same. */
  #changes = 0;
  #out: Buffer = scratch;
  readonly #sensitive: SensitiveNames;
  readonly #table: DynamicTable = new DynamicTable();
  /** Number of the entry with a hash of name and value, and with a hash of the name. The newer one wins a slot. */
  readonly #fields: Int32Array = new Int32Array(hashSlots);
  readonly #names: Int32Array = new Int32Array(hashSlots);
  /** The hashes of fields that passed by. */
  readonly #seen: Int32Array = new Int32Array(hashSlots);
  /** The smallest size since the last block; -1 when the size was not changed. */
  #smallest = -1;
  /** The name of the field that is being written. */
  #name: Buffer = scratch;
  #nameStart = 0;
  #nameEnd = 0;
  #nameHash = 0;
  #nameIndex = 0;

  constructor(sensitive: SensitiveNames) {
    this.#sensitive = sensitive;
  }

  /** While this is the same a head becomes the same bytes, but for fields that are added to the table now. */
  get edition(): number {
    return this.#changes + this.#sensitive.learned;
  }

  /** What the peer lets the table be (SETTINGS_HEADER_TABLE_SIZE). It is told at the start of the next block. */
  resize(allowed: number): void {
    const capacity = Math.min(allowed, maxTableBytes);
    if (capacity === this.#table.capacity) return;
    this.#table.resize(capacity);
    this.#changes++;
    this.#smallest = this.#smallest < 0 ? capacity : Math.min(this.#smallest, capacity);
  }

  /** Begins a block at `out[at]`. The caller has made `blockRoom`. */
  begin(out: Buffer, at: number): void {
    this.#out = out;
    this.at = at;
    if (this.#smallest < 0) return;
    this.#changes++;
    // RFC 7541 §4.2: the smallest size in between, then the last one.
    const { capacity } = this.#table;
    if (this.#smallest < capacity) this.#integer(this.#smallest, 5, 0x20);
    this.#integer(capacity, 5, 0x20);
    this.#smallest = -1;
  }

  status(status: number): void {
    const at = [200, 204, 206, 304, 400, 404, 500].indexOf(status);
    if (at >= 0) this.#out[this.at++] = 0x80 | (8 + at);
    else this.text(Pseudo.status, String(status));
  }

  method(method: string): void {
    if (method === "GET") this.#out[this.at++] = 0x82;
    else if (method === "POST") this.#out[this.at++] = 0x83;
    else this.text(Pseudo.method, method);
  }

  scheme(scheme: string): void {
    if (scheme === "http") this.#out[this.at++] = 0x86;
    else if (scheme === "https") this.#out[this.at++] = 0x87;
    else this.text(Pseudo.scheme, scheme);
  }

  /** A pseudo-field whose value is a short text. */
  text(id: number, value: string): void {
    const length = scratch.write(value, 0, "latin1");
    if (length < value.length) throw new Error(`Encode texts of at most ${scratch.length} bytes`);
    this.pseudo(id, scratch, 0, length);
  }

  /** A pseudo-field whose value is in `bytes[start, end)`. */
  pseudo(id: number, bytes: Buffer, start: number, end: number): void {
    const index = pseudoIndex.get(id) ?? 0;
    this.#name = index === 0 ? protocolName : staticBytes;
    this.#nameStart = index === 0 ? 0 : (staticSpans[3 * index] as number);
    this.#nameEnd = index === 0 ? protocolName.length : (staticSpans[3 * index + 1] as number);
    this.#nameHash = Math.imul(id, 0x01000193);
    this.#nameIndex = index;
    this.#value(bytes, start, end);
  }

  /** A field, its name in any case. */
  // biome-ignore lint/complexity/useMaxParams: an options object would be made for every field.
  field(
    bytes: Buffer,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
  ): void {
    this.#name = bytes;
    this.#nameStart = nameStart;
    this.#nameEnd = nameEnd;
    this.#nameHash = hashName(bytes, nameStart, nameEnd);
    this.#nameIndex = staticNameIndex(bytes, nameStart, nameEnd);
    if (this.#isSecret(valueEnd - valueStart)) {
      this.#literal(Form.never, bytes, valueStart, valueEnd);
    } else {
      this.#value(bytes, valueStart, valueEnd);
    }
  }

  #isSecret(valueLength: number): boolean {
    const isCookie = this.#nameIndex === cookieIndex || this.#nameIndex === setCookieIndex;
    return (isCookie && valueLength < minIndexedCookie) || this.#sensitive.has(this.#nameHash);
  }

  #value(bytes: Buffer, start: number, end: number): void {
    if (this.#nameEnd - this.#nameStart + end - start > maxIndexedBytes) {
      this.#literal(Form.plain, bytes, start, end);
      return;
    }
    let hash = this.#nameHash;
    for (let at = start; at < end; at++) {
      hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193);
    }
    hash ^= hash >>> 15;
    const slot = hash & (hashSlots - 1);
    const entry = this.#fields[slot] as number;
    if (this.#isEntry(entry, hash, bytes, start, end)) {
      this.#integer(staticCount + 1 + this.#table.newest - entry, 7, 0x80);
    } else if (this.#seen[slot] !== hash) {
      this.#seen[slot] = hash;
      this.#literal(Form.plain, bytes, start, end);
    } else {
      this.#literal(Form.indexed, bytes, start, end);
      this.#remember(hash, bytes, start, end);
    }
  }

  // biome-ignore lint/complexity/useMaxParams: an options object would be made for every field.
  #isEntry(entry: number, hash: number, bytes: Buffer, start: number, end: number): boolean {
    const table = this.#table;
    if (!table.isAlive(entry) || table.note(entry) !== hash >>> 0) return false;
    if (table.valueLength(entry) !== end - start || !this.#hasName(entry)) return false;
    const at = table.nameStart(entry) + table.nameLength(entry) - start;
    for (let i = start; i < end; i++) if (table.bytes[at + i] !== bytes[i]) return false;
    return true;
  }

  /** Whether an entry has the name that is being written. */
  #hasName(entry: number): boolean {
    const table = this.#table;
    const length = this.#nameEnd - this.#nameStart;
    if (!table.isAlive(entry) || table.nameLength(entry) !== length) return false;
    const at = table.nameStart(entry);
    for (let i = 0; i < length; i++) {
      if (table.bytes[at + i] !== lowerOf(this.#name[this.#nameStart + i] as number)) return false;
    }
    return true;
  }

  #remember(hash: number, bytes: Buffer, start: number, end: number): void {
    const table = this.#table;
    const nameLength = this.#nameEnd - this.#nameStart;
    this.#changes++;
    const to = table.add(nameLength, end - start, hash >>> 0);
    if (to < 0) return;
    copyName(this.#name, this.#nameStart, this.#nameEnd, table.bytes, to);
    copyBytes(bytes, start, end, table.bytes, to + nameLength);
    this.#fields[hash & (hashSlots - 1)] = table.newest;
    this.#names[this.#nameHash & (hashSlots - 1)] = table.newest;
  }

  #literal(form: number, bytes: Buffer, start: number, end: number): void {
    const prefixBits = form === Form.indexed ? 6 : 4;
    const entry = this.#names[this.#nameHash & (hashSlots - 1)] as number;
    if (this.#nameIndex > 0) {
      this.#integer(this.#nameIndex, prefixBits, form);
    } else if (this.#hasName(entry)) {
      this.#integer(staticCount + 1 + this.#table.newest - entry, prefixBits, form);
    } else {
      const length = this.#nameEnd - this.#nameStart;
      this.#out[this.at++] = form;
      this.#integer(length, 7, 0);
      copyName(this.#name, this.#nameStart, this.#nameEnd, this.#out, this.at);
      this.at += length;
    }
    this.#integer(end - start, 7, 0);
    this.at = copyBytes(bytes, start, end, this.#out, this.at);
  }

  /** RFC 7541 §5.1. */
  #integer(value: number, prefixBits: number, form: number): void {
    const mask = (1 << prefixBits) - 1;
    if (value < mask) {
      this.#out[this.at++] = form | value;
      return;
    }
    this.#out[this.at++] = form | mask;
    let rest = value - mask;
    while (rest >= 0x80) {
      this.#out[this.at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#out[this.at++] = rest;
  }
}

const cookieIndex: number = indexOf("cookie");
const setCookieIndex: number = indexOf("set-cookie");

function indexOf(name: string): number {
  return staticNameIndex(Buffer.from(name, "latin1"), 0, name.length);
}

/** Field names are sent in lower case (RFC 9113 §8.2); the colon of a pseudo-field is no token byte and stays. */
function lowerOf(byte: number): number {
  const lower = tokenLower[byte] as number;
  return lower === 0 ? byte : lower;
}

// biome-ignore lint/complexity/useMaxParams: an options object would be made for every name.
function copyName(from: Buffer, start: number, end: number, to: Buffer, at: number): void {
  for (let i = start; i < end; i++) to[at + i - start] = lowerOf(from[i] as number);
}
