import { createHmac, sign } from "node:crypto";
import test from "ava";
import fc from "fast-check";
import { makeKeyPair } from "../../src/edge/x509/key-pair.ts";
import { signServiceAccountToken } from "../../src/edge/x509/token-signer.ts";
import {
  checkToken,
  identityAudience,
  leewaySeconds,
} from "../../src/identity-issuer/check-token.ts";
import type { TokenVerdict } from "../../src/identity-issuer/token-verdict.ts";

const now = 1_700_000_000;
const signer = makeKeyPair();
const stranger = makeKeyPair();
const keys = [{ id: undefined, key: signer.publicKey }];
const username = "system:serviceaccount:mesh:frontend";
const claims = { sub: username, aud: [identityAudience], exp: now + 600, nbf: now, iat: now };
const header = { alg: "ES256", typ: "JWT" };

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

function seal(head: string, body: string, key = signer.privateKey): string {
  const signed = `${head}.${body}`;
  const signature = sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" });
  return `${signed}.${signature.toString("base64url")}`;
}

const tokenWith = (changes: object, headerChanges: object = {}): string => {
  return seal(encode({ ...header, ...headerChanges }), encode({ ...claims, ...changes }));
};
const check = (token: string, nowSeconds = now): TokenVerdict => {
  return checkToken(token, { keys, audience: identityAudience, nowSeconds });
};
const good = tokenWith({});
const [goodHead = "", goodBody = "", goodSeal = ""] = good.split(".");

test("checkToken() accepts the token that the signer makes", (t) => {
  const token = signServiceAccountToken({
    key: signer.privateKey,
    namespace: "mesh",
    serviceAccount: "frontend",
    audience: identityAudience,
    lifetimeSeconds: 600,
    nowSeconds: now,
  });
  t.deepEqual(check(token), { kind: "authenticated", username });
});

for (const [what, changes] of [
  ["one audience as a string", { aud: identityAudience }],
  ["the audience among others", { aud: ["a", identityAudience] }],
  ["no nbf and iat", { nbf: undefined, iat: undefined }],
  ["times with fractions", { exp: now + 0.5, nbf: now - 0.5 }],
  ["claims that it does not know", { iss: "x", "kubernetes.io": {}, __proto__: null }],
] as const) {
  test(`checkToken() accepts a token with ${what}`, (t) => {
    t.deepEqual(check(tokenWith(changes)), { kind: "authenticated", username });
  });
}

for (const [what, kind, changes] of [
  ["another audience", "refused", { aud: ["https://kubernetes.default.svc"] }],
  ["an audience that only starts right", "refused", { aud: [`${identityAudience}.evil`] }],
  ["no audience in its list", "refused", { aud: [] }],
  ["no audience", "malformed", { aud: undefined }],
  ["an audience that is no string", "malformed", { aud: [identityAudience, 1] }],
  ["no end", "malformed", { exp: undefined }],
  ["an end that is no number", "malformed", { exp: `${now + 600}` }],
  ["an end of null", "malformed", { exp: null }],
  ["a start that is no number", "malformed", { nbf: "0" }],
  ["no subject", "malformed", { sub: undefined }],
  ["a subject that is no string", "malformed", { sub: [username] }],
] as const) {
  test(`checkToken() answers ${kind} for ${what}`, (t) => {
    t.is(check(tokenWith(changes)).kind, kind);
  });
}

for (const [what, kind, changes, at] of [
  ["an end", "authenticated", { exp: now }, now + leewaySeconds - 1],
  ["an end", "refused", { exp: now }, now + leewaySeconds],
  ["a start", "authenticated", { nbf: now }, now - leewaySeconds],
  ["a start", "refused", { nbf: now, iat: undefined }, now - leewaySeconds - 1],
  ["a date of issue", "authenticated", { iat: now, nbf: undefined }, now - leewaySeconds],
  ["a date of issue", "refused", { iat: now, nbf: undefined }, now - leewaySeconds - 1],
] as const) {
  test(`checkToken() answers ${kind} for ${what} ${at - now} s away`, (t) => {
    t.is(check(tokenWith(changes), at).kind, kind);
  });
}

const publicPem = signer.publicKey.export({ format: "pem", type: "spki" }).toString();
const publicDer = signer.publicKey.export({ format: "der", type: "spki" });
function hmacToken(secret: string | Buffer): string {
  const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${goodBody}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

for (const [what, token] of [
  ["alg none without a signature", `${encode({ alg: "none" })}.${goodBody}.`],
  ["alg none with a good signature", `${encode({ alg: "none" })}.${goodBody}.${goodSeal}`],
  ["alg None", seal(encode({ alg: "None" }), goodBody)],
  ["alg es256 in lower case", tokenWith({}, { alg: "es256" })],
  ["alg ES384", tokenWith({}, { alg: "ES384" })],
  ["alg RS256", tokenWith({}, { alg: "RS256" })],
  ["no alg", seal(encode({ typ: "JWT" }), goodBody)],
  ["a list as alg", tokenWith({}, { alg: ["ES256"] })],
  ["HS256 keyed with the public key in PEM", hmacToken(publicPem)],
  ["HS256 keyed with the public key in PEM, trimmed", hmacToken(publicPem.trim())],
  ["HS256 keyed with the public key in DER", hmacToken(publicDer)],
  [
    "a key of its own in jwk",
    seal(
      encode({ ...header, jwk: stranger.publicKey.export({ format: "jwk" }) }),
      goodBody,
      stranger.privateKey,
    ),
  ],
  ["the key of a stranger", seal(goodHead, goodBody, stranger.privateKey)],
  ["a critical extension", tokenWith({}, { crit: ["exp"], exp: 1 })],
  ["an empty signature", `${goodHead}.${goodBody}.`],
  ["a signature of zeros", `${goodHead}.${goodBody}.${Buffer.alloc(64).toString("base64url")}`],
  [
    "a signature in DER",
    `${goodHead}.${goodBody}.${sign("sha256", Buffer.from(`${goodHead}.${goodBody}`), signer.privateKey).toString("base64url")}`,
  ],
  [
    "a signature that is a byte longer",
    `${goodHead}.${goodBody}.${Buffer.concat([Buffer.from(goodSeal, "base64url"), Buffer.of(0)]).toString("base64url")}`,
  ],
  [
    "the claims of another token",
    `${goodHead}.${encode({ ...claims, sub: "system:serviceaccount:mesh:admin" })}.${goodSeal}`,
  ],
] as const) {
  test(`checkToken() refuses ${what}`, (t) => {
    t.is(check(token).kind, "refused");
  });
}

for (const [what, token] of [
  ["nothing", ""],
  ["noise", "hello"],
  ["two parts", `${goodHead}.${goodBody}`],
  ["four parts", `${good}.${goodSeal}`],
  ["five parts, as if encrypted", `${good}.a.b`],
  ["padding", `${goodHead}.${goodBody}.${goodSeal}==`],
  ["base64 that is not for URLs", `${goodHead}.${goodBody}.${"+/".repeat(43)}`],
  ["a line break at the end", `${good}\n`],
  ["a space in front", ` ${good}`],
  ["claims that are a list", seal(goodHead, encode([claims]))],
  ["claims that are null", seal(goodHead, encode(null))],
  ["a header that is a string", seal(encode("ES256"), goodBody)],
  ["claims that are not JSON", seal(goodHead, Buffer.from("{a").toString("base64url"))],
  [
    "claims that are not UTF-8",
    seal(goodHead, Buffer.from([0x7b, 0xff, 0x7d]).toString("base64url")),
  ],
  ["a key name that is no string", tokenWith({}, { kid: 1 })],
  ["a last character with spare bits set", `${good.slice(0, -1)}${good.endsWith("B") ? "C" : "B"}`],
] as const) {
  test(`checkToken() finds ${what} malformed`, (t) => {
    t.is(check(token).kind, "malformed");
  });
}

test("checkToken() tries only the key that the token names, and those without a name", (t) => {
  const facts = { audience: identityAudience, nowSeconds: now };
  const a = { id: "a", key: signer.publicKey };
  const b = { id: "b", key: stranger.publicKey };
  const named = tokenWith({}, { kid: "a" });
  t.is(checkToken(named, { ...facts, keys: [b, a] }).kind, "authenticated");
  t.is(checkToken(named, { ...facts, keys: [{ ...a, id: "b" }] }).kind, "refused");
  t.is(checkToken(named, { ...facts, keys: [{ ...a, id: undefined }] }).kind, "authenticated");
  t.is(checkToken(good, { ...facts, keys: [b, a] }).kind, "authenticated");
  t.is(checkToken(named, { ...facts, keys: [] }).kind, "refused");
});

test("checkToken() refuses every token with one character changed", (t) => {
  for (let at = 0; at < good.length; at++) {
    const other = good[at] === "A" ? "B" : "A";
    const bent = good.slice(0, at) + other + good.slice(at + 1);
    t.not(check(bent).kind, "authenticated", `character ${at}`);
  }
});

test("checkToken() refuses every truncation", (t) => {
  for (let end = 0; end < good.length; end++) {
    t.not(check(good.slice(0, end)).kind, "authenticated", `${end} characters`);
  }
});

test("checkToken() never throws and never repeats the token in its reason", (t) => {
  const values = fc.jsonValue();
  fc.assert(
    fc.property(values, values, fc.string(), (head, body, text) => {
      for (const token of [
        text,
        seal(encode(head), encode(body)),
        seal(goodHead, encode(body)),
        `${goodHead}.${text}.${goodSeal}`,
      ]) {
        const verdict = check(token);
        t.not(verdict.kind, "authenticated");
        if ("reason" in verdict) t.true(verdict.reason.length < 100);
      }
    }),
    { numRuns: 300 },
  );
});
