/**
 * `node benchmarks/codec/parse-request-head.ts`: nanoseconds per request head of about 300 bytes, as JSON, beside the
 * parser of Node's own HTTP server where it can be reached.
 *
 * `repeated` is a connection that asks for the same path each time, `varied` one that never does, so that path and query
 * become strings each time. `fields only` makes no string at all.
 */
import { createRequire } from "node:module";
import { scanFields } from "../../src/codec/field-lines.ts";
import { Fields } from "../../src/codec/header-list.ts";
import { parseRequestHead, RequestHead } from "../../src/codec/http1-head.ts";
import { conditions, nanosecondsPerCall } from "./machine.ts";

const lines = [
  "Host: backend.default.svc.cluster.local:8080",
  "User-Agent: Mozilla/5.0 (X11; Linux)",
  "Accept: */*",
  "Accept-Encoding: gzip, deflate",
  "X-Request-Id: 0123456789abcdef",
  "X-Forwarded-For: 10.1.2.3",
  "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  "Connection: keep-alive",
];
const block = `${lines.map((line) => `${line}\r\n`).join("")}\r\n`;

function request(id: number): Buffer {
  return Buffer.from(`GET /api/v1/users/${id}?x=${id}&y=2 HTTP/1.1\r\n${block}`, "latin1");
}

const same = request(42);
const different = Array.from({ length: 64 }, (_none, id) => request(id + 100));
const head = new RequestHead();

function parse(bytes: Buffer): void {
  head.reset();
  if (parseRequestHead(head, bytes, 0, bytes.length) !== bytes.length) {
    throw new Error("Parse the whole head");
  }
}

const fieldBytes = Buffer.from(block, "latin1");
const fields = new Fields();

function parseFields(): void {
  fields.reset();
  fields.at = 0;
  if (scanFields(fields, fieldBytes, fieldBytes.length) !== fieldBytes.length) {
    throw new Error("Scan all fields");
  }
}

/** What is used of the parser that `node:http` is built on. It is not public, so it may be missing. */
type NodeParser = {
  initialize(type: number, resource: object): void;
  execute(bytes: Buffer): number | Error;
  [callback: number]: () => void;
};
type NodeParserClass = {
  new (): NodeParser;
  readonly REQUEST: number;
  readonly kOnHeadersComplete: number;
  readonly kOnMessageComplete: number;
};

function nodeParser(): (() => void) | undefined {
  try {
    const internal: { HTTPParser: NodeParserClass } = createRequire(import.meta.url)(
      "node:_http_common",
    );
    const { HTTPParser } = internal;
    const parser = new HTTPParser();
    parser.initialize(HTTPParser.REQUEST, {});
    parser[HTTPParser.kOnHeadersComplete] = () => {};
    parser[HTTPParser.kOnMessageComplete] = () => {};
    return () => {
      if (parser.execute(same) !== same.length) throw new Error("Parse the whole head");
    };
  } catch {
    // Without the peer the other numbers still stand.
    return undefined;
  }
}

let next = 0;
const peer = nodeParser();
const nanoseconds = nanosecondsPerCall({
  repeated: () => parse(same),
  varied: () => parse(different[next++ % different.length] ?? same),
  fieldsOnly: parseFields,
  ...(peer === undefined ? {} : { nodeParser: peer }),
});

console.log(
  JSON.stringify({
    benchmark: "parse-request-head",
    headBytes: same.length,
    nanoseconds,
    ...conditions(),
  }),
);
