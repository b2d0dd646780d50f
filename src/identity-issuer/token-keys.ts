/**
 * The public keys that sign service-account tokens, from PEM blocks or a JSON Web Key Set (RFC 7517 §5). A key of another
 * kind and a private key are faults: the first would fail every token it signed, the second has no business here.
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import { type Fault, fail, fault, ok, type Result } from "../core/std/result.ts";
import { isP256 } from "../edge/x509/key-pair.ts";

export type TokenKey = {
  /** The `kid` of a key set. A key without one is tried for every token. */
  readonly id: string | undefined;
  readonly key: KeyObject;
};

/** A cluster rotates between two; each token may cost as many signature checks as there are keys. */
export const maxTokenKeys = 20;

const publicBlock = /-----BEGIN PUBLIC KEY-----[\sA-Za-z0-9+/=]+-----END PUBLIC KEY-----/g;
const anyBlock = /-----BEGIN ([A-Z0-9 ]+)-----/g;

export function parseTokenKeys(text: string): Result<readonly TokenKey[]> {
  const keys = text.trimStart().startsWith("{") ? fromKeySet(text) : fromPem(text);
  if (!keys.ok) return keys;
  if (keys.value.length === 0) return fail(fault("", "add a public key, there is none"));
  if (keys.value.length > maxTokenKeys) {
    return fail(fault("", `keep at most ${maxTokenKeys} keys instead of ${keys.value.length}`));
  }
  return keys;
}

function fromPem(text: string): Result<readonly TokenKey[]> {
  const others = [...text.matchAll(anyBlock)].filter(([, label]) => label !== "PUBLIC KEY");
  if (others.length > 0) {
    return fail(
      ...others.map(([, label = ""]) =>
        fault("", `remove the block "${label}", keep "PUBLIC KEY"`),
      ),
    );
  }
  const blocks = text.match(publicBlock) ?? [];
  return collect(blocks.map((block) => readKey(block, undefined)));
}

function fromKeySet(text: string): Result<readonly TokenKey[]> {
  let keySet: unknown;
  try {
    keySet = JSON.parse(text);
  } catch {
    // The parser's message quotes the text, which may be a secret in the wrong file.
    return fail(fault("", "write a JSON Web Key Set, this is not JSON"));
  }
  const list = membersOf(keySet).get("keys");
  if (!Array.isArray(list)) return fail(fault("keys", "write a list of keys"));
  return collect(list.map(readJsonWebKey));
}

function readJsonWebKey(value: unknown): TokenKey | string {
  const members = membersOf(value);
  if (members.has("d") || members.has("k")) return "remove the private or secret part";
  const use = members.get("use") ?? "sig";
  const algorithm = members.get("alg") ?? "ES256";
  const id = members.get("kid");
  if (
    members.get("kty") !== "EC" ||
    members.get("crv") !== "P-256" ||
    use !== "sig" ||
    algorithm !== "ES256"
  ) {
    return "use an EC key on P-256 for ES256 signatures";
  }
  if (id !== undefined && typeof id !== "string") return "write `kid` as a string";
  const x = members.get("x");
  const y = members.get("y");
  if (typeof x !== "string" || typeof y !== "string") return "write `x` and `y` as strings";
  return readKey({ key: { kty: "EC", crv: "P-256", x, y }, format: "jwk" }, id);
}

function readKey(
  source: Parameters<typeof createPublicKey>[0],
  id: string | undefined,
): TokenKey | string {
  let key: KeyObject;
  try {
    key = createPublicKey(source);
  } catch {
    // OpenSSL cannot read it; its message says nothing that helps to find the file's mistake.
    return "replace the key, it cannot be read";
  }
  return isP256(key) ? { id, key } : "use an EC key on P-256 for ES256 signatures";
}

function collect(keys: readonly (TokenKey | string)[]): Result<readonly TokenKey[]> {
  const faults: Fault[] = [];
  const good: TokenKey[] = [];
  for (const [at, key] of keys.entries()) {
    if (typeof key === "string") faults.push(fault(`keys[${at}]`, key));
    else good.push(key);
  }
  return faults.length > 0 ? fail(...faults) : ok(good);
}

function membersOf(value: unknown): ReadonlyMap<string, unknown> {
  return new Map(typeof value === "object" && value !== null ? Object.entries(value) : []);
}
