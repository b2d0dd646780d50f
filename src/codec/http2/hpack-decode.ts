/**
 * Decodes header blocks (RFC 7541) into a `HeaderBlock`. Bytes that no name or value may have are noticed here, once per
 * literal; what an entry of the dynamic table was found to be stays noted with it.
 */
import { Byte, tokenLower, valueByte } from "../byte-class.ts";
import { knownTable } from "../header-list.ts";
import { DynamicTable, maxTableBytes } from "./dynamic-table.ts";
import { copyBytes, type HeaderBlock, keptCopy, maxBlockBytes, pseudoId } from "./header-block.ts";
import { decodeHuffman } from "./huffman.ts";
import { KeptBlocks } from "./kept-blocks.ts";
import type { SensitiveNames } from "./sensitive-names.ts";
import { staticBytes, staticCount, staticIds, staticSpans } from "./static-table.ts";

/** What `decode` answers. */
export const Decoded = { ok: 0, wrong: 1, bomb: 2 } as const;

/**
 * A section this many times over the limit was made to expand (a reference of one byte stands for up to 4 KiB). One that
 * is only too large costs its stream; decoding goes on for the sake of the table.
 */
const bombFactor = 4;

/** Larger integers stand for nothing in a block, whose own size is limited far below. */
const maxInteger: number = 1 << 24;

/** In the note of an entry, beside the field's number: the name or the value is malformed. */
const wrongEntry = 0x100;

export class HpackDecoder {
  /** What was decoded last: the block that all share, or one that is kept. */
  block: HeaderBlock;
  readonly #block: HeaderBlock;
  readonly #sensitive: SensitiveNames;
  readonly #maxListBytes: number;
  readonly #table: DynamicTable = new DynamicTable();
  readonly #kept: KeptBlocks = new KeptBlocks();
  /** Counts the changes of the table. */
  #edition = 0;
  /** Of the table before the section that was decoded last. */
  #editionBefore = 0;
  #start = 0;
  #bytes: Buffer = staticBytes;
  #at = 0;
  #end = 0;
  /** The string that was scanned last: where its octets lie, and whether they are in the Huffman code. */
  #isCoded = false;
  #listBytes = 0;

  constructor(block: HeaderBlock, sensitive: SensitiveNames, maxListBytes: number) {
    this.block = block;
    this.#block = block;
    this.#sensitive = sensitive;
    this.#maxListBytes = maxListBytes;
  }

  /** Decodes the whole block in `bytes[start, end)`, `maxBlockBytes` at most. All but `ok` is the connection's end. */
  decode(bytes: Buffer, start: number, end: number): number {
    if (end - start > maxBlockBytes) throw new Error(`Decode at most ${maxBlockBytes} bytes`);
    const kept = this.#kept.find(bytes, start, end, this.#edition);
    this.block = kept ?? this.#block;
    if (kept !== undefined) return Decoded.ok;
    this.#editionBefore = this.#edition;
    this.#start = start;
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#listBytes = 0;
    this.#block.reset();
    let mayResize = true;
    while (this.#at < this.#end) {
      const byte = this.#bytes[this.#at] as number;
      let isGood: boolean;
      if (byte >= 0x80) isGood = this.#indexed();
      else if (byte >= 0x40) isGood = this.#literal(6);
      else if (byte >= 0x20) isGood = mayResize && this.#resize();
      else isGood = this.#literal(4);
      if (!isGood) return Decoded.wrong;
      if (byte < 0x20 || byte >= 0x40) mayResize = false;
      if (this.#listBytes > bombFactor * this.#maxListBytes) return Decoded.bomb;
    }
    return Decoded.ok;
  }

  /** What was decoded last is good: it need not be decoded and judged again while it says the same. */
  keep(goodAs: number): void {
    if (this.block !== this.#block || this.#edition !== this.#editionBefore) return;
    if (!this.#kept.mayKeep(this.block)) return;
    const copy = keptCopy(this.block, goodAs);
    this.#kept.keep(this.#bytes, this.#start, this.#end, this.#edition, copy);
  }

  /** RFC 7541 §6.3, at the start of a block only (§4.2). */
  #resize(): boolean {
    const capacity = this.#integer(5);
    if (capacity < 0 || capacity > maxTableBytes) return false;
    this.#table.resize(capacity);
    this.#edition++;
    return true;
  }

  /** RFC 7541 §5.1. -1 when the bytes end or the number is too large. */
  #integer(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = (this.#bytes[this.#at++] as number) & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.#at >= this.#end) return -1;
      const byte = this.#bytes[this.#at++] as number;
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value > maxInteger ? -1 : value;
    }
    return -1;
  }

  /** RFC 7541 §6.1. */
  #indexed(): boolean {
    const index = this.#integer(7);
    if (index <= 0) return false;
    const block = this.#block;
    if (index <= staticCount) {
      const start = staticSpans[3 * index] as number;
      const valueStart = staticSpans[3 * index + 1] as number;
      const end = staticSpans[3 * index + 2] as number;
      const nameEnd = copyBytes(staticBytes, start, valueStart, block.bytes, block.length);
      copyBytes(staticBytes, valueStart, end, block.bytes, nameEnd + 2);
      this.#endLine(valueStart - start, end - valueStart, staticIds[index] as number);
      return true;
    }
    const entry = this.#table.numberOf(index - staticCount - 1);
    if (entry === 0) return false;
    this.#copyEntry(entry);
    return true;
  }

  #copyEntry(entry: number): void {
    const block = this.#block;
    const table = this.#table;
    const start = table.nameStart(entry);
    const nameLength = table.nameLength(entry);
    const valueLength = table.valueLength(entry);
    const valueStart = start + nameLength;
    const note = table.note(entry);
    const nameEnd = copyBytes(table.bytes, start, valueStart, block.bytes, block.length);
    copyBytes(table.bytes, valueStart, valueStart + valueLength, block.bytes, nameEnd + 2);
    if ((note & wrongEntry) !== 0) block.isWrong = true;
    this.#endLine(nameLength, valueLength, note & 0xff);
  }

  /** RFC 7541 §6.2, in its three forms: added to the table (prefix of 6 bits), not added, and never to be (4 bits). */
  #literal(prefixBits: number): boolean {
    const form = this.#bytes[this.#at] as number;
    const index = this.#integer(prefixBits);
    if (index < 0) return false;
    let nameAt = 0;
    let nameBytes = 0;
    let isNameCoded = false;
    if (index === 0) {
      nameBytes = this.#string();
      if (nameBytes < 0) return false;
      isNameCoded = this.#isCoded;
      nameAt = this.#at - nameBytes;
    } else if (index > staticCount && this.#table.numberOf(index - staticCount - 1) === 0) {
      return false;
    }
    const valueBytes = this.#string();
    if (valueBytes < 0) return false;
    const nameLength =
      index === 0
        ? this.#copyString(nameAt, nameBytes, isNameCoded, this.#block.length)
        : this.#copyName(index);
    if (nameLength < 0) return false;
    const valueAt = this.#block.length + nameLength + 2;
    const length = this.#copyString(this.#at - valueBytes, valueBytes, this.#isCoded, valueAt);
    if (length < 0) return false;
    this.#endLiteral(index, nameLength, length, form);
    return true;
  }

  /** Steps over a string (RFC 7541 §5.2) and answers how many octets it has as it stands, or -1. */
  #string(): number {
    if (this.#at >= this.#end) return -1;
    this.#isCoded = (this.#bytes[this.#at] as number) >= 0x80;
    const length = this.#integer(7);
    if (length < 0 || length > this.#end - this.#at) return -1;
    this.#at += length;
    return length;
  }

  #copyString(start: number, length: number, isCoded: boolean, to: number): number {
    const { bytes } = this.#block;
    const end = start + length;
    if (isCoded) return decodeHuffman(this.#bytes, start, end, bytes, to);
    return copyBytes(this.#bytes, start, end, bytes, to) - to;
  }

  #copyName(index: number): number {
    const { bytes, length } = this.#block;
    if (index <= staticCount) {
      const start = staticSpans[3 * index] as number;
      const end = staticSpans[3 * index + 1] as number;
      return copyBytes(staticBytes, start, end, bytes, length) - length;
    }
    const table = this.#table;
    const entry = table.numberOf(index - staticCount - 1);
    const start = table.nameStart(entry);
    const end = start + table.nameLength(entry);
    return copyBytes(table.bytes, start, end, bytes, length) - length;
  }

  /** The line of a literal is written: checks it, keeps it in the table if it says so, and counts it. */
  #endLiteral(index: number, nameLength: number, valueLength: number, form: number): void {
    const block = this.#block;
    const start = block.length;
    const nameEnd = start + nameLength;
    const valueStart = nameEnd + 2;
    const note = this.#judge(index, nameEnd, valueStart + valueLength);
    if (form >= 0x40) {
      this.#edition++;
      const to = this.#table.add(nameLength, valueLength, note);
      if (to >= 0) {
        const { bytes } = this.#table;
        const valueTo = copyBytes(block.bytes, start, nameEnd, bytes, to);
        copyBytes(block.bytes, valueStart, valueStart + valueLength, bytes, valueTo);
      }
    } else if (form >= 0x10) {
      this.#sensitive.learn(block.bytes, start, nameEnd);
    }
    if ((note & wrongEntry) !== 0) block.isWrong = true;
    this.#endLine(nameLength, valueLength, note & 0xff);
  }

  /** The number of a literal's field, with a mark when its name or value is malformed. */
  #judge(index: number, nameEnd: number, valueEnd: number): number {
    const { bytes, length: start } = this.#block;
    let id: number;
    let isGood = true;
    if (index > 0 && index <= staticCount) {
      id = staticIds[index] as number;
    } else if (bytes[start] === Byte.colon && nameEnd > start) {
      id = pseudoId(bytes, start, nameEnd);
    } else {
      isGood = isName(bytes, start, nameEnd);
      id = isGood ? knownTable.find(bytes, start, nameEnd) : 0;
    }
    return isGood && isValue(bytes, nameEnd + 2, valueEnd) ? id : id | wrongEntry;
  }

  #endLine(nameLength: number, valueLength: number, id: number): void {
    this.#listBytes += nameLength + valueLength + 32;
    this.#block.endLine(nameLength, valueLength, id, this.#maxListBytes);
  }
}

/** RFC 9113 §8.2.1: a token without upper-case letters. */
function isName(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte === 0 || tokenLower[byte] !== byte) return false;
  }
  return end > start;
}

/** RFC 9113 §8.2.1: no controls (stricter than the standard, which names NUL, CR and LF), no white space around it. */
function isValue(bytes: Buffer, start: number, end: number): boolean {
  if (start === end) return true;
  if (isBlank(bytes[start]) || isBlank(bytes[end - 1])) return false;
  for (let at = start; at < end; at++) if (valueByte[bytes[at] as number] === 0) return false;
  return true;
}

function isBlank(byte: number | undefined): boolean {
  return byte === Byte.space || byte === Byte.tab;
}
