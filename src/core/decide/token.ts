/** Whether the claims of a token fit a rule. That its signature holds is known by then; nothing of an answer quotes the token. */
import type { ClaimRule, TokenPlace, TokenRule } from "../model/token.ts";

/** How far the clock of who made a token may be from ours (RFC 7519 §4.1.4: "usually no more than a few minutes"). */
export const tokenLeewaySeconds = 60;

export type Claims = ReadonlyMap<string, unknown>;

/** Why a token rule does not hold for the request at hand; undefined: it holds. */
export type TokenCheck = (rule: TokenRule) => string | undefined;

/** What is not a request has no token. */
export const noToken: TokenCheck = () => "no token was sent";

export function findTokenFault(
  { issuer, audiences, claims: wanted }: TokenRule,
  claims: Claims,
  nowSeconds: number,
): string | undefined {
  if (claims.get("iss") !== issuer) return "the token is of another issuer";
  if (!holdsAny(claims.get("aud"), audiences)) return "the token is for another audience";
  const late = findTimeFault(claims, nowSeconds);
  if (late !== undefined) return late;
  const unmet = wanted.find((claim) => !holdsClaim(claim, claims));
  return unmet === undefined ? undefined : `claim ${unmet.name} has none of the required values`;
}

/** A token without an end would be good for ever after it leaked. */
function findTimeFault(claims: Claims, nowSeconds: number): string | undefined {
  const expires = claims.get("exp");
  const notBefore = claims.get("nbf") ?? 0;
  if (typeof expires !== "number") return "the token has no time at which it expires";
  if (nowSeconds >= expires + tokenLeewaySeconds) return "the token has expired";
  if (typeof notBefore !== "number") return "the token has no usable nbf";
  return nowSeconds < notBefore - tokenLeewaySeconds ? "the token is not valid yet" : undefined;
}

function holdsClaim({ name, values }: ClaimRule, claims: Claims): boolean {
  return holdsAny(claims.get(name), values);
}

/** Numbers and truth values fit the text that JSON has for them. */
function holdsAny(claim: unknown, values: readonly string[]): boolean {
  if (Array.isArray(claim))
    return claim.some((one: unknown) => isScalar(one) && values.includes(`${one}`));
  return isScalar(claim) && values.includes(`${claim}`);
}

function isScalar(value: unknown): value is string | number | boolean {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}

/** No token has this form: more than one was sent, and nobody can say which one counts. */
export const severalTokens = " ";

const schemePrefix = /^bearer +/i;

/** `values` of the header where the token stands, one for each field. Undefined: none was sent. */
export function tokenIn(place: TokenPlace, values: readonly string[]): string | undefined {
  if (place.in === "cookie") return cookieIn(place.name, values);
  const [value, ...more] = values;
  if (more.length > 0) return severalTokens;
  if (value === undefined || place.name !== "authorization") return value;
  return schemePrefix.test(value) ? value.replace(schemePrefix, "") : undefined;
}

/** RFC 6265 §5.4: one Cookie field, but proxies of HTTP/2 split it. */
function cookieIn(name: string, values: readonly string[]): string | undefined {
  let found: string | undefined;
  for (const pair of values.flatMap((value) => value.split(";"))) {
    const equals = pair.indexOf("=");
    if (equals < 0 || pair.slice(0, equals).trim() !== name) continue;
    if (found !== undefined) return severalTokens;
    found = pair.slice(equals + 1).trim();
  }
  return found;
}
