/** Subject alternative names (RFC 5280 §4.2.1.6), the only place where a certificate of the mesh says who it is for. */
import {
  childrenOf,
  contextPrimitive,
  decodeDer,
  type Element,
  encodeDer,
  isContext,
  primitive,
  sequence,
  tag,
} from "./asn1.ts";

/** `value` is the content byte for byte, as Latin-1 text: what is compared is what was signed. */
export type AltName = { readonly kind: AltNameKind; readonly value: string };
type AltNameKind = "dns" | "uri" | "email" | "ip" | "other";

export const altNameOid = "2.5.29.17";

/** The tag numbers of the GeneralName choice. Every other choice is `other`. */
const numbers: Readonly<Record<Exclude<AltNameKind, "other">, number>> = {
  email: 1,
  dns: 2,
  uri: 6,
  ip: 7,
};

/** The names in the value of the extension, or undefined when it is malformed or (against the standard) empty. */
export function readAltNames(extensionValue: Uint8Array): readonly AltName[] | undefined {
  const elements = childrenOf(decodeDer(extensionValue), tag.sequence);
  return elements === undefined || elements.length === 0 ? undefined : elements.map(altName);
}

function altName(element: Element): AltName {
  const value = primitive(element)?.toString("latin1");
  for (const kind of ["dns", "uri", "email", "ip"] as const) {
    if (value !== undefined && isContext(element, numbers[kind])) return { kind, value };
  }
  return { kind: "other", value: value ?? "" };
}

/** The value of the extension for names that the caller has checked. */
export function writeAltNames(names: readonly KnownAltName[]): Buffer {
  const elements = names.map(({ kind, value }) => {
    return contextPrimitive(numbers[kind], Buffer.from(value, "latin1"));
  });
  return encodeDer(sequence(...elements));
}

export type KnownAltName = { readonly kind: Exclude<AltNameKind, "other">; readonly value: string };
