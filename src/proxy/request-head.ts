/** The heads of requests on their way to an endpoint. */
import { Known } from "../codec/header-list.ts";
import type { RequestHead } from "../codec/http1-head.ts";
import { dropHopByHop } from "../codec/http1-write.ts";
import type { Exchange } from "./exchange.ts";
import { dropPrivateFields } from "./private-fields.ts";

/**
 * Starts the edits of a request: what ends at this hop is left out, and so is everything that only proxies of the mesh may
 * say, whoever said it. The order and the bytes of all other fields stay.
 */
export function prepareRequest(exchange: Exchange): void {
  const { head, requestEdit: edit } = exchange;
  edit.reset();
  exchange.keepsUpgrade = head.upgrade && !upgradesToHttp2(head);
  dropHopByHop(head, edit, exchange.keepsUpgrade);
  dropPrivateFields(head.fields, edit);
  exchange.startLine = head.targetForm === "absolute" ? originLine(exchange) : undefined;
}

/** RFC 9112 §3.2.2: what a forward proxy was asked in absolute form, an origin is asked in origin form, with Host. */
function originLine({ head, requestEdit }: Exchange): string {
  if (head.fields.findKnown(Known.host, 0) < 0) requestEdit.add("host", head.authority);
  const query = head.hasQuery ? `?${head.query}` : "";
  return `${head.method} ${head.path}${query} HTTP/1.${head.versionMinor}`;
}

/** RFC 9113 §3.1 abandons that upgrade, and an endpoint that took it would answer in frames. The request goes on as HTTP/1.1. */
function upgradesToHttp2(head: RequestHead): boolean {
  return head.fields.get("upgrade")?.toLowerCase().includes("h2c") === true;
}
