/** Responses, good and bad: what is read from them, in whatever pieces they come. */
import test from "ava";
import { BodyKind } from "../../src/codec/http1-body.ts";
import { maxHeadBytes, parseResponseHead, ResponseHead } from "../../src/codec/http1-head.ts";
import { refusals } from "../../src/codec/refusal.ts";
import { differingCuts, latin1, type Reading, readResponses } from "./read-messages.ts";

type Expected = Partial<
  Pick<
    ResponseHead,
    "status" | "versionMinor" | "bodyKind" | "contentLength" | "keepAlive" | "upgrade"
  >
>;

/** `requestMethod` is what was asked; `body` is what follows the head on the connection. */
type Exchange = { readonly to?: string; readonly head: string; readonly body?: string };

function readTo(method: string): (pieces: readonly Buffer[]) => Reading {
  return (pieces) => readResponses(pieces, method);
}

const reads = test.macro<[Exchange, Expected]>({
  exec(t, { to = "GET", head: text, body = "" }, expected) {
    const head = new ResponseHead();
    const bytes = latin1(`${text}\r\n${body}`);
    t.is(parseResponseHead(head, bytes, 0, bytes.length, to), text.length + 2);
    for (const [key, value] of Object.entries(expected)) {
      t.is(head[key as keyof Expected], value, key);
    }
    const whole = readResponses([bytes], to);
    t.is(whole.refusal, 0);
    t.is(whole.messages.map((message) => message.body).join(""), body);
    t.deepEqual(differingCuts(bytes, readTo(to)), []);
  },
  title: (given) => `parseResponseHead() reads ${given ?? ""} in whatever pieces`,
});

const ok = "HTTP/1.1 200 OK\r\n";

test(
  "a length",
  reads,
  { head: `${ok}Content-Length: 5\r\n`, body: "hello" },
  {
    status: 200,
    versionMinor: 1,
    bodyKind: BodyKind.length,
    contentLength: 5,
    keepAlive: true,
    upgrade: false,
  },
);
test(
  "a length of 0",
  reads,
  { head: `${ok}Content-Length: 0\r\n` },
  { bodyKind: BodyKind.none, contentLength: 0 },
);
test(
  "chunks",
  reads,
  { head: `${ok}Transfer-Encoding: chunked\r\n`, body: "5\r\nhello\r\n0\r\n\r\n" },
  {
    bodyKind: BodyKind.chunked,
    keepAlive: true,
  },
);
test(
  "a body until close",
  reads,
  { head: ok, body: "hello" },
  {
    bodyKind: BodyKind.close,
    contentLength: -1,
    keepAlive: false,
  },
);
test(
  "Connection: close",
  reads,
  { head: `${ok}Connection: close\r\nContent-Length: 1\r\n`, body: "a" },
  { keepAlive: false },
);
test(
  "HTTP/1.0",
  reads,
  { head: "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n", body: "a" },
  { versionMinor: 0, keepAlive: false },
);
test(
  "HTTP/1.0 that stays",
  reads,
  { head: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n", body: "a" },
  {
    keepAlive: true,
  },
);
test(
  "HTTP/1.0 that cannot stay",
  reads,
  { head: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", body: "a" },
  {
    bodyKind: BodyKind.close,
    keepAlive: false,
  },
);
test(
  "the answer to HEAD",
  reads,
  { to: "HEAD", head: `${ok}Content-Length: 500\r\n` },
  {
    bodyKind: BodyKind.none,
    contentLength: 500,
    keepAlive: true,
  },
);
test(
  "the chunked answer to HEAD",
  reads,
  { to: "HEAD", head: `${ok}Transfer-Encoding: chunked\r\n` },
  { bodyKind: BodyKind.none },
);
test(
  "304 with a length",
  reads,
  { head: "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n" },
  {
    status: 304,
    bodyKind: BodyKind.none,
    contentLength: 500,
  },
);
test(
  "204",
  reads,
  { head: "HTTP/1.1 204 No Content\r\n" },
  { status: 204, bodyKind: BodyKind.none, keepAlive: true },
);
test(
  "204 with a length of 0",
  reads,
  { head: "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n" },
  { bodyKind: BodyKind.none },
);
test(
  "100",
  reads,
  { head: "HTTP/1.1 100 Continue\r\n" },
  { status: 100, bodyKind: BodyKind.none, upgrade: false },
);
test(
  "101",
  reads,
  { head: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n" },
  {
    status: 101,
    bodyKind: BodyKind.none,
    upgrade: true,
    keepAlive: false,
  },
);
test(
  "200 to CONNECT",
  reads,
  { to: "CONNECT", head: ok },
  { bodyKind: BodyKind.none, keepAlive: false },
);
test(
  "404 to CONNECT",
  reads,
  { to: "CONNECT", head: "HTTP/1.1 404 No\r\nContent-Length: 1\r\n", body: "a" },
  {
    bodyKind: BodyKind.length,
  },
);
test("an empty reason", reads, { head: "HTTP/1.1 200 \r\nContent-Length: 0\r\n" }, { status: 200 });
test(
  "no reason and no space",
  reads,
  { head: "HTTP/1.1 200\r\nContent-Length: 0\r\n" },
  { status: 200 },
);
test(
  "a reason of many bytes",
  reads,
  { head: "HTTP/1.1 599 \t a \xe9 b\r\nContent-Length: 0\r\n" },
  { status: 599 },
);
test(
  "interim responses before the final one",
  reads,
  {
    head: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n",
    body: "",
  },
  { status: 103 },
);

test("parseResponseHead() reads interim and final responses one after the other", (t) => {
  const bytes = latin1(
    `HTTP/1.1 100 \r\n\r\nHTTP/1.1 103 \r\nLink: a\r\n\r\n${ok}Content-Length: 2\r\n\r\nok`,
  );
  const { messages } = readResponses([bytes], "POST");
  t.deepEqual(
    messages.map(({ start, body }) => [start, body]),
    [
      [100, ""],
      [103, ""],
      [200, "ok"],
    ],
  );
  t.deepEqual(differingCuts(bytes, readTo("POST")), []);
});

const refuses = test.macro<[Exchange]>({
  exec(t, { to = "GET", head, body = "" }) {
    const bytes = latin1(`${head}\r\n${body}`);
    const read = (pieces: readonly Buffer[]): Reading => ({
      messages: [],
      refusal: readResponses(pieces, to).refusal,
    });
    t.not(refusals[read([bytes]).refusal], undefined);
    t.deepEqual(differingCuts(bytes, read), []);
  },
  title: (given) => `parseResponseHead() refuses ${given ?? ""}`,
});

test("two lengths", refuses, { head: `${ok}Content-Length: 5\r\nContent-Length: 6\r\n` });
test("two equal lengths", refuses, { head: `${ok}Content-Length: 5\r\nContent-Length: 5\r\n` });
test("a list of lengths", refuses, { head: `${ok}Content-Length: 5, 5\r\n` });
test("a length and chunks", refuses, {
  head: `${ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n`,
});
test("another coding", refuses, { head: `${ok}Transfer-Encoding: gzip, chunked\r\n` });
test("chunks with HTTP/1.0", refuses, {
  head: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n",
});
test("chunks to HEAD that also have a length", refuses, {
  to: "HEAD",
  head: `${ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n`,
});
test("204 with a body", refuses, {
  head: "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n",
  body: "hello",
});
test("204 with chunks", refuses, {
  head: "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n",
});
test("100 with a body", refuses, {
  head: "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n",
  body: "hello",
});
test("101 with chunks", refuses, {
  head: "HTTP/1.1 101 Switching\r\nTransfer-Encoding: chunked\r\n",
});
test("a body behind 204", refuses, { head: "HTTP/1.1 204 No Content\r\n", body: "hello" });
test("a body behind the answer to HEAD", refuses, {
  to: "HEAD",
  head: `${ok}Content-Length: 5\r\n`,
  body: "hello",
});
test("a status of two digits", refuses, { head: "HTTP/1.1 20 OK\r\n" });
test("a status of four digits", refuses, { head: "HTTP/1.1 2000 OK\r\n" });
test("a status below 100", refuses, { head: "HTTP/1.1 099 OK\r\n" });
test("a status with a sign", refuses, { head: "HTTP/1.1 +20 OK\r\n" });
test("no status", refuses, { head: "HTTP/1.1 \r\n" });
test("two spaces", refuses, { head: "HTTP/1.1  200 OK\r\n" });
test("a tab", refuses, { head: "HTTP/1.1 200\tOK\r\n" });
test("HTTP/2", refuses, { head: "HTTP/2.0 200 OK\r\n" });
test("another protocol", refuses, { head: "ICY 200 OK\r\n" });
test("an empty line in front", refuses, { head: `\r\n${ok}` });
test("NUL in the reason", refuses, { head: "HTTP/1.1 200 O\0K\r\n" });
test("bare LF behind the status line", refuses, { head: "HTTP/1.1 200 OK\nX: y\r\n" });
test("bare CR behind the status line", refuses, { head: "HTTP/1.1 200 OK\rX: y\r\n" });
test("bare LF behind a field", refuses, { head: `${ok}X: y\n` });
test("a folded field", refuses, { head: `${ok}X: y\r\n z\r\n` });
test("a space before the colon", refuses, { head: `${ok}Content-Length : 5\r\n` });
test("a name with a space", refuses, { head: `${ok}Content Length: 5\r\n` });
test("a reason without end", refuses, { head: `HTTP/1.1 200 ${"a".repeat(300)}\x01\r\n` });

test("parseResponseHead() refuses a head that is too long", (t) => {
  const line = (bytes: number): Buffer => latin1(`HTTP/1.1 200 ${"a".repeat(bytes)}`);
  t.is(readResponses([line(maxHeadBytes - 14)], "GET").refusal, 0);
  t.is(refusals[readResponses([line(maxHeadBytes)], "GET").refusal]?.status, 431);
});

test("parseResponseHead() asks for more as long as the head is incomplete", (t) => {
  const bytes = latin1(`${ok}X-Y: z\r\n\r\n`);
  const answers = Array.from({ length: bytes.length }, (_none, length) =>
    parseResponseHead(new ResponseHead(), bytes, 0, length, "GET"),
  );
  t.deepEqual(new Set(answers), new Set([0]));
});
