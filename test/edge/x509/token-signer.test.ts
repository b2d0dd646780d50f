import { verify } from "node:crypto";
import test from "ava";
import { makeKeyPair } from "../../../src/edge/x509/key-pair.ts";
import { signServiceAccountToken } from "../../../src/edge/x509/token-signer.ts";

const { privateKey, publicKey } = makeKeyPair();
const options = {
  key: privateKey,
  namespace: "mesh",
  serviceAccount: "frontend",
  audience: "identity.l5d.io",
  lifetimeSeconds: 600,
  nowSeconds: 1_000,
};

function parts(token: string): {
  header: unknown;
  claims: unknown;
  signed: string;
  signature: Buffer;
} {
  const [header = "", claims = "", signature = ""] = token.split(".");
  const read = (part: string): unknown => JSON.parse(Buffer.from(part, "base64url").toString());
  return {
    header: read(header),
    claims: read(claims),
    signed: `${header}.${claims}`,
    signature: Buffer.from(signature, "base64url"),
  };
}

test("signServiceAccountToken() writes the claims of a projected token", (t) => {
  const { header, claims } = parts(signServiceAccountToken(options));
  t.deepEqual(header, { alg: "ES256", typ: "JWT" });
  t.deepEqual(claims, {
    aud: ["identity.l5d.io"],
    exp: 1_600,
    iat: 1_000,
    nbf: 1_000,
    sub: "system:serviceaccount:mesh:frontend",
  });
});

test("signServiceAccountToken() names its key when it has a name", (t) => {
  const { header } = parts(signServiceAccountToken({ ...options, keyId: "k1" }));
  t.deepEqual(header, { alg: "ES256", typ: "JWT", kid: "k1" });
});

test("signServiceAccountToken() signs as RFC 7518 §3.4 says", (t) => {
  const { signed, signature } = parts(signServiceAccountToken(options));
  t.is(signature.length, 64);
  const key = { key: publicKey, dsaEncoding: "ieee-p1363" } as const;
  t.true(verify("sha256", Buffer.from(signed), key, signature));
});
