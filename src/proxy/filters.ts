/**
 * Filters of a rule or of a backend in the form in which requests meet them, in their order: names in lower case, values as
 * octets, backends looked up.
 */
import type { HeadEdit } from "../codec/http1-write.ts";
import {
  type Cors,
  type Delay,
  type DirectResponse,
  type ExternalAuth,
  type FailureInjector,
  type Filter,
  failAlways,
  type HeaderModifier,
  type HeaderValue,
  type Mirror,
  type PathModifier,
  type Redirect,
  type UrlRewrite,
} from "../core/model/filter.ts";
import { isFieldValue, isToken } from "../core/std/field.ts";
import { unreachable } from "../core/std/unreachable.ts";
import type { ExternalAuthEntry, FilterEntry, MirrorEntry } from "../core/table/outbound.ts";
import type { TargetGroup } from "./exchange.ts";
import type { MirrorCounts } from "./mirror-counts.ts";
import { isPrivateName } from "./private-fields.ts";

export type PreparedFilters = readonly FilterStep[];

/** One filter. */
export type FilterStep =
  | { readonly kind: "request-headers"; readonly modifier: HeaderModifier }
  | { readonly kind: "response-headers"; readonly modifier: HeaderModifier }
  | { readonly kind: "redirect"; readonly redirect: Redirect }
  | { readonly kind: "failure"; readonly failure: FailureInjector }
  | { readonly kind: "url-rewrite"; readonly rewrite: UrlRewrite }
  | { readonly kind: "mirror"; readonly mirror: PreparedMirror }
  | { readonly kind: "cors"; readonly cors: Cors }
  | { readonly kind: "external-auth"; readonly auth: PreparedAuth }
  | { readonly kind: "direct-response"; readonly response: DirectResponse }
  | { readonly kind: "delay"; readonly delay: Delay };

export type PreparedMirror = Omit<MirrorEntry, "backend"> & {
  /** Undefined: the backend leads nowhere. */
  readonly group: TargetGroup | undefined;
  readonly counts: MirrorCounts;
};

export type PreparedAuth = Omit<ExternalAuth, "backend"> & {
  /** Undefined: the backend leads nowhere. */
  readonly group: TargetGroup | undefined;
};

/** What filters that refer to backends need; `backend` is an index into the table's. */
export type FilterContext = {
  readonly groupOf: (backend: number) => TargetGroup | undefined;
  readonly mirrorCounts: (backend: number) => MirrorCounts;
};

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

/**
 * A filter that cannot be carried out fails its own requests, and says so: it is neither skipped nor done by half. Without
 * `context` (on the inbound side, where a request has one way to go) that holds for filters that refer to a backend.
 */
export function prepareFilters(
  filters: readonly (Filter | FilterEntry)[],
  context?: FilterContext,
): PreparedFilters {
  return filters.map((filter) => prepareFilter(filter, context));
}

/** In the order remove, set, add. */
export function applyModifiers(edit: HeadEdit, modifiers: readonly HeaderModifier[]): void {
  for (let at = 0; at < modifiers.length; at++) {
    applyModifier(edit, modifiers[at] as HeaderModifier);
  }
}

export function applyModifier(edit: HeadEdit, { remove, set, add }: HeaderModifier): void {
  for (const name of remove) edit.remove(name);
  for (const { name, value } of set) edit.set(name, value);
  for (const { name, value } of add) edit.add(name, value);
}

function prepareFilter(
  filter: Filter | FilterEntry,
  context: FilterContext | undefined,
): FilterStep {
  switch (filter.kind) {
    case "request-headers":
    case "response-headers": {
      const fault = faultOf(filter.modifier);
      if (fault !== undefined) return broken(fault);
      return { kind: filter.kind, modifier: prepareModifier(filter.modifier) };
    }
    case "redirect": {
      const { redirect } = filter;
      const path = redirect.path && preparePath(redirect.path);
      return { kind: "redirect", redirect: { ...redirect, host: octets(redirect.host), path } };
    }
    case "url-rewrite":
      return prepareRewrite(filter.rewrite);
    case "mirror":
      return prepareMirror(filter.mirror, context);
    case "direct-response":
      return prepareResponse(filter.response);
    case "cors": {
      const fault = corsFault(filter.cors);
      return fault === undefined ? filter : broken(fault);
    }
    case "failure":
    case "delay":
      return filter;
    case "external-auth":
      return prepareAuth(filter.auth, context);
    default:
      return unreachable(filter);
  }
}

function broken(fault: string): FilterStep {
  const filter = failAlways(500, fault);
  if (filter.kind !== "failure") throw new Error("Made a failure that is not one");
  return filter;
}

/**
 * The value ends up in a request line, where a blank would end it and a question mark would begin a second query. A name is
 * no more than a value of Host.
 */
function prepareRewrite({ host, path }: UrlRewrite): FilterStep {
  if (!/^[!-~]*$/.test(host)) return broken("a filter sets a host that is no host");
  if (path !== undefined && !/^[!-~]*$/.test(path.value)) {
    return broken("a filter rewrites the path to something that is not visible ASCII");
  }
  if (path !== undefined && /[?#]/.test(path.value)) {
    return broken("a filter rewrites the path to something with a query or a fragment");
  }
  return { kind: "url-rewrite", rewrite: { host, path } };
}

function prepareMirror(
  { backend, numerator, denominator }: Mirror | MirrorEntry,
  context: FilterContext | undefined,
): FilterStep {
  if (context === undefined || typeof backend !== "number") {
    return broken("a filter sends copies where there is no other backend");
  }
  const group = context.groupOf(backend);
  const counts = context.mirrorCounts(backend);
  return { kind: "mirror", mirror: { numerator, denominator, group, counts } };
}

function prepareAuth(
  auth: ExternalAuth | ExternalAuthEntry,
  context: FilterContext | undefined,
): FilterStep {
  const { backend, pathPrefix, ...asked } = auth;
  if (context === undefined || typeof backend !== "number") {
    return broken("a filter asks for authorization where there is no other backend");
  }
  if (!/^[!-~]*$/.test(pathPrefix) || /[?#]/.test(pathPrefix)) {
    return broken("a filter asks for authorization under a path that is none");
  }
  const group = context.groupOf(backend);
  return { kind: "external-auth", auth: { ...asked, pathPrefix, group } };
}

/** RFC 9110 §15.3.6: 205 has no content. Without content its type means nothing. */
function prepareResponse({ status, body: text, contentType }: DirectResponse): FilterStep {
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    return broken(`a filter answers with ${status}, which is no final status`);
  }
  if (!isFieldValue(contentType)) return broken("a filter answers with a bad content type");
  const body = status === 205 ? "" : text;
  if (Buffer.byteLength(body) > maxDirectBodyBytes) {
    return broken(`a filter answers with more than ${maxDirectBodyBytes} bytes`);
  }
  const response = { status, body, contentType: body === "" ? "" : octets(contentType) };
  return { kind: "direct-response", response };
}

/** What a browser is told is made of these; origins are compared only, and a request's own is echoed. */
function corsFault({ methods, headers, exposed, maxAgeSeconds }: Cors): string | undefined {
  if (![...methods, ...headers, ...exposed].every(isToken)) {
    return "a filter allows pages of other origins a method or header that is not a token";
  }
  if (!Number.isSafeInteger(maxAgeSeconds)) return "a filter has no whole number as its max age";
  return undefined;
}

function faultOf({ set, add, remove }: HeaderModifier): string | undefined {
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

/** Why a policy may not write a field of this name; undefined: it may. */
export function nameFault(name: string): string | undefined {
  if (!isToken(name)) return "a filter names a header that is not a token";
  const lower = name.toLowerCase();
  if (!isPrivateName(lower) && !ownNames.has(lower)) return undefined;
  return `a filter may not change the header '${lower}'`;
}

function nameOf({ name }: HeaderValue): string {
  return name;
}

function prepareModifier({ set, add, remove }: HeaderModifier): HeaderModifier {
  return {
    set: set.map(prepareValue),
    add: add.map(prepareValue),
    remove: remove.map((name) => name.toLowerCase()),
  };
}

function prepareValue({ name, value }: HeaderValue): HeaderValue {
  return { name: name.toLowerCase(), value: octets(value) };
}

/** A URI is ASCII; what else comes in a policy is written as RFC 3987 §3.1 says. */
function preparePath({ kind, value }: PathModifier): PathModifier {
  const escaped = (octet: string): string => `%${octet.charCodeAt(0).toString(16).toUpperCase()}`;
  return { kind, value: octets(value).replaceAll(/[\u0080-\u00ff]/g, escaped) };
}

/** Values travel as UTF-8; a head is written as one octet for each character. */
function octets(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}
