/** Requests whose length or lines hops read in different ways, each refused with its status, in whatever pieces. */
import test from "ava";
import { refusals } from "../../src/codec/refusal.ts";
import { latin1, readRequests } from "./read-messages.ts";
import { chunked, refuses, shown, withFields, withLine } from "./refusing.ts";

// Two framings (users.md 5.4, items 1 to 3): the classic ways to hide one request in another.
test(
  "Content-Length and Transfer-Encoding",
  refuses,
  400,
  withFields("Content-Length: 5", "Transfer-Encoding: chunked"),
);
test(
  "Transfer-Encoding and Content-Length",
  refuses,
  400,
  withFields("Transfer-Encoding: chunked", "Content-Length: 5"),
);
test(
  "Transfer-Encoding and a Content-Length of 0",
  refuses,
  400,
  withFields("Transfer-Encoding: chunked", "Content-Length: 0"),
);
test(
  "two equal Content-Lengths",
  refuses,
  400,
  withFields("Content-Length: 5", "Content-Length: 5"),
);
test("two Content-Lengths", refuses, 400, withFields("Content-Length: 5", "content-length: 6"));
for (const value of [
  ...[
    "+5",
    "-5",
    "-0",
    "5 ",
    "5\t",
    "\t5",
    "0x5",
    "5,5",
    "5, 5",
    "",
    " ",
    "5;",
    "5.0",
    "5e1",
    "1_000",
    '"5"',
    "05",
    "00",
  ],
  ...[
    "5\u00b2",
    "\u0663",
    "9007199254740992",
    "99999999999999999999",
    "18446744073709551621",
    "5 6",
    "0b1",
    "five",
  ],
]) {
  test(
    `a Content-Length of ${shown(value)}`,
    refuses,
    400,
    withFields(`Content-Length:${value === "\t5" ? "" : " "}${value}`),
  );
}
for (const value of [
  ...[
    "chunked, identity",
    "chunked, chunked",
    "chunked,",
    ",chunked",
    "chunked;q=1",
    "\tchunked",
    "chunked\t",
    "chunked ",
  ],
  ...[
    "",
    '"chunked"',
    "chunked\u00a0",
    "gzip chunked",
    "chunked, gzip",
    "gzip;a=b, chunked",
    "ch unked",
    "=chunked",
  ],
]) {
  test(
    `a Transfer-Encoding of ${shown(value)}`,
    refuses,
    400,
    withFields(`Transfer-Encoding: ${value}`),
  );
}
for (const value of [
  "xchunked",
  "chunkedx",
  "gzip, chunked",
  "identity",
  "gzip",
  "deflate,chunked",
]) {
  test(
    `a Transfer-Encoding of '${value}'`,
    refuses,
    501,
    withFields(`Transfer-Encoding: ${value}`),
  );
}
test(
  "two Transfer-Encodings",
  refuses,
  400,
  withFields("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
);
test(
  "two different Transfer-Encodings",
  refuses,
  400,
  withFields("Transfer-Encoding: chunked", "Transfer-encoding: x"),
);
test(
  "Transfer-Encoding with HTTP/1.0",
  refuses,
  400,
  "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
);
test(
  "Transfer-Encoding with a space before the colon",
  refuses,
  400,
  withFields("Transfer-Encoding : chunked"),
);
test(
  "Transfer-Encoding with a tab before the colon",
  refuses,
  400,
  withFields("Transfer-Encoding\t: chunked"),
);
test(
  "a control byte in front of Transfer-Encoding",
  refuses,
  400,
  withFields("\x0bTransfer-Encoding: chunked"),
);
test(
  "a control byte in front of the coding",
  refuses,
  400,
  withFields("Transfer-Encoding:\x0bchunked"),
);
test("a form feed behind the coding", refuses, 400, withFields("Transfer-Encoding: chunked\x0c"));
test(
  "a Content-Length that Connection lists",
  refuses,
  400,
  withFields("Content-Length: 5", "Connection: Content-Length"),
);
test(
  "a Transfer-Encoding that Connection lists",
  refuses,
  400,
  withFields("Connection: close, transfer-encoding"),
);
test("a Host that Connection lists", refuses, 400, withFields("Connection: host"));

// Line ends and bytes that no line may contain (items 4 and 5).
test("bare LF in the whole head", refuses, 400, "GET / HTTP/1.1\nHost: a\n\n");
test("bare LF behind the request line", refuses, 400, "GET / HTTP/1.1\nHost: a\r\n\r\n");
test("bare LF behind a field", refuses, 400, "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n");
test("bare LF as the empty line", refuses, 400, "GET / HTTP/1.1\r\nHost: a\r\n\n");
test("bare CR behind the request line", refuses, 400, "GET / HTTP/1.1\rHost: a\r\n\r\n");
test(
  "bare CR in a value",
  refuses,
  400,
  "GET / HTTP/1.1\r\nHost: a\r\nX: y\rContent-Length: 5\r\n\r\n",
);
test("bare CR as the empty line", refuses, 400, "GET / HTTP/1.1\r\nHost: a\r\n\rX");
test("CR CR LF", refuses, 400, "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n");
test("bare LF in front", refuses, 400, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
test("bare CR in front", refuses, 400, "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n");
test("two empty lines in front", refuses, 400, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
test("a space in front", refuses, 400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n");
test("a folded field", refuses, 400, withFields("X: a", " b"));
test("a field folded by a tab", refuses, 400, withFields("X: a", "\tb"));
test("a fold that hides Content-Length", refuses, 400, withFields("X: a", " Content-Length: 5"));
test("a first field with a space in front", refuses, 400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n");
test("a fold in front of the empty line", refuses, 400, "GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n");
test("NUL in a name", refuses, 400, withFields("X\0Y: a"));
test("NUL in a value", refuses, 400, withFields("X: a\0b"));
test("NUL in the method", refuses, 400, withLine("GE\0T / HTTP/1.1"));
test("NUL in the target", refuses, 400, withLine("GET /a\0b HTTP/1.1"));
test("DEL in a value", refuses, 400, withFields("X: a\x7fb"));
test("an empty name", refuses, 400, withFields(": a"));
test("a line without a colon", refuses, 400, withFields("Content-Length 5"));
test("a space in a name", refuses, 400, withFields("Content Length: 5"));
test("obs-text in a name", refuses, 400, withFields("Content-L\xe9ngth: 5"));

// The body's framing (item 6).
test("a chunk size with a sign", refuses, 400, chunked("+5\r\nhello\r\n0\r\n\r\n"));
test("a negative chunk size", refuses, 400, chunked("-1\r\nhello\r\n0\r\n\r\n"));
test("a chunk size with 0x", refuses, 400, chunked("0x5\r\nhello\r\n0\r\n\r\n"));
test(
  "a chunk size with an underscore",
  refuses,
  400,
  chunked("1_0\r\n0123456789abcdef\r\n0\r\n\r\n"),
);
test("a chunk size with a space behind", refuses, 400, chunked("5 \r\nhello\r\n0\r\n\r\n"));
test("a chunk size with a space in front", refuses, 400, chunked(" 5\r\nhello\r\n0\r\n\r\n"));
test("a chunk size with a tab behind", refuses, 400, chunked("5\t;a\r\nhello\r\n0\r\n\r\n"));
test("an empty chunk size", refuses, 400, chunked("\r\nhello\r\n0\r\n\r\n"));
test("an extension without a size", refuses, 400, chunked(";a\r\nhello\r\n0\r\n\r\n"));
test("a chunk size of 14 digits", refuses, 400, chunked("00000000000005\r\nhello\r\n0\r\n\r\n"));
test(
  "a chunk size above 64 bits",
  refuses,
  400,
  chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"),
);
test("a chunk size that is no number", refuses, 400, chunked("g\r\nhello\r\n0\r\n\r\n"));
test("NUL in the chunk size", refuses, 400, chunked("5\0\r\nhello\r\n0\r\n\r\n"));
test("bare LF behind the chunk size", refuses, 400, chunked("5\nhello\r\n0\r\n\r\n"));
test("bare CR behind the chunk size", refuses, 400, chunked("5\rhello\r\n0\r\n\r\n"));
test("bare LF behind chunk data", refuses, 400, chunked("5\r\nhello\n0\r\n\r\n"));
test("bare CR behind chunk data", refuses, 400, chunked("5\r\nhello\r0\r\n\r\n"));
test("chunk data longer than its size", refuses, 400, chunked("4\r\nhello\r\n0\r\n\r\n"));
test("chunk data shorter than its size", refuses, 400, chunked("6\r\nhello\r\n0\r\n\r\n"));
test("bare LF in a chunk extension", refuses, 400, chunked("5;a\nb\r\nhello\r\n0\r\n\r\n"));
test("bare CR in a chunk extension", refuses, 400, chunked("5;a\rb\r\nhello\r\n0\r\n\r\n"));
test("a space in a chunk extension", refuses, 400, chunked("5;a b\r\nhello\r\n0\r\n\r\n"));
test(
  "a chunk extension that is too long",
  refuses,
  400,
  chunked(`5;${"a".repeat(257)}\r\nhello\r\n0\r\n\r\n`),
);
test("bare LF behind the last chunk", refuses, 400, chunked("0\n\r\n"));
test("bare LF at the end of the trailers", refuses, 400, chunked("0\r\n\n"));
test("bare CR at the end of the trailers", refuses, 400, chunked("0\r\n\rGET"));
test("bare LF behind a trailer", refuses, 400, chunked("0\r\nX: y\n\r\n"));
test("bare CR behind a trailer", refuses, 400, chunked("0\r\nX: y\rZ: a\r\n\r\n"));
test("a folded trailer", refuses, 400, chunked("0\r\nX: y\r\n z\r\n\r\n"));
test("a trailer without a name", refuses, 400, chunked("0\r\n: y\r\n\r\n"));
test("a trailer without a colon", refuses, 400, chunked("0\r\nX\r\n\r\n"));
test("NUL in a trailer", refuses, 400, chunked("0\r\nX: \0\r\n\r\n"));
test("33 trailers", refuses, 431, chunked(`0\r\n${"X: y\r\n".repeat(33)}\r\n`));
test(
  "a request in the place of the trailers",
  refuses,
  400,
  chunked("0\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n"),
);
for (const name of [
  ...[
    "Content-Length",
    "Host",
    "Authorization",
    "Transfer-Encoding",
    "cookie",
    "TE",
    "Connection",
    "Content-Type",
  ],
  ...[
    "l5d-client-id",
    "L5D-anything-that-is-longer-than-thirty-two-bytes",
    "l5d_client_id",
    "X-Forwarded-For",
  ],
  ...["Content_Length", "Set-Cookie", "Trailer", "Proxy-Authorization"],
]) {
  test(`the trailer ${name}`, refuses, 400, chunked(`0\r\nX: y\r\n${name}: 5\r\n\r\n`));
}

test("BodyReader.take() refuses a chunk extension of 1 MiB after 256 bytes of it", (t) => {
  const head = chunked("");
  const bytes = latin1(`${head}5;${"a".repeat(1 << 20)}`);
  t.is(readRequests([bytes.subarray(0, head.length + 2 + 256)]).refusal, 0);
  t.is(refusals[readRequests([bytes.subarray(0, head.length + 2 + 257)]).refusal]?.status, 400);
});

test("BodyReader.take() refuses trailers of more than 8 KiB", (t) => {
  const trailers = (bytes: number): string => `0\r\nX: ${"a".repeat(bytes - 7)}\r\n\r\n`;
  t.is(readRequests([latin1(chunked(trailers(8192)))]).refusal, 0);
  t.is(refusals[readRequests([latin1(chunked(trailers(8193)))]).refusal]?.status, 431);
});
