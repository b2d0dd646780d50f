/**
 * Decides whether a service-account token (a JWT, RFC 7519) proves an account to this issuer. Pure: the keys and the time
 * are arguments. The algorithm is ours, never the token's (RFC 8725 §3.1): what is not ES256 is refused before a key is
 * touched, so neither `none` nor an HMAC keyed with a public key gets anywhere.
 */
import { type KeyObject, verify } from "node:crypto";
import type { TokenKey } from "./token-keys.ts";
import type { TokenVerdict } from "./token-verdict.ts";

/** The audience of the tokens that Linkerd's injector projects into pods for this one purpose. */
export const identityAudience = "identity.l5d.io";

/** How far the clock of who made a token may be from ours. */
export const leewaySeconds = 60;

export type TokenFacts = {
  readonly keys: readonly TokenKey[];
  readonly audience: string;
  readonly nowSeconds: number;
};

type Members = ReadonlyMap<string, unknown>;

export function checkToken(token: string, facts: TokenFacts): TokenVerdict {
  const [head = "", body = "", seal, ...more] = token.split(".");
  const header = decodeMembers(head);
  const claims = decodeMembers(body);
  const signature = seal === undefined ? undefined : decodeBase64url(seal);
  if (header === undefined || claims === undefined || signature === undefined || more.length > 0) {
    return malformed("send a JWT in its compact form");
  }
  const keyId = header.get("kid");
  if (keyId !== undefined && typeof keyId !== "string") return malformed("write `kid` as a string");
  if (header.get("alg") !== "ES256") return refused("sign the token with ES256");
  // RFC 7515 §4.1.11: who does not understand every critical extension must refuse. None is understood here.
  if (header.has("crit")) return refused("leave out `crit`");
  const candidates = facts.keys.filter(
    ({ id }) => keyId === undefined || id === undefined || id === keyId,
  );
  const signed = Buffer.from(`${head}.${body}`, "latin1");
  if (!candidates.some(({ key }) => isSignedBy(key, signed, signature))) {
    return refused("sign the token with a key that is known here");
  }
  return checkClaims(claims, facts);
}

/** RFC 7518 §3.4: the signature is two numbers of 32 bytes; any other length does not verify. */
function isSignedBy(key: KeyObject, signed: Buffer, signature: Buffer): boolean {
  return verify("sha256", signed, { key, dsaEncoding: "ieee-p1363" }, signature);
}

/** Only for a token whose signature holds: what an unknown signer claims is not worth an answer. */
function checkClaims(claims: Members, { audience, nowSeconds }: TokenFacts): TokenVerdict {
  const audiences = audiencesOf(claims.get("aud"));
  const username = claims.get("sub");
  const expires = claims.get("exp");
  const notBefore = claims.get("nbf") ?? Number.NEGATIVE_INFINITY;
  const issuedAt = claims.get("iat") ?? Number.NEGATIVE_INFINITY;
  if (audiences === undefined) return malformed("write `aud` as one or more strings");
  if (typeof username !== "string") return malformed("write `sub` as a string");
  if (
    typeof expires !== "number" ||
    typeof notBefore !== "number" ||
    typeof issuedAt !== "number"
  ) {
    return malformed("write `exp`, and `nbf` and `iat` if there, as numbers");
  }
  if (!audiences.includes(audience))
    return refused(`make the token for the audience "${audience}"`);
  // RFC 7519 §4.1.4: on or after `exp` the token is over.
  if (nowSeconds >= expires + leewaySeconds) return refused("renew the token, it has expired");
  if (nowSeconds < notBefore - leewaySeconds || nowSeconds < issuedAt - leewaySeconds) {
    return refused("wait until the token is valid, or set the clock");
  }
  return { kind: "authenticated", username };
}

/** RFC 7519 §4.1.3: a list of strings, or one string that stands for a list of one. */
function audiencesOf(value: unknown): readonly string[] | undefined {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return list.every((one) => typeof one === "string") ? list : undefined;
}

function decodeMembers(part: string): Members | undefined {
  const bytes = decodeBase64url(part);
  if (bytes === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? new Map(Object.entries(value)) : undefined;
  } catch {
    // Not UTF-8 or not JSON, which is the answer `undefined`.
    return undefined;
  }
}

/** RFC 7515 §2: no padding. Decoding and encoding must give the same text, so that a token has one spelling. */
function decodeBase64url(part: string): Buffer | undefined {
  const bytes = Buffer.from(part, "base64url");
  return bytes.toString("base64url") === part ? bytes : undefined;
}

function malformed(reason: string): TokenVerdict {
  return { kind: "malformed", reason };
}

function refused(reason: string): TokenVerdict {
  return { kind: "refused", reason };
}
