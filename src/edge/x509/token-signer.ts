/** Mints the service-account tokens that a cluster would project into a pod, for a mesh without a cluster. */
import { type KeyObject, sign } from "node:crypto";

export type TokenOptions = {
  /** ECDSA P-256, private. */
  readonly key: KeyObject;
  /** Names the key among several; absent when there is one. */
  readonly keyId?: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly audience: string;
  readonly lifetimeSeconds: number;
  readonly nowSeconds: number;
};

/** A JWT (RFC 7519) in the compact form of RFC 7515, signed with ES256 (RFC 7518 §3.4), with Kubernetes' claims. */
export function signServiceAccountToken(options: TokenOptions): string {
  const { key, keyId, namespace, serviceAccount, nowSeconds } = options;
  const header = { alg: "ES256", typ: "JWT", ...(keyId === undefined ? {} : { kid: keyId }) };
  const claims = {
    aud: [options.audience],
    exp: nowSeconds + options.lifetimeSeconds,
    iat: nowSeconds,
    nbf: nowSeconds,
    sub: `system:serviceaccount:${namespace}:${serviceAccount}`,
  };
  const signed = `${base64url(header)}.${base64url(claims)}`;
  const signature = sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" });
  return `${signed}.${signature.toString("base64url")}`;
}

function base64url(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
