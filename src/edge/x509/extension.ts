/** X.509 v3 extensions (RFC 5280 §4.2), in certificates and in the requests for them. */
import {
  childrenOf,
  contentOf,
  type Element,
  objectIdentifier,
  octetString,
  sequence,
  tag,
  trueElement,
} from "./asn1.ts";

/** The values of the extensions, by identifier in its encoded form as Latin-1 text. */
export type Extensions = ReadonlyMap<string, Buffer>;

/**
 * Reads a SEQUENCE OF Extension. RFC 5280 §4.2: an extension must not occur twice; two readers that disagree on which of
 * two names counts are how one certificate becomes two identities, so a repetition makes the whole list unreadable.
 */
export function readExtensions(list: Element | undefined): Extensions | undefined {
  const elements = childrenOf(list, tag.sequence);
  if (elements === undefined) return undefined;
  const values = new Map<string, Buffer>();
  for (const element of elements) {
    const parts = childrenOf(element, tag.sequence) ?? [];
    const id = contentOf(parts[0], tag.objectIdentifier)?.toString("latin1");
    const critical = parts.length === 3 ? contentOf(parts[1], tag.boolean) : undefined;
    const value = contentOf(parts.at(-1), tag.octetString);
    const shaped = parts.length === 2 || (parts.length === 3 && critical !== undefined);
    if (id === undefined || value === undefined || !shaped || values.has(id)) return undefined;
    values.set(id, value);
  }
  return values;
}

export function findExtension(extensions: Extensions, oid: string): Buffer | undefined {
  return extensions.get(
    contentOf(objectIdentifier(oid), tag.objectIdentifier)?.toString("latin1") ?? "",
  );
}

export function extension(oid: string, value: Uint8Array, critical: boolean): Element {
  const id = objectIdentifier(oid);
  return critical
    ? sequence(id, trueElement(), octetString(value))
    : sequence(id, octetString(value));
}
