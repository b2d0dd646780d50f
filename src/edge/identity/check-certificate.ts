/**
 * Whether what the identity service sent is a certificate that this process can use: peers would refuse a wrong one
 * connection by connection, so it is refused once, here, and the one in use is kept.
 */
import { type KeyObject, X509Certificate } from "node:crypto";
import { type Fault, fail, fault, ok, type Result } from "../../core/std/result.ts";
import { peerIdentity } from "../x509/peer-identity.ts";
import { asCertificate, certificateToPem } from "../x509/pem.ts";

/** A mesh has a root and one or two issuers. */
export const maxIntermediates = 8;

export type IssuedCertificate = {
  /** DER. */
  readonly leaf: Uint8Array;
  /** DER, the issuer of the leaf first. */
  readonly intermediates: readonly Uint8Array[];
  /** Undefined: the answer does not say. */
  readonly validUntilMs: number | undefined;
};

export type WantedCertificate = {
  readonly name: string;
  readonly privateKey: KeyObject;
  /** PEM, one certificate each. */
  readonly trustAnchors: readonly string[];
  readonly wallMs: number;
};

export type UsableCertificate = {
  /** PEM: the leaf, then every intermediate up to the trust anchor, without that. */
  readonly chain: string;
  readonly validUntilMs: number;
};

export function checkCertificate(
  issued: IssuedCertificate,
  wanted: WantedCertificate,
): Result<UsableCertificate> {
  const leaf = asCertificate(issued.leaf);
  if (leaf === undefined)
    return fail(fault("leaf_certificate", "send an X.509 certificate in DER"));
  if (issued.intermediates.length > maxIntermediates) {
    return fail(fault("intermediate_certificates", `send at most ${maxIntermediates}`));
  }
  const faults: Fault[] = [];
  const name = peerIdentity(leaf);
  if (name !== wanted.name) {
    const found = name === undefined ? "no single name" : `"${name}"`;
    faults.push(fault("leaf_certificate", `name "${wanted.name}" instead of ${found}`));
  }
  if (!leaf.checkPrivateKey(wanted.privateKey)) {
    faults.push(fault("leaf_certificate", "certify the key of the request instead of another"));
  }
  const validUntilMs = Math.min(issued.validUntilMs ?? Number.NaN, leaf.validToDate.getTime());
  if (!(validUntilMs > wanted.wallMs)) {
    faults.push(fault("valid_until", "send a time in the future"));
  }
  const chain = chainToAnchor(leaf, issued.intermediates, wanted);
  if (chain === undefined) {
    faults.push(
      fault("intermediate_certificates", "send a valid chain from the leaf to a trust anchor"),
    );
  }
  if (chain === undefined || faults.length > 0) return fail(...faults);
  return ok({ chain: chain.map(({ raw }) => certificateToPem(raw)).join(""), validUntilMs });
}

/** The leaf and the intermediates on the way to a trust anchor, or undefined when there is no way that is valid now. */
function chainToAnchor(
  leaf: X509Certificate,
  intermediates: readonly Uint8Array[],
  { trustAnchors, wallMs }: WantedCertificate,
): readonly X509Certificate[] | undefined {
  const anchors = trustAnchors.map((pem) => new X509Certificate(pem));
  const unused = new Set(
    intermediates.map(asCertificate).filter((certificate) => certificate !== undefined),
  );
  const chain: X509Certificate[] = [];
  let last: X509Certificate | undefined = leaf;
  while (last !== undefined && isValidAt(last, wallMs)) {
    const child: X509Certificate = last;
    chain.push(child);
    if (anchors.some((anchor) => isValidAt(anchor, wallMs) && isIssuer(anchor, child))) {
      return chain;
    }
    last = [...unused].find((candidate) => isIssuer(candidate, child));
    if (last !== undefined) unused.delete(last);
  }
  return undefined;
}

function isIssuer(issuer: X509Certificate, child: X509Certificate): boolean {
  return issuer.ca && child.checkIssued(issuer) && child.verify(issuer.publicKey);
}

function isValidAt(certificate: X509Certificate, wallMs: number): boolean {
  return (
    certificate.validFromDate.getTime() <= wallMs && wallMs < certificate.validToDate.getTime()
  );
}
