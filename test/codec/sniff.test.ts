/** What first bytes are taken for, and that it never depends on the pieces. */
import test from "ava";
import { type Sniffed, sniff } from "../../src/codec/sniff.ts";
import { latin1 } from "./read-messages.ts";

/** `decided` is how many bytes it takes to be sure. */
const sniffs = test.macro<[string, Sniffed, number]>({
  exec(t, text, expected, decided) {
    const bytes = latin1(`..${text}`);
    for (let end = 2; end <= bytes.length; end++) {
      t.is(sniff(bytes, 2, end), end - 2 < decided ? "more" : expected, `${end - 2} bytes`);
    }
  },
  title: (given, _text, expected) => `sniff() says ${expected} of ${given ?? ""}`,
});

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

test("a TLS hello", sniffs, "\x16\x03\x01\x02\x00", "tls", 2);
test("a record of another version", sniffs, "\x16\x02\x01", "opaque", 2);
test("an alert", sniffs, "\x15\x03\x01", "opaque", 1);
test("the HTTP/2 preface", sniffs, `${preface}\0\0\0`, "http2", preface.length);
test(
  "a preface that goes wrong at its end",
  sniffs,
  `${preface.slice(0, -1)}x`,
  "http1",
  preface.length,
);
test("a preface in HTTP/1", sniffs, "PRI * HTTP/1.1\r\n", "http1", 12);
test("GET", sniffs, "GET / HTTP/1.1\r\n", "http1", 5);
test("POST, which begins as the preface does", sniffs, "POST /a", "http1", 6);
test("an unknown method", sniffs, "x-y /a", "http1", 5);
test("a request behind an empty line", sniffs, "\r\nGET /", "http1", 7);
test("an absolute target", sniffs, "GET HTTP://a/", "http1", 11);
test("a secure absolute target", sniffs, "GET https://a/", "http1", 12);
test("OPTIONS *", sniffs, "OPTIONS * HTTP/1.1", "http1", 9);
test("CONNECT", sniffs, "CONNECT a:80 HTTP/1.1", "http1", 9);
test("CONNECT to an address", sniffs, "CONNECT [::1]:80", "http1", 9);
test("NATS", sniffs, 'CONNECT {"verbose":false}\r\n', "opaque", 9);
test("memcached", sniffs, "get key\r\n", "opaque", 5);
test("SMTP", sniffs, "EHLO host\r\n", "opaque", 7);
test("Redis", sniffs, "*1\r\n$4\r\nPING\r\n", "opaque", 3);
test("Redis by hand", sniffs, "PING\r\n", "opaque", 5);
test("IRC", sniffs, "LIST *\r\n", "opaque", 6);
test("SSH", sniffs, "SSH-2.0-OpenSSH_9.2\r\n", "opaque", 20);
test("PostgreSQL", sniffs, "\0\0\0\x08\x04\xd2\x16\x2f", "opaque", 1);
test("a space", sniffs, " GET / HTTP/1.1", "opaque", 1);
test("two empty lines", sniffs, "\r\n\r\nGET /", "opaque", 3);
test("bare CR", sniffs, "\rGET /", "opaque", 2);
test("a word that is too long", sniffs, `${"A".repeat(40)} /`, "opaque", 33);
