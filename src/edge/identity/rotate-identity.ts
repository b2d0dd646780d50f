/**
 * Who this process is: it makes a key, has the identity service certify it, puts both to use, and does so again long before
 * the certificate ends. The key is new each time and never leaves the process. When the service cannot be
 * reached or sends what is of no use, the certificate in use is kept and the service is asked again.
 */
import { readFile } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { describeFaults, fail, fault, ok, type Result } from "../../core/std/result.ts";
import {
  CertifyRequestSchema,
  type CertifyResponse,
  Identity,
} from "../../core/wire/gen/linkerd/identity_pb.ts";
import { type Backoff, backoffMs } from "../grpc/backoff.ts";
import { callUnary, type GrpcChannel } from "../grpc/client.ts";
import { describeFailure } from "../grpc/status.ts";
import type { Timers } from "../grpc/timers.ts";
import type { MeshCredentials } from "../net/mesh-tls.ts";
import type { Log } from "../telemetry/log.ts";
import { makeCsr } from "../x509/csr.ts";
import { type KeyPair, makeKeyPair } from "../x509/key-pair.ts";
import { checkCertificate, type UsableCertificate } from "./check-certificate.ts";

/** Linkerd: renewal after 70 % of the life that is left, at least 10 s and at most a day from now. */
const renewAtShare = 0.7;
export const minRenewMs = 10_000;
export const maxRenewMs = 86_400_000;
/** Sidecars that started together do not come back together: 5 % sooner or later. */
const renewJitter = 0.05;

/** A failed renewal leaves 30 % of a certificate's life for this. */
export const certifyBackoff: Backoff = { minMs: 1_000, maxMs: 60_000, jitter: 0.2 };
/** Without a certificate that holds, the whole pod waits: within 5 s of an issuer's return it is to have one. */
const urgentBackoff: Backoff = { ...certifyBackoff, maxMs: 3_500 };
/** From here on before the end of the certificate in use it is urgent: the longest pause, which may have begun just before, is over in time. */
export const urgentLifeMs: number = 2 * certifyBackoff.maxMs;

/** Making a certificate takes milliseconds; the rest is for a service that starts at the same time. */
const certifyDeadlineMs = 10_000;

/** Issuers date certificates back by 20 s (Linkerd's chart), so from half of that on a skew is worth a line in the log. */
export const tellSkewMs = 10_000;

/** A projected token has about 1 KiB. The identity service refuses more than this. */
export const maxTokenBytes = 16_384;

export type IdentityOptions = {
  readonly name: string;
  /** PEM, one certificate each; `trust` replaces them. */
  readonly trustAnchors: readonly string[];
  /** Read anew for each request, because the kubelet replaces its content. */
  readonly tokenFile: string;
  readonly channel: GrpcChannel;
  readonly surroundings: IdentitySurroundings;
  /** Puts a certificate to use. The answer is above 0. */
  readonly publish: (credentials: MeshCredentials) => number;
  readonly log: Log;
};

/** Time and chance. */
type IdentitySurroundings = {
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  /** Answers in [0, 1). */
  readonly random: () => number;
  readonly timers: Timers;
};

type IdentityFacts = {
  readonly name: string;
  /** What `publish` answered; 0: there is no certificate yet. */
  readonly revision: number;
  readonly certifiedUntilMs: number | undefined;
  readonly refreshed: number;
  readonly failed: number;
  /** Why the last try failed; empty when it did not. */
  readonly failure: string;
  /** How far the identity service's clock is ahead of ours, to a second or so; undefined: it does not tell. */
  readonly clockSkewMs: number | undefined;
};

export type IdentityRotation = {
  readonly facts: () => IdentityFacts;
  /** Other trust anchors from now on, with the certificate in use. */
  readonly trust: (anchors: readonly string[]) => void;
  readonly close: () => void;
};

/** How long to wait before the next certificate. `random` in [0, 1). */
export function renewPauseMs(lifeLeftMs: number, random: number): number {
  const share = renewAtShare * (1 + renewJitter * (2 * random - 1));
  return Math.min(Math.max(lifeLeftMs * share, minRenewMs), maxRenewMs);
}

export function rotateIdentity(options: IdentityOptions): IdentityRotation {
  const { surroundings, publish, log, name } = options;
  let { trustAnchors } = options;
  let inUse: Pick<MeshCredentials, "certificateChain" | "privateKey"> | undefined;
  let facts: IdentityFacts = {
    name,
    revision: 0,
    certifiedUntilMs: undefined,
    refreshed: 0,
    failed: 0,
    failure: "",
    clockSkewMs: undefined,
  };
  let failuresInARow = 0;
  let isClosed = false;
  let callOff = surroundings.timers.after(0, () => void renew());

  async function renew(): Promise<void> {
    const keyPair = makeKeyPair();
    const { certificate: answer, clockSkewMs } = await certify(
      { ...options, trustAnchors },
      keyPair,
    );
    if (isClosed) return;
    noteSkew(clockSkewMs);
    const pauseMs = answer.ok
      ? accept(keyPair, answer.value)
      : refuse(describeFaults(answer.faults));
    callOff = surroundings.timers.after(pauseMs, () => void renew());
  }

  function accept({ privateKey }: KeyPair, { chain, validUntilMs }: UsableCertificate): number {
    failuresInARow = 0;
    inUse = {
      certificateChain: chain,
      privateKey: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
    };
    const revision = publish({ ...inUse, trustAnchors: trustAnchors.join("") });
    facts = {
      ...facts,
      revision,
      certifiedUntilMs: validUntilMs,
      refreshed: facts.refreshed + 1,
      failure: "",
    };
    const until = new Date(validUntilMs).toISOString();
    const pauseMs = renewPauseMs(validUntilMs - surroundings.wallMs(), surroundings.random());
    log.info("identity_certified", { identity: name, until, renewInMs: Math.round(pauseMs) });
    return pauseMs;
  }

  function refuse(reason: string): number {
    failuresInARow++;
    facts = { ...facts, failed: facts.failed + 1, failure: reason };
    const lifeLeftMs = (facts.certifiedUntilMs ?? 0) - surroundings.wallMs();
    const backoff = lifeLeftMs < urgentLifeMs ? urgentBackoff : certifyBackoff;
    const pauseMs = backoffMs(backoff, failuresInARow, surroundings.random);
    log.warn("identity_not_certified", { identity: name, reason, retryInMs: Math.round(pauseMs) });
    return pauseMs;
  }

  function noteSkew(clockSkewMs: number | undefined): void {
    if (clockSkewMs === undefined) return;
    facts = { ...facts, clockSkewMs };
    if (Math.abs(clockSkewMs) < tellSkewMs) return;
    log.warn("clock_skewed", { identity: name, issuerAheadMs: clockSkewMs });
  }

  return {
    facts: () => facts,
    trust(anchors) {
      trustAnchors = anchors;
      if (inUse === undefined) return;
      const revision = publish({ ...inUse, trustAnchors: anchors.join("") });
      facts = { ...facts, revision };
    },
    close() {
      isClosed = true;
      callOff();
    },
  };
}

type Certified = {
  readonly certificate: Result<UsableCertificate>;
  readonly clockSkewMs: number | undefined;
};

async function certify(options: IdentityOptions, keyPair: KeyPair): Promise<Certified> {
  const { channel, name, trustAnchors, surroundings } = options;
  const token = await readToken(options.tokenFile);
  if (!token.ok) return { certificate: token, clockSkewMs: undefined };
  const request = create(CertifyRequestSchema, {
    identity: name,
    token: token.value,
    certificateSigningRequest: makeCsr(keyPair, name),
  });
  let clockSkewMs: number | undefined;
  const answer = await callUnary(channel, Identity.method.certify, request, {
    deadlineMs: certifyDeadlineMs,
    onDate: (serverMs) => {
      clockSkewMs = skewOf(serverMs, surroundings.wallMs());
    },
  });
  if (!answer.ok) {
    return { certificate: fail(fault("", describeFailure(answer.failure))), clockSkewMs };
  }
  const wallMs = surroundings.wallMs();
  const wanted = { name, privateKey: keyPair.privateKey, trustAnchors, wallMs };
  return { certificate: checkCertificate(issuedOf(answer.value), wanted), clockSkewMs };
}

/** RFC 9110 §5.6.7: the time of an answer is cut to whole seconds, so up to one of them is no skew. */
function skewOf(serverMs: number, wallMs: number): number {
  const behind = serverMs + 1_000 - wallMs;
  if (behind < 0) return Math.round(behind);
  return Math.max(0, Math.round(serverMs - wallMs));
}

function issuedOf({ leafCertificate, intermediateCertificates, validUntil }: CertifyResponse) {
  return {
    leaf: leafCertificate,
    intermediates: intermediateCertificates,
    validUntilMs: validUntil === undefined ? undefined : timestampMs(validUntil),
  };
}

/** The content of a token file is never told, whatever is wrong with it. */
async function readToken(path: string): Promise<Result<Uint8Array>> {
  try {
    const bytes = await readFile(path);
    // Editors and shells end a file with a line end, which is no part of a token.
    const token = bytes.subarray(0, bytes.toString("latin1").trimEnd().length);
    if (token.length > 0 && token.length <= maxTokenBytes) return ok(token);
    const wanted = `a token of 1 to ${maxTokenBytes} bytes`;
    return fail(fault("", `put ${wanted} into "${path}" instead of ${token.length} bytes`));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return fail(fault("", `let "${path}" be a file that can be read: ${why}`));
  }
}
