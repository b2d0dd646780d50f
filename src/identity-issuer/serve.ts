/** The issuer on the wire: `io.linkerd.proxy.identity.Identity/Certify`, one log line for each answer. */
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { grpcCode } from "../core/model/grpc-status.ts";
import { maxDnsNameLength } from "../core/std/dns-name.ts";
import {
  type CertifyResponse,
  CertifyResponseSchema,
  Identity,
} from "../core/wire/gen/linkerd/identity_pb.ts";
import type { MeshServerCredentials } from "../edge/grpc/mesh-credentials.ts";
import { bindService, type GrpcServer, startGrpcServer } from "../edge/grpc/server.ts";
import { codeName, type GrpcFailure, grpcFailure } from "../edge/grpc/status.ts";
import type { Log } from "../edge/telemetry/log.ts";
import { randomSerial } from "../edge/x509/certificate.ts";
import type { Issuer } from "./ca.ts";
import {
  type CertifyRequest,
  certify,
  checkRequest,
  type Issued,
  type Refusal,
  refuse,
} from "./certify.ts";
import type { TokenVerdict } from "./token-verdict.ts";

export type IdentityServerOptions = {
  /** `ip:port`; port 0 takes a free one. */
  readonly address: string;
  /** Asked for every request, so that a new issuer is used as soon as there is one. */
  readonly issuer: () => Issuer | undefined;
  readonly reviewToken: (token: string) => Promise<TokenVerdict>;
  readonly controlNamespace: string;
  readonly trustDomain: string;
  readonly lifetimeMs: number;
  readonly skewMs: number;
  readonly now: () => number;
  readonly log: Log;
  /** How many requests may wait for the review of their token. */
  readonly maxConcurrent?: number;
  /** Undefined: clear text. */
  readonly credentials?: MeshServerCredentials | undefined;
};

/**
 * A whole cluster that starts at once renews in a burst, and each request waits for one review. Beyond this a caller does
 * better to come again, which proxies do by themselves.
 */
const defaultMaxConcurrent = 256;

export function serveIdentity(options: IdentityServerOptions): Promise<GrpcServer> {
  const { address, log } = options;
  const limit = options.maxConcurrent ?? defaultMaxConcurrent;
  let waiting = 0;
  const service = bindService(Identity, {
    certify: async (request, { peer }) => {
      if (waiting >= limit) {
        const full = refuse("too-many-requests", `try again later, ${limit} requests are waiting`);
        return answer(request, full, peer, log);
      }
      waiting++;
      try {
        return answer(request, await decide(request, options), peer, log);
      } finally {
        waiting--;
      }
    },
  });
  const onBug = (error: unknown, method: string): void =>
    log.error("call_failed", { method, error });
  return startGrpcServer({ address, services: [service], onBug, credentials: options.credentials });
}

type Decision = (Issued & { readonly serial: Uint8Array }) | Refusal;

async function decide(request: CertifyRequest, options: IdentityServerOptions): Promise<Decision> {
  const checked = checkRequest(request, options.issuer());
  if (checked.kind === "refused") return checked;
  const verdict = await options.reviewToken(checked.token.reveal());
  const serial = randomSerial();
  const { controlNamespace, trustDomain, lifetimeMs, skewMs } = options;
  const names = { controlNamespace, trustDomain };
  const decision = certify(checked, {
    verdict,
    ...names,
    lifetimeMs,
    skewMs,
    nowMs: options.now(),
    serial,
  });
  return decision.kind === "issued" ? { ...decision, serial } : decision;
}

/** The one place that logs: the claimed identity is cut, because it is whatever the caller wrote. */
function answer(
  request: CertifyRequest,
  decision: Decision,
  peer: string,
  log: Log,
): CertifyResponse | GrpcFailure {
  const identity = request.identity.slice(0, maxDnsNameLength);
  if (decision.kind === "refused") {
    const { reason, status, message } = decision;
    const code = grpcCode[status];
    log.warn("certificate_refused", { identity, peer, status: codeName(code), reason, message });
    return grpcFailure(code, message);
  }
  const { leaf, intermediates, validUntilMs, serial } = decision;
  log.info("certificate_issued", {
    identity,
    peer,
    serial: Buffer.from(serial).toString("hex"),
    validUntil: new Date(validUntilMs).toISOString(),
  });
  return create(CertifyResponseSchema, {
    leafCertificate: leaf,
    intermediateCertificates: [...intermediates],
    validUntil: timestampFromMs(validUntilMs),
  });
}
