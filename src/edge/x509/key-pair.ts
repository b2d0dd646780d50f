/** Keys of the mesh: ECDSA on P-256, the one kind that every peer of the mesh TLS accepts and that is cheap to sign with. */
import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { childrenOf, decodeDer, type Element, isOid, tag, wholeBytesOf } from "./asn1.ts";

export type KeyPair = { readonly privateKey: KeyObject; readonly publicKey: KeyObject };

/** RFC 5480 §2.1.1. */
const ecPublicKeyOid = "1.2.840.10045.2.1";
const p256Oid = "1.2.840.10045.3.1.7";
/** RFC 5480 §2.2: the first byte of a point tells its form. This one is followed by both coordinates. */
const uncompressed = 0x04;

export function makeKeyPair(): KeyPair {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

export function isP256(key: KeyObject): boolean {
  return key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1";
}

/**
 * A SubjectPublicKeyInfo, accepted only as a named P-256 curve with an uncompressed point: explicit curve parameters are
 * how a forged curve is smuggled in, and not every TLS library of a peer reads compressed points.
 */
export function parseP256PublicKey(spki: Uint8Array): KeyObject | undefined {
  const [algorithm, point, ...more] = childrenOf(decodeDer(spki), tag.sequence) ?? [];
  const [type, curve, ...others] = childrenOf(algorithm, tag.sequence) ?? [];
  if (more.length > 0 || others.length > 0) return undefined;
  if (!isOid(type, ecPublicKeyOid) || !isOid(curve, p256Oid)) return undefined;
  if (wholeBytesOf(point)?.[0] !== uncompressed) return undefined;
  try {
    return createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  } catch {
    // The point is too short, too long, or not on the curve.
    return undefined;
  }
}

/** The SubjectPublicKeyInfo of a key, for a certificate or a request. */
export function publicKeyInfo(publicKey: KeyObject): Element {
  const element = decodeDer(publicKey.export({ format: "der", type: "spki" }));
  if (element === undefined) throw new Error("Exported a public key that is not DER");
  return element;
}
