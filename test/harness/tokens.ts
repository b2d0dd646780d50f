/** Keys and tokens as an identity provider would make them. */
import {
  constants,
  generateKeyPairSync,
  type KeyObject,
  type SignKeyObjectInput,
  sign,
} from "node:crypto";

export type Signer = {
  readonly kid: string;
  readonly algorithm: string;
  readonly privateKey: KeyObject;
  /** As a member of a JSON Web Key Set. */
  readonly jwk: Readonly<Record<string, unknown>>;
};

/** With a new key of the kind that the algorithm (RFC 7518 §3.1, RFC 8037 §3.1) asks for. */
export function makeSigner(algorithm: string = "ES256", kid: string = algorithm): Signer {
  const { privateKey, publicKey } = makeKeys(algorithm);
  return { kid, algorithm, privateKey, jwk: { ...publicKey.export({ format: "jwk" }), kid } };
}

function makeKeys(algorithm: string): { privateKey: KeyObject; publicKey: KeyObject } {
  switch (algorithm) {
    case "ES256":
      return generateKeyPairSync("ec", { namedCurve: "P-256" });
    case "ES384":
      return generateKeyPairSync("ec", { namedCurve: "P-384" });
    case "ES512":
      return generateKeyPairSync("ec", { namedCurve: "P-521" });
    case "EdDSA":
      return generateKeyPairSync("ed25519");
    default:
      return generateKeyPairSync("rsa", { modulusLength: 2_048 });
  }
}

export function keySet(...signers: readonly Signer[]): string {
  return JSON.stringify({ keys: signers.map(({ jwk }) => jwk) });
}

export function makeToken(
  { privateKey, algorithm, kid }: Signer,
  claims: Readonly<Record<string, unknown>>,
  header: Readonly<Record<string, unknown>> = {},
): string {
  const signed = [{ alg: algorithm, typ: "JWT", kid, ...header }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  const digest = algorithm === "EdDSA" ? undefined : `sha${algorithm.slice(2)}`;
  const signature = sign(digest, Buffer.from(signed), signOptions(privateKey, algorithm));
  return `${signed}.${signature.toString("base64url")}`;
}

function signOptions(key: KeyObject, algorithm: string): SignKeyObjectInput {
  if (algorithm.startsWith("ES")) return { key, dsaEncoding: "ieee-p1363" };
  if (!algorithm.startsWith("PS")) return { key };
  return {
    key,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
  };
}
