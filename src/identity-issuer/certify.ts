/**
 * Who gets a certificate. Pure apart from the signature itself: the time, the serial and what is known of the token are
 * arguments. A request passes `checkRequest`, then somebody looks at its token, then `certify` decides.
 *
 * The rules and their statuses are those of Linkerd's issuer, so that its proxies react to a refusal as they do there. Only
 * the name and the key of a request go into a certificate; everything else in it is this issuer's.
 */
import type { KeyObject } from "node:crypto";
import type { grpcCode } from "../core/model/grpc-status.ts";
import { identityName, parseServiceAccountUsername } from "../core/model/identity.ts";
import { maxDnsNameLength } from "../core/std/dns-name.ts";
import { describeFaults } from "../core/std/result.ts";
import { Secret } from "../core/std/secret.ts";
import { issueCertificate } from "../edge/x509/certificate.ts";
import { type Csr, maxCsrBytes, parseCsr } from "../edge/x509/csr.ts";
import type { Issuer } from "./ca.ts";
import type { TokenVerdict } from "./token-verdict.ts";

export type CertifyRequest = {
  readonly identity: string;
  readonly token: Uint8Array;
  readonly certificateSigningRequest: Uint8Array;
};

export type CheckedRequest = {
  readonly kind: "checked";
  readonly identity: string;
  readonly token: Secret;
  readonly publicKey: KeyObject;
  readonly issuer: Issuer;
};

export type CertifyFacts = {
  readonly verdict: TokenVerdict;
  readonly controlNamespace: string;
  readonly trustDomain: string;
  readonly lifetimeMs: number;
  readonly skewMs: number;
  readonly nowMs: number;
  readonly serial: Uint8Array;
};

export type Issued = {
  readonly kind: "issued";
  readonly leaf: Buffer;
  readonly intermediates: readonly Buffer[];
  readonly validUntilMs: number;
};

export type Refusal = {
  readonly kind: "refused";
  readonly reason: RefusalReason;
  readonly status: keyof typeof grpcCode;
  /** For the caller and the log. Never holds any part of a token or of a key. */
  readonly message: string;
};

export type RefusalReason =
  | "issuer-not-ready"
  | "issuer-expired"
  | "request-incomplete"
  | "request-too-long"
  | "csr-malformed"
  | "csr-names-differ"
  | "token-malformed"
  | "token-not-authenticated"
  | "token-review-failed"
  | "account-malformed"
  | "identity-differs"
  | "too-many-requests";

/** A projected token is about 1 KiB. */
export const maxTokenBytes = 16_384;

const statuses: Readonly<Record<RefusalReason, keyof typeof grpcCode>> = {
  "issuer-not-ready": "unavailable",
  "issuer-expired": "unavailable",
  "request-incomplete": "invalidArgument",
  "request-too-long": "invalidArgument",
  "csr-malformed": "invalidArgument",
  "csr-names-differ": "failedPrecondition",
  "token-malformed": "invalidArgument",
  "token-not-authenticated": "failedPrecondition",
  "token-review-failed": "internal",
  "account-malformed": "invalidArgument",
  "identity-differs": "failedPrecondition",
  "too-many-requests": "resourceExhausted",
};

export function refuse(reason: RefusalReason, message: string): Refusal {
  return { kind: "refused", reason, status: statuses[reason], message };
}

/** Everything that can be said without looking at the token. Never throws, whatever the bytes are. */
export function checkRequest(
  { identity, token, certificateSigningRequest }: CertifyRequest,
  issuer: Issuer | undefined,
): CheckedRequest | Refusal {
  if (issuer === undefined) return refuse("issuer-not-ready", "cert issuer not ready yet");
  if (identity === "") return refuse("request-incomplete", "send an identity");
  if (token.length === 0) return refuse("request-incomplete", "send a token");
  if (certificateSigningRequest.length === 0) {
    return refuse("request-incomplete", "send a certificate signing request");
  }
  if (identity.length > maxDnsNameLength) {
    return refuse("request-too-long", `send an identity of at most ${maxDnsNameLength} characters`);
  }
  if (token.length > maxTokenBytes) {
    return refuse("request-too-long", `send a token of at most ${maxTokenBytes} bytes`);
  }
  if (certificateSigningRequest.length > maxCsrBytes) {
    return refuse("request-too-long", `send a request of at most ${maxCsrBytes} bytes`);
  }
  const csr = parseCsr(certificateSigningRequest);
  if (!csr.ok) return refuse("csr-malformed", describeFaults(csr.faults));
  const difference = nameDifference(csr.value, identity);
  if (difference !== undefined) return refuse("csr-names-differ", difference);
  const { publicKey } = csr.value;
  return {
    kind: "checked",
    identity,
    token: new Secret(Buffer.from(token).toString("latin1")),
    publicKey,
    issuer,
  };
}

function nameDifference({ altNames, commonName }: Csr, identity: string): string | undefined {
  const [name, ...more] = altNames;
  if (name === undefined || more.length > 0) {
    return `request exactly one alternative name instead of ${altNames.length}`;
  }
  if (name.kind !== "dns") return "request a DNS name and no other kind of alternative name";
  if (name.value !== identity) return "request the identity as alternative name";
  if (commonName !== undefined && commonName !== "" && commonName !== identity) {
    return "request the identity as common name, or none";
  }
  return undefined;
}

/** `request.token` is what `facts.verdict` is about. */
export function certify(request: CheckedRequest, facts: CertifyFacts): Issued | Refusal {
  const refusal = checkCaller(request.identity, facts);
  if (refusal !== undefined) return refusal;
  const { signer, intermediates, notAfterMs } = request.issuer;
  const { nowMs, lifetimeMs, skewMs, serial } = facts;
  // Certificates count whole seconds. Rounding down never makes one outlive its issuer.
  const validUntilMs = wholeSeconds(Math.min(nowMs + lifetimeMs + skewMs, notAfterMs));
  if (validUntilMs <= nowMs) {
    return refuse("issuer-expired", "replace the issuer's certificates, one of them has expired");
  }
  const leaf = issueCertificate({
    issuer: signer,
    name: request.identity,
    altNames: [{ kind: "dns", value: request.identity }],
    publicKey: request.publicKey,
    notBeforeMs: wholeSeconds(nowMs - skewMs),
    notAfterMs: validUntilMs,
    serial,
  });
  return { kind: "issued", leaf, intermediates, validUntilMs };
}

function checkCaller(identity: string, facts: CertifyFacts): Refusal | undefined {
  const { verdict, controlNamespace, trustDomain } = facts;
  switch (verdict.kind) {
    case "malformed":
      return refuse("token-malformed", verdict.reason);
    case "refused":
      return refuse("token-not-authenticated", verdict.reason);
    case "unknown":
      return refuse("token-review-failed", verdict.reason);
    case "authenticated": {
      const account = parseServiceAccountUsername(verdict.username);
      if (!account.ok) return refuse("account-malformed", describeFaults(account.faults));
      const own = identityName({ ...account.value, controlNamespace, trustDomain });
      return own === identity
        ? undefined
        : refuse("identity-differs", `request the identity "${own}"`);
    }
  }
}

function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1_000) * 1_000;
}
