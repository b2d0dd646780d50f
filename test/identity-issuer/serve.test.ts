import { createHmac, X509Certificate } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import test from "ava";
import {
  type CertifyRequest,
  CertifyRequestSchema,
  type CertifyResponse,
  Identity,
} from "../../src/core/wire/gen/linkerd/identity_pb.ts";
import {
  type CallAnswer,
  callUnary,
  type GrpcChannel,
  openChannel,
} from "../../src/edge/grpc/client.ts";
import type { GrpcServer } from "../../src/edge/grpc/server.ts";
import { codeName } from "../../src/edge/grpc/status.ts";
import { makeLog } from "../../src/edge/telemetry/log.ts";
import { makeCsr, maxCsrBytes } from "../../src/edge/x509/csr.ts";
import { makeKeyPair } from "../../src/edge/x509/key-pair.ts";
import { peerIdentity } from "../../src/edge/x509/peer-identity.ts";
import { certificateToPem } from "../../src/edge/x509/pem.ts";
import { signServiceAccountToken } from "../../src/edge/x509/token-signer.ts";
import type { Issuer } from "../../src/identity-issuer/ca.ts";
import { maxTokenBytes } from "../../src/identity-issuer/certify.ts";
import { checkToken, identityAudience } from "../../src/identity-issuer/check-token.ts";
import { type IdentityServerOptions, serveIdentity } from "../../src/identity-issuer/serve.ts";
import { endMs, makeAuthority } from "../edge/x509/authority.ts";
import { Folder, foreignCsr, tryOpenssl } from "../edge/x509/openssl.ts";

const nowMs = Date.UTC(2026, 5, 1, 12);
const nowSeconds = nowMs / 1_000;
const identity = "frontend.mesh.serviceaccount.identity.weft.cluster.local";
const { root, issuer: signer } = makeAuthority();
const issuer: Issuer = {
  signer,
  intermediates: [Buffer.from(signer.certificate)],
  notAfterMs: endMs,
};
const tokenPair = makeKeyPair();
const keyPair = makeKeyPair();
const csr = makeCsr(keyPair, identity);

const tokenOptions = {
  key: tokenPair.privateKey,
  namespace: "mesh",
  serviceAccount: "frontend",
  audience: identityAudience,
  lifetimeSeconds: 600,
  nowSeconds,
};
const token = signServiceAccountToken(tokenOptions);

class Running implements AsyncDisposable {
  readonly server: GrpcServer;
  readonly channel: GrpcChannel;
  readonly lines: readonly string[];

  constructor(server: GrpcServer, lines: readonly string[]) {
    this.server = server;
    this.channel = openChannel(`127.0.0.1:${server.port}`);
    this.lines = lines;
  }

  certify(
    change: Partial<Omit<CertifyRequest, "token">> & { readonly token?: string } = {},
  ): Promise<CallAnswer<CertifyResponse>> {
    const request = create(CertifyRequestSchema, {
      identity,
      certificateSigningRequest: csr,
      ...change,
      token: Buffer.from(change.token ?? token, "latin1"),
    });
    return callUnary(this.channel, Identity.method.certify, request, { deadlineMs: 30_000 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.channel.close();
    await this.server.close(1_000);
  }
}

async function run(change: Partial<IdentityServerOptions> = {}): Promise<Running> {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const keys = [{ id: undefined, key: tokenPair.publicKey }];
  const server = await serveIdentity({
    address: "127.0.0.1:0",
    issuer: () => issuer,
    reviewToken: (text) =>
      Promise.resolve(checkToken(text, { keys, audience: identityAudience, nowSeconds })),
    controlNamespace: "weft",
    trustDomain: "cluster.local",
    lifetimeMs: 86_400_000,
    skewMs: 20_000,
    now: () => nowMs,
    log: makeLog({ level: "debug", name: "test", destination }),
    ...change,
  });
  return new Running(server, lines);
}

/** `OK` or the name of the status. */
function statusOf(answer: CallAnswer<CertifyResponse>): string {
  return answer.ok ? "OK" : codeName(answer.failure.code);
}

test("serveIdentity() issues a leaf that openssl verifies through what it sends along", async (t) => {
  await using running = await run();
  const answer = await running.certify();
  if (!answer.ok) return t.fail(answer.failure.message);
  const { leafCertificate, intermediateCertificates, validUntil } = answer.value;
  using folder = new Folder();
  const leaf = folder.write("leaf.pem", certificateToPem(leafCertificate));
  const untrusted = folder.write(
    "chain.pem",
    intermediateCertificates.map(certificateToPem).join(""),
  );
  const anchors = folder.write("ca.pem", certificateToPem(root.certificate));
  const { code, output } = tryOpenssl(
    ...["verify", "-x509_strict", "-attime", String(nowSeconds), "-verify_hostname", identity],
    ...["-CAfile", anchors, "-untrusted", untrusted, leaf],
  );
  t.is(code, 0, output);
  t.is(peerIdentity(leafCertificate), identity);
  t.true(new X509Certificate(leafCertificate).publicKey.equals(keyPair.publicKey));
  t.is(validUntil && timestampMs(validUntil), nowMs + 86_400_000 + 20_000);
});

test("serveIdentity() never gives the same serial twice", async (t) => {
  await using running = await run();
  const answers = await Promise.all(Array.from({ length: 50 }, () => running.certify()));
  const serials = answers.map(
    (answer) => answer.ok && new X509Certificate(answer.value.leafCertificate).serialNumber,
  );
  t.is(new Set(serials).size, 50);
});

const [head = "", body = "", seal = ""] = token.split(".");
const none = Buffer.from('{"alg":"none"}').toString("base64url");
const hs256 = Buffer.from('{"alg":"HS256"}').toString("base64url");
const publicPem = tokenPair.publicKey.export({ format: "pem", type: "spki" }).toString();
const hmac = createHmac("sha256", publicPem).update(`${hs256}.${body}`).digest("base64url");
const stranger = { privateKey: makeKeyPair().privateKey, publicKey: keyPair.publicKey };
const requestOf = (altNames: string, more: object = {}): { certificateSigningRequest: Buffer } => {
  return { certificateSigningRequest: foreignCsr({ altNames, ...more }) };
};

for (const [what, change, status] of [
  [
    "a token for another audience",
    { token: signServiceAccountToken({ ...tokenOptions, audience: "other" }) },
    "FAILED_PRECONDITION",
  ],
  [
    "an expired token",
    { token: signServiceAccountToken({ ...tokenOptions, nowSeconds: nowSeconds - 661 }) },
    "FAILED_PRECONDITION",
  ],
  [
    "a token of the future",
    { token: signServiceAccountToken({ ...tokenOptions, nowSeconds: nowSeconds + 61 }) },
    "FAILED_PRECONDITION",
  ],
  ["a token with alg none", { token: `${none}.${body}.` }, "FAILED_PRECONDITION"],
  [
    "a token with HS256 and the public key as secret",
    { token: `${hs256}.${body}.${hmac}` },
    "FAILED_PRECONDITION",
  ],
  [
    "a token signed by a stranger",
    { token: signServiceAccountToken({ ...tokenOptions, key: keyPair.privateKey }) },
    "FAILED_PRECONDITION",
  ],
  [
    "a token with a bent signature",
    { token: `${head}.${body}.${seal.slice(0, 20)}AAAA${seal.slice(24)}` },
    "FAILED_PRECONDITION",
  ],
  [
    "the token of another account",
    { token: signServiceAccountToken({ ...tokenOptions, serviceAccount: "backend" }) },
    "FAILED_PRECONDITION",
  ],
  [
    "the token of another namespace",
    { token: signServiceAccountToken({ ...tokenOptions, namespace: "other" }) },
    "FAILED_PRECONDITION",
  ],
  [
    "a token whose account is no label",
    { token: signServiceAccountToken({ ...tokenOptions, serviceAccount: "a.b" }) },
    "INVALID_ARGUMENT",
  ],
  ["no token", { token: "" }, "INVALID_ARGUMENT"],
  ["a token that is none", { token: "hello" }, "INVALID_ARGUMENT"],
  [
    "a token that is too long",
    { token: `${"x".repeat(maxTokenBytes)}.${body}` },
    "INVALID_ARGUMENT",
  ],
  ["no identity", { identity: "" }, "INVALID_ARGUMENT"],
  [
    "another identity than the request's",
    { identity: identity.replace("frontend", "backend") },
    "FAILED_PRECONDITION",
  ],
  ["no request", { certificateSigningRequest: Buffer.alloc(0) }, "INVALID_ARGUMENT"],
  [
    "a request in PEM",
    { certificateSigningRequest: Buffer.from("-----BEGIN CERTIFICATE REQUEST-----") },
    "INVALID_ARGUMENT",
  ],
  [
    "a request that is too long",
    { certificateSigningRequest: Buffer.alloc(maxCsrBytes + 1, 0x30) },
    "INVALID_ARGUMENT",
  ],
  [
    "a request signed with another key",
    { certificateSigningRequest: makeCsr(stranger, identity) },
    "INVALID_ARGUMENT",
  ],
  ["an RSA key", requestOf(`DNS:${identity}`, { newKey: ["rsa:2048"] }), "INVALID_ARGUMENT"],
  [
    "a P-384 key",
    requestOf(`DNS:${identity}`, { newKey: ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"] }),
    "INVALID_ARGUMENT",
  ],
  ["no name", requestOf("DNS:other"), "FAILED_PRECONDITION"],
  ["two names", requestOf(`DNS:${identity},DNS:other`), "FAILED_PRECONDITION"],
  ["the name twice", requestOf(`DNS:${identity},DNS:${identity}`), "FAILED_PRECONDITION"],
  ["an address beside the name", requestOf(`DNS:${identity},IP:10.0.0.1`), "FAILED_PRECONDITION"],
  [
    "an e-mail address beside the name",
    requestOf(`DNS:${identity},email:a@b`),
    "FAILED_PRECONDITION",
  ],
  ["the name as URI", requestOf(`URI:${identity}`), "FAILED_PRECONDITION"],
  [
    "another common name",
    requestOf(`DNS:${identity}`, { subject: "/CN=other" }),
    "FAILED_PRECONDITION",
  ],
  [
    "the common name only",
    { certificateSigningRequest: foreignCsr({ subject: `/CN=${identity}` }) },
    "FAILED_PRECONDITION",
  ],
  [
    "a request as Linkerd's launcher makes it",
    requestOf(`DNS:${identity}`, { subject: `/CN=${identity}` }),
    "OK",
  ],
  ["a request without a subject", requestOf(`DNS:${identity}`), "OK"],
] as const) {
  test(`serveIdentity() answers ${status} for ${what}`, async (t) => {
    await using running = await run();
    const answer = await running.certify(change);
    t.is(statusOf(answer), status, answer.ok ? "" : answer.failure.message);
    t.is(running.lines.length, 1);
    const line: Readonly<Record<string, unknown>> = JSON.parse(running.lines[0] ?? "");
    t.is(line["event"], status === "OK" ? "certificate_issued" : "certificate_refused");
    t.is(line["status"], status === "OK" ? undefined : status);
    t.is((await running.certify()).ok, true, "the next request is served");
  });
}

test("serveIdentity() answers INVALID_ARGUMENT for a request that is cut off at any byte", async (t) => {
  await using running = await run();
  const cuts = Array.from({ length: csr.length }, (_, end) => csr.subarray(0, end));
  const answers = await Promise.all(
    cuts.map((cut) => running.certify({ certificateSigningRequest: cut })),
  );
  t.deepEqual([...new Set(answers.map(statusOf))], ["INVALID_ARGUMENT"]);
  t.true((await running.certify()).ok);
});

test("serveIdentity() logs who got what, and never a token", async (t) => {
  await using running = await run();
  await running.certify();
  await running.certify({ token: token.slice(0, -4) });
  await running.certify({ token: `secret${token}` });
  await running.certify({ identity: `${"x".repeat(300)}` });
  const log = running.lines.join("");
  for (const part of [token, head, body, seal, "secret"]) t.false(log.includes(part));
  const first: Readonly<Record<string, unknown>> = JSON.parse(running.lines[0] ?? "");
  t.is(first["identity"], identity);
  t.regex(String(first["serial"]), /^[0-9a-f]{32}$/);
  t.is(first["validUntil"], "2026-06-02T12:00:20.000Z");
  t.regex(String(first["peer"]), /^127\.0\.0\.1:/);
  t.false(log.includes("x".repeat(254)));
});

test("serveIdentity() answers UNAVAILABLE as long as there is no issuer, and then issues", async (t) => {
  let current: Issuer | undefined;
  await using running = await run({ issuer: () => current });
  const before = await running.certify();
  t.is(statusOf(before), "UNAVAILABLE");
  t.is(before.ok ? "" : before.failure.message, "cert issuer not ready yet");
  current = issuer;
  t.is(statusOf(await running.certify()), "OK");
});

test("serveIdentity() answers INTERNAL when the review of tokens fails", async (t) => {
  await using running = await run({
    reviewToken: () => Promise.resolve({ kind: "unknown", reason: "the API server is away" }),
  });
  t.is(statusOf(await running.certify()), "INTERNAL");
});

test("serveIdentity() answers INTERNAL for a bug, keeps its text to itself and goes on", async (t) => {
  let calls = 0;
  await using running = await run({
    reviewToken: () => {
      calls++;
      return Promise.reject(new Error("inner detail"));
    },
    maxConcurrent: 1,
  });
  for (const _ of [1, 2]) {
    const answer = await running.certify();
    t.is(statusOf(answer), "INTERNAL");
    t.false(!answer.ok && answer.failure.message.includes("inner detail"));
  }
  t.is(calls, 2);
  t.regex(running.lines.join(""), /inner detail.*call_failed/);
});

test("serveIdentity() answers RESOURCE_EXHAUSTED beyond its limit, and recovers", async (t) => {
  const review = Promise.withResolvers<void>();
  const entered = Promise.withResolvers<void>();
  let waiting = 0;
  await using running = await run({
    maxConcurrent: 2,
    reviewToken: async () => {
      waiting++;
      if (waiting === 2) entered.resolve();
      await review.promise;
      return { kind: "authenticated", username: "system:serviceaccount:mesh:frontend" };
    },
  });
  const first = [running.certify(), running.certify()];
  await entered.promise;
  t.is(statusOf(await running.certify()), "RESOURCE_EXHAUSTED");
  review.resolve();
  t.deepEqual((await Promise.all(first)).map(statusOf), ["OK", "OK"]);
  t.is(statusOf(await running.certify()), "OK");
});
