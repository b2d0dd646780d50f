import { X509Certificate } from "node:crypto";
import test from "ava";
import { maxDnsNameLength } from "../../src/core/std/dns-name.ts";
import { makeCsr, maxCsrBytes } from "../../src/edge/x509/csr.ts";
import { makeKeyPair } from "../../src/edge/x509/key-pair.ts";
import { peerIdentity } from "../../src/edge/x509/peer-identity.ts";
import type { Issuer } from "../../src/identity-issuer/ca.ts";
import {
  type CertifyFacts,
  type CheckedRequest,
  certify,
  checkRequest,
  type Issued,
  maxTokenBytes,
  type Refusal,
} from "../../src/identity-issuer/certify.ts";
import { makeAuthority } from "../edge/x509/authority.ts";

const identity = "frontend.mesh.serviceaccount.identity.weft.cluster.local";
const keyPair = makeKeyPair();
const request = {
  identity,
  token: Buffer.from("token"),
  certificateSigningRequest: makeCsr(keyPair, identity),
};

const nowMs = Date.UTC(2026, 5, 1, 12, 0, 0, 999);
const dayMs = 86_400_000;
const signer = makeAuthority().issuer;
const issuer: Issuer = {
  signer,
  intermediates: [Buffer.from(signer.certificate)],
  notAfterMs: nowMs + 10 * dayMs,
};
const facts: CertifyFacts = {
  verdict: { kind: "authenticated", username: "system:serviceaccount:mesh:frontend" },
  controlNamespace: "weft",
  trustDomain: "cluster.local",
  lifetimeMs: dayMs,
  skewMs: 20_000,
  nowMs,
  serial: Uint8Array.of(0x51, 0x52),
};

function checked(change: Partial<CheckedRequest> = {}): CheckedRequest {
  const answer = checkRequest(request, issuer);
  if (answer.kind === "refused") throw new Error(answer.message);
  return { ...answer, ...change };
}

function issued(answer: Issued | Refusal): Issued {
  if (answer.kind === "refused") throw new Error(answer.message);
  return answer;
}

test("checkRequest() takes over identity, token and key", (t) => {
  const { publicKey, token, ...rest } = checked();
  t.deepEqual(rest, { kind: "checked", identity, issuer });
  t.is(token.reveal(), "token");
  t.true(publicKey.equals(keyPair.publicKey));
});

const long = `${"x".repeat(60)}.${identity}`;
for (const [what, change, reason, status] of [
  ["an empty identity", { identity: "" }, "request-incomplete", "invalidArgument"],
  ["an empty token", { token: Buffer.alloc(0) }, "request-incomplete", "invalidArgument"],
  [
    "an empty request",
    { certificateSigningRequest: Buffer.alloc(0) },
    "request-incomplete",
    "invalidArgument",
  ],
  [
    "an identity that is no name",
    { identity: "x".repeat(maxDnsNameLength + 1) },
    "request-too-long",
    "invalidArgument",
  ],
  [
    "a token that is too long",
    { token: Buffer.alloc(maxTokenBytes + 1, "x") },
    "request-too-long",
    "invalidArgument",
  ],
  [
    "a request that is too long",
    { certificateSigningRequest: Buffer.alloc(maxCsrBytes + 1) },
    "request-too-long",
    "invalidArgument",
  ],
  [
    "a request that is not DER",
    { certificateSigningRequest: Buffer.from("x") },
    "csr-malformed",
    "invalidArgument",
  ],
  [
    "a request for another name",
    { certificateSigningRequest: makeCsr(keyPair, "a.b") },
    "csr-names-differ",
    "failedPrecondition",
  ],
  [
    "a request for another name without common name",
    { certificateSigningRequest: makeCsr(keyPair, long) },
    "csr-names-differ",
    "failedPrecondition",
  ],
  [
    "a name in other letters",
    { identity: identity.toUpperCase() },
    "csr-names-differ",
    "failedPrecondition",
  ],
  [
    "a name with a dot at the end",
    { identity: `${identity}.` },
    "csr-names-differ",
    "failedPrecondition",
  ],
] as const) {
  test(`checkRequest() refuses ${what} with ${status}`, (t) => {
    const answer = checkRequest({ ...request, ...change }, issuer);
    t.is(answer.kind === "refused" && answer.reason, reason);
    t.is(answer.kind === "refused" && answer.status, status);
  });
}

test("checkRequest() accepts a token and an identity of just the allowed length", (t) => {
  const name = `${"x".repeat(63)}.${"x".repeat(63)}.${"x".repeat(63)}.${"x".repeat(61)}`;
  const csr = makeCsr(keyPair, name);
  const token = Buffer.alloc(maxTokenBytes, "x");
  t.is(
    checkRequest({ identity: name, token, certificateSigningRequest: csr }, issuer).kind,
    "checked",
  );
});

test("checkRequest() refuses everything with unavailable while there is no issuer", (t) => {
  const answer = checkRequest({ ...request, identity: "" }, undefined);
  t.deepEqual(answer, {
    kind: "refused",
    reason: "issuer-not-ready",
    status: "unavailable",
    message: "cert issuer not ready yet",
  });
});

test("certify() issues a leaf for the name and the key, with the serial that it is given", (t) => {
  const { leaf, intermediates } = issued(certify(checked(), facts));
  const certificate = new X509Certificate(leaf);
  t.is(peerIdentity(leaf), identity);
  t.true(certificate.publicKey.equals(keyPair.publicKey));
  t.is(certificate.serialNumber, "5152");
  t.false(certificate.ca);
  t.true(certificate.verify(new X509Certificate(signer.certificate).publicKey));
  t.deepEqual(intermediates, issuer.intermediates);
});

test("certify() lets a leaf begin a skew early and end a skew late, in whole seconds", (t) => {
  const { leaf, validUntilMs } = issued(certify(checked(), facts));
  const { validFromDate, validToDate } = new X509Certificate(leaf);
  t.is(validFromDate.toISOString(), "2026-06-01T11:59:40.000Z");
  t.is(validToDate.toISOString(), "2026-06-02T12:00:20.000Z");
  t.is(validUntilMs, validToDate.getTime());
});

test("certify() lets no leaf outlive its chain", (t) => {
  const notAfterMs = nowMs + 3_600_000;
  const { leaf, validUntilMs } = issued(
    certify(checked({ issuer: { ...issuer, notAfterMs } }), facts),
  );
  t.is(validUntilMs, Date.UTC(2026, 5, 1, 13));
  t.is(new X509Certificate(leaf).validToDate.getTime(), validUntilMs);
});

test("certify() issues for a name that is too long for a common name", (t) => {
  const account = "x".repeat(40);
  const name = `${account}.mesh.serviceaccount.identity.weft.cluster.local`;
  const csr = makeCsr(keyPair, name);
  const own = checkRequest({ ...request, identity: name, certificateSigningRequest: csr }, issuer);
  if (own.kind === "refused") return t.fail(own.message);
  const verdict = {
    kind: "authenticated",
    username: `system:serviceaccount:mesh:${account}`,
  } as const;
  t.is(peerIdentity(issued(certify(own, { ...facts, verdict })).leaf), name);
});

for (const notAfterMs of [nowMs - 1, nowMs]) {
  test(`certify() refuses with unavailable when the chain ends ${notAfterMs - nowMs} ms from now`, (t) => {
    const answer = certify(checked({ issuer: { ...issuer, notAfterMs } }), facts);
    t.is(answer.kind === "refused" && answer.reason, "issuer-expired");
    t.is(answer.kind === "refused" && answer.status, "unavailable");
  });
}

const account = (username: string): CertifyFacts["verdict"] => ({
  kind: "authenticated",
  username,
});
for (const [what, change, reason, status] of [
  [
    "a malformed token",
    { verdict: { kind: "malformed", reason: "x" } },
    "token-malformed",
    "invalidArgument",
  ],
  [
    "a refused token",
    { verdict: { kind: "refused", reason: "x" } },
    "token-not-authenticated",
    "failedPrecondition",
  ],
  [
    "a token that nobody could review",
    { verdict: { kind: "unknown", reason: "x" } },
    "token-review-failed",
    "internal",
  ],
  [
    "a token of no account",
    { verdict: account("system:node:mesh:frontend") },
    "account-malformed",
    "invalidArgument",
  ],
  [
    "a token of an account with a dot",
    { verdict: account("system:serviceaccount:mesh:a.b") },
    "account-malformed",
    "invalidArgument",
  ],
  [
    "the token of another account",
    { verdict: account("system:serviceaccount:mesh:backend") },
    "identity-differs",
    "failedPrecondition",
  ],
  [
    "the token of another namespace",
    { verdict: account("system:serviceaccount:other:frontend") },
    "identity-differs",
    "failedPrecondition",
  ],
  [
    "a token with account and namespace swapped",
    { verdict: account("system:serviceaccount:frontend:mesh") },
    "identity-differs",
    "failedPrecondition",
  ],
  [
    "the name of another mesh",
    { controlNamespace: "other" },
    "identity-differs",
    "failedPrecondition",
  ],
  [
    "the name of another trust domain",
    { trustDomain: "other.local" },
    "identity-differs",
    "failedPrecondition",
  ],
] as const satisfies readonly (readonly [string, Partial<CertifyFacts>, string, string])[]) {
  test(`certify() refuses ${what} with ${status}`, (t) => {
    const answer = certify(checked(), { ...facts, ...change });
    t.is(answer.kind === "refused" && answer.reason, reason);
    t.is(answer.kind === "refused" && answer.status, status);
  });
}

test("certify() refuses a name that only looks like its account's", (t) => {
  const csr = makeCsr(keyPair, long);
  const own = checkRequest({ ...request, identity: long, certificateSigningRequest: csr }, issuer);
  if (own.kind === "refused") return t.fail(own.message);
  const answer = certify(own, facts);
  t.is(answer.kind === "refused" && answer.reason, "identity-differs");
});
