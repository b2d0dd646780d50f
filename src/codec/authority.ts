/**
 * `host[:port]` as it stands in Host and in absolute targets (RFC 3986 §3.2, RFC 9110 §7.2). Stricter than the grammar:
 * user information, percent-encoding, sub-delimiters, an empty host and an empty port are refused, because routing,
 * authorization and the origin would each make their own sense of them.
 */
import { parseIp } from "../core/std/ip.ts";
import { Byte, hostLower } from "./byte-class.ts";
import { Refusal } from "./refusal.ts";

/** RFC 3986 §3.2.2: names longer than 255 bytes are in no registry. */
const maxHostBytes = 255;

/** The longest IPv6 address in text, with an IPv4 tail. */
const maxAddressBytes = 45;

/** What `scanAuthority` answers for a good authority. */
export const AuthorityCase = { lower: 0, mixed: 1 } as const;

/** Checks an authority. Answers an `AuthorityCase`, or a negative refusal. */
export function scanAuthority(bytes: Buffer, start: number, end: number): number {
  let at = start;
  let letterCase: number = AuthorityCase.lower;
  if (bytes[start] === Byte.openBracket && start < end) {
    at = addressEnd(bytes, start, end);
    if (at < 0) return -Refusal.badAuthority;
    letterCase = AuthorityCase.mixed;
  } else {
    while (at < end) {
      const byte = bytes[at] as number;
      const lower = hostLower[byte] as number;
      if (lower === 0) break;
      if (lower !== byte) letterCase = AuthorityCase.mixed;
      at++;
    }
  }
  if (at === start || at - start > maxHostBytes) return -Refusal.badAuthority;
  if (at === end || isPort(bytes, at, end)) return letterCase;
  return -Refusal.badAuthority;
}

/** The position after `[address]`, or -1. Zones (RFC 6874) mean something on one machine only and are refused. */
function addressEnd(bytes: Buffer, start: number, end: number): number {
  const close = bytes.indexOf(Byte.closeBracket, start);
  if (close < 0 || close >= end || close - start - 1 > maxAddressBytes) return -1;
  const address = bytes.toString("latin1", start + 1, close);
  return address.includes(":") && parseIp(address) !== undefined ? close + 1 : -1;
}

/** `:` and 1 to 65535 without zeros in front. */
function isPort(bytes: Buffer, colon: number, end: number): boolean {
  if (bytes[colon] !== Byte.colon || colon + 1 === end || end - colon > 6) return false;
  if (bytes[colon + 1] === Byte.zero) return false;
  let port = 0;
  for (let at = colon + 1; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte < Byte.zero || byte > Byte.nine) return false;
    port = port * 10 + (byte - Byte.zero);
  }
  return port <= 65535;
}

/** Whether a (lower-case) authority names a port. */
export function hasPort(authority: string): boolean {
  return authority.lastIndexOf(":") > authority.lastIndexOf("]");
}

/** Whether two (lower-case) authorities name the same place; the scheme's default port may be left out. */
export function sameAuthority(scheme: string, left: string, right: string): boolean {
  return left === right || withoutDefaultPort(scheme, left) === withoutDefaultPort(scheme, right);
}

function withoutDefaultPort(scheme: string, authority: string): string {
  const port = scheme === "https" ? ":443" : scheme === "http" ? ":80" : undefined;
  return port !== undefined && authority.endsWith(port)
    ? authority.slice(0, -port.length)
    : authority;
}
