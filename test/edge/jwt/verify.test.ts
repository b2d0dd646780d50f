import { createHmac } from "node:crypto";
import test from "ava";
import { parseKeySet, type TokenKey } from "../../../src/edge/jwt/key-set.ts";
import { maxTokenLength, verifyToken } from "../../../src/edge/jwt/verify.ts";
import { keySet, makeSigner, makeToken } from "../../harness/tokens.ts";

function keysOf(text: string): readonly TokenKey[] {
  const parsed = parseKeySet(text);
  if (!parsed.ok) throw new Error("The key set cannot be read");
  return parsed.value;
}

const claims = { sub: "somebody" };
const signer = makeSigner("ES256", "one");
const keys = keysOf(keySet(signer));
const token = makeToken(signer, claims);
const [head = "", body = "", seal = ""] = token.split(".");
const part = (json: unknown): string => Buffer.from(JSON.stringify(json)).toString("base64url");

for (const algorithm of [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
]) {
  test(`verifyToken() takes ${algorithm}, and no other signature under its name`, (t) => {
    const one = makeSigner(algorithm);
    const known = keysOf(keySet(one));
    const good = makeToken(one, claims);
    t.deepEqual(verifyToken(good, known), { ok: true, claims: new Map(Object.entries(claims)) });
    const [first = "", , last = ""] = good.split(".");
    t.false(verifyToken(`${first}.${part({ sub: "other" })}.${last}`, known).ok);
    const stranger = makeToken(makeSigner(algorithm), claims);
    t.false(verifyToken(stranger, known).ok);
  });
}

const publicText = keys[0]?.key.export({ type: "spki", format: "pem" }).toString() ?? "";
const hmac = (header: unknown): string => {
  const signed = `${part(header)}.${body}`;
  return `${signed}.${createHmac("sha256", publicText).update(signed).digest("base64url")}`;
};

for (const [title, text, reason] of [
  ["without a signature", `${head}.${body}.`, "no signed JWT"],
  ["of two parts", `${head}.${body}`, "no signed JWT"],
  ["of four parts", `${token}.${seal}`, "no signed JWT"],
  ["that is empty", "", "no signed JWT"],
  ["with padding", `${head}.${body}.${seal}=`, "no signed JWT"],
  ["of alg none", `${part({ alg: "none" })}.${body}.`, "no signed JWT"],
  ["of alg none with a signature", `${part({ alg: "none" })}.${body}.${seal}`, "not for"],
  ["of alg None", `${part({ alg: "None", kid: "one" })}.${body}.${seal}`, "not for"],
  ["of alg HS256 by the public key", hmac({ alg: "HS256", kid: "one" }), "not for"],
  [
    "of another alg than its key's",
    `${part({ alg: "ES384", kid: "one" })}.${body}.${seal}`,
    "not for",
  ],
  [
    "with alg as a list",
    `${part({ alg: ["ES256"], kid: "one" })}.${body}.${seal}`,
    "no signed JWT",
  ],
  ["with kid as a number", `${part({ alg: "ES256", kid: 1 })}.${body}.${seal}`, "no signed JWT"],
  ["of an unknown key", makeToken(makeSigner("ES256", "two"), claims), "not known"],
  [
    "with a key of its own",
    makeToken(makeSigner("ES256", "one"), claims, { jwk: signer.jwk }),
    "does not hold",
  ],
  ["with a critical extension", makeToken(signer, claims, { crit: ["exp"] }), "critical"],
  [
    "with an empty signature in DER",
    `${head}.${body}.${Buffer.alloc(64).toString("base64url")}`,
    "does not hold",
  ],
  ["with a longer signature", `${head}.${body}.${seal}AAAA`, "does not hold"],
  ["whose claims are a list", makeToken(signer, [] as never), "no signed JWT"],
  ["that is too long", makeToken(signer, { pad: "x".repeat(maxTokenLength) }), "too long"],
] as const) {
  test(`verifyToken() refuses a token ${title}, without quoting it`, (t) => {
    const verified = verifyToken(text, keys);
    if (verified.ok) {
      t.fail();
      return;
    }
    t.regex(verified.reason, new RegExp(reason));
    t.false(text !== "" && verified.reason.includes(text.slice(0, 12)));
  });
}

test("verifyToken() tells a key that newer keys may have from a signature that is wrong", (t) => {
  const unknown = verifyToken(makeToken(makeSigner("ES256", "two"), claims), keys);
  const wrong = verifyToken(makeToken(makeSigner("ES256", "one"), claims), keys);
  t.like(unknown, { ok: false, isUnknownKey: true });
  t.like(wrong, { ok: false, isUnknownKey: false });
});

test("verifyToken() tries every key for a token that names none", (t) => {
  const others = [makeSigner("ES256", "a"), makeSigner("RS256", "b"), signer];
  const nameless = makeToken(signer, claims, { kid: undefined });
  t.true(verifyToken(nameless, keysOf(keySet(...others))).ok);
});

test("parseKeySet() leaves out what is no public key for signatures", (t) => {
  const { jwk } = signer;
  const others = [
    { ...jwk, use: "enc" },
    { ...jwk, key_ops: ["encrypt"] },
    { ...jwk, d: "AAAA" },
    { ...jwk, alg: "ES384" },
    { ...jwk, crv: "secp256k1" },
    { ...jwk, kid: 1 },
    { ...jwk, x: "AAAA" },
    { kty: "oct", k: "AAAA", alg: "HS256" },
    { kty: "RSA", n: "AQAB", e: "AQAB" },
    "text",
  ];
  const text = JSON.stringify({ keys: [...others, jwk] });
  t.deepEqual(
    keysOf(text).map(({ id, algorithms }) => [id, algorithms]),
    [["one", ["ES256"]]],
  );
  t.false(parseKeySet(JSON.stringify({ keys: others })).ok);
});

for (const text of ["", "{}", "[]", '{"keys":{}}', '{"keys":[]}', "secret"]) {
  test(`parseKeySet() refuses ${JSON.stringify(text)}, without quoting it`, (t) => {
    const parsed = parseKeySet(text);
    t.false(parsed.ok);
    if (!parsed.ok) t.false(JSON.stringify(parsed.faults).includes("secret"));
  });
}

test("parseKeySet() refuses more keys than a token may cost checks", (t) => {
  const text = JSON.stringify({ keys: Array.from({ length: 33 }, () => signer.jwk) });
  t.false(parseKeySet(text).ok);
});
