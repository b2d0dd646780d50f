/**
 * The tokens that a question brings, judged as a sidecar does. Keys that only the sidecar reads are not known here: their signatures are taken to hold,
 * and a note says so.
 */
import {
  type Claims,
  findTokenFault,
  noToken,
  severalTokens,
  type TokenCheck,
  tokenIn,
} from "../core/decide/token.ts";
import { describeMeta } from "../core/model/meta.ts";
import type { TokenRule } from "../core/model/token.ts";
import { parseKeySet } from "../edge/jwt/key-set.ts";
import { unprovenClaims, verifyToken } from "../edge/jwt/verify.ts";
import type { TravellingRequest } from "./travelling-request.ts";

export class AskedTokens {
  readonly check: TokenCheck = (rule) => this.#check(rule);
  readonly #request: TravellingRequest;
  readonly #nowSeconds: number;
  readonly #notes = new Set<string>();

  constructor(request: TravellingRequest, nowSeconds: number) {
    this.#request = request;
    this.#nowSeconds = nowSeconds;
  }

  get notes(): readonly string[] {
    return [...this.#notes];
  }

  #check(rule: TokenRule): string | undefined {
    const { place } = rule;
    // What this command joins is never part of a signed token, nor of a cookie's value.
    const joined = this.#request.headers.get(place.in === "cookie" ? "cookie" : place.name);
    const token = tokenIn(place, joined?.split(", ") ?? []);
    if (token === undefined) return noToken(rule);
    if (token === severalTokens) return "more than one token was sent";
    const claims = this.#claimsOf(rule, token);
    return typeof claims === "string" ? claims : findTokenFault(rule, claims, this.#nowSeconds);
  }

  /** A text says what is wrong with the token. */
  #claimsOf({ meta, keys }: TokenRule, token: string): Claims | string {
    if (keys.from === "inline") {
      const set = parseKeySet(keys.jwks);
      const verified = verifyToken(token, set.ok ? set.value : []);
      return verified.ok ? verified.claims : verified.reason;
    }
    const claims = unprovenClaims(token);
    if (claims === undefined) return "the token is no signed JWT";
    this.#notes.add(
      `the signature of the token is taken to hold: only the sidecar reads the keys of ${describeMeta(meta)}, from the ${keys.from} ${keys.location}`,
    );
    return claims;
  }
}
