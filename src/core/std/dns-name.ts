/**
 * DNS names as Kubernetes writes them: lower case, RFC 1123 §2.1 labels. No wildcard and no trailing dot, because the
 * callers use these names as identities, where two spellings of one name would be two names.
 */

/** RFC 1035 §2.3.4. */
export const maxDnsLabelLength = 63;
/** RFC 1035 §2.3.4 counts 255 octets with length bytes, which leaves 253 characters of text. */
export const maxDnsNameLength = 253;

const label = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;

export function isDnsLabel(text: string): boolean {
  return text.length <= maxDnsLabelLength && label.test(text);
}

export function isDnsName(text: string): boolean {
  return text.length <= maxDnsNameLength && text.split(".").every(isDnsLabel);
}
