/** Good requests: what is read from them, and that it does not depend on the pieces they come in. */
import test from "ava";
import { Known, maxFields } from "../../src/codec/header-list.ts";
import { BodyKind } from "../../src/codec/http1-body.ts";
import { maxHeadBytes, parseRequestHead, RequestHead } from "../../src/codec/http1-head.ts";
import { maxRequestLineBytes } from "../../src/codec/start-line.ts";
import { differingCuts, latin1, readRequests } from "./read-messages.ts";

type Expected = Partial<
  Pick<
    RequestHead,
    | "method"
    | "targetForm"
    | "scheme"
    | "path"
    | "query"
    | "hasQuery"
    | "authority"
    | "versionMinor"
    | "bodyKind"
    | "contentLength"
    | "keepAlive"
    | "upgrade"
    | "expectContinue"
    | "target"
  >
>;

function parsed(text: string): RequestHead {
  const head = new RequestHead();
  const bytes = latin1(text);
  const after = parseRequestHead(head, bytes, 0, bytes.length);
  if (after <= 0) throw new Error(`Expected a complete head, not ${after}`);
  return head;
}

/** `head` ends with an empty line; `rest` is what follows on the connection. */
const reads = test.macro<[string, string, Expected]>({
  exec(t, head, rest, expected) {
    const request = parsed(`${head}\r\n`);
    for (const [key, value] of Object.entries(expected)) {
      t.is(request[key as keyof Expected], value, key);
    }
    const bytes = latin1(`${head}\r\n${rest}`);
    const whole = readRequests([bytes]);
    t.is(whole.refusal, 0);
    t.true(whole.messages.every((message) => message.whole));
    t.is(whole.messages.map((message) => message.body).join(""), bodiesOf(rest));
    t.deepEqual(differingCuts(bytes, readRequests), []);
  },
  title: (given) => `parseRequestHead() reads ${given ?? ""} in whatever pieces`,
});

/** A rest is a body, unless pipelined requests follow it: then only what is before them. */
function bodiesOf(rest: string): string {
  return rest.split("GET /next")[0] ?? "";
}

/** What an earlier message has left in the buffer. */
for (const stale of [":", "\r", "\n", " ", "H"]) {
  test(`parseRequestHead() never looks behind the bytes that have come, at ${JSON.stringify(stale)}`, (t) => {
    const whole = latin1("GET / HTTP/1.1\r\nHost: a\r\nAccept: b\r\n\r\n");
    for (const text of [
      "GET / HTTP/1.1\r\nHost: c\r\nAccept: d\r\n\r\n",
      "GET / HTTP/1.1\r\nHostess: c\r\nAcceptor: d\r\nHost: e\r\n\r\n",
    ]) {
      const bytes = latin1(text);
      const expected = fieldsOf(parsed(text));
      for (let cut = 1; cut < bytes.length; cut++) {
        const head = new RequestHead();
        t.is(parseRequestHead(head, whole, 0, whole.length), whole.length);
        head.reset();
        const buffer = Buffer.alloc(bytes.length, stale, "latin1");
        bytes.copy(buffer, 0, 0, cut);
        t.is(parseRequestHead(head, buffer, 0, cut), 0, `${cut} bytes`);
        bytes.copy(buffer);
        t.is(parseRequestHead(head, buffer, 0, bytes.length), bytes.length, `after ${cut} bytes`);
        t.deepEqual(fieldsOf(head), expected, `after ${cut} bytes`);
      }
    }
  });
}

function fieldsOf({ fields }: RequestHead): readonly (readonly [string, string])[] {
  return Array.from({ length: fields.count }, (_, i) => [fields.name(i), fields.value(i)]);
}

const next = "GET /next HTTP/1.1\r\nHost: b\r\n\r\n";

test("a plain request", reads, "GET / HTTP/1.1\r\nHost: a\r\n", "", {
  method: "GET",
  targetForm: "origin",
  scheme: "",
  path: "/",
  query: "",
  hasQuery: false,
  authority: "a",
  versionMinor: 1,
  bodyKind: BodyKind.none,
  contentLength: -1,
  keepAlive: true,
  upgrade: false,
  expectContinue: false,
  target: "/",
});

test(
  "path and query apart",
  reads,
  "GET /a%2Fb/../c;d=1?x=%20&y=\\?z HTTP/1.1\r\nHost: a\r\n",
  "",
  {
    path: "/a%2Fb/../c;d=1",
    query: "x=%20&y=\\?z",
    hasQuery: true,
  },
);

test("an empty query", reads, "GET //a? HTTP/1.1\r\nHost: a\r\n", "", {
  path: "//a",
  query: "",
  hasQuery: true,
});

test(
  "an absolute target",
  reads,
  "GET HTTP://Foo.Example:80/a?b HTTP/1.1\r\nHost: foo.example\r\n",
  "",
  {
    targetForm: "absolute",
    scheme: "http",
    path: "/a",
    query: "b",
    authority: "foo.example:80",
    target: "HTTP://Foo.Example:80/a?b",
  },
);

test(
  "an absolute target without a path",
  reads,
  "GET https://foo?b HTTP/1.1\r\nHost: FOO:443\r\n",
  "",
  {
    scheme: "https",
    path: "/",
    query: "b",
    authority: "foo",
  },
);

test("an absolute target with HTTP/1.0 and no Host", reads, "GET http://foo/ HTTP/1.0\r\n", "", {
  authority: "foo",
  versionMinor: 0,
  keepAlive: false,
});

test("an address as authority", reads, "GET / HTTP/1.1\r\nHost: [2001:DB8::1]:8080\r\n", "", {
  authority: "[2001:db8::1]:8080",
});

test("OPTIONS for the server as a whole", reads, "OPTIONS * HTTP/1.1\r\nHost: a\r\n", "", {
  method: "OPTIONS",
  targetForm: "asterisk",
  path: "*",
});

test("CONNECT", reads, "CONNECT Foo:443 HTTP/1.1\r\nHost: foo:443\r\n", "", {
  method: "CONNECT",
  targetForm: "authority",
  path: "",
  authority: "foo:443",
  bodyKind: BodyKind.none,
});

test("methods in any case", reads, "get /x HTTP/1.1\r\nHost: a\r\n", "", { method: "get" });

test("a method that nobody registered", reads, "X-1!#$%&'*+.^_`|~ /x HTTP/1.1\r\nHost: a\r\n", "", {
  method: "X-1!#$%&'*+.^_`|~",
});

test("HTTP/1.0 without Host", reads, "GET / HTTP/1.0\r\n", "", {
  authority: "",
  versionMinor: 0,
  keepAlive: false,
});

test("HTTP/1.0 that stays", reads, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n", next, {
  keepAlive: true,
});

test("one empty line in front", reads, "\r\nGET / HTTP/1.1\r\nHost: a\r\n", "", { method: "GET" });

test(
  "Connection: close among others",
  reads,
  "GET / HTTP/1.1\r\nHost: a\r\nConnection: , x,keep-alive ,\tClose\r\n",
  "",
  {
    keepAlive: false,
  },
);

test(
  "an upgrade",
  reads,
  "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n",
  "",
  {
    upgrade: true,
  },
);

test(
  "an upgrade that is not for this hop",
  reads,
  "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n",
  "",
  {
    upgrade: false,
  },
);

test(
  "an upgrade with HTTP/1.0",
  reads,
  "GET /ws HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n",
  "",
  {
    upgrade: false,
  },
);

test(
  "an expectation",
  reads,
  "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n",
  "abc",
  {
    expectContinue: true,
    bodyKind: BodyKind.length,
    contentLength: 3,
  },
);

test(
  "an expectation with HTTP/1.0",
  reads,
  "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n",
  "abc",
  {
    expectContinue: false,
  },
);

test(
  "a body and the request behind it",
  reads,
  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n",
  `GET / HTTP${next}`,
  {
    bodyKind: BodyKind.length,
    contentLength: 10,
  },
);

test("an empty body", reads, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n", next, {
  bodyKind: BodyKind.none,
  contentLength: 0,
});

test(
  "a chunked body and the request behind it",
  reads,
  "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n",
  `5\r\nhello\r\nA;x=1\r\n0123456789\r\n000\r\n\r\n${next}`,
  {
    bodyKind: BodyKind.chunked,
    contentLength: -1,
  },
);

test(
  "a chunked body with trailers",
  reads,
  "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n",
  `1\r\n\n\r\n0\r\nGrpc-Status: 0\r\nX-Sum:\t\xe9 \r\n\r\n${next}`,
  {
    bodyKind: BodyKind.chunked,
  },
);

test(
  "several requests at once",
  reads,
  "DELETE /a HTTP/1.1\r\nHost: a\r\n",
  `${next}${next}${next}`,
  {
    method: "DELETE",
  },
);

test(
  "values with obs-text, tabs and white space around",
  reads,
  "GET / HTTP/1.1\r\nHost: \t a \t\r\nX-A:\r\nX-B: \t \r\nX-C:a\tb \xff\x80 c\t\r\n",
  "",
  {
    authority: "a",
  },
);

test("Fields names and values are without white space around, in order", (t) => {
  const { fields } = parsed("GET / HTTP/1.1\r\nHOST:  a\t\r\nX-B: \t \r\nx-c:a\tb \xff c \r\n\r\n");
  const list = Array.from({ length: fields.count }, (_none, i) => [
    fields.name(i),
    fields.value(i),
  ]);
  t.deepEqual(list, [
    ["host", "a"],
    ["x-b", ""],
    ["x-c", "a\tb \xff c"],
  ]);
});

test("Fields.get() joins all values of a known and of an unknown name", (t) => {
  const { fields } = parsed(
    "GET / HTTP/1.1\r\nHost: a\r\nX-Own: 1\r\nAccept: b\r\nx-own:\r\nACCEPT: c\r\nx-owner: 3\r\nX-OWN: 2\r\n\r\n",
  );
  t.is(fields.get("accept"), "b, c");
  t.is(fields.get("x-own"), "1, , 2");
  t.is(fields.get("x-ow"), undefined);
  t.is(fields.get("cookie"), undefined);
  t.is(fields.get("__proto__"), undefined);
});

test("Fields.known tells the id of a known name in any case, and 0 of others", (t) => {
  const names = [
    "Host",
    "TE",
    "HTTP2-Settings",
    "X-B3-TraceId",
    "B3",
    "L5D-Client-ID",
    "x-forwarded-for",
  ];
  const lines = [...names, "Hose", "Te1", "l5d-client-ie"].map((name) => `${name}: a\r\n`);
  const { fields } = parsed(`GET / HTTP/1.1\r\n${lines.join("")}\r\n`);
  t.deepEqual(
    [...fields.known.subarray(0, fields.count)],
    [
      ...[Known.host, Known.te, Known.http2Settings, Known.xB3Traceid, Known.b3],
      ...[Known.l5dClientId, Known.xForwardedFor, Known.none, Known.none, Known.none],
    ],
  );
  t.is(fields.get("x-b3-traceid"), "a");
});

test("Fields.hasPrefix() takes an underscore for a dash", (t) => {
  const { fields } = parsed(
    "GET / HTTP/1.1\r\nHost: a\r\nL5D_client-id: x\r\nl5d: y\r\nxl5d-a: z\r\n\r\n",
  );
  t.deepEqual(
    [0, 1, 2, 3].map((i) => fields.hasPrefix(i, "l5d-")),
    [false, true, false, false],
  );
});

test("RequestHead forgets the message before", (t) => {
  const head = new RequestHead();
  const first = latin1(
    "POST http://x:1/long?q HTTP/1.1\r\nHost: x:1\r\nUpgrade: a\r\nConnection: upgrade, close\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n",
  );
  const second = latin1("GET /b HTTP/1.1\r\nHost: x:2\r\n\r\n");
  t.is(parseRequestHead(head, first, 0, first.length), first.length);
  head.reset();
  t.is(parseRequestHead(head, second, 0, second.length), second.length);
  const { bytes: _bytes, fields, repeated: _repeated, ...rest } = head;
  const fresh = parsed(second.toString("latin1"));
  const { bytes: _freshBytes, fields: freshFields, repeated: _freshRepeated, ...freshRest } = fresh;
  const { targetEnd: _end, ...meaning } = rest;
  const { targetEnd: _freshEnd, ...freshMeaning } = freshRest;
  t.deepEqual(meaning, freshMeaning);
  t.is(fields.count, freshFields.count);
  t.is(fields.get("upgrade"), undefined);
});

test("RequestHead.moveTo() keeps a complete head readable", (t) => {
  const head = new RequestHead();
  const bytes = latin1("....\r\nGET /a?b HTTP/1.1\r\nHost: x\r\nX-Y: z\r\n\r\n");
  t.is(parseRequestHead(head, bytes, 4, bytes.length), bytes.length);
  const elsewhere = Buffer.concat([latin1("0123456789"), bytes.subarray(4)]);
  head.moveTo(elsewhere, 10);
  bytes.fill(0);
  t.is(head.fields.get("x-y"), "z");
  t.is(head.target, "/a?b");
  t.is(
    elsewhere.toString("latin1", head.start, head.end),
    "GET /a?b HTTP/1.1\r\nHost: x\r\nX-Y: z\r\n\r\n",
  );
});

test("parseRequestHead() asks for more as long as the head is incomplete", (t) => {
  const bytes = latin1("\r\nGET /a?b HTTP/1.1\r\nHost: x\r\nX-Y: z\r\n\r\n");
  const answers = Array.from({ length: bytes.length }, (_none, length) =>
    parseRequestHead(new RequestHead(), bytes, 0, length),
  );
  t.deepEqual(new Set(answers), new Set([0]));
});

/** A request of exactly this many bytes with this many fields. */
function sized(bytes: number, fields: number): string {
  const head = `GET / HTTP/1.1\r\nHost: a\r\n${"A: b\r\n".repeat(fields - 2)}`;
  const last = "C: ";
  return `${head}${last}${"d".repeat(bytes - head.length - last.length - 4)}\r\n\r\n`;
}

test("parseRequestHead() takes a head that just fits", (t) => {
  t.is(parsed(sized(maxHeadBytes, 3)).end, maxHeadBytes);
});

test("parseRequestHead() refuses a head that is a byte too long, complete or not", (t) => {
  const bytes = latin1(sized(maxHeadBytes + 1, 3));
  t.is(readRequests([bytes]).refusal, readRequests([bytes.subarray(0, maxHeadBytes)]).refusal);
  t.not(readRequests([bytes]).refusal, 0);
  t.is(readRequests([bytes.subarray(0, maxHeadBytes - 1)]).refusal, 0);
});

test("parseRequestHead() takes as many fields as it may and not one more", (t) => {
  t.is(parsed(sized(8000, maxFields)).fields.count, maxFields);
  t.not(readRequests([latin1(sized(8000, maxFields + 1))]).refusal, 0);
});

test("parseRequestHead() takes a request line that just fits and not one byte more", (t) => {
  const frame = "GET / HTTP/1.1\r\n".length;
  const line = (length: number): Buffer =>
    latin1(`GET /${"a".repeat(length - frame)} HTTP/1.1\r\nHost: a\r\n\r\n`);
  t.is(readRequests([line(maxRequestLineBytes)]).refusal, 0);
  t.not(readRequests([line(maxRequestLineBytes + 1)]).refusal, 0);
});
