/** Heads that come again: they are found by their bytes, and mean what they meant the first time or what the table says now. */
import test from "ava";
import fc from "fast-check";
import { Good, HeaderBlock } from "../../../src/codec/http2/header-block.ts";
import { readRequestBlock, readResponseBlock } from "../../../src/codec/http2/header-rules.ts";
import { Decoded, HpackDecoder } from "../../../src/codec/http2/hpack-decode.ts";
import { Http1FromH2 } from "../../../src/codec/http2/http1-from-h2.ts";
import { SensitiveNames } from "../../../src/codec/http2/sensitive-names.ts";
import { SessionPair } from "./session-pair.ts";

const maxListBytes = 64 * 1024;

function decoded(decoder: HpackDecoder, hexText: string): HeaderBlock {
  const bytes = Buffer.from(hexText, "hex");
  if (decoder.decode(bytes, 0, bytes.length) !== Decoded.ok) throw new Error("Decode a good block");
  return decoder.block;
}

function textOf(block: HeaderBlock): string {
  return block.bytes.toString("latin1", 0, block.length);
}

/** `custom-key: custom-header`, added to the table, and the newest entry of the table. */
const adds = "400a637573746f6d2d6b65790d637573746f6d2d686561646572";
const newest = "be";

test("decode() answers a block that was kept only while the table is the same", (t) => {
  const worker = new HeaderBlock();
  const decoder = new HpackDecoder(worker, new SensitiveNames(), maxListBytes);
  decoded(decoder, adds);
  for (let i = 0; i < 2; i++) {
    t.is(decoded(decoder, newest), worker);
    decoder.keep(Good.trailers);
  }
  const kept = decoded(decoder, newest);
  t.not(kept, worker);
  t.is(textOf(kept), "custom-key: custom-header\r\n");
  t.is(kept.goodAs, Good.trailers);
  // A literal `a: b` becomes the newest entry.
  decoded(decoder, "4001610162");
  t.is(textOf(decoded(decoder, newest)), "a: b\r\n");
});

test("decode() forgets what it has kept when the table gets another size", (t) => {
  const decoder = new HpackDecoder(new HeaderBlock(), new SensitiveNames(), maxListBytes);
  decoded(decoder, adds);
  for (let i = 0; i < 3; i++) {
    decoded(decoder, newest);
    decoder.keep(Good.trailers);
  }
  // An empty table, and none.
  decoded(decoder, "20");
  t.is(decoder.decode(Buffer.from(newest, "hex"), 0, 1), Decoded.wrong);
});

test("keep() does not keep a section that changes the table", (t) => {
  const worker = new HeaderBlock();
  const decoder = new HpackDecoder(worker, new SensitiveNames(), maxListBytes);
  for (let i = 0; i < 4; i++) {
    t.is(decoded(decoder, adds), worker);
    decoder.keep(Good.trailers);
  }
  // What came three times before is there as often.
  t.is(textOf(decoded(decoder, "c0")), "custom-key: custom-header\r\n");
});

/** What a peer may send: entries of both tables, literals in all forms, sizes of the table, and bytes that are none of these. */
const section = fc
  .array(
    fc.oneof(
      fc.constantFrom("82", "84", "88", "be", "bf", "c0", "20", "3fe11f", "3f45"),
      fc.constantFrom("4001610162", "4001630164", "0001610162", "1001650166", "0f2f0166", "7e0167"),
      fc.uint8Array({ maxLength: 3 }).map((bytes) => Buffer.from(bytes).toString("hex")),
    ),
    { minLength: 1, maxLength: 3 },
  )
  .map((parts) => Buffer.from(parts.join(""), "hex"));

test("decode() answers the same for a decoder that keeps blocks and one that does not", (t) => {
  const repeats = fc
    .tuple(fc.array(section, { minLength: 1, maxLength: 4 }), fc.infiniteStream(fc.nat()))
    .map(([few, picks]) => Array.from(picks.take(40), (pick) => few[pick % few.length] as Buffer));
  fc.assert(
    fc.property(repeats, (sections) => {
      const keeping = new HpackDecoder(new HeaderBlock(), new SensitiveNames(), maxListBytes);
      const plain = new HpackDecoder(new HeaderBlock(), new SensitiveNames(), maxListBytes);
      for (const bytes of sections) {
        const answer = plain.decode(bytes, 0, bytes.length);
        t.is(keeping.decode(bytes, 0, bytes.length), answer);
        // The connection would end.
        if (answer !== Decoded.ok) return;
        const { block } = plain;
        t.is(textOf(keeping.block), textOf(block));
        t.is(keeping.block.isWrong, block.isWrong);
        if (!block.isWrong) keeping.keep(Good.trailers);
      }
    }),
    { numRuns: 300 },
  );
});

/** A block that was kept, of a section that was found good. */
function keptBlock(
  hexText: string,
  isGood: (block: HeaderBlock) => boolean,
  goodAs: number,
): HeaderBlock {
  const decoder = new HpackDecoder(new HeaderBlock(), new SensitiveNames(), maxListBytes);
  for (let i = 0; i < 2; i++) {
    if (!isGood(decoded(decoder, hexText))) throw new Error("Judge a good block");
    decoder.keep(goodAs);
  }
  return decoded(decoder, hexText);
}

const out = Buffer.alloc(1_000);

test("request() frames a head that was kept as its message needs it", (t) => {
  // POST, http, / and the authority `a`.
  const block = keptBlock("838684010161", readRequestBlock, Good.request);
  const reader = new Http1FromH2();
  const head = "POST / HTTP/1.1\r\nhost: a\r\n";
  const written = (isAll: boolean): string =>
    out.toString("latin1", 0, reader.request(block, isAll, "", out, 0));
  for (let i = 0; i < 2; i++) {
    t.is(written(true), `${head}\r\n`);
    t.is(reader.end.length, 0);
    t.is(written(false), `${head}transfer-encoding: chunked\r\n\r\n`);
    t.is(reader.end.toString(), "0\r\n\r\n");
  }
});

test("response() writes no length that was meant for GET into a kept answer to HEAD", (t) => {
  const block = keptBlock("88", readResponseBlock, Good.response);
  const reader = new Http1FromH2();
  const written = (method: string): string =>
    out.toString("latin1", 0, reader.response(block, true, { method, upgrade: undefined }, out, 0));
  for (let i = 0; i < 2; i++) {
    t.is(written("GET"), "HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n");
    t.is(written("HEAD"), "HTTP/1.1 200 \r\n\r\n");
  }
});

const call =
  "POST /shop.Cart/Add HTTP/1.1\r\nhost: cart.demo\r\nte: trailers\r\nx-token: plain-words\r\ncontent-length: 3\r\n\r\nabc";
const ok = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nhi";

test("H2FromHttp1 sends a head that was sent before by a few bytes, with content of its own", (t) => {
  const pair = new SessionPair();
  const first = pair.cross(call, ok);
  const { length } = pair.clientBytes;
  for (let i = 0; i < 5; i++) pair.cross(call, ok);
  const other = pair.cross(call.replace("abc", "xyz"), ok.replace("hi", "ho"));
  t.is(other.request, first.request.replace("abc", "xyz"));
  t.is(other.response, first.response.replace("hi", "ho"));
  t.true(pair.clientBytes.length < length / 2, `${pair.clientBytes.length} of ${length}`);
});

test("H2FromHttp1 indexes no name that a peer has marked since, also in a head that was sent before", (t) => {
  const pair = new SessionPair();
  for (let i = 0; i < 5; i++) pair.cross(call, ok);
  t.false(pair.clientBytes.includes("plain-words"));
  pair.shared.sensitive.learn(Buffer.from("x-token"), 0, 7);
  pair.cross(call, ok);
  t.true(pair.clientBytes.includes("plain-words"));
});

test("a response that was sent before is another one for HEAD", (t) => {
  const pair = new SessionPair();
  const get = "GET /a HTTP/1.1\r\nhost: a\r\n\r\n";
  for (let i = 0; i < 5; i++) pair.cross(get, ok);
  const headOnly = ok.slice(0, -2);
  const crossed = pair.cross(get.replace("GET", "HEAD"), headOnly);
  t.is(crossed.response, "HTTP/1.1 200 \r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n");
  t.true(crossed.whole);
  t.is(pair.cross(get, ok).response, `${crossed.response}hi`);
});

const upgrade =
  "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n";

const requests: readonly string[] = [
  call,
  call.replace("Add", "Take"),
  "GET /a HTTP/1.1\r\nhost: a\r\nauthorization: Bearer secret-word\r\n\r\n",
  "GET /a?b=c HTTP/1.1\r\nhost: a\r\ncookie: a=b\r\n\r\n",
  "HEAD /a HTTP/1.1\r\nhost: a\r\n\r\n",
  "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n",
  "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1f\r\n0123456789012345678901234567890\r\n0\r\n\r\n",
  "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n",
  upgrade,
];

const responses: readonly string[] = [
  ok,
  "HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n",
  "HTTP/1.1 103 Early\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
  "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\ngrpc-status: 0\r\n\r\n",
  "HTTP/1.1 204 None\r\netag: 1\r\n\r\n",
  "HTTP/1.1 101 Yes\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: p\r\n\r\n",
];

/** Either a message of the lists, one with a field of its own, or a new size for the client's table. */
const steps = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: fc.record({ request: fc.nat(8), response: fc.nat(5) }) },
    { weight: 2, arbitrary: fc.record({ own: fc.nat(1_000), response: fc.nat(5) }) },
    { weight: 1, arbitrary: fc.record({ tableBytes: fc.constantFrom(0, 100, 1_000, 4_096) }) },
  ),
  { minLength: 10, maxLength: 60 },
);

/** RFC 9113 section 6.5: one setting. */
function tableSetting(bytes: number): Buffer {
  const frame = Buffer.from("000006040000000000000100000000", "hex");
  frame.writeUint32BE(bytes, 11);
  return frame;
}

test("messages on a connection that has carried others cross as on a new one", (t) => {
  fc.assert(
    fc.property(steps, (taken) => {
      const pair = new SessionPair();
      for (const step of taken) {
        if ("tableBytes" in step) {
          const frame = tableSetting(step.tableBytes);
          pair.client.session.feed(frame, 0, frame.length);
          continue;
        }
        const request =
          "own" in step
            ? `GET /own/${step.own} HTTP/1.1\r\nhost: a\r\nx-own: ${step.own % 7}\r\n\r\n`
            : (requests[step.request] ?? "");
        const response = responses[step.response] ?? "";
        t.deepEqual(pair.cross(request, response), new SessionPair().cross(request, response));
      }
    }),
    { numRuns: 60 },
  );
});
