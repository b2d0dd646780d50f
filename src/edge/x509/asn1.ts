/**
 * DER, built and read as a tree. Reading is strict: the whole input must be one element, and encoding the tree again must
 * give the same bytes. So what is read has exactly one meaning, and the bytes of any part (which a signature covers) are
 * `encodeDer(part)`.
 */
import type { asn1 as forge } from "node-forge";
import asn1 from "node-forge/lib/asn1.js";

export type Element = forge.Asn1;

/** Certificates nest 9 deep. A deeper tree is an attack on the stack. */
const maxDepth = 32;
/** X.690 §8.1.2.4: all ones in the tag number announce a longer tag, which X.509 never uses. */
const longTag = 0x1f;
/** X.690 §8.1.2: the two class bits of a tag. */
const universal = 0x00;
const contextSpecific = 0x80;

export const tag = {
  boolean: 1,
  integer: 2,
  bitString: 3,
  octetString: 4,
  objectIdentifier: 6,
  utf8String: 12,
  sequence: 16,
  set: 17,
  utcTime: 23,
  generalizedTime: 24,
} as const;

export function decodeDer(der: Uint8Array): Element | undefined {
  const bytes = latin1(der);
  let root: Element;
  try {
    const options = { strict: true, parseAllBytes: true, decodeBitStrings: false, maxDepth };
    root = asn1.fromDer(bytes, options);
  } catch {
    // The library throws for malformed input, which is the answer `undefined` here.
    return undefined;
  }
  return !hasLongTag(root) && asn1.toDer(root).getBytes() === bytes ? root : undefined;
}

export function encodeDer(element: Element): Buffer {
  return Buffer.from(asn1.toDer(element).getBytes(), "latin1");
}

function hasLongTag(element: Element): boolean {
  if (Number(element.type) === longTag) return true;
  return typeof element.value !== "string" && element.value.some(hasLongTag);
}

/** The children of a constructed universal element, or undefined for anything else. */
export function childrenOf(
  element: Element | undefined,
  type: number,
): readonly Element[] | undefined {
  if (element === undefined || element.tagClass !== universal || element.type !== type)
    return undefined;
  return typeof element.value === "string" ? undefined : element.value;
}

/** The content of a primitive universal element, or undefined for anything else. */
export function contentOf(element: Element | undefined, type: number): Buffer | undefined {
  if (element === undefined || element.tagClass !== universal || element.type !== type)
    return undefined;
  return primitive(element);
}

/** The children of a context-specific element such as `[0]`. */
export function contextChildrenOf(
  element: Element | undefined,
  number: number,
): readonly Element[] | undefined {
  if (!isContext(element, number) || typeof element.value === "string") return undefined;
  return element.value;
}

export function isContext(element: Element | undefined, number: number): element is Element {
  return element?.tagClass === contextSpecific && element.type === number;
}

export function primitive(element: Element): Buffer | undefined {
  return typeof element.value === "string" ? Buffer.from(element.value, "latin1") : undefined;
}

/** The bytes of a bit string without unused bits: all that keys and signatures are. */
export function wholeBytesOf(element: Element | undefined): Buffer | undefined {
  const content = contentOf(element, tag.bitString);
  return content?.[0] === 0 ? content.subarray(1) : undefined;
}

/** Compares with a known identifier in its encoded form, so that no untrusted identifier is ever decoded. */
export function isOid(element: Element | undefined, oid: string): boolean {
  return (
    contentOf(element, tag.objectIdentifier)?.toString("latin1") === asn1.oidToDer(oid).getBytes()
  );
}

export function sequence(...children: readonly Element[]): Element {
  return asn1.create(universal, tag.sequence, true, [...children]);
}

export function set(...children: readonly Element[]): Element {
  return asn1.create(universal, tag.set, true, [...children]);
}

export function objectIdentifier(oid: string): Element {
  return asn1.create(universal, tag.objectIdentifier, false, asn1.oidToDer(oid).getBytes());
}

/** A positive integer from its big-endian magnitude (X.690 §8.3: the shortest two's complement). */
export function positiveInteger(magnitude: Uint8Array): Element {
  const first = magnitude.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? Uint8Array.of(0) : magnitude.subarray(first);
  const sign = (digits[0] ?? 0) >= 0x80 ? "\0" : "";
  return asn1.create(universal, tag.integer, false, sign + latin1(digits));
}

export function trueElement(): Element {
  return asn1.create(universal, tag.boolean, false, "\xff");
}

export function utf8String(text: string): Element {
  return asn1.create(universal, tag.utf8String, false, latin1(Buffer.from(text)));
}

export function octetString(content: Uint8Array): Element {
  return asn1.create(universal, tag.octetString, false, latin1(content));
}

export function bitString(content: Uint8Array, unusedBits = 0): Element {
  const bytes = String.fromCharCode(unusedBits) + latin1(content);
  return asn1.create(universal, tag.bitString, false, bytes);
}

export function contextPrimitive(number: number, content: Uint8Array): Element {
  return asn1.create(contextSpecific, number, false, latin1(content));
}

export function contextConstructed(number: number, ...children: readonly Element[]): Element {
  return asn1.create(contextSpecific, number, true, [...children]);
}

/** RFC 5280 §4.1.2.5: UTCTime through the year 2049, GeneralizedTime from 2050 on. Whole seconds. */
export function time(atMs: number): Element {
  const date = new Date(atMs);
  if (date.getUTCFullYear() < 2050) {
    return asn1.create(universal, tag.utcTime, false, asn1.dateToUtcTime(date));
  }
  return asn1.create(universal, tag.generalizedTime, false, asn1.dateToGeneralizedTime(date));
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
