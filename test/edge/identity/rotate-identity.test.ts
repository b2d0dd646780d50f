import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import test from "ava";
import { grpcCode } from "../../../src/core/model/grpc-status.ts";
import {
  type CertifyRequest,
  type CertifyResponse,
  CertifyResponseSchema,
} from "../../../src/core/wire/gen/linkerd/identity_pb.ts";
import { type GrpcChannel, openChannel } from "../../../src/edge/grpc/client.ts";
import { type GrpcFailure, grpcFailure } from "../../../src/edge/grpc/status.ts";
import {
  certifyBackoff,
  type IdentityRotation,
  maxRenewMs,
  maxTokenBytes,
  minRenewMs,
  renewPauseMs,
  rotateIdentity,
  tellSkewMs,
  urgentLifeMs,
} from "../../../src/edge/identity/rotate-identity.ts";
import { TestCa } from "../../harness/certificates.ts";
import { ControlPlane } from "../../sidecar/control-plane.ts";
import { manualClock } from "../../sidecar/manual-clock.ts";
import { recordingLog } from "../../sidecar/recording-log.ts";
import { RecordingPublisher } from "../../sidecar/recording-publisher.ts";

const name = "frontend.demo.serviceaccount.identity.weft.cluster.local";
const dayMs = 86_400_000;
const token = "a.secret.token";

class Rig implements AsyncDisposable {
  readonly plane: ControlPlane;
  readonly clock = manualClock(Date.now());
  readonly publisher = new RecordingPublisher();
  readonly log = recordingLog();
  readonly folder = mkdtempSync(path.join(tmpdir(), "weft-identity-"));
  readonly tokenFile = path.join(this.folder, "token");
  readonly requests: CertifyRequest[] = [];
  readonly identity: IdentityRotation;
  readonly #channel: GrpcChannel;

  constructor(plane: ControlPlane) {
    this.plane = plane;
    writeFileSync(this.tokenFile, `${token}\n`);
    this.answer((request) => plane.issue(request, dayMs));
    this.#channel = openChannel(plane.address("identity"));
    this.identity = rotateIdentity({
      name,
      trustAnchors: [plane.trustAnchors],
      tokenFile: this.tokenFile,
      channel: this.#channel,
      surroundings: this.clock,
      publish: (credentials) => {
        const revision = this.publisher.nextRevision();
        this.publisher.publish({ kind: "identity", revision, name, ...credentials });
        return revision;
      },
      log: this.log,
    });
    this.clock.advance(0);
  }

  answer(certify: (request: CertifyRequest) => CertifyResponse | GrpcFailure): void {
    this.plane.certify = (request) => {
      this.requests.push(request);
      return certify(request);
    };
  }

  /** Until the next try is planned; answers when that is. */
  async planned(): Promise<number> {
    for (;;) {
      const [pauseMs] = this.clock.pauses();
      if (pauseMs !== undefined) return pauseMs;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.identity.close();
    this.#channel.close();
    rmSync(this.folder, { recursive: true });
    await this.plane[Symbol.asyncDispose]();
  }
}

async function start(): Promise<Rig> {
  return new Rig(await ControlPlane.start());
}

test("rotateIdentity() publishes a certificate, its key and the anchors", async (t) => {
  await using rig = await start();
  const snapshot = await rig.publisher.next("identity");
  t.is(snapshot.name, name);
  t.is(snapshot.trustAnchors, rig.plane.trustAnchors);
  const leaf = new X509Certificate(snapshot.certificateChain);
  t.true(leaf.checkPrivateKey(createPrivateKey(snapshot.privateKey)));
  t.is(snapshot.certificateChain.split("BEGIN CERTIFICATE").length, 3);
  const [request] = rig.requests;
  t.is(request?.identity, name);
  t.is(Buffer.from(request?.token ?? []).toString(), token);
  const facts = rig.identity.facts();
  t.is(facts.revision, snapshot.revision);
  t.is(facts.certifiedUntilMs, leaf.validToDate.getTime());
  t.deepEqual([facts.refreshed, facts.failed], [1, 0]);
});

test("rotateIdentity() renews with a new key and the token as it is then, at 70 % of the life", async (t) => {
  await using rig = await start();
  const first = await rig.publisher.next("identity");
  const pauseMs = await rig.planned();
  t.true(Math.abs(pauseMs - 0.7 * dayMs) < 5_000, `${pauseMs}`);
  writeFileSync(rig.tokenFile, "new.token");
  rig.clock.advance(pauseMs - 1);
  t.is(rig.requests.length, 1);
  rig.answer((request) => rig.plane.issue(request, 3 * dayMs));
  rig.clock.advance(1);
  const second = await rig.publisher.next("identity");
  t.true(second.revision > first.revision);
  t.not(second.privateKey, first.privateKey);
  t.is(Buffer.from(rig.requests[1]?.token ?? []).toString(), "new.token");
});

const rubbish = test.macro({
  exec: async (
    t,
    answer: (rig: Rig, request: CertifyRequest) => CertifyResponse | GrpcFailure,
    reason: RegExp,
  ) => {
    await using rig = await start();
    const first = await rig.publisher.next("identity");
    const pauseMs = await rig.planned();
    rig.answer((request) => answer(rig, request));
    rig.clock.advance(pauseMs);
    const retryMs = await rig.planned();
    t.true(retryMs >= certifyBackoff.minMs && retryMs < 2 * certifyBackoff.minMs, `${retryMs}`);
    const facts = rig.identity.facts();
    t.regex(facts.failure, reason);
    t.is(facts.revision, first.revision);
    t.is(facts.failed, 1);
    t.deepEqual(rig.publisher.published, []);
    t.false(rig.log.text().includes(token));
    t.false(rig.log.text().includes("PRIVATE KEY"));
    // What comes next is good again, and the failure is over.
    rig.answer((request) => rig.plane.issue(request, 3 * dayMs));
    rig.clock.advance(retryMs);
    await rig.publisher.next("identity");
    t.is(rig.identity.facts().failure, "");
  },
  title: (given) => `rotateIdentity() keeps the certificate in use when it gets ${given}`,
});
test(
  "a refusal",
  rubbish,
  () => grpcFailure(grpcCode.failedPrecondition, "token is not yours"),
  /FAILED_PRECONDITION: token is not yours/,
);
test("an empty answer", rubbish, () => create(CertifyResponseSchema, {}), /X\.509/);
test(
  "a certificate for another name",
  rubbish,
  (rig, request) => rig.plane.issue({ ...request, identity: "other.demo" }, 3 * dayMs),
  /instead of "other\.demo"/,
);
test(
  "a certificate of another authority",
  rubbish,
  (rig, request) => {
    const good = rig.plane.issue(request, 3 * dayMs);
    return create(CertifyResponseSchema, { ...good, intermediateCertificates: [] });
  },
  /valid chain/,
);
test(
  "an answer without its end",
  rubbish,
  (rig, request) => {
    const { leafCertificate, intermediateCertificates } = rig.plane.issue(request, 3 * dayMs);
    return create(CertifyResponseSchema, { leafCertificate, intermediateCertificates });
  },
  /future/,
);

/** The pauses after so many failures in a row. */
async function pausesOf(rig: Rig, failures: number): Promise<readonly number[]> {
  const pauses: number[] = [];
  while (pauses.length < failures) {
    const pauseMs = await rig.planned();
    pauses.push(Math.round(pauseMs));
    rig.clock.advance(pauseMs);
  }
  return pauses;
}

test("rotateIdentity() waits longer after each failure, up to a minute", async (t) => {
  await using rig = await start();
  await rig.publisher.next("identity");
  rig.answer(() => grpcFailure(grpcCode.unavailable, "not now"));
  rig.clock.advance(await rig.planned());
  const pauses = await pausesOf(rig, 8);
  t.deepEqual(pauses, [1_100, 2_200, 4_400, 8_800, 17_600, 35_200, 66_000, 66_000]);
});

test("rotateIdentity() asks every 5 seconds or sooner for its first certificate", async (t) => {
  await using rig = await start();
  rig.answer(() => grpcFailure(grpcCode.unavailable, "not now"));
  t.deepEqual(await pausesOf(rig, 5), [1_100, 2_200, 3_850, 3_850, 3_850]);
});

test("rotateIdentity() asks every 5 seconds or sooner before and after the end of its certificate", async (t) => {
  await using rig = await start();
  await rig.publisher.next("identity");
  const pauseMs = await rig.planned();
  rig.answer(() => grpcFailure(grpcCode.unavailable, "not now"));
  const until = rig.identity.facts().certifiedUntilMs ?? 0;
  rig.clock.advance(pauseMs);
  await rig.planned();
  // As after an outage of hours.
  rig.clock.advance(until - rig.clock.wallMs() - urgentLifeMs / 2);
  const pauses = await pausesOf(rig, 60);
  t.true(rig.clock.wallMs() > until);
  t.deepEqual([...new Set(pauses)], [2_200, 3_850]);
});

const tokens = test.macro({
  exec: async (t, change: (file: string) => void, reason: RegExp) => {
    await using rig = await start();
    await rig.publisher.next("identity");
    const pauseMs = await rig.planned();
    change(rig.tokenFile);
    rig.clock.advance(pauseMs);
    await rig.planned();
    t.regex(rig.identity.facts().failure, reason);
    t.is(rig.requests.length, 1);
  },
  title: (given) => `rotateIdentity() does not ask with ${given}`,
});
test("a token file that is gone", tokens, (file) => rmSync(file), /ENOENT/);
test("an empty token", tokens, (file) => writeFileSync(file, "\n"), /instead of 0 bytes/);
test(
  "a token that is too long",
  tokens,
  (file) => writeFileSync(file, "x".repeat(maxTokenBytes + 1)),
  /1 to 16384 bytes/,
);

test("close() publishes nothing any more", async (t) => {
  await using rig = await start();
  const asked = Promise.withResolvers<void>();
  rig.answer((request) => {
    rig.identity.close();
    asked.resolve();
    return rig.plane.issue(request);
  });
  await asked.promise;
  await (await rig.plane.stop("identity"))();
  t.deepEqual(rig.publisher.published, []);
  t.deepEqual(rig.clock.pauses(), []);
});

test("renewPauseMs() is 70 % of the life, 5 % more or less, within its bounds", (t) => {
  t.is(Math.round(renewPauseMs(100_000, 0)), 66_500);
  t.is(Math.round(renewPauseMs(100_000, 1)), 73_500);
  t.is(renewPauseMs(1_000, 0.5), minRenewMs);
  t.is(renewPauseMs(-1_000, 0.5), minRenewMs);
  t.is(renewPauseMs(365 * dayMs, 0.5), maxRenewMs);
});

test("trust() puts other anchors to use with the certificate of now, and judges the next by them", async (t) => {
  await using rig = await start();
  const first = await rig.publisher.next("identity");
  const other = new TestCa("other");
  rig.identity.trust([rig.plane.trustAnchors, other.pem]);
  const second = await rig.publisher.next("identity");
  t.is(second.trustAnchors, rig.plane.trustAnchors + other.pem);
  t.is(second.certificateChain, first.certificateChain);
  t.is(rig.identity.facts().revision, second.revision);
  rig.identity.trust([other.pem]);
  await rig.publisher.next("identity");
  rig.clock.advance(await rig.planned());
  await rig.planned();
  t.regex(rig.identity.facts().failure, /valid chain/);
});

test("rotateIdentity() measures how far the identity service's clock is from ours", async (t) => {
  await using rig = await start();
  await rig.publisher.next("identity");
  t.true(Math.abs(rig.identity.facts().clockSkewMs ?? Number.NaN) < tellSkewMs);
  t.false(rig.log.text().includes("clock_skewed"));
  // Our clock is moved on, the service's is not.
  rig.clock.advance(await rig.planned());
  await rig.planned();
  const skewMs = rig.identity.facts().clockSkewMs ?? 0;
  t.true(Math.abs(skewMs + 0.7 * dayMs) < 60_000, `${skewMs}`);
  t.true(rig.log.text().includes("clock_skewed"));
});
