/** Where bodies end. What is refused in them is in `refused-framing.test.ts`. */
import test from "ava";
import { BodyKind, BodyReader } from "../../src/codec/http1-body.ts";
import { latin1 } from "./read-messages.ts";

test("BodyReader.take() leaves what follows a body of a length", (t) => {
  const body = new BodyReader();
  body.begin(BodyKind.length, 5);
  const bytes = latin1("..helloGET /");
  t.is(body.take(bytes, 2, 4), 4);
  t.false(body.done);
  t.is(body.take(bytes, 4, bytes.length), 7);
  t.true(body.done);
  t.is(body.payloadBytes, 5);
  t.is(body.take(bytes, 7, bytes.length), 7);
});

test("BodyReader.take() leaves what follows a chunked body, and counts its content", (t) => {
  const body = new BodyReader();
  body.begin(BodyKind.chunked, -1);
  const text = "3;a=b\r\nabc\r\nfF\r\n";
  const bytes = latin1(`${text}${"d".repeat(255)}\r\n0\r\nX: y\r\n\r\nGET /`);
  t.is(body.take(bytes, 0, bytes.length), bytes.length - "GET /".length);
  t.true(body.done);
  t.is(body.payloadBytes, 258);
});

test("BodyReader.take() takes everything of a body until close", (t) => {
  const body = new BodyReader();
  body.begin(BodyKind.close, -1);
  t.is(body.take(latin1("abc"), 1, 3), 3);
  t.false(body.done);
  t.is(body.payloadBytes, 2);
});

test("BodyReader.finish() says whether the body is whole", (t) => {
  const body = new BodyReader();
  body.begin(BodyKind.close, -1);
  t.true(body.finish());
  body.begin(BodyKind.length, 5);
  body.take(latin1("hell"), 0, 4);
  t.false(body.finish());
  body.begin(BodyKind.chunked, -1);
  body.take(latin1("0\r\n"), 0, 3);
  t.false(body.finish());
  body.take(latin1("\r\n"), 0, 2);
  t.true(body.finish());
  body.begin(BodyKind.none, -1);
  t.true(body.finish());
});

test("BodyReader.begin() forgets the body before", (t) => {
  const body = new BodyReader();
  body.begin(BodyKind.chunked, -1);
  body.take(latin1("0\r\nX: y"), 0, 7);
  body.begin(BodyKind.chunked, -1);
  const bytes = latin1("1\r\na\r\n0\r\n\r\n");
  t.is(body.take(bytes, 0, bytes.length), bytes.length);
  t.true(body.done);
  t.is(body.payloadBytes, 1);
});

test("BodyReader.take() follows the largest chunk that a number counts", (t) => {
  const body = new BodyReader();
  body.begin(BodyKind.chunked, -1);
  const bytes = latin1("fffffffffffff\r\nabc");
  t.is(body.take(bytes, 0, bytes.length), bytes.length);
  t.false(body.done);
  t.is(body.payloadBytes, 3);
});

test("BodyReader.take() does not look at chunk data", (t) => {
  const body = new BodyReader();
  body.begin(BodyKind.chunked, -1);
  const data = "d".repeat(0x10000);
  const bytes = latin1(`10000\r\n${data}\r\n0\r\n\r\n`);
  let reads = 0;
  const counted = new Proxy(bytes, {
    get(target, key) {
      reads++;
      return Reflect.get(target, key);
    },
  });
  t.is(body.take(counted, 0, bytes.length), bytes.length);
  t.true(body.done);
  t.true(reads < 50, `${reads} reads`);
});

test("BodyReader.take() takes 32 trailers and the longest names", (t) => {
  const body = new BodyReader();
  body.begin(BodyKind.chunked, -1);
  const bytes = latin1(`0\r\n${"X: y\r\n".repeat(31)}${"authorization".repeat(20)}: z\r\n\r\n`);
  t.is(body.take(bytes, 0, bytes.length), bytes.length);
  t.true(body.done);
});
