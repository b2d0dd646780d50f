/**
 * Certificate requests (PKCS #10, RFC 2986). A sidecar makes one; the identity issuer reads it, checks that the sender
 * holds the key, and reports the names it asks for. Nothing else in a request is taken over into a certificate.
 */
import { type KeyObject, sign, verify } from "node:crypto";
import { fail, fault, ok, type Result } from "../../core/std/result.ts";
import { type AltName, altNameOid, readAltNames, writeAltNames } from "./alt-name.ts";
import {
  bitString,
  childrenOf,
  contentOf,
  contextChildrenOf,
  contextConstructed,
  decodeDer,
  type Element,
  encodeDer,
  isOid,
  objectIdentifier,
  positiveInteger,
  sequence,
  set,
  tag,
  wholeBytesOf,
} from "./asn1.ts";
import { commonNamesOf, subjectOf } from "./distinguished-name.ts";
import { extension, findExtension, readExtensions } from "./extension.ts";
import { type KeyPair, parseP256PublicKey, publicKeyInfo } from "./key-pair.ts";
import { ecdsaWithSha256, isEcdsaWithSha256 } from "./signature-algorithm.ts";

/** PKCS #9 extensionRequest, RFC 2985 §5.4.2. */
const extensionRequestOid = "1.2.840.113549.1.9.14";

/** A request for a P-256 key and one name is about 300 bytes; nothing honest comes near this. */
export const maxCsrBytes = 16_384;

export type Csr = {
  /** Undefined for a subject without a common name. */
  readonly commonName: string | undefined;
  readonly altNames: readonly AltName[];
  readonly publicKey: KeyObject;
};

/** DER with the name as the only alternative name, and as the common name when it fits there. */
export function makeCsr(keyPair: KeyPair, name: string): Buffer {
  const names = extension(altNameOid, writeAltNames([{ kind: "dns", value: name }]), false);
  const info = sequence(
    positiveInteger(Uint8Array.of(0)),
    subjectOf(name),
    publicKeyInfo(keyPair.publicKey),
    contextConstructed(0, sequence(objectIdentifier(extensionRequestOid), set(sequence(names)))),
  );
  const signature = sign("sha256", encodeDer(info), keyPair.privateKey);
  return encodeDer(sequence(info, ecdsaWithSha256(), bitString(signature)));
}

/** Never throws, whatever the bytes are. */
export function parseCsr(der: Uint8Array): Result<Csr> {
  if (der.length > maxCsrBytes) {
    return broken(`send at most ${maxCsrBytes} bytes instead of ${der.length}`);
  }
  const [info, algorithm, signatureBits, ...more] = childrenOf(decodeDer(der), tag.sequence) ?? [];
  const [version, subject, spki, attributes, ...others] = childrenOf(info, tag.sequence) ?? [];
  if (info === undefined || spki === undefined || more.length > 0 || others.length > 0) {
    return broken("send a PKCS #10 request in DER");
  }
  if (contentOf(version, tag.integer)?.equals(Uint8Array.of(0)) !== true) {
    return broken("send a request of version 0");
  }
  const publicKey = parseP256PublicKey(encodeDer(spki));
  if (publicKey === undefined) return broken("use an ECDSA key on the named curve P-256");
  if (!isEcdsaWithSha256(algorithm)) return broken("sign the request by ECDSA with SHA-256");
  const signature = wholeBytesOf(signatureBits);
  if (signature === undefined || !verify("sha256", encodeDer(info), publicKey, signature)) {
    return broken("sign the request with the key that it names");
  }
  const commonNames = commonNamesOf(subject);
  if (commonNames === undefined || commonNames.length > 1) {
    return broken("send a subject with at most one common name");
  }
  const altNames = requestedNames(attributes);
  if (altNames === undefined) return broken("send well-formed attributes, each extension once");
  return ok({ commonName: commonNames[0], altNames, publicKey });
}

/** No extension request is no name; a malformed or repeated one is undefined. */
function requestedNames(attributes: Element | undefined): readonly AltName[] | undefined {
  if (attributes === undefined) return [];
  const list = contextChildrenOf(attributes, 0);
  const requests = list?.filter((one) =>
    isOid(childrenOf(one, tag.sequence)?.[0], extensionRequestOid),
  );
  if (requests === undefined || requests.length > 1) return undefined;
  if (requests.length === 0) return [];
  const [, values, ...more] = childrenOf(requests[0], tag.sequence) ?? [];
  const [extensionList, ...others] = childrenOf(values, tag.set) ?? [];
  const extensions = readExtensions(extensionList);
  if (extensions === undefined || more.length > 0 || others.length > 0) return undefined;
  const value = findExtension(extensions, altNameOid);
  return value === undefined ? [] : readAltNames(value);
}

function broken(reason: string): Result<Csr> {
  return fail(fault("certificate_signing_request", reason));
}
