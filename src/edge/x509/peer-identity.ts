/**
 * The name of the other end of a mutual TLS connection. The chain has been verified when this is asked; what is left is to
 * read one name out of the leaf so that nobody can read another: exactly one alternative name, a DNS name or a SPIFFE id,
 * made of the characters that such names have. Anything else is a peer without identity.
 *
 * Two identities are the same when their bytes are. There is no case folding and no wildcard: the issuer writes one
 * spelling, and a wildcard in a certificate would be a licence to be everybody.
 */
import type { X509Certificate } from "node:crypto";
import { isDnsName } from "../../core/std/dns-name.ts";
import type { AltName } from "./alt-name.ts";
import { readCertificate } from "./certificate-fields.ts";

/** SPIFFE-ID §2.3: an id of up to 2048 bytes must be accepted, a longer one must not be made. */
const maxSpiffeIdLength = 2_048;
/** SPIFFE-ID §2.1: the trust domain is at most 255 bytes of these characters. */
const spiffeId = /^spiffe:\/\/[a-z0-9._-]{1,255}((?:\/[A-Za-z0-9._-]+)*)$/;

export function peerIdentity(certificate: Uint8Array | X509Certificate): string | undefined {
  const der = certificate instanceof Uint8Array ? certificate : certificate.raw;
  const names = readCertificate(der)?.altNames;
  const [name, ...more] = names ?? [];
  return name !== undefined && more.length === 0 && isIdentity(name) ? name.value : undefined;
}

/** A mesh has a root and one or two issuers. Each more costs a signature to check, and whoever connects chooses how many. */
const maxIssuers = 8;

/** Whether the chain that was verified has more certificates above the leaf than a mesh has. */
export function isChainTooLong(leaf: X509Certificate): boolean {
  let issuers = 0;
  for (let at = leaf.issuerCertificate; at !== undefined; at = at.issuerCertificate) {
    issuers++;
    if (issuers > maxIssuers) return true;
  }
  return false;
}

function isIdentity({ kind, value }: AltName): boolean {
  if (kind === "dns") return isDnsName(value);
  return kind === "uri" && isSpiffeId(value);
}

/** SPIFFE-ID §2.2: no empty, `.` or `..` segment, so that a path has one spelling. */
function isSpiffeId(value: string): boolean {
  if (value.length > maxSpiffeIdLength) return false;
  const path = spiffeId.exec(value)?.[1];
  return path?.split("/").every((segment) => segment !== "." && segment !== "..") ?? false;
}
