/** HPACK: the examples of RFC 7541 appendix C, and what holds for every block. */
import test from "ava";
import fc from "fast-check";
import { HeaderBlock } from "../../../src/codec/http2/header-block.ts";
import { Decoded, HpackDecoder } from "../../../src/codec/http2/hpack-decode.ts";
import { hashName, SensitiveNames } from "../../../src/codec/http2/sensitive-names.ts";
import { encodeAll, type FieldList, literals } from "./hand-made.ts";

const maxListBytes = 64 * 1024;

/** Decodes blocks of one connection: what each says, or what `decode` answered. */
function decodeAll(blocks: readonly Buffer[]): readonly (FieldList | number)[] {
  const block = new HeaderBlock();
  const decoder = new HpackDecoder(block, new SensitiveNames(), maxListBytes);
  return blocks.map((bytes) => {
    const answer = decoder.decode(bytes, 0, bytes.length);
    if (answer !== Decoded.ok) return answer;
    return Array.from({ length: block.count }, (_none, i) => [block.name(i), block.value(i)]);
  });
}

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(" ", ""), "hex");
}

function fieldsOf(text: string): FieldList {
  return text.split("\n").map((line) => {
    const colon = line.indexOf(": ");
    return [line.slice(0, colon), line.slice(colon + 2)];
  });
}

const requests = [
  ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com",
  ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache",
  ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value",
].map(fieldsOf);

const cookie = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const responses = [
  ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
  ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
  `:status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\ncontent-encoding: gzip\nset-cookie: ${cookie}`,
].map(fieldsOf);

/** Appendix C.5 and C.6 have a table of 256 octets. */
const smallTable = "3fe101";

test("decode() reads the single fields of RFC 7541 C.2", (t) => {
  t.deepEqual(
    [
      "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
      "040c 2f73 616d 706c 652f 7061 7468",
      "1008 7061 7373 776f 7264 0673 6563 7265 74",
      "82",
    ].flatMap((text) => decodeAll([hex(text)])),
    ["custom-key: custom-header", ":path: /sample/path", "password: secret", ":method: GET"].map(
      fieldsOf,
    ),
  );
});

test("decode() reads the requests of RFC 7541 C.3, without the Huffman code", (t) => {
  const blocks = [
    "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
    "8286 84be 5808 6e6f 2d63 6163 6865",
    "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
  ];
  t.deepEqual(decodeAll(blocks.map(hex)), requests);
});

test("decode() reads the requests of RFC 7541 C.4, with the Huffman code", (t) => {
  const blocks = [
    "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
    "8286 84be 5886 a8eb 1064 9cbf",
    "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
  ];
  t.deepEqual(decodeAll(blocks.map(hex)), requests);
});

test("decode() reads the responses of RFC 7541 C.5, with entries evicted", (t) => {
  const blocks = [
    `${smallTable} 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
    "4803 3330 37c1 c0bf",
    "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
  ];
  t.deepEqual(decodeAll(blocks.map(hex)), responses);
});

test("decode() reads the responses of RFC 7541 C.6, with both", (t) => {
  const blocks = [
    `${smallTable} 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3`,
    "4883 640e ffc1 c0bf",
    "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
  ];
  t.deepEqual(decodeAll(blocks.map(hex)), responses);
});

test("decode() refuses what no encoder makes", (t) => {
  for (const [what, text] of [
    ["index 0", "80"],
    ["an index that the table does not have", "be"],
    ["a name that the table does not have", "7e0161"],
    ["a number without an end", "ff ff ff ff ff ff"],
    ["a string beyond the block", "0005 6162"],
    ["a table larger than was allowed", "3fe2 1f"],
    ["a table that changes after a field", "82 3fe101"],
    ["padding of eight bits", "0001 61 81 ff"],
    ["padding of zeros", "0001 61 81 18"],
    ["the end-of-string symbol", "0001 61 84 ffff ffff"],
  ] as const) {
    t.deepEqual(decodeAll([hex(text)]), [Decoded.wrong], what);
  }
});

test("decode() notices names and values that RFC 9113 forbids, also when they come from the table", (t) => {
  const block = new HeaderBlock();
  const decoder = new HpackDecoder(block, new SensitiveNames(), maxListBytes);
  const isWrong = (bytes: Buffer): boolean => {
    t.is(decoder.decode(bytes, 0, bytes.length), Decoded.ok);
    return block.isWrong;
  };
  for (const [name, value] of [
    ["Upper", "a"],
    ["", "a"],
    ["a b", "c"],
    ["a", "b\r\nc: d"],
    ["a", " b"],
    ["a", "b\t"],
    ["a", "\0"],
  ] as const) {
    t.true(isWrong(literals([[name, value]])), JSON.stringify([name, value]));
  }
  t.false(isWrong(literals([["a", "b c"]])));
  // An upper-case name goes into the table, and is still wrong when it is only referred to.
  t.true(isWrong(hex("4001 41 01 62")));
  t.true(isWrong(hex("be")));
  t.false(isWrong(hex("82")));
});

test("decode() forgets a section over the limit, and goes on with the table as it has to be", (t) => {
  const block = new HeaderBlock();
  const decoder = new HpackDecoder(block, new SensitiveNames(), maxListBytes);
  const decode = (bytes: Buffer): number => decoder.decode(bytes, 0, bytes.length);
  const large = literals(Array.from({ length: 18 }, () => ["a", "x".repeat(4000)] as const));
  t.is(decode(Buffer.concat([large, hex("4001 61 01 62")])), Decoded.ok);
  t.true(block.isTooLarge);
  t.is(decode(hex("be")), Decoded.ok);
  t.false(block.isTooLarge);
  t.deepEqual([block.name(0), block.value(0)], ["a", "b"]);
  const many = literals(Array.from({ length: 300 }, () => ["a", "b"] as const));
  t.is(decode(many), Decoded.ok);
  t.true(block.isTooLarge);
});

test("decode() gives up on a bomb", (t) => {
  const entry = Buffer.concat([hex("4001 61 7f81 1e"), Buffer.alloc(4000 - 32, "x")]);
  const bomb = Buffer.concat([entry, Buffer.alloc(70_000, 0xbe)]);
  t.deepEqual(decodeAll([bomb]), [Decoded.bomb]);
});

const names = fc.oneof(
  fc.constantFrom("accept", "cookie", "authorization", "x-request-id", "grpc-status", "date"),
  fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/),
);
const values = fc.oneof(
  fc.constantFrom("", "a", "gzip, deflate", "application/grpc", "x".repeat(900)),
  fc.stringMatching(/^[!-~]{1,60}$/),
  fc.stringMatching(/^[!-~]{1,3}$/),
);
const lists = fc.array(fc.array(fc.tuple(names, values), { maxLength: 12 }), { maxLength: 12 });

test("HpackEncoder encodes what decode() reads back, block after block", (t) => {
  fc.assert(
    fc.property(lists, (sent) => {
      t.deepEqual(decodeAll(encodeAll(sent)), sent);
    }),
    { numRuns: 200 },
  );
});

test("HpackEncoder writes a repeated field as one byte from the third time on, and a secret never", (t) => {
  const sent: FieldList = [["x-tenant", "blue"]];
  t.deepEqual(
    encodeAll([sent, sent, sent, sent]).map((block) => block.length),
    [15, 15, 1, 1],
  );
  for (const [name, value] of [
    ["authorization", "Bearer 0123456789012345678901234567"],
    ["cookie", "a=1"],
    ["x-api-key", "k"],
  ] as const) {
    const secret: FieldList = [[name, value]];
    for (const block of encodeAll([secret, secret, secret])) {
      t.is((block[0] ?? 0) & 0xf0, 0x10, name);
    }
  }
});

test("SensitiveNames learns from a peer which names are never indexed", (t) => {
  const sensitive = new SensitiveNames();
  const decoder = new HpackDecoder(new HeaderBlock(), sensitive, maxListBytes);
  const never = hex("1008 7061 7373 776f 7264 0673 6563 7265 74");
  t.is(decoder.decode(never, 0, never.length), Decoded.ok);
  const name = Buffer.from("Password");
  const other = Buffer.from("passwort");
  t.true(sensitive.has(hashName(name, 0, name.length)));
  t.false(sensitive.has(hashName(other, 0, other.length)));
});
