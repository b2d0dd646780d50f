import type { Meta } from "./meta.ts";

/** What a signed token (JWT, RFC 7519) of a request has to be. All of it must hold. */
export type TokenRule = {
  readonly meta: Meta;
  readonly issuer: string;
  /** One of them must be among those of the token. */
  readonly audiences: readonly string[];
  readonly keys: KeySource;
  readonly claims: readonly ClaimRule[];
  readonly place: TokenPlace;
  /** Whether the application sees the token. */
  readonly forward: boolean;
};

/** Holds when the claim is one of the values, or a list with one of them in it. */
export type ClaimRule = { readonly name: string; readonly values: readonly string[] };

/** `name` of a header in lower case; `authorization` holds `Bearer` and the token (RFC 6750 §2.1), any other the token alone. */
export type TokenPlace = { readonly in: "header" | "cookie"; readonly name: string };

/** A JSON Web Key Set (RFC 7517 §5). What cannot be read anew is used for `maxAgeMs` and then admits nobody. */
export type KeySource =
  | { readonly from: "inline"; readonly jwks: string }
  | { readonly from: "file" | "url"; readonly location: string; readonly maxAgeMs: number };

/** Two rules with one source share its keys. */
export function keySourceName(source: KeySource): string {
  return source.from === "inline"
    ? `inline ${source.jwks}`
    : `${source.from} ${source.location} ${source.maxAgeMs}`;
}
