/**
 * What makes a filter impossible to carry out. Such a filter answers 500 to its own requests and says why: it is neither
 * skipped nor done by half. The proxy asks when it loads a table, `weft explain` when it follows a request.
 */
import {
  type Cors,
  type DirectResponse,
  type Filter,
  failAlways,
  type HeaderModifier,
  type HeaderValue,
  type UrlRewrite,
} from "../model/filter.ts";
import { isFieldValue, isToken } from "../std/field.ts";
import type { FilterEntry, OutboundRule } from "../table/outbound.ts";
import { isPrivateName } from "./private-name.ts";

/**
 * Fields that say where a message ends or what the connection does next (RFC 9110 §7.6.1, RFC 9112 §6). They belong to the
 * proxy; a filter that could change them could hide a request inside another.
 */
const ownNames: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/**
 * Of a filter that answers itself. kgateway's definition allows 4,096 characters; head and body are written in one piece of
 * 128 KiB (`edge/net/buffer-pool.ts`).
 */
const maxDirectBodyBytes: number = 32 * 1024;

/** In a request line a blank would end the target, and what is not ASCII is no URI. */
const visible = /^[!-~]*$/;

/** Undefined: the filter can be carried out. A filter of an inbound table has its backend in it, which nobody there can ask. */
export function filterFault(filter: Filter | FilterEntry): string | undefined {
  switch (filter.kind) {
    case "request-headers":
    case "response-headers":
      return modifierFault(filter.modifier);
    case "url-rewrite":
      return rewriteFault(filter.rewrite);
    case "direct-response":
      return responseFault(filter.response);
    case "cors":
      return corsFault(filter.cors);
    case "mirror":
      if (typeof filter.mirror.backend === "number") return undefined;
      return "a filter sends copies where there is no other backend";
    case "external-auth":
      if (typeof filter.auth.backend !== "number") {
        return "a filter asks for authorization where there is no other backend";
      }
      if (visible.test(filter.auth.pathPrefix) && !/[?#]/.test(filter.auth.pathPrefix)) {
        return undefined;
      }
      return "a filter asks for authorization under a path that is none";
    case "redirect":
    case "failure":
    case "delay":
      return undefined;
  }
}

/** A session header that may not be written fails its rule: without it clients would lose their sessions unseen. */
export function sessionFaults({ session }: Pick<OutboundRule, "session">): readonly Filter[] {
  if (session?.type !== "header") return [];
  const fault = session.name.toLowerCase() === "host" ? "host" : nameFault(session.name);
  if (fault === undefined) return [];
  return [failAlways(500, `sessions cannot be kept in the header '${session.name}'`)];
}

/** Why a policy may not write a field of this name; undefined: it may. */
function nameFault(name: string): string | undefined {
  if (!isToken(name)) return "a filter names a header that is not a token";
  const lower = name.toLowerCase();
  if (!isPrivateName(lower) && !ownNames.has(lower)) return undefined;
  return `a filter may not change the header '${lower}'`;
}

function modifierFault({ set, add, remove }: HeaderModifier): string | undefined {
  for (const name of [...remove, ...set.map(nameOf), ...add.map(nameOf)]) {
    const fault = nameFault(name);
    if (fault !== undefined) return fault;
  }
  // RFC 9112 §3.2: exactly one Host. It may be replaced, not doubled or left out.
  if ([...remove, ...add.map(nameOf)].some((name) => name.toLowerCase() === "host")) {
    return "a filter may set the header 'host', but not add or remove it";
  }
  const bad = [...set, ...add].find(({ value }) => !isFieldValue(value));
  return bad === undefined ? undefined : `a filter gives the header '${bad.name}' a bad value`;
}

/** A question mark would begin a second query. A name is no more than a value of Host. */
function rewriteFault({ host, path }: UrlRewrite): string | undefined {
  if (!visible.test(host)) return "a filter sets a host that is no host";
  if (path === undefined) return undefined;
  if (!visible.test(path.value)) {
    return "a filter rewrites the path to something that is not visible ASCII";
  }
  if (!/[?#]/.test(path.value)) return undefined;
  return "a filter rewrites the path to something with a query or a fragment";
}

function responseFault({ status, body, contentType }: DirectResponse): string | undefined {
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    return `a filter answers with ${status}, which is no final status`;
  }
  if (!isFieldValue(contentType)) return "a filter answers with a bad content type";
  // RFC 9110 §15.3.6: 205 has no content.
  if (status === 205 || utf8Length(body) <= maxDirectBodyBytes) return undefined;
  return `a filter answers with more than ${maxDirectBodyBytes} bytes`;
}

/** What a browser is told is made of these; origins are compared only, and a request's own is echoed. */
function corsFault({ methods, headers, exposed, maxAgeSeconds }: Cors): string | undefined {
  if (![...methods, ...headers, ...exposed].every(isToken)) {
    return "a filter allows pages of other origins a method or header that is not a token";
  }
  if (!Number.isSafeInteger(maxAgeSeconds)) return "a filter has no whole number as its max age";
  return undefined;
}

function nameOf({ name }: HeaderValue): string {
  return name;
}

/** A lone surrogate becomes U+FFFD, three bytes. */
function utf8Length(text: string): number {
  let length = 0;
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    length += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x1_0000 ? 3 : 4;
  }
  return length;
}
