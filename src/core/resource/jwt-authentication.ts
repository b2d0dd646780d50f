import { isToken } from "../std/field.ts";
import type { Fault, Result } from "../std/result.ts";
import { readDurationMs } from "./duration.ts";
import { FaultList, Field, quote } from "./field.ts";
import { type ObjectMeta, readMeta } from "./object-meta.ts";

/** Requests by a signed token (RFC 7519). Everything must hold at once. */
export type JwtAuthentication = {
  readonly kind: "JWTAuthentication";
  readonly group: "weft.dev";
  readonly meta: ObjectMeta;
  readonly issuer: string;
  /** One of them must be among those of the token. Never empty (RFC 8725 §3.9). */
  readonly audiences: readonly string[];
  readonly keys: JwtKeys;
  readonly claims: readonly ClaimCondition[];
  readonly token: TokenPlace;
  /** Whether the application sees the token. */
  readonly forward: boolean;
};

export type JwtKeys =
  | { readonly from: "inline"; readonly jwks: string }
  | { readonly from: "file"; readonly path: string; readonly maxAgeMs: number }
  | { readonly from: "url"; readonly url: string; readonly maxAgeMs: number };

/** The claim is one of the values, or a list with one of them in it. */
type ClaimCondition = { readonly name: string; readonly values: readonly string[] };

/** Names of headers are in lower case. `authorization` holds `Bearer` and the token (RFC 6750 §2.1), any other header the token alone. */
type TokenPlace = { readonly in: "header" | "cookie"; readonly name: string };

/** How long keys that cannot be read anew are used. An identity provider is repaired within the hour, a leaked key must be out soon. */
const defaultMaxAgeMs = 3_600_000;

/** A shorter age would be over before the keys can be read again (sidecar/follow-keys.ts). */
const minMaxAgeMs = 60_000;

/** Kubernetes stores objects of up to 1.5 MB; a key set of a dozen keys has 10 KB. */
const maxInlineLength = 65_536;

export function parseJwtAuthentication(
  json: unknown,
  known: readonly Fault[] = [],
): Result<JwtAuthentication> {
  const list = new FaultList(known);
  const root = new Field(json, list);
  const spec = root.at("spec").required();
  const token = readPlace(spec.at("token"));
  const forward = spec.at("forward").flag(true);
  if (!forward && token.in === "cookie") {
    spec.at("forward").fault("must be true for a token in a cookie: only a header can be left out");
  }
  return list.settle({
    kind: "JWTAuthentication",
    group: "weft.dev",
    meta: readMeta(root.at("metadata"), "dns-name"),
    issuer: readFilled(spec.at("issuer")),
    audiences: readTexts(spec.at("audiences").required()),
    keys: readKeys(spec.at("keys").required()),
    claims: spec
      .at("claims")
      .items()
      .map((item) => ({
        name: readFilled(item.at("name")),
        values: readTexts(item.at("values").required()),
      })),
    token,
    forward,
  });
}

function readFilled(field: Field): string {
  const text = field.text();
  if (text === "" && field.isPresent) field.fault("must not be empty");
  return text;
}

function readTexts(field: Field): readonly string[] {
  const texts = field.items().map(readFilled);
  if (field.isPresent && texts.length === 0) field.fault("must have at least one entry");
  return texts;
}

function readKeys(field: Field): JwtKeys {
  const sources = ["inline", "file", "url"].filter((name) => field.at(name).isPresent);
  if (field.isPresent && sources.length !== 1) {
    field.fault("must have exactly one of inline, file and url");
  }
  const maxAgeMs = readMaxAge(field.at("maxAge"));
  if (field.at("inline").isPresent) {
    if (field.at("maxAge").isPresent) field.at("maxAge").fault("must be absent for inline keys");
    return { from: "inline", jwks: readInline(field.at("inline")) };
  }
  if (field.at("file").isPresent) {
    const path = readFilled(field.at("file"));
    if (!path.startsWith("/")) {
      field.at("file").fault(`must be an absolute path, is ${quote(path)}`);
    }
    return { from: "file", path, maxAgeMs };
  }
  return { from: "url", url: readUrl(field.at("url")), maxAgeMs };
}

function readMaxAge(field: Field): number {
  const ms = readDurationMs(field) ?? defaultMaxAgeMs;
  if (ms < minMaxAgeMs)
    field.fault(`must be at least ${minMaxAgeMs / 1_000}s, is ${quote(field.json)}`);
  return ms;
}

/** Which keys of it can be used is for the sidecar to say, which has the cryptography. */
function readInline(field: Field): string {
  const text = field.text();
  if (text.length > maxInlineLength) {
    field.fault(`must have at most ${maxInlineLength} characters, has ${text.length}`);
  } else if (!isKeySet(text)) {
    field.fault('must be a JSON Web Key Set (RFC 7517): {"keys": [...]}');
  }
  return text;
}

function isKeySet(text: string): boolean {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === "object" && json !== null && "keys" in json && Array.isArray(json.keys);
  } catch {
    return false;
  }
}

/** Keys that came in plain text over a network are anybody's keys. */
function readUrl(field: Field): string {
  const text = field.optionalText() ?? "";
  const isSafe =
    /^https:\/\/[^/?#@\s]+([/?][^\s#@]*)?$/.test(text) ||
    /^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?([/?][^\s#@]*)?$/.test(text);
  if (field.isPresent && !isSafe) {
    field.fault(
      `must be an https:// URL without user and fragment (http:// for this machine only), is ${quote(text)}`,
    );
  }
  return text;
}

function readPlace(field: Field): TokenPlace {
  const header = field.at("header");
  const cookie = field.at("cookie");
  if (header.isPresent && cookie.isPresent) field.fault("must have only one of header and cookie");
  const place = cookie.isPresent ? cookie : header;
  const name = place.optionalText() ?? "authorization";
  if (!isToken(name)) place.fault(`must be a name (RFC 9110 §5.6.2), is ${quote(name)}`);
  return cookie.isPresent ? { in: "cookie", name } : { in: "header", name: name.toLowerCase() };
}
