/** The heads of requests on their way to an endpoint. */
import { Known } from "../codec/header-list.ts";
import type { RequestHead } from "../codec/http1-head.ts";
import { dropHopByHop, HeadEdit } from "../codec/http1-write.ts";
import { rewriteTarget } from "../core/decide/url-rewrite.ts";
import type { UrlRewrite } from "../core/model/filter.ts";
import type { Exchange } from "./exchange.ts";
import { dropPrivateFields } from "./private-fields.ts";

/**
 * Starts the edits of a request: what ends at this hop is left out, and so is everything that only proxies of the mesh may
 * say, whoever said it. The order and the bytes of all other fields stay.
 */
export function prepareRequest(exchange: Exchange): void {
  const { head, requestEdit: edit } = exchange;
  edit.reset();
  exchange.keepsUpgrade = head.upgrade && head.method !== "CONNECT" && !upgradesToHttp2(head);
  dropHopByHop(head, edit, exchange.keepsUpgrade);
  dropPrivateFields(head.fields, edit);
  if (exchange.trace !== undefined) exchange.trace.prepare(edit);
  const isForUs = head.targetForm === "absolute" && exchange.origin.destination === undefined;
  exchange.startLine = isForUs ? originLine(exchange) : undefined;
}

/**
 * RFC 9112 §3.2.2: what a forward proxy was asked in absolute form, an origin is asked in origin form, with Host. A client that was redirected asks a
 * forward proxy behind us, which needs to be told all of it.
 */
function originLine({ head, requestEdit }: Exchange): string {
  if (head.fields.findKnown(Known.host, 0) < 0) requestEdit.add("host", head.authority);
  return lineOf(head, head.hasQuery ? `${head.path}?${head.query}` : head.path);
}

function lineOf(head: RequestHead, target: string): string {
  return `${head.method} ${target} HTTP/1.${head.versionMinor}`;
}

/**
 * Asks for something else, as a filter says. What the request itself asked for counts, whatever filters before have made of
 * it. False: a prefix is to be replaced where none matched. `OPTIONS *` and CONNECT ask about a server and have no path
 * (RFC 9110 §9.3.6 and §9.3.7).
 */
export function rewriteRequest(exchange: Exchange, rewrite: UrlRewrite): boolean {
  const { head } = exchange;
  const hasPath = head.targetForm === "origin" || head.targetForm === "absolute";
  if (rewrite.path !== undefined && hasPath) {
    const target = rewriteTarget(rewrite, matchedPrefix(exchange), head.path, head.query);
    if (target === undefined) return false;
    const isBare = head.hasQuery && head.query === "";
    exchange.startLine = lineOf(head, isBare ? `${target}?` : target);
  }
  if (rewrite.host !== "") renameHost(exchange, rewrite.host);
  return true;
}

/** The target of CONNECT names the host too, and a port that stays. Both must say the same (RFC 9112 §3.2.3). */
function renameHost(exchange: Exchange, host: string): void {
  const { head, requestEdit } = exchange;
  if (head.targetForm !== "authority") {
    requestEdit.set("host", host);
    return;
  }
  const authority = `${host}${head.authority.slice(head.authority.lastIndexOf(":"))}`;
  requestEdit.set("host", authority);
  exchange.startLine = lineOf(head, authority);
}

/** The prefix by which the rule took the request; undefined: it took it by something else. */
export function matchedPrefix({ matched }: Exchange): string | undefined {
  return matched?.path.kind === "prefix" ? matched.path.value : undefined;
}

/** Remembers what the filters of the rule have made of the request, so that every try can begin there. */
export function keepRuleState(exchange: Exchange): void {
  exchange.ruleEdit ??= new HeadEdit();
  exchange.ruleEdit.copyFrom(exchange.requestEdit);
  exchange.ruleStartLine = exchange.startLine;
  exchange.ruleModifiers = exchange.responseModifiers.length;
}

/** Takes back what the filters of a backend have done since `keepRuleState`. */
export function returnToRuleState(exchange: Exchange): void {
  const { ruleEdit } = exchange;
  if (ruleEdit === undefined) throw new Error("Keep the state of the rule before returning to it");
  exchange.requestEdit.copyFrom(ruleEdit);
  exchange.startLine = exchange.ruleStartLine;
  exchange.responseModifiers.length = exchange.ruleModifiers;
  exchange.isAgain = true;
}

/** RFC 9113 §3.1 abandons that upgrade, and an endpoint that took it would answer in frames. The request goes on as HTTP/1.1. */
function upgradesToHttp2(head: RequestHead): boolean {
  return head.fields.get("upgrade")?.toLowerCase().includes("h2c") === true;
}
