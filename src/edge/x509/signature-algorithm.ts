/** The one signature algorithm of the mesh's certificates, requests and tokens. */
import { childrenOf, type Element, isOid, objectIdentifier, sequence, tag } from "./asn1.ts";

/** RFC 5758 §3.2. The parameters must be absent. */
const ecdsaWithSha256Oid = "1.2.840.10045.4.3.2";

export function ecdsaWithSha256(): Element {
  return sequence(objectIdentifier(ecdsaWithSha256Oid));
}

export function isEcdsaWithSha256(algorithm: Element | undefined): boolean {
  const parts = childrenOf(algorithm, tag.sequence);
  return parts?.length === 1 && isOid(parts[0], ecdsaWithSha256Oid);
}
