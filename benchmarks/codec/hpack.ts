/**
 * `node benchmarks/codec/hpack.ts`: nanoseconds to decode and to encode the head of a gRPC call, as JSON, and what the Huffman
 * code would save and cost: a string of 60 bytes copied, and decoded from that code, which is cheaper than encoding to it.
 */
import { HeaderBlock } from "../../src/codec/http2/header-block.ts";
import { HpackDecoder } from "../../src/codec/http2/hpack-decode.ts";
import { blockRoom, HpackEncoder } from "../../src/codec/http2/hpack-encode.ts";
import { decodeHuffman } from "../../src/codec/http2/huffman.ts";
import { SensitiveNames } from "../../src/codec/http2/sensitive-names.ts";
import { conditions, nanosecondsPerCall } from "./machine.ts";

const fields: readonly (readonly [string, string])[] = [
  ["content-type", "application/grpc"],
  ["user-agent", "grpc-node-js/1.14.0"],
  ["te", "trailers"],
  ["grpc-timeout", "1000m"],
  ["grpc-accept-encoding", "identity,deflate,gzip"],
  ["x-tenant", "blue"],
];
const lines = fields.map(([name, value]) => ({ bytes: Buffer.from(name + value), name, value }));
const octets = lines.reduce((sum, { bytes }) => sum + bytes.length, 0);

const sensitive = new SensitiveNames();
const encoder = new HpackEncoder(sensitive);
const decoder = new HpackDecoder(new HeaderBlock(), sensitive, 65_536);
const out = Buffer.alloc(blockRoom(octets, lines.length + 4));

function encode(to: HpackEncoder): number {
  to.begin(out, 0);
  to.method("POST");
  to.scheme("http");
  for (const { bytes, name } of lines) {
    to.field(bytes, 0, name.length, name.length, bytes.length);
  }
  return to.at;
}

/** The third time everything that repeats is in the table. */
const blocks = [0, 1, 2].map(() => Buffer.from(out.subarray(0, encode(encoder))));
for (const block of blocks) decoder.decode(block, 0, block.length);
const [first, , settled] = blocks;
if (first === undefined || settled === undefined) throw new Error("Encode three blocks");

/** "www.example.com" four times, as a string of 60 octets has 48 in the Huffman code. */
const coded = Buffer.from("f1e3c2e5f23a6ba0ab90f4ff".repeat(4), "hex");
const plain = Buffer.from("www.example.com".repeat(4));
const to = Buffer.alloc(256);

const nanoseconds = nanosecondsPerCall({
  encodeSettled: () => encode(encoder),
  decodeSettled: () => decoder.decode(settled, 0, settled.length),
  decodeLiterals: () => decoder.decode(first, 0, first.length),
  copy60: () => plain.copy(to, 0, 0, 60),
  huffman60: () => decodeHuffman(coded, 0, 12, to, 0) + decodeHuffman(coded, 12, 48, to, 64),
});

console.log(
  JSON.stringify({
    benchmark: "hpack",
    headBytes: octets,
    blockBytes: blocks.map((block) => block.length),
    nanoseconds,
    ...conditions(),
  }),
);
