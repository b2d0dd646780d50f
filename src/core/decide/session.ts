/**
 * Session persistence without a store (Gateway API GEP-1619): the token names the endpoint, so every worker of every sidecar reads it, also after a restart.
 *
 * The token is not signed. A client may write any name into it, and the caller follows it only to one of the endpoints that the rule offers, which are those
 * that the client can reach by trying often enough.
 */
import type { SessionPersistence } from "../model/session.ts";

export type Session = {
  /** `endpointKey` of the endpoint. */
  readonly endpoint: string;
  readonly issuedMs: number;
  readonly usedMs: number;
};

/** An address, a port, two times and a number make some 70 characters; in base64 some 100. */
export const maxTokenLength = 256;

/** Servers refuse longer fields; what lies behind is not looked at. */
export const maxCookieHeaderLength = 16_384;

/** How far the clocks of two sidecars that see the same client may be apart. A token from a later time is not ours. */
export const maxClockSkewMs = 60_000;

/** With an idle limit the client gets a new token when this part of the limit has passed, not with every response. */
const refreshPart = 0.1;

/** Tokens of another version are unreadable, which only costs the client its session. */
const version = "1";

/**
 * `fieldValue` is that of Cookie, or of the header that the policy names. `scope` names the rule: two rules never share a session. `nowMs` is the time since 1970.
 * Undefined: there is no session, it cannot be read, it is of another rule, or its time is over.
 */
export function readSession(
  persistence: SessionPersistence,
  scope: string,
  fieldValue: string | undefined,
  nowMs: number,
): Session | undefined {
  if (fieldValue === undefined) return undefined;
  const token =
    persistence.type === "cookie" ? cookieValue(fieldValue, persistence.name) : fieldValue;
  const session = token === undefined ? undefined : parseToken(token, scope);
  return session !== undefined && isAlive(persistence, session, nowMs) ? session : undefined;
}

export type SessionReply = {
  readonly nowMs: number;
  /** The client came over TLS. */
  readonly secure: boolean;
};

/** The value of Set-Cookie, or of the header that the policy names. */
export function writeSession(
  persistence: SessionPersistence,
  scope: string,
  session: Session,
  { nowMs, secure }: SessionReply,
): string {
  const token = formatToken(session, scope);
  if (persistence.type === "header") return token;
  const { name, cookiePath, lifetime, absoluteMs } = persistence;
  let cookie = `${name}=${token}; Path=${cookiePath}`;
  if (lifetime === "permanent") {
    // The end of the session does not move when the token is written again.
    const leftMs = Math.max(session.issuedMs + absoluteMs - nowMs, 0);
    cookie += `; Max-Age=${Math.ceil(leftMs / 1_000)}`;
  }
  cookie += "; HttpOnly; SameSite=Strict";
  return secure ? `${cookie}; Secure` : cookie;
}

/** Whether a response to a client that is already where it belongs carries a new token, so that its idle time begins anew. */
export function isRefreshDue(
  { idleMs }: SessionPersistence,
  session: Session,
  nowMs: number,
): boolean {
  return idleMs > 0 && nowMs - session.usedMs >= idleMs * refreshPart;
}

/** RFC 6265 §5.4: pairs of name and value behind semicolons. Of several with one name the first counts, which has the longest path. */
export function cookieValue(header: string, name: string): string | undefined {
  const end = Math.min(header.length, maxCookieHeaderLength);
  let start = 0;
  while (start < end) {
    const semicolon = header.indexOf(";", start);
    const stop = semicolon < 0 ? header.length : semicolon;
    const equals = header.indexOf("=", start);
    if (equals >= 0 && equals < stop && header.slice(start, equals).trim() === name) {
      return unquote(header.slice(equals + 1, stop).trim());
    }
    start = stop + 1;
  }
  return undefined;
}

/** RFC 6265 §4.1.1: a value may stand in quotes. */
function unquote(text: string): string {
  return text.length >= 2 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text;
}

function isAlive(
  { absoluteMs, idleMs }: SessionPersistence,
  { issuedMs, usedMs }: Session,
  nowMs: number,
): boolean {
  if (issuedMs > nowMs + maxClockSkewMs || usedMs > nowMs + maxClockSkewMs) return false;
  if (absoluteMs > 0 && nowMs - issuedMs >= absoluteMs) return false;
  return idleMs === 0 || nowMs - usedMs < idleMs;
}

/** Version, rule, times and endpoint. Base64 makes it fit for a cookie (RFC 6265 §4.1.1) and tells the client that there is nothing in it for him to read. */
function formatToken({ endpoint, issuedMs, usedMs }: Session, scope: string): string {
  const text = [version, digest(scope), issuedMs.toString(36), usedMs.toString(36), endpoint];
  return toBytes(text.join(" ")).toBase64({ alphabet: "base64url", omitPadding: true });
}

const tokenText =
  /^(?<version>[0-9]+) (?<scope>[0-9a-z]+) (?<issued>[0-9a-z]{1,10}) (?<used>[0-9a-z]{1,10}) (?<endpoint>[0-9a-f.:[\]]{1,64})$/;

function parseToken(token: string, scope: string): Session | undefined {
  if (token.length > maxTokenLength || !/^[A-Za-z0-9_-]+$/.test(token)) return undefined;
  const parts = tokenText.exec(decode(token) ?? "")?.groups;
  if (parts?.["version"] !== version || parts["scope"] !== digest(scope)) return undefined;
  return {
    endpoint: parts["endpoint"] ?? "",
    issuedMs: Number.parseInt(parts["issued"] ?? "", 36),
    usedMs: Number.parseInt(parts["used"] ?? "", 36),
  };
}

function decode(token: string): string | undefined {
  // A remainder of one character is no octet; the decoder would throw.
  if (token.length % 4 === 1) return undefined;
  return String.fromCharCode(...Uint8Array.fromBase64(token, { alphabet: "base64url" }));
}

function toBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/**
 * The name of a rule in few characters (FNV-1a, 32 bits): it keeps the tokens of two rules apart that a cookie path or a header name does not. Two rules of one digest would
 * share their sessions, which a client can have anyway by writing the token himself.
 */
function digest(scope: string): string {
  let hash = 0x811c9dc5;
  for (let at = 0; at < scope.length; at++) {
    hash = Math.imul(hash ^ scope.charCodeAt(at), 0x01000193);
  }
  return (hash >>> 0).toString(36);
}
