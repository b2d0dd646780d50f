import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import test from "ava";
import { describeFaults } from "../../src/core/std/result.ts";
import { makeKeyPair } from "../../src/edge/x509/key-pair.ts";
import { maxTokenKeys, parseTokenKeys } from "../../src/identity-issuer/token-keys.ts";

const { publicKey, privateKey } = makeKeyPair();
const other = makeKeyPair();
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" });

const pemOf = (key: KeyObject): string => key.export({ format: "pem", type: "spki" }).toString();
const setOf = (...keys: readonly object[]): string => JSON.stringify({ keys });
const jwk = publicKey.export({ format: "jwk" });

test("parseTokenKeys() reads PEM blocks, with text between", (t) => {
  const keys = parseTokenKeys(`# old\n${pemOf(publicKey)}\n# new\n${pemOf(other.publicKey)}`);
  t.true(keys.ok && keys.value.length === 2 && keys.value[1]?.key.equals(other.publicKey));
  t.true(keys.ok && keys.value.every(({ id }) => id === undefined));
});

test("parseTokenKeys() reads a key set with the names of its keys", (t) => {
  const keys = parseTokenKeys(
    setOf({ ...jwk, kid: "a", use: "sig", alg: "ES256", more: [1] }, jwk),
  );
  t.deepEqual(keys.ok && keys.value.map(({ id }) => id), ["a", undefined]);
  t.true(keys.ok && keys.value.every(({ key }) => key.equals(publicKey)));
});

const privatePem = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
const secretPart = String(privateKey.export({ format: "jwk" }).d);
for (const [what, text, expected] of [
  ["nothing", "", /add a public key/],
  ["an empty set", setOf(), /add a public key/],
  ["a private key in PEM", privatePem, /remove the block "PRIVATE KEY"/],
  [
    "a private key beside a public one",
    pemOf(publicKey) + privatePem,
    /remove the block "PRIVATE KEY"/,
  ],
  [
    "a private key in a set",
    setOf(privateKey.export({ format: "jwk" })),
    /keys\[0\]: remove the private/,
  ],
  [
    "a secret in a set",
    setOf({ kty: "oct", k: "AAAA" }),
    /keys\[0\]: remove the private or secret/,
  ],
  ["an RSA key in PEM", pemOf(rsa.publicKey), /keys\[0\]: use an EC key on P-256/],
  [
    "an RSA key in a set",
    setOf(rsa.publicKey.export({ format: "jwk" })),
    /keys\[0\]: use an EC key/,
  ],
  ["a P-384 key in PEM", pemOf(p384.publicKey), /keys\[0\]: use an EC key on P-256/],
  [
    "a P-384 key in a set",
    setOf(jwk, p384.publicKey.export({ format: "jwk" })),
    /^keys\[1\]: use an EC/,
  ],
  ["a key for encryption", setOf({ ...jwk, use: "enc" }), /ES256 signatures/],
  ["a key for another algorithm", setOf({ ...jwk, alg: "ES384" }), /ES256 signatures/],
  ["a name that is no string", setOf({ ...jwk, kid: 1 }), /`kid` as a string/],
  ["a point that is not on the curve", setOf({ ...jwk, y: jwk.x }), /cannot be read/],
  ["a point without a coordinate", setOf({ kty: "EC", crv: "P-256", x: jwk.x }), /`x` and `y`/],
  ["broken JSON", `{"keys": [{"d": "${secretPart}"`, /this is not JSON/],
  ["a set without a list", '{"keys": {}}', /^keys: write a list/],
  ["a list of no objects", '{"keys": [null, 1]}', /keys\[0\]: .*keys\[1\]:/],
  ["noise in PEM", pemOf(publicKey).replace(/\n.{8}/, "\nAAAAAAAA"), /cannot be read/],
  ["too many keys", pemOf(publicKey).repeat(maxTokenKeys + 1), /at most 20 keys instead of 21/],
] as const) {
  test(`parseTokenKeys() refuses ${what}`, (t) => {
    const keys = parseTokenKeys(text);
    const answer = keys.ok ? "accepted" : describeFaults(keys.faults);
    t.regex(answer, expected);
    t.false(answer.includes(secretPart));
  });
}

test("parseTokenKeys() reads what openssl calls the public key of a private one", (t) => {
  const keys = parseTokenKeys(pemOf(createPublicKey(privatePem)));
  t.true(keys.ok && keys.value[0]?.key.equals(publicKey));
});
