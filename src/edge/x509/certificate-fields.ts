/** The parts of a certificate (RFC 5280 §4.1) that `node:crypto` does not give out as bytes. */
import { type AltName, altNameOid, readAltNames } from "./alt-name.ts";
import {
  childrenOf,
  contentOf,
  contextChildrenOf,
  decodeDer,
  type Element,
  isContext,
  tag,
} from "./asn1.ts";
import { type Extensions, findExtension, readExtensions } from "./extension.ts";

export type CertificateFields = {
  readonly subject: Element;
  readonly publicKeyInfo: Element;
  /** Undefined when the certificate has none. */
  readonly subjectKeyIdentifier: Buffer | undefined;
  /** Empty when the certificate has none. */
  readonly altNames: readonly AltName[];
};

const subjectKeyIdentifierOid = "2.5.29.14";

/** Undefined for what is not a well-formed certificate. The signature is not looked at. */
export function readCertificate(der: Uint8Array): CertificateFields | undefined {
  const [tbs] = childrenOf(decodeDer(der), tag.sequence) ?? [];
  const parts = childrenOf(tbs, tag.sequence) ?? [];
  // The version is optional and first. Version 1 has no extensions, hence no names.
  const [, , , , subject, publicKeyInfo, ...rest] = isContext(parts[0], 0) ? parts.slice(1) : parts;
  if (subject === undefined || publicKeyInfo === undefined) return undefined;
  const extensions = extensionsOf(rest);
  if (extensions === undefined) return undefined;
  const names = findExtension(extensions, altNameOid);
  const altNames = names === undefined ? [] : readAltNames(names);
  if (altNames === undefined) return undefined;
  const keyIdentifier = findExtension(extensions, subjectKeyIdentifierOid);
  return {
    subject,
    publicKeyInfo,
    subjectKeyIdentifier: keyIdentifier && contentOf(decodeDer(keyIdentifier), tag.octetString),
    altNames,
  };
}

function extensionsOf(rest: readonly Element[]): Extensions | undefined {
  const wrapped = rest.filter((element) => isContext(element, 3));
  if (wrapped.length === 0) return new Map();
  const lists = contextChildrenOf(wrapped[0], 3);
  return wrapped.length === 1 && lists?.length === 1 ? readExtensions(lists[0]) : undefined;
}
