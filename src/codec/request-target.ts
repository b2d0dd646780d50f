/**
 * Method, target and Host become one canonical method, path, query and authority, which routing, authorization and
 * forwarding all use (decisions 7). The path stays as it was sent: what it may contain is a policy, not a grammar.
 */
import { AuthorityCase, hasPort, sameAuthority, scanAuthority } from "./authority.ts";
import { Byte, spells } from "./byte-class.ts";
import type { RequestHead } from "./http1-head.ts";
import { Refusal } from "./refusal.ts";
import { WordTable } from "./word-table.ts";

/** The registered methods (RFC 9110 §16.1.1, the registry at IANA). */
const methods: readonly string[] = [
  ..."GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY ACL BASELINE-CONTROL BIND CHECKIN".split(
    " ",
  ),
  ..."CHECKOUT COPY LABEL LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE".split(
    " ",
  ),
  ..."ORDERPATCH PRI PROPFIND PROPPATCH REBIND REPORT SEARCH UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE".split(
    " ",
  ),
  ..."UPDATEREDIRECTREF VERSION-CONTROL".split(" "),
];

/** Methods are case-sensitive (RFC 9110 §9.1): every byte is compared as itself. */
const methodTable: WordTable = new WordTable(
  methods,
  Uint8Array.from({ length: 256 }, (_none, byte) => byte),
);

export function readMethod(head: RequestHead): void {
  const end = head.targetStart - 1;
  const known = methods[methodTable.find(head.bytes, head.start, end) - 1];
  head.method = known ?? head.bytes.toString("latin1", head.start, end);
}

/** Reads the target in the form it has (RFC 9112 §3.2). Answers 0 or a negative refusal. */
export function readTarget(head: RequestHead): number {
  const { bytes, targetStart, targetEnd, queryAt } = head;
  const pathEnd = queryAt < 0 ? targetEnd : queryAt;
  head.hasQuery = queryAt >= 0;
  head.query = queryAt < 0 ? "" : head.repeated.query.read(bytes, queryAt + 1, targetEnd);
  head.scheme = "";
  if (head.method === "CONNECT") return readAuthorityForm(head);
  if (bytes[targetStart] === Byte.slash) {
    head.targetForm = "origin";
    head.path = head.repeated.path.read(bytes, targetStart, pathEnd);
    return 0;
  }
  if (bytes[targetStart] === Byte.asterisk) {
    if (targetEnd - targetStart !== 1 || head.method !== "OPTIONS") return -Refusal.badTargetForm;
    head.targetForm = "asterisk";
    head.path = "*";
    return 0;
  }
  return readAbsoluteForm(head, pathEnd);
}

/** RFC 9112 §3.2.3: CONNECT names host and port, and nothing else. */
function readAuthorityForm(head: RequestHead): number {
  const refusal = readAuthority(head, head.targetStart, head.targetEnd);
  if (refusal !== 0) return refusal;
  if (!hasPort(head.authority)) return -Refusal.badTargetForm;
  head.targetForm = "authority";
  head.path = "";
  return 0;
}

/** RFC 9112 §3.2.2, with the two schemes that HTTP/1 carries. An empty path is `/` (RFC 9110 §4.2.3). */
function readAbsoluteForm(head: RequestHead, pathEnd: number): number {
  const { bytes, targetStart } = head;
  const schemeEnd = schemeLength(bytes, targetStart, pathEnd);
  if (schemeEnd === 0) return -Refusal.badTargetForm;
  head.scheme = schemeEnd === 5 ? "https" : "http";
  const authorityStart = targetStart + schemeEnd + 3;
  let at = authorityStart;
  while (at < pathEnd && bytes[at] !== Byte.slash) at++;
  const refusal = readAuthority(head, authorityStart, at);
  if (refusal !== 0) return refusal;
  head.targetForm = "absolute";
  head.path = at === pathEnd ? "/" : head.repeated.path.read(bytes, at, pathEnd);
  return 0;
}

/** How many letters the scheme has if `http://` or `https://` begins here, else 0. */
function schemeLength(bytes: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end && bytes[at] !== Byte.colon) at++;
  if (bytes[at + 1] !== Byte.slash || bytes[at + 2] !== Byte.slash || at + 2 >= end) return 0;
  return spells(bytes, start, at, "http") || spells(bytes, start, at, "https") ? at - start : 0;
}

/** An authority that was good in the message before is not checked again. */
function readAuthority(head: RequestHead, start: number, end: number): number {
  const { bytes } = head;
  const memory = head.repeated.authority;
  const repeated = memory.recall(bytes, start, end);
  if (repeated !== undefined) {
    head.authority = repeated;
    return 0;
  }
  const letterCase = scanAuthority(bytes, start, end);
  if (letterCase < 0) return letterCase;
  const text = bytes.toString("latin1", start, end);
  const lower = letterCase === AuthorityCase.lower ? text : text.toLowerCase();
  head.authority = memory.keep(bytes, start, end, lower);
  return 0;
}

/**
 * RFC 9112 §3.2: exactly one Host with HTTP/1.1. When the target names an authority too, both must say the same; the
 * standard lets a proxy ignore Host then, but an origin behind it may not.
 */
export function readHost(head: RequestHead): number {
  const { fields, hostField: i, targetForm } = head;
  const fromTarget = targetForm === "absolute" || targetForm === "authority";
  if (i < 0) {
    if (head.versionMinor === 1) return -Refusal.noHost;
    if (!fromTarget) head.authority = "";
    return 0;
  }
  const named = head.authority;
  const refusal = readAuthority(
    head,
    fields.spans[4 * i + 2] as number,
    fields.spans[4 * i + 3] as number,
  );
  if (refusal !== 0 || !fromTarget) return refusal;
  if (!sameAuthority(head.scheme, named, head.authority)) return -Refusal.otherAuthority;
  head.authority = named;
  return 0;
}
