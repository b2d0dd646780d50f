/** Requests whose target, authority or bytes are ambiguous or too much, each refused with its status, in whatever pieces. */
import test from "ava";
import { refusalOf, refusals } from "../../src/codec/refusal.ts";
import { latin1, readRequests } from "./read-messages.ts";
import { refuses, shown, withFields, withHost, withLine } from "./refusing.ts";

// One authority for everybody (item 9).
test("no Host", refuses, 400, withHost("X: a"));
test("no field at all", refuses, 400, withHost());
test("an absolute target without Host", refuses, 400, "GET http://a/ HTTP/1.1\r\n\r\n");
test("two Hosts", refuses, 400, withHost("Host: a", "Host: b"));
test("two equal Hosts", refuses, 400, withHost("Host: a", "host: a"));
test("two Hosts with HTTP/1.0", refuses, 400, "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n");
test("a Host with a space before the colon", refuses, 400, withHost("Host: a", "Host : b"));
for (const host of [
  ...[
    "",
    "a b",
    "a,b",
    "a@b",
    "user:pw@a",
    "a:",
    "a:b",
    "a:0",
    "a:080",
    "a:65536",
    "a:123456",
    "a:80:80",
    ":80",
    "a/b",
  ],
  ...[
    "a?b",
    "a#b",
    "a\\b",
    "a%2eb",
    "http://a",
    "[::1",
    "::1",
    "[::1]x",
    "[::1]:",
    "[fe80::1%25eth0]",
    "[a]",
    "[1.2.3.4]",
  ],
  ...[
    "[]",
    "a\tb",
    "caf\xe9",
    "<a>",
    "a|b",
    "a'b",
    "a;b",
    "a*",
    "$(a)",
    "a\x7f",
    `${"a".repeat(256)}`,
  ],
]) {
  test(`the Host ${shown(host)}`, refuses, 400, withHost(`Host: ${host}`));
}
test(
  "an absolute target with another Host",
  refuses,
  400,
  "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
);
test(
  "an absolute target with another port in Host",
  refuses,
  400,
  "GET http://a/ HTTP/1.1\r\nHost: a:81\r\n\r\n",
);
test(
  "an absolute target with the other scheme's port",
  refuses,
  400,
  "GET http://a/ HTTP/1.1\r\nHost: a:443\r\n\r\n",
);
test(
  "an absolute target with an empty Host",
  refuses,
  400,
  "GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n",
);
test(
  "an absolute target with another Host and HTTP/1.0",
  refuses,
  400,
  "GET http://b/ HTTP/1.0\r\nHost: a\r\n\r\n",
);
test("user information in the target", refuses, 400, "GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n");
test("an empty authority in the target", refuses, 400, "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n");
test(
  "an empty authority and a query in the target",
  refuses,
  400,
  "GET http://?a HTTP/1.1\r\nHost: a\r\n\r\n",
);
test("another scheme in the target", refuses, 400, "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n");
test("one slash in the target's scheme", refuses, 400, "GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n");
test("a scheme alone", refuses, 400, "GET http: HTTP/1.1\r\nHost: a\r\n\r\n");

// Methods, targets and versions (items 9 and 10).
test("an empty method", refuses, 400, withLine(" / HTTP/1.1"));
test("a method that is no token", refuses, 400, withLine("GE(T / HTTP/1.1"));
test("a method with obs-text", refuses, 400, withLine("G\xc9T / HTTP/1.1"));
test("a method of 33 bytes", refuses, 501, withLine(`${"A".repeat(33)} / HTTP/1.1`));
test("a method of 1 KiB", refuses, 501, withLine(`${"A".repeat(1024)} / HTTP/1.1`));
test("a method alone", refuses, 400, "GET\r\n\r\n");
test("CONNECT with a path", refuses, 400, withLine("CONNECT / HTTP/1.1"));
test("CONNECT without a target", refuses, 400, withLine("CONNECT  HTTP/1.1"));
test("CONNECT without a port", refuses, 400, withLine("CONNECT a HTTP/1.1"));
test("CONNECT with an absolute target", refuses, 400, withLine("CONNECT http://a:80/ HTTP/1.1"));
test("CONNECT with a query", refuses, 400, withLine("CONNECT a:80?b HTTP/1.1"));
test("CONNECT with an asterisk", refuses, 400, withLine("CONNECT * HTTP/1.1"));
test("CONNECT with another Host", refuses, 400, withLine("CONNECT b:443 HTTP/1.1"));
test(
  "CONNECT with a body",
  refuses,
  400,
  "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 5\r\n\r\n",
);
test(
  "CONNECT with chunks",
  refuses,
  400,
  "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: chunked\r\n\r\n",
);
test("TRACE with a body", refuses, 400, "TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
test("an asterisk with GET", refuses, 400, withLine("GET * HTTP/1.1"));
test("an asterisk and a path", refuses, 400, withLine("OPTIONS */a HTTP/1.1"));
test("an authority with GET", refuses, 400, withLine("GET a:80 HTTP/1.1"));
test("a relative path", refuses, 400, withLine("GET a/b HTTP/1.1"));
test("a query alone", refuses, 400, withLine("GET ?a HTTP/1.1"));
test("an empty target", refuses, 400, withLine("GET  HTTP/1.1"));
test("two spaces behind the method", refuses, 400, withLine("GET  / HTTP/1.1"));
test("two spaces behind the target", refuses, 400, withLine("GET /  HTTP/1.1"));
test("a space behind the version", refuses, 400, withLine("GET / HTTP/1.1 "));
test("a tab behind the method", refuses, 400, withLine("GET\t/ HTTP/1.1"));
test("a tab behind the target", refuses, 400, withLine("GET /\tHTTP/1.1"));
test("a space in the target", refuses, 400, withLine("GET /a b HTTP/1.1"));
test("a fragment", refuses, 400, withLine("GET /a#b HTTP/1.1"));
test("a fragment behind the query", refuses, 400, withLine("GET /a?b#c HTTP/1.1"));
test("a backslash in the path", refuses, 400, withLine("GET /a\\..\\b HTTP/1.1"));
test("a backslash in the authority", refuses, 400, withLine("GET http://a\\b/ HTTP/1.1"));
test("an encoded NUL in the path", refuses, 400, withLine("GET /a%00.html HTTP/1.1"));
test("an encoded NUL in the query", refuses, 400, withLine("GET /a?b=%00 HTTP/1.1"));
test("an encoded NUL behind a broken encoding", refuses, 400, withLine("GET /%%00 HTTP/1.1"));
test("bytes beyond ASCII in the target", refuses, 400, withLine("GET /caf\xc3\xa9 HTTP/1.1"));
test("an overlong encoding in the target", refuses, 400, withLine("GET /\xc0\xaf HTTP/1.1"));
test("DEL in the target", refuses, 400, withLine("GET /a\x7f HTTP/1.1"));
test("HTTP/0.9 without a version", refuses, 400, "GET /\r\n\r\n");
test("HTTP/0.9 with a version", refuses, 505, withLine("GET / HTTP/0.9"));
test("HTTP/1.2", refuses, 505, withLine("GET / HTTP/1.2"));
test("HTTP/2.0", refuses, 505, withLine("GET / HTTP/2.0"));
test("HTTP/1.10", refuses, 400, withLine("GET / HTTP/1.10"));
test("HTTP/01.1", refuses, 505, withLine("GET / HTTP/01.1"));
test("HTTP/1", refuses, 400, withLine("GET / HTTP/1"));
test("HTTP/1,1", refuses, 400, withLine("GET / HTTP/1,1"));
test("the version in lower case", refuses, 400, withLine("GET / http/1.1"));
test("another protocol", refuses, 400, withLine("GET / HTCPCP/1.0"));
test("the HTTP/2 preface", refuses, 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
test("a TLS hello", refuses, 400, "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03");
test(
  "a Connection that is no list of tokens",
  refuses,
  400,
  withFields("Connection: keep-alive foo"),
);
test("a Connection with a quoted name", refuses, 400, withFields('Connection: "close"'));
test("a Connection with 33 names", refuses, 400, withFields(`Connection: ${"a,".repeat(33)}`));

test("parseRequestHead() answers 414 to a request line of 64 KiB", (t) => {
  const { refusal } = readRequests([
    latin1(`GET /${"a".repeat(65_536)} HTTP/1.1\r\nHost: a\r\n\r\n`),
  ]);
  t.is(refusals[refusal]?.status, 414);
});

test("parseRequestHead() answers 431 to a head of 128 KiB", (t) => {
  const { refusal } = readRequests([latin1(withFields(`X: ${"a".repeat(131_072)}`))]);
  t.is(refusals[refusal]?.status, 431);
});

test("parseRequestHead() answers 431 to 10,000 fields", (t) => {
  const { refusal } = readRequests([
    latin1(withFields(..."a".repeat(10_000)).replaceAll("a\r\n", "a:\r\n")),
  ]);
  t.is(refusals[refusal]?.status, 431);
});

const tokenCharacters =
  "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

test("parseRequestHead() lets exactly the token bytes into a name", (t) => {
  for (const [position, frame] of [
    ["first", (byte: string) => `${byte}x: v`],
    ["middle", (byte: string) => `x${byte}x: v`],
    ["last", (byte: string) => `x${byte}: v`],
  ] as const) {
    for (let code = 0; code < 256; code++) {
      const byte = String.fromCharCode(code);
      const { refusal } = readRequests([latin1(withFields(frame(byte)))]);
      // A colon ends the name, except that it must not be empty. Behind a name it begins the value.
      const passes = tokenCharacters.includes(byte) || (byte === ":" && position !== "first");
      t.is(refusal === 0, passes, `byte ${code}, ${position}`);
      if (!passes) t.is(refusals[refusal]?.status, 400);
    }
  }
});

test("parseRequestHead() lets tabs, visible bytes, spaces and obs-text into a value, unchanged", (t) => {
  for (const frame of [
    (byte: string) => `X: ${byte}v`,
    (byte: string) => `X: v${byte}v`,
    (byte: string) => `X: v${byte}`,
  ]) {
    for (let code = 0; code < 256; code++) {
      const byte = String.fromCharCode(code);
      const line = frame(byte);
      const { refusal, messages } = readRequests([latin1(withFields(line))]);
      const passes = code === 9 || (code >= 32 && code !== 127);
      t.is(refusal === 0, passes, `byte ${code} in ${JSON.stringify(line)}`);
      if (passes)
        t.is(messages[0]?.fields[1]?.[1], line.slice(3).replaceAll(/^[\t ]+|[\t ]+$/g, ""));
    }
  }
});

test("parseRequestHead() lets exactly the visible ASCII bytes but # and \\ into a path", (t) => {
  for (let code = 0; code < 256; code++) {
    const { refusal } = readRequests([
      latin1(withLine(`GET /a${String.fromCharCode(code)}b HTTP/1.1`)),
    ]);
    t.is(refusal === 0, code > 32 && code < 127 && code !== 35 && code !== 92, `byte ${code}`);
  }
});

test("refusalOf() takes what a parser answers and nothing else", (t) => {
  t.is(refusalOf(-1).status, 400);
  t.throws(() => refusalOf(1), { message: /negative/ });
  t.throws(() => refusalOf(-1000), { message: /-1000/ });
});
