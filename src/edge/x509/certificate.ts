/** Makes certificates (RFC 5280): the issuer's own, and the leaves it issues. The clock and the serial are arguments. */
import { createHash, type KeyObject, randomBytes, sign } from "node:crypto";
import { altNameOid, type KnownAltName, writeAltNames } from "./alt-name.ts";
import {
  bitString,
  childrenOf,
  contextConstructed,
  contextPrimitive,
  type Element,
  encodeDer,
  objectIdentifier,
  octetString,
  positiveInteger,
  sequence,
  tag,
  time,
  trueElement,
  wholeBytesOf,
} from "./asn1.ts";
import { readCertificate } from "./certificate-fields.ts";
import { maxCommonNameLength, subjectOf } from "./distinguished-name.ts";
import { extension } from "./extension.ts";
import { type KeyPair, publicKeyInfo } from "./key-pair.ts";
import { ecdsaWithSha256 } from "./signature-algorithm.ts";

/** Who signs: a certificate in DER and the private key that belongs to it. */
export type Signer = { readonly certificate: Uint8Array; readonly key: KeyObject };

export type CertificateOptions = {
  readonly issuer: Signer;
  /** The common name, when it fits into one. */
  readonly name: string;
  readonly altNames: readonly KnownAltName[];
  readonly publicKey: KeyObject;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Big-endian, unique for the issuer, at most 20 bytes (RFC 5280 §4.1.2.2). */
  readonly serial: Uint8Array;
  /** Present for a certificate that may issue others, with how many more issuers may follow it. */
  readonly ca?: { readonly pathLength: number };
};

export type SelfSignedOptions = Omit<
  CertificateOptions,
  "issuer" | "publicKey" | "altNames" | "ca"
> & {
  readonly keyPair: KeyPair;
};

const oid = {
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;

/** RFC 5280 §4.2.1.3, first bit first: digitalSignature + keyEncipherment, and keyCertSign + cRLSign. */
const leafUsage = { bits: 0b1010_0000, unused: 5 };
const caUsage = { bits: 0b0000_0110, unused: 1 };

const serialBytes = 16;

/**
 * A random serial, not a counter: two replicas of an issuer that share a key must not give out the same one. The first
 * byte is 0x40 to 0x7f, so that the number is positive and always 16 bytes long.
 */
export function randomSerial(): Uint8Array {
  const serial = randomBytes(serialBytes);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}

/** DER. Throws when the issuer's own certificate cannot be read, which loading it has ruled out. */
export function issueCertificate(options: CertificateOptions): Buffer {
  const issuer = readCertificate(options.issuer.certificate);
  if (issuer === undefined) throw new Error("Read the issuer's certificate in vain: it is not DER");
  return signCertificate(options, {
    name: issuer.subject,
    key: options.issuer.key,
    keyIdentifier: issuer.subjectKeyIdentifier ?? keyIdentifier(issuer.publicKeyInfo),
  });
}

/** DER of a root: an issuer that signs itself. */
export function selfSignedCa(options: SelfSignedOptions): Buffer {
  const { privateKey, publicKey } = options.keyPair;
  return signCertificate(
    { ...options, publicKey, altNames: [], ca: { pathLength: 1 } },
    {
      name: subjectOf(options.name),
      key: privateKey,
      keyIdentifier: keyIdentifier(publicKeyInfo(publicKey)),
    },
  );
}

type IssuerFacts = {
  readonly name: Element;
  readonly key: KeyObject;
  readonly keyIdentifier: Buffer;
};

function signCertificate(options: Omit<CertificateOptions, "issuer">, issuer: IssuerFacts): Buffer {
  const spki = publicKeyInfo(options.publicKey);
  const version3 = positiveInteger(Uint8Array.of(2));
  const tbs = sequence(
    contextConstructed(0, version3),
    positiveInteger(options.serial),
    ecdsaWithSha256(),
    issuer.name,
    sequence(time(options.notBeforeMs), time(options.notAfterMs)),
    subjectOf(options.name),
    spki,
    contextConstructed(
      3,
      sequence(...extensionsOf(options, keyIdentifier(spki), issuer.keyIdentifier)),
    ),
  );
  const signature = sign("sha256", encodeDer(tbs), issuer.key);
  return encodeDer(sequence(tbs, ecdsaWithSha256(), bitString(signature)));
}

function extensionsOf(
  options: Omit<CertificateOptions, "issuer">,
  subjectKeyIdentifier: Buffer,
  issuerKeyIdentifier: Buffer,
): readonly Element[] {
  const { ca, altNames, name } = options;
  const constraints =
    ca === undefined
      ? sequence()
      : sequence(trueElement(), positiveInteger(Uint8Array.of(ca.pathLength)));
  const usage = ca === undefined ? leafUsage : caUsage;
  const purposes = sequence(objectIdentifier(oid.serverAuth), objectIdentifier(oid.clientAuth));
  const authority = sequence(contextPrimitive(0, issuerKeyIdentifier));
  // RFC 5280 §4.2.1.6: the names are critical when the subject is empty.
  const subjectIsEmpty = name.length > maxCommonNameLength;
  const usageBits = encodeDer(bitString(Uint8Array.of(usage.bits), usage.unused));
  return [
    extension(oid.basicConstraints, encodeDer(constraints), true),
    extension(oid.keyUsage, usageBits, true),
    ...(ca === undefined ? [extension(oid.extendedKeyUsage, encodeDer(purposes), false)] : []),
    extension(oid.subjectKeyIdentifier, encodeDer(octetString(subjectKeyIdentifier)), false),
    extension(oid.authorityKeyIdentifier, encodeDer(authority), false),
    ...(altNames.length > 0
      ? [extension(altNameOid, writeAltNames(altNames), subjectIsEmpty)]
      : []),
  ];
}

/** RFC 7093 §2 method 1: the first 160 bits of the SHA-256 of the key's bit string. */
function keyIdentifier(spki: Element): Buffer {
  const point = wholeBytesOf(childrenOf(spki, tag.sequence)?.[1]);
  return createHash("sha256")
    .update(point ?? encodeDer(spki))
    .digest()
    .subarray(0, 20);
}
