/** The heads of responses on their way to the client: what ends here is left out, what a rule asks for is put in. */

import type { ResponseHead } from "../codec/http1-head.ts";
import { dropHopByHop, writeHead } from "../codec/http1-write.ts";
import { decisionHeader, tellsDecision } from "./decision-header.ts";
import type { Exchange } from "./exchange.ts";
import { applyModifiers } from "./filters.ts";
import { dropPrivateFields } from "./private-fields.ts";
import { addSession } from "./session-pin.ts";
import type { Upstream } from "./upstream.ts";

const ofOtherSidecars: ReadonlySet<string> = new Set(["l5d-proxy-error", decisionHeader]);
const nothing: ReadonlySet<string> = new Set();

/** Writes the final head (or the one that opens a tunnel) to the worker's scratch buffer; answers the position after it, or -1. */
export function writeResponseHead(exchange: Exchange, upstream: Upstream): number {
  const { responseEdit: edit, shard } = exchange;
  const { head } = upstream;
  edit.reset();
  dropHopByHop(head, edit, exchange.keepsUpgrade && head.upgrade);
  // Applications cannot speak for proxies. What is passed on is why another sidecar, proven to be one by its certificate,
  // answered in place of its application, and under which id it can be asked about that.
  dropPrivateFields(head.fields, edit, upstream.isMeshed ? ofOtherSidecars : nothing);
  // RFC 9110 §9.3.6: behind a 2xx to CONNECT is the tunnel, whatever these say.
  if (head.upgrade && head.status !== 101) {
    edit.remove("content-length");
    edit.remove("transfer-encoding");
  }
  applyModifiers(edit, exchange.responseModifiers);
  if (exchange.guard?.rule?.rule.session !== undefined) addSession(exchange);
  if (shard.settings.decisionHeader === "always" && tellsDecision(exchange)) {
    edit.add(decisionHeader, shard.decisions.idOf(exchange));
  }
  if (exchange.closes && !head.upgrade) edit.add("connection", "close");
  return writeHead(shard.scratch, 0, head, startLineOf(head), edit);
}

/** Interim responses of one exchange. 100 and a few 102 or 103 are normal; more is an endpoint gone wrong. */
const maxInterim = 16;

/**
 * RFC 9110 §15.2: interim responses are passed on, except to HTTP/1.0 clients, which do not know them. Answers why the response
 * cannot be used, or nothing.
 */
export function passInterim(exchange: Exchange, head: ResponseHead): string {
  const { responseEdit: edit, shard } = exchange;
  exchange.interimCount++;
  if (exchange.interimCount > maxInterim) return "the endpoint sent too many interim responses";
  if (exchange.head.versionMinor === 0) return "";
  exchange.guard?.touch();
  edit.reset();
  dropHopByHop(head, edit, false);
  const end = writeHead(shard.scratch, 0, head, startLineOf(head), edit);
  if (end < 0) return "the head of the response is too long";
  exchange.downstream.sendScratch(end);
  return "";
}

/** RFC 9112 §2.3: the version is that of the hop, and this one is HTTP/1.1, whatever the endpoint speaks. */
function startLineOf(head: ResponseHead): string | undefined {
  if (head.versionMinor === 1) return undefined;
  const lineEnd = head.fields.count > 0 ? (head.fields.spans[0] as number) : head.fields.blank;
  const afterVersion = head.bytes.toString("latin1", head.start + "HTTP/1.0".length, lineEnd - 2);
  return `HTTP/1.1${afterVersion}`;
}
