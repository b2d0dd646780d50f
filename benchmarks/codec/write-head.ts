/**
 * `node benchmarks/codec/write-head.ts`: nanoseconds to forward a request head of about 300 bytes, as JSON: as it came,
 * with the usual edits of a hop, and one short and one long string by a loop and by the engine.
 */
import { parseRequestHead, RequestHead } from "../../src/codec/http1-head.ts";
import { dropHopByHop, HeadEdit, writeHead } from "../../src/codec/http1-write.ts";
import { conditions, nanosecondsPerCall } from "./machine.ts";

const bytes = Buffer.from(
  [
    "GET /api/v1/users/42?x=1&y=2 HTTP/1.1",
    "Host: backend.default.svc.cluster.local:8080",
    "User-Agent: Mozilla/5.0 (X11; Linux)",
    "Accept: */*",
    "Accept-Encoding: gzip, deflate",
    "X-Request-Id: 0123456789abcdef",
    "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "Connection: keep-alive",
    "\r\n",
  ].join("\r\n"),
  "latin1",
);
const head = new RequestHead();
parseRequestHead(head, bytes, 0, bytes.length);
const out = Buffer.alloc(4096);
const edit = new HeadEdit();

function asItCame(): void {
  edit.reset();
  if (writeHead(out, 0, head, undefined, edit) < 0) throw new Error("Write the head");
}

function edited(): void {
  edit.reset();
  dropHopByHop(head, edit, false);
  edit.remove("l5d-client-id");
  edit.set("x-forwarded-for", "10.1.2.3");
  edit.set("l5d-dst-canonical", "backend.default.svc.cluster.local:8080");
  if (writeHead(out, 0, head, undefined, edit) < 0) throw new Error("Write the head");
}

function byLoop(text: string): void {
  for (let at = 0; at < text.length; at++) out[at] = text.charCodeAt(at);
}

const short = "x-forwarded-for";
const long = "backend.default.svc.cluster.local:8080";
const nanoseconds = nanosecondsPerCall({
  asItCame,
  edited,
  shortByLoop: () => byLoop(short),
  shortByEngine: () => out.write(short, 0, "latin1"),
  longByLoop: () => byLoop(long),
  longByEngine: () => out.write(long, 0, "latin1"),
});

console.log(
  JSON.stringify({
    benchmark: "write-head",
    headBytes: bytes.length,
    nanoseconds,
    ...conditions(),
  }),
);
