/**
 * The public keys of a JSON Web Key Set (RFC 7517 §5). Of a set that others publish, keys of a kind that is not served are left
 * out; a set without any key that can be used is a fault. What a key may verify is told by the key (RFC 8725 §3.1), never by a token.
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import { fail, fault, ok, type Result } from "../../core/std/result.ts";

export type TokenKey = {
  /** Undefined: it is tried for every token. */
  readonly id: string | undefined;
  readonly key: KeyObject;
  /** RFC 7518 §3.1 and RFC 8037 §3.1, those that the kind of the key allows and its `alg` does not exclude. */
  readonly algorithms: readonly string[];
};

/** Providers rotate among a few; a token without `kid` may cost a check with each. */
const maxKeys = 32;

/** RFC 7518 §3.3. */
const minRsaBits = 2_048;

const rsaAlgorithms: readonly string[] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

const curveAlgorithms: ReadonlyMap<string, string> = new Map([
  ["P-256", "ES256"],
  ["P-384", "ES384"],
  ["P-521", "ES512"],
]);

export function parseKeySet(text: string): Result<readonly TokenKey[]> {
  const list = membersOf(parseJson(text)).get("keys");
  if (!Array.isArray(list)) return fail(fault("", 'write a JSON Web Key Set: {"keys": [...]}'));
  const keys = list.flatMap((json: unknown) => readKey(membersOf(json)));
  if (keys.length === 0) {
    return fail(fault("keys", "add a public key for signatures: RSA of 2048 bits, EC or Ed25519"));
  }
  return keys.length > maxKeys
    ? fail(fault("keys", `keep at most ${maxKeys} keys instead of ${keys.length}`))
    : ok(keys);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's message would quote the text.
    return undefined;
  }
}

/** None for a key that is not for this, or that says what it must not: a private or symmetric key is no public key. */
function readKey(members: ReadonlyMap<string, unknown>): readonly TokenKey[] {
  if (members.has("d") || members.has("k")) return [];
  if ((members.get("use") ?? "sig") !== "sig") return [];
  const operations = members.get("key_ops");
  if (Array.isArray(operations) && !operations.includes("verify")) return [];
  const allowed = algorithmsOf(members);
  const named = members.get("alg");
  const algorithms = named === undefined ? allowed : allowed.filter((one) => one === named);
  const id = members.get("kid");
  if (algorithms.length === 0 || (id !== undefined && typeof id !== "string")) return [];
  const key = importKey(Object.fromEntries(members));
  if (key === undefined) return [];
  const bits = key.asymmetricKeyDetails?.modulusLength;
  return bits !== undefined && bits < minRsaBits ? [] : [{ id, key, algorithms }];
}

function algorithmsOf(members: ReadonlyMap<string, unknown>): readonly string[] {
  const curve = members.get("crv");
  switch (members.get("kty")) {
    case "RSA":
      return rsaAlgorithms;
    case "EC": {
      const algorithm = typeof curve === "string" ? curveAlgorithms.get(curve) : undefined;
      return algorithm === undefined ? [] : [algorithm];
    }
    case "OKP":
      return curve === "Ed25519" ? ["EdDSA"] : [];
    default:
      return [];
  }
}

function importKey(key: Readonly<Record<string, unknown>>): KeyObject | undefined {
  try {
    return createPublicKey({ key, format: "jwk" });
  } catch {
    // OpenSSL cannot read it; its message says nothing that helps.
    return undefined;
  }
}

function membersOf(value: unknown): ReadonlyMap<string, unknown> {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return new Map(isObject ? Object.entries(value) : []);
}
