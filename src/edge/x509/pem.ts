/** PEM text (RFC 7468) of certificates, read strictly: a bundle that is half right is not used by half. */
import { X509Certificate } from "node:crypto";
import pem from "node-forge/lib/pem.js";
import { type Fault, fail, fault, ok, type Result } from "../../core/std/result.ts";
import { decodeDer } from "./asn1.ts";

/** A bundle of trust anchors during a rotation holds two or three; a public bundle (some 150) is not meant here. */
export const maxBundleCertificates = 100;
/** Room for the limit above with RSA roots of 2 KiB each in base64. */
export const maxBundleLength = 262_144;

/** What stands before a block, used to tell a block that has no end from a bundle that has none. */
const blockStart = /^-----BEGIN /gm;
/** RFC 7468 §2. */
const lineLength = 64;

export function certificateToPem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(new RegExp(`.{1,${lineLength}}`, "g")) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

/** The certificates of a bundle in DER, in order. At least one; text between blocks is allowed, other blocks are not. */
export function parseCertificates(text: string): Result<readonly Buffer[]> {
  if (text.length > maxBundleLength) {
    return fail(fault("", `use at most ${maxBundleLength} characters instead of ${text.length}`));
  }
  const blocks = decodeBlocks(text);
  if (blocks === undefined) return fail(fault("", "write complete PEM blocks of certificates"));
  if (blocks.length > maxBundleCertificates) {
    return fail(
      fault("", `use at most ${maxBundleCertificates} certificates instead of ${blocks.length}`),
    );
  }
  const certificates: Buffer[] = [];
  const faults: Fault[] = [];
  for (const [at, { type, der }] of blocks.entries()) {
    if (type !== "CERTIFICATE") {
      faults.push(fault(`[${at}]`, `remove the block "${type}", only "CERTIFICATE" belongs here`));
    } else if (decodeDer(der) === undefined || asCertificate(der) === undefined) {
      faults.push(fault(`[${at}]`, "replace the block, it does not hold an X.509 certificate"));
    } else {
      certificates.push(der);
    }
  }
  return faults.length > 0 ? fail(...faults) : ok(certificates);
}

/**
 * The roots that a process trusts, each as PEM on its own, which is how `node:tls` takes `ca`. A certificate that cannot
 * issue others is refused: it would anchor nothing, and is most often a leaf put into the wrong file.
 */
export function parseTrustAnchors(text: string): Result<readonly string[]> {
  const bundle = parseCertificates(text);
  if (!bundle.ok) return bundle;
  const leaves = bundle.value.flatMap((der, at) => (asCertificate(der)?.ca === true ? [] : [at]));
  if (leaves.length > 0) {
    return fail(
      ...leaves.map((at) => fault(`[${at}]`, "replace the certificate, it is not that of a CA")),
    );
  }
  return ok(bundle.value.map(certificateToPem));
}

export function asCertificate(der: Uint8Array): X509Certificate | undefined {
  try {
    return new X509Certificate(der);
  } catch {
    // OpenSSL cannot read it, which is the answer `undefined`.
    return undefined;
  }
}

type Block = { readonly type: string; readonly der: Buffer };

function decodeBlocks(text: string): readonly Block[] | undefined {
  try {
    const blocks = pem
      .decode(text)
      .map(({ type, body }) => ({ type, der: Buffer.from(body, "latin1") }));
    // The library skips a block without an end.
    return blocks.length === (text.match(blockStart) ?? []).length ? blocks : undefined;
  } catch {
    // The library throws when there is no block at all.
    return undefined;
  }
}
