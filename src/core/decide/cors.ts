/**
 * Gateway API HTTPCORSFilter: which pages of other origins may read our answers. The browser enforces it; the proxy says what is allowed, and answers
 * preflight requests itself.
 */
import type { Cors, HeaderModifier, HeaderValue } from "../model/filter.ts";
import { isToken } from "../std/field.ts";

/** The three fields of a preflight request, as they came. */
export type Preflight = {
  readonly origin: string;
  readonly requestedMethod: string | undefined;
  readonly requestedHeaders: string | undefined;
};

/** A host name of 253 characters with scheme and port is shorter. A longer origin is nobody's. */
export const maxOriginLength = 512;

/** Of the header that is echoed. Pages ask for a handful of names. */
export const maxRequestedHeadersLength = 4_096;

/** WHATWG Fetch, "CORS-preflight request". `header` takes names in lower case. */
export function isPreflight(method: string, header: (name: string) => string | undefined): boolean {
  return (
    method === "OPTIONS" &&
    header("origin") !== undefined &&
    header("access-control-request-method") !== undefined
  );
}

/**
 * The headers of the answer to a preflight request, which is 204 in any case and never reaches a backend. Empty: the origin is not allowed. GET, HEAD and POST are
 * not added to the methods, because a browser allows them whatever the list says (Fetch, "CORS-safelisted method").
 */
export function preflight(cors: Cors, request: Preflight): readonly HeaderValue[] {
  if (!originAllowed(cors.origins, request.origin)) return [];
  const headers: HeaderValue[] = [];
  const say = (name: string, value: string | undefined): void => {
    if (value !== undefined && value !== "") headers.push({ name, value });
  };
  say("access-control-allow-origin", allowedOrigin(cors, request.origin));
  say("access-control-allow-credentials", cors.credentials ? "true" : undefined);
  say("access-control-allow-methods", allowedMethods(cors, request.requestedMethod));
  say("access-control-allow-headers", allowedHeaders(cors, request.requestedHeaders));
  say("access-control-expose-headers", exposedHeaders(cors));
  say("access-control-max-age", cors.maxAgeSeconds > 0 ? `${cors.maxAgeSeconds}` : undefined);
  say("vary", answersAlike(cors) ? undefined : "Origin");
  return headers;
}

/**
 * What the response to any other request gets. `set` replaces what the backend said, since a browser refuses two answers. An origin that is not allowed gets no
 * permission but still `Vary`: a cache must not hand its answer to an origin that is (Fetch, "CORS protocol and HTTP caches").
 */
export function corsResponseHeaders(cors: Cors, origin: string | undefined): HeaderModifier {
  const add = answersAlike(cors) ? [] : [{ name: "vary", value: "Origin" }];
  if (origin === undefined || !originAllowed(cors.origins, origin)) {
    return { set: [], add, remove: [] };
  }
  const set = [{ name: "access-control-allow-origin", value: allowedOrigin(cors, origin) }];
  const exposed = exposedHeaders(cors);
  if (exposed !== "") set.push({ name: "access-control-expose-headers", value: exposed });
  if (cors.credentials) set.push({ name: "access-control-allow-credentials", value: "true" });
  return { set, add, remove: cors.credentials ? [] : ["access-control-allow-credentials"] };
}

/** Whether one of the patterns takes the origin. `null`, the origin of sandboxed pages and files, is taken by `*` alone. */
export function originAllowed(patterns: readonly string[], origin: string): boolean {
  if (origin.length > maxOriginLength || !visible.test(origin)) return false;
  if (patterns.includes("*")) return true;
  const parsed = parseOrigin(origin);
  return parsed !== undefined && patterns.some((pattern) => takes(pattern, parsed));
}

/** What is echoed into a header has no white space and no list in it. */
const visible = /^[\u0021-\u002b\u002d-\u007e]+$/;

type Origin = { readonly scheme: string; readonly host: string; readonly port: string };

const origin = /^(https?):\/\/(\[[0-9a-f:.]+\]|[^:/?#@[\]]+)(?::([0-9]{1,5}))?$/;

function parseOrigin(text: string): Origin | undefined {
  const [, scheme, host, port] = origin.exec(text.toLowerCase()) ?? [];
  if (scheme === undefined || host === undefined) return undefined;
  // The well-known port may be written or left out, on both sides.
  return { scheme, host, port: port ?? (scheme === "https" ? "443" : "80") };
}

function takes(pattern: string, { scheme, host, port }: Origin): boolean {
  const wanted = parseOrigin(pattern);
  if (wanted === undefined || wanted.scheme !== scheme || wanted.port !== port) return false;
  if (wanted.host === "*") return true;
  // `*.bar.com` takes any number of labels, at least one, and no part of a label.
  if (!wanted.host.startsWith("*.")) return wanted.host === host;
  return host.length > wanted.host.length - 1 && host.endsWith(wanted.host.slice(1));
}

/** Every origin gets the same answer, so caches need not tell them apart. */
function answersAlike({ origins, credentials }: Cors): boolean {
  return origins.includes("*") && !credentials;
}

/** With credentials a browser takes `*` literally (Fetch, "CORS check"), so the origin itself is the answer. */
function allowedOrigin(cors: Cors, requested: string): string {
  return answersAlike(cors) ? "*" : requested;
}

function allowedMethods(
  { methods, credentials }: Cors,
  requested: string | undefined,
): string | undefined {
  if (!methods.includes("*")) return methods.join(", ");
  if (!credentials) return "*";
  return requested !== undefined && isToken(requested) ? requested : undefined;
}

function allowedHeaders(
  { headers, credentials }: Cors,
  requested: string | undefined,
): string | undefined {
  if (!headers.includes("*")) return headers.join(", ");
  if (!credentials) return "*";
  if (requested === undefined || requested.length > maxRequestedHeadersLength) return undefined;
  const names = requested.split(",").map((name) => name.trim());
  return names.every(isToken) ? names.join(", ") : undefined;
}

function exposedHeaders({ exposed, credentials }: Cors): string {
  return exposed.filter((name) => name !== "*" || !credentials).join(", ");
}
