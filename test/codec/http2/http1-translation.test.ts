/** HTTP/1.1 messages that go over HTTP/2 and come out again, both ways, between two sessions without a socket. */
import test from "ava";
import fc from "fast-check";
import { Http2Error } from "../../../src/codec/http2/frames.ts";
import { Untranslatable } from "../../../src/codec/http2/h2-from-http1.ts";
import { readRequests, readResponses } from "../read-messages.ts";
import { type Crossed, SessionPair } from "./session-pair.ts";

/** A request and its response cross two sessions. */
function cross(requestText: string, responseText: string, pieceBytes?: number): Crossed {
  return new SessionPair().cross(requestText, responseText, pieceBytes);
}

const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
const get = "GET / HTTP/1.1\r\nHost: web.demo\r\n\r\n";

test("H2FromHttp1 and Http1FromH2 carry a request and a response of known length", (t) => {
  const crossed = cross(
    "POST /a?b=c HTTP/1.1\r\nHost: Web.demo\r\nX-Case: A\r\nTE: trailers\r\nConnection: te\r\nContent-Length: 3\r\n\r\nabc",
    ok,
  );
  t.is(
    crossed.request,
    "POST /a?b=c HTTP/1.1\r\nhost: Web.demo\r\nx-case: A\r\nte: trailers\r\ncontent-length: 3\r\n\r\nabc",
  );
  t.is(crossed.response, "HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nhi");
  t.true(crossed.whole);
});

test("H2FromHttp1 and Http1FromH2 carry chunks and trailers", (t) => {
  const crossed = cross(
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n0\r\ngrpc-status: 0\r\n\r\n",
  );
  t.is(
    crossed.request,
    "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 5\r\n\r\n",
  );
  t.is(
    crossed.response,
    "HTTP/1.1 200 \r\ntransfer-encoding: chunked\r\n\r\n4\r\nwxyz\r\n0\r\ngrpc-status: 0\r\n\r\n",
  );
});

test("H2FromHttp1 and Http1FromH2 carry responses without content as what they are", (t) => {
  const cases: readonly (readonly [string, string, string])[] = [
    [
      "HEAD",
      "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n",
      "HTTP/1.1 200 \r\ncontent-length: 9\r\n\r\n",
    ],
    ["GET", "HTTP/1.1 204 None\r\n\r\n", "HTTP/1.1 204 \r\n\r\n"],
    [
      "GET",
      "HTTP/1.1 304 Same\r\ncontent-length: 9\r\n\r\n",
      "HTTP/1.1 304 \r\ncontent-length: 9\r\n\r\n",
    ],
    [
      "GET",
      "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
      "HTTP/1.1 500 \r\ncontent-length: 0\r\n\r\n",
    ],
    [
      "GET",
      "HTTP/1.1 200 OK\r\n\r\nuntil close",
      "HTTP/1.1 200 \r\ntransfer-encoding: chunked\r\n\r\nb\r\nuntil close\r\n0\r\n\r\n",
    ],
    [
      "GET",
      `HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 Hint\r\nlink: a\r\n\r\n${ok}`,
      "HTTP/1.1 100 \r\n\r\nHTTP/1.1 103 \r\nlink: a\r\n\r\nHTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nhi",
    ],
  ];
  for (const [method, sent, expected] of cases) {
    const { response, whole } = cross(get.replace("GET", method), sent);
    t.is(response, expected);
    t.true(whole, sent);
  }
});

test("Http1FromH2 joins cookies and leaves out what belongs to a connection", (t) => {
  const { request, response } = cross(
    "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nAccept: b\r\nCookie: c=2\r\nKeep-Alive: 5\r\n\r\n",
    "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\ncontent-length: 2\r\n\r\nhi",
  );
  t.is(request, "GET / HTTP/1.1\r\nhost: a\r\naccept: b\r\ncookie: a=1; c=2\r\n\r\n");
  t.is(response, "HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nhi");
});

test("H2FromHttp1 and Http1FromH2 carry a WebSocket as extended CONNECT, and its bytes both ways", (t) => {
  const upgrade =
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\n";
  const crossed = cross(
    `${upgrade}frame`,
    "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nback",
  );
  t.is(
    crossed.request,
    "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: made-key\r\nsec-websocket-version: 13\r\n\r\nframe",
  );
  t.is(
    crossed.response,
    "HTTP/1.1 101 \r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: made-proof\r\n\r\nback",
  );
  const refused = cross(upgrade, "HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno");
  t.is(refused.response, "HTTP/1.1 403 \r\ncontent-length: 2\r\n\r\nno");
  // A 200 would tell the client that its WebSocket is there.
  t.is(cross(upgrade, ok).sentResponse, Untranslatable.noUpgrade);
});

test("H2FromHttp1 and Http1FromH2 carry CONNECT as a tunnel", (t) => {
  const crossed = cross(
    "CONNECT db.demo:5432 HTTP/1.1\r\nHost: db.demo:5432\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\n\r\nworld",
  );
  t.is(crossed.request, "CONNECT db.demo:5432 HTTP/1.1\r\nhost: db.demo:5432\r\n\r\nhello");
  t.is(crossed.response, "HTTP/1.1 200 \r\n\r\nworld");
});

test("H2FromHttp1 refuses what is no message, and what HTTP/2 has no words for", (t) => {
  t.is(cross("nonsense\r\n\r\n", ok).sentRequest, Untranslatable.malformed);
  t.is(
    cross("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", ok)
      .sentRequest,
    Untranslatable.noUpgrade,
  );
  t.is(cross(get, "HTTP/1.1 101 What\r\n\r\n").sentResponse, Untranslatable.noUpgrade);
  const badChunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcX";
  const crossed = cross(get, badChunk);
  t.is(crossed.sentResponse, Untranslatable.malformed);
  t.is(crossed.code, Http2Error.internal);
});

test("H2FromHttp1.finish() says whether the message is whole", (t) => {
  const short = cross(get, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi");
  t.false(short.whole);
});

const field = fc.tuple(
  fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/).map((name) => `x-${name}`),
  fc.stringMatching(/^[!-~]([ -~]{0,30}[!-~])?$/),
);
const content = fc
  .uint8Array({ minLength: 1, maxLength: 40 })
  .map((bytes) => Buffer.from(bytes).toString("latin1"));
const message = fc.record({
  fields: fc.array(field, { maxLength: 8 }),
  body: fc.array(content, { maxLength: 6 }),
  trailers: fc.array(field, { maxLength: 3 }),
  chunked: fc.boolean(),
  large: fc.boolean(),
});

type Message = typeof message extends fc.Arbitrary<infer T> ? T : never;

function textOf(start: string, made: Message): string {
  const parts = made.large ? [...made.body, "y".repeat(150_000)] : made.body;
  const fields = made.fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const length = parts.join("").length;
  if (!made.chunked) return `${start}${fields}content-length: ${length}\r\n\r\n${parts.join("")}`;
  const chunks = parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join("");
  const trailers = made.trailers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return `${start}${fields}transfer-encoding: chunked\r\n\r\n${chunks}0\r\n${trailers}\r\n`;
}

test("H2FromHttp1 and Http1FromH2 change no message, in whatever pieces it is sent", (t) => {
  fc.assert(
    fc.property(message, message, fc.integer({ min: 1, max: 90 }), (asked, answered, size) => {
      const request = textOf("POST /p?q HTTP/1.1\r\nhost: a.demo\r\n", asked);
      const response = textOf("HTTP/1.1 207 \r\n", answered);
      const pieceBytes = asked.large || answered.large ? 700 * size : size;
      const crossed = cross(request, response, pieceBytes);
      t.is(crossed.sentRequest, 0);
      t.is(crossed.sentResponse, 0);
      t.deepEqual(contentOf(crossed.request, "request"), contentOf(request, "request"));
      t.deepEqual(contentOf(crossed.response, "response"), contentOf(response, "response"));
    }),
    { numRuns: 60 },
  );
});

/** What a message says, without where its chunks end: fields (framing last), content and trailers. */
function contentOf(text: string, kind: "request" | "response"): unknown {
  const bytes = Buffer.from(text, "latin1");
  const { messages, refusal } =
    kind === "request" ? readRequests([bytes]) : readResponses([bytes], "POST");
  const [message] = messages;
  if (message === undefined) return refusal;
  const { body, fields } = message;
  const isChunked = fields.some(([name]) => name === "transfer-encoding");
  const sorted = fields.toSorted(
    ([left], [right]) => Number(left.startsWith("tr")) - Number(right.startsWith("tr")),
  );
  return [message.whole, message.start, message.target, sorted, isChunked ? unchunk(body) : body];
}

function unchunk(text: string): readonly string[] {
  let content = "";
  let rest = text;
  for (;;) {
    const lineEnd = rest.indexOf("\r\n");
    const size = Number.parseInt(rest.slice(0, lineEnd), 16);
    if (size === 0) return [content, rest.slice(lineEnd)];
    content += rest.slice(lineEnd + 2, lineEnd + 2 + size);
    rest = rest.slice(lineEnd + 4 + size);
  }
}
