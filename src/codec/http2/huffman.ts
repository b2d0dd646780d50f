/**
 * Decoding of HPACK's Huffman code (RFC 7541 §5.2 and appendix B), four bits at a step. The code is canonical: codes are
 * counted up in the order of length, then of symbol, so the symbols of each length say everything.
 *
 * There is no encoder: spelling a string in this code takes longer than the bytes it saves take on any network that a
 * mesh runs on (`benchmarks/codec/hpack.ts`).
 */

/** The symbols with codes of 5, 6, 7 … 30 bits, as Latin-1. The end-of-string symbol is the last one of 30 bits. */
const symbolsByLength: readonly string[] = [
  "012aceiost",
  " %-./3456789=A_bdfghlmnpru",
  ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
  "&*,;XZ",
  "",
  '!"()?',
  "'+|",
  "#>",
  "\x00$@[]~",
  "^}",
  "<`{",
  "",
  "",
  "",
  "\\\xc3\xd0",
  "\x80\x82\x83\xa2\xb8\xc2\xe0\xe2",
  "\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6",
  "\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9",
  "\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\xbc\xbf\xc5\xe7\xef",
  "\x09\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed",
  "\xc7\xcf\xea\xeb",
  "\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff",
  "\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe",
  "\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f\xdc\xf9",
  "",
  "\x0a\x0d\x16",
];

const firstLength = 5;

/** Inner nodes of the code tree: one less than its leaves, 256 octets and the end of string. */
const nodes = 256;

/** Padding is at most 7 bits of the end-of-string code, which is all ones (RFC 7541 §5.2). */
const maxPaddingBits = 7;

/** The parts of a step's entry: the next node, whether a symbol ends in it, that symbol, whether it is an error. */
const nodeMask = 0xff;
const emits = 0x100;
const symbolShift = 9;
const wrong = 0x20000;

/** For each node and four bits: where they lead. */
const steps: Uint32Array = new Uint32Array(nodes * 16);

/** 1 for the nodes at which a string may end. */
const mayEnd: Uint8Array = new Uint8Array(nodes);

buildSteps();

function buildSteps(): void {
  // Children of each node: a node's number, or -1 - symbol for a leaf; undefined leads to the end of string.
  const children: (number | undefined)[] = [undefined, undefined];
  let code = 0;
  for (const [at, symbols] of symbolsByLength.entries()) {
    const length = at + firstLength;
    for (const symbol of symbols) insert(children, code++, length, symbol.charCodeAt(0));
    code *= 2;
  }
  for (let node = 0; node < children.length / 2; node++) {
    for (let bits = 0; bits < 16; bits++) steps[node * 16 + bits] = walk(children, node, bits);
  }
  let node: number | undefined = 0;
  for (let depth = 0; depth <= maxPaddingBits && node !== undefined; depth++) {
    mayEnd[node] = 1;
    node = children[2 * node + 1];
  }
}

function insert(
  children: (number | undefined)[],
  code: number,
  length: number,
  symbol: number,
): void {
  let node = 0;
  for (let bit = length - 1; bit > 0; bit--) {
    const slot: number = 2 * node + ((code >> bit) & 1);
    let next = children[slot];
    if (next === undefined) {
      next = children.length / 2;
      children.push(undefined, undefined);
      children[slot] = next;
    }
    node = next;
  }
  children[2 * node + (code & 1)] = -1 - symbol;
}

/** A symbol has five bits or more, so four bits end at most one. */
function walk(children: readonly (number | undefined)[], from: number, bits: number): number {
  let node = from;
  let entry = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const next = children[2 * node + ((bits >> bit) & 1)];
    if (next === undefined) return wrong;
    if (next < 0) {
      entry = emits | ((-1 - next) << symbolShift);
      node = 0;
    } else {
      node = next;
    }
  }
  return entry | node;
}

/**
 * Decodes `from[start, end)` to `to` from `toStart` on, where room for eight octets for each five must be. Answers how many
 * octets it wrote, or -1 for a string that no encoder makes: with the end-of-string symbol, or padded with other bits or too many.
 */
// biome-ignore lint/complexity/useMaxParams: an options object would be made for every string.
export function decodeHuffman(
  from: Uint8Array,
  start: number,
  end: number,
  to: Uint8Array,
  toStart: number,
): number {
  let node = 0;
  let length = toStart;
  let failed = 0;
  for (let at = start; at < end; at++) {
    const byte = from[at] as number;
    const high = steps[node * 16 + (byte >> 4)] as number;
    if ((high & emits) !== 0) to[length++] = (high >> symbolShift) & 0xff;
    const low = steps[(high & nodeMask) * 16 + (byte & 15)] as number;
    if ((low & emits) !== 0) to[length++] = (low >> symbolShift) & 0xff;
    node = low & nodeMask;
    failed |= high | low;
  }
  return (failed & wrong) !== 0 || mayEnd[node] === 0 ? -1 : length - toStart;
}
