/** Whether a token (RFC 7519, compact form of RFC 7515) is signed by one of the keys. What its claims say is for others. */
import { constants, type VerifyKeyObjectInput, verify } from "node:crypto";
import type { TokenKey } from "./key-set.ts";

export type VerifiedToken =
  | { readonly ok: true; readonly claims: ReadonlyMap<string, unknown> }
  /** Never quotes the token. `isUnknownKey`: newer keys may hold the one that signed it. */
  | { readonly ok: false; readonly reason: string; readonly isUnknownKey: boolean };

/** Tokens of providers with many groups have 4 KiB; a head of 64 KiB must not become that much work. */
export const maxTokenLength = 16_384;

type Members = ReadonlyMap<string, unknown>;

const digests: ReadonlyMap<string, string> = new Map([
  ["256", "sha256"],
  ["384", "sha384"],
  ["512", "sha512"],
]);

export function verifyToken(token: string, keys: readonly TokenKey[]): VerifiedToken {
  if (token.length > maxTokenLength) return refused("the token is too long");
  const [head = "", body = "", seal = "", ...more] = token.split(".");
  const header = decodeMembers(head);
  const signature = decodeBase64url(seal);
  if (header === undefined || signature === undefined || seal === "" || more.length > 0) {
    return refused("the token is no signed JWT");
  }
  // RFC 7515 §4.1.11: who does not understand every critical extension must refuse. None is understood here.
  if (header.has("crit")) return refused("the token has a critical extension");
  const algorithm = header.get("alg");
  const id = header.get("kid");
  if (typeof algorithm !== "string" || (id !== undefined && typeof id !== "string")) {
    return refused("the token is no signed JWT");
  }
  const candidates = keys.filter(
    (key) => id === undefined || key.id === undefined || key.id === id,
  );
  if (candidates.length === 0)
    return refused("the token is signed by a key that is not known", true);
  const fitting = candidates.filter(({ algorithms }) => algorithms.includes(algorithm));
  if (fitting.length === 0) return refused("the token is signed in a way that its key is not for");
  const signed = Buffer.from(`${head}.${body}`, "latin1");
  if (!fitting.some((key) => isSignedBy(key, algorithm, signed, signature))) {
    return refused("the signature of the token does not hold", id === undefined);
  }
  const claims = decodeMembers(body);
  return claims === undefined ? refused("the token is no signed JWT") : { ok: true, claims };
}

/** What a token says of itself, for those who only explain: nothing of it is proven. Undefined: it is no signed JWT. */
export function unprovenClaims(token: string): Members | undefined {
  const [head = "", body = "", seal = "", ...more] = token.split(".");
  const isSigned = decodeMembers(head) !== undefined && seal !== "" && more.length === 0;
  return isSigned && token.length <= maxTokenLength ? decodeMembers(body) : undefined;
}

function refused(reason: string, isUnknownKey: boolean = false): VerifiedToken {
  return { ok: false, reason, isUnknownKey };
}

function isSignedBy(
  { key }: TokenKey,
  algorithm: string,
  signed: Buffer,
  signature: Buffer,
): boolean {
  const digest = digests.get(algorithm.slice(2));
  const how = verifyOptions(key, algorithm);
  try {
    return verify(digest, signed, how, signature);
  } catch {
    // OpenSSL refuses to look at a signature of an impossible form, which is one that does not hold.
    return false;
  }
}

/** RFC 7518 §3.3 to §3.5. EdDSA (RFC 8037) has no choices and no digest of its own. */
function verifyOptions(key: TokenKey["key"], algorithm: string): VerifyKeyObjectInput {
  switch (algorithm.slice(0, 2)) {
    case "ES":
      return { key, dsaEncoding: "ieee-p1363" };
    case "PS":
      return {
        key,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
      };
    case "RS":
      return { key, padding: constants.RSA_PKCS1_PADDING };
    default:
      return { key };
  }
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
