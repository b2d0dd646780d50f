/** Subjects. The mesh puts at most a common name there, for people; the alternative name is what counts. */
import {
  childrenOf,
  contentOf,
  type Element,
  isOid,
  objectIdentifier,
  sequence,
  set,
  tag,
  utf8String,
} from "./asn1.ts";

const commonNameOid = "2.5.4.3";
/** RFC 5280 appendix A, ub-common-name. Identity names of long namespaces do not fit and go without. */
export const maxCommonNameLength = 64;

/** A subject with the name as its CN, or the empty subject when the name is too long for one. */
export function subjectOf(name: string): Element {
  if (name.length > maxCommonNameLength) return sequence();
  return sequence(set(sequence(objectIdentifier(commonNameOid), utf8String(name))));
}

/** The string types whose bytes are the text as long as it is ASCII: UTF8String, PrintableString, IA5String. */
const textTypes: readonly number[] = [12, 19, 22];

/** Every common name in a subject, as Latin-1 text of its bytes; undefined when the subject is malformed. */
export function commonNamesOf(subject: Element | undefined): readonly string[] | undefined {
  const sets = childrenOf(subject, tag.sequence);
  if (sets === undefined) return undefined;
  const names: string[] = [];
  for (const relative of sets) {
    for (const attribute of childrenOf(relative, tag.set) ?? [undefined]) {
      const [type, value, ...more] = childrenOf(attribute, tag.sequence) ?? [];
      if (value === undefined || more.length > 0) return undefined;
      if (contentOf(type, tag.objectIdentifier) === undefined) return undefined;
      if (!isOid(type, commonNameOid)) continue;
      const text = textTypes.includes(value.type) ? contentOf(value, value.type) : undefined;
      if (text === undefined) return undefined;
      names.push(text.toString("latin1"));
    }
  }
  return names;
}
