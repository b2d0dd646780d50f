/**
 * Requests made from other requests by small damage, kept when the parser did something with them that it had not done
 * before, so that the search works its way into the corners. What is accepted must look the same to those who route, those
 * who authorize and the application that it is sent to, which is played by a reader with no code in common.
 */
import test from "ava";
import { parseRequestHead, RequestHead } from "../../src/codec/http1-head.ts";
import { dropHopByHop, HeadEdit, writeHead } from "../../src/codec/http1-write.ts";
import { refusals } from "../../src/codec/refusal.ts";
import { sniff } from "../../src/codec/sniff.ts";
import { dropPrivateFields } from "../../src/proxy/private-fields.ts";

/** In CI some ten seconds of one core. A search of an hour by hand: `WEFT_FUZZ_INPUTS=300000000 npx ava test/codec/fuzz.test.ts --timeout=2h`. */
const inputs = Number(process.env["WEFT_FUZZ_INPUTS"] ?? 2_000_000);
const seed = Number(process.env["WEFT_TEST_SEED"] ?? 2026);
const maxBytes = 400;
const maxCorpus = 4_096;

/** xorshift32: the same inputs for the same seed on every machine. */
class Dice {
  #state: number;

  constructor(from: number) {
    this.#state = from | 1;
  }

  below(limit: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 0) % limit;
  }
}

const seeds: readonly string[] = [
  "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
  "POST /a/b?c=d&e HTTP/1.1\r\nHost: a.b:80\r\nContent-Length: 3\r\nX-A: b\r\n\r\nabc",
  "PUT http://a.b:80/x;y=z?q HTTP/1.1\r\nHost: a.b\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "OPTIONS * HTTP/1.0\r\nConnection: keep-alive, x-a\r\nX-A: 1\r\nl5d-client-id: b\r\n\r\n",
  "GET /%2e%2e/x HTTP/1.1\r\nHost: [::1]:80\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
  "HEAD /\x80\xff HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nX: \t v \t\r\nX: w\r\n\r\n",
];

const pieces: readonly Buffer[] = [
  ..."\r\n|\n|\r| |\t|\0|:|,|;|/|//|..|%|%00|#|?|@|\\|\x80|\r\n |\r\n\r\n|HTTP/1.1|HTTP/1.0".split(
    "|",
  ),
  ..."Host: a\r\n|Host: b\r\n|Content-Length: 3\r\n|Content-Length: 0x3\r\n|content-length:+3\r\n".split(
    "|",
  ),
  ..."Transfer-Encoding: chunked\r\n|Transfer-Encoding: \tchunked\r\n|Transfer-Encoding: x\r\n".split(
    "|",
  ),
  ..."Connection: close\r\n|Connection: host, content-length\r\n|l5d-client-id: x\r\n|L5D_A: x\r\n".split(
    "|",
  ),
  ..."http://|https://b|CONNECT |chunked|, chunked|X-A: b\r\n|x-a:\r\n|Upgrade: h2c\r\n".split("|"),
].map((text) => Buffer.from(text, "latin1"));

/** Changes a copy of `from` in one to four places. */
function damaged(dice: Dice, from: Buffer, other: Buffer, into: Buffer): number {
  let length = from.copy(into, 0);
  for (let times = 1 + dice.below(4); times > 0; times--) {
    const at = dice.below(length + 1);
    const kind = dice.below(8);
    if (kind < 3) {
      const piece = pieces[dice.below(pieces.length)] as Buffer;
      length = replaced(into, length, { at, gone: dice.below(4) === 0 ? piece.length : 0, piece });
    } else if (kind === 3) {
      length = replaced(into, length, { at, gone: 1 + dice.below(8), piece: Buffer.alloc(0) });
    } else if (kind === 4) {
      const start = dice.below(other.length);
      const piece = other.subarray(start, start + 1 + dice.below(40));
      length = replaced(into, length, { at, gone: 0, piece });
    } else if (at < length) {
      into[at] = kind === 5 ? dice.below(256) : (into[at] as number) ^ (1 << dice.below(8));
    }
  }
  return length;
}

type Change = { readonly at: number; readonly gone: number; readonly piece: Buffer };

function replaced(into: Buffer, length: number, { at, gone, piece }: Change): number {
  const after = Math.min(at + gone, length);
  const grown = length - (after - at) + piece.length;
  if (grown > maxBytes) return length;
  into.copy(into, at + piece.length, after, length);
  piece.copy(into, at);
  return grown;
}

type Naive = {
  readonly line: readonly string[];
  /** The values of each name, in their order. */
  readonly fields: ReadonlyMap<string, readonly string[]>;
};

/** The simplest reader of a head that an application could have. */
function readNaively(bytes: string): Naive {
  const [line = "", ...lines] = bytes.slice(0, bytes.indexOf("\r\n\r\n")).split("\r\n");
  const fields = new Map<string, string[]>();
  for (const text of lines) {
    const colon = text.indexOf(":");
    const name = text.slice(0, colon).toLowerCase();
    const value = withoutSpace(text, colon + 1);
    const before = fields.get(name);
    if (before === undefined) fields.set(name, [value]);
    else before.push(value);
  }
  return { line: line.split(" "), fields };
}

/** RFC 9110 §5.5: what stands around a value is not part of it. */
function withoutSpace(text: string, from: number): string {
  let [start, end] = [from, text.length];
  while (start < end && isSpace(text, start)) start++;
  while (end > start && isSpace(text, end - 1)) end--;
  return text.slice(start, end);
}

function isSpace(text: string, at: number): boolean {
  return text[at] === " " || text[at] === "\t";
}

/** Writes the head as the proxy sends it on, and tells what an application could see otherwise. */
function disagreement(head: RequestHead, out: Buffer, edit: HeadEdit): string | undefined {
  edit.reset();
  dropHopByHop(head, edit, false);
  dropPrivateFields(head.fields, edit);
  const end = writeHead(out, 0, head, undefined, edit);
  const text = out.toString("latin1", 0, end);
  if (/[^\r]\n|\r[^\n]|\0/.test(text)) return "a control byte that ends a line for some";
  const app = readNaively(text);
  const [method, target = "", version] = app.line;
  if (app.line.length !== 3 || method !== head.method) return `the method is ${method}`;
  if (version !== `HTTP/1.${head.versionMinor}`) return `the version is ${version}`;
  if (pathOf(target, head) !== head.path) return `the target is ${target}`;
  return fieldDisagreement(head, app);
}

function pathOf(target: string, { targetForm, query, hasQuery }: RequestHead): string {
  if (targetForm === "authority") return "";
  const bare = targetForm === "absolute" ? target.replace(/^https?:\/\/[^/?]*/i, "") : target;
  const tail = hasQuery ? `?${query}` : "";
  if (!bare.endsWith(tail)) return "another query";
  const path = bare.slice(0, bare.length - tail.length);
  return path === "" ? "/" : path;
}

const none: readonly string[] = [];

function fieldDisagreement(head: RequestHead, { fields }: Naive): string | undefined {
  const hosts = fields.get("host") ?? none;
  if (hosts.length > 1) return "two Hosts";
  if (head.targetForm === "origin" && (hosts[0] ?? "").toLowerCase() !== head.authority) {
    return `Host is ${hosts.join()}`;
  }
  const codings = fields.get("transfer-encoding") ?? none;
  const lengths = fields.get("content-length") ?? none;
  if (codings.length + lengths.length > 1) return "two framings";
  if (codings.length === 1 && codings[0]?.toLowerCase() !== "chunked") return "another coding";
  if ((lengths[0] ?? "-1") !== String(head.contentLength)) return `the length is ${lengths.join()}`;
  for (const [name, values] of fields) {
    if (name.startsWith("l5d-") || name.startsWith("l5d_")) return `the private ${name}`;
    const all = head.fields.get(name);
    if (values.join(", ") !== all) return `${name} is ${values.join()}, and ${all} to the policy`;
  }
  return undefined;
}

/** What the parser did, coarsely: inputs that make it do something new are worth damaging further. */
function traceOf(head: RequestHead, answer: number): string {
  if (answer <= 0) return `${answer} ${head.step} ${Math.min(head.fields.count, 6)}`;
  const { targetForm, bodyKind, keepAlive, upgrade, expectContinue, fields, hasQuery } = head;
  return [targetForm, bodyKind, keepAlive, upgrade, expectContinue, fields.count, hasQuery].join();
}

test(`${inputs} damaged requests are refused, or read the same by everybody`, (t) => {
  const dice = new Dice(seed);
  const corpus = seeds.map((text) => Buffer.from(text, "latin1"));
  const traces = new Set<string>();
  const input = Buffer.alloc(maxBytes);
  const out = Buffer.alloc(8 * maxBytes);
  const [head, again, edit] = [new RequestHead(), new RequestHead(), new HeadEdit()];
  let accepted = 0;
  for (let tried = 0; tried < inputs; tried++) {
    const from = corpus[dice.below(corpus.length)] as Buffer;
    const other = corpus[dice.below(corpus.length)] as Buffer;
    const length = damaged(dice, from, other, input);
    head.reset();
    const answer = parseRequestHead(head, input, 0, length);
    const show = (): string => JSON.stringify(input.toString("latin1", 0, length));
    if (answer < 0 ? refusals[-answer] === undefined : answer > length) t.fail(show());
    const trace = traceOf(head, answer);
    if (!traces.has(trace) && corpus.length < maxCorpus) {
      traces.add(trace);
      corpus.push(Buffer.from(input.subarray(0, length)));
    }
    again.reset();
    const cut = dice.below(length + 1);
    const first = parseRequestHead(again, input, 0, cut);
    const second = first === 0 ? parseRequestHead(again, input, 0, length) : first;
    if (first >= 0 && second !== answer) t.fail(`in pieces at ${cut}: ${show()}`);
    if (answer <= 0) continue;
    accepted++;
    if (sniff(input, 0, length) !== "http1") t.fail(`not sniffed: ${show()}`);
    const difference = disagreement(head, out, edit);
    if (difference !== undefined) t.fail(`${difference}: ${show()}`);
  }
  t.true(accepted > inputs / 100, `${accepted} accepted`);
  t.log(`${accepted} accepted, ${traces.size} traces`);
});
