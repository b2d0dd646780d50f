/**
 * The field names whose values must not stay in a compression table, where repeated guesses would find them out
 * (RFC 7541 §7.1). A field that a peer sent as never indexed has to be sent on like that (§6.2.3), but it crosses the
 * data plane as an HTTP/1.1 line, which cannot say so. Hence the worker remembers the name.
 */
import { tokenLower } from "../byte-class.ts";

/**
 * Peers mark a handful of names. The limit keeps one that marks everything from switching off the compression of the
 * others.
 */
const maxLearned = 64;

/** Names share a slot by chance; then one that is no secret is not indexed, which costs some bytes only. */
const slots = 4096;

/** Credentials by their standard, and the usual names of tokens. */
const alwaysSensitive: readonly string[] = [
  ..."authorization proxy-authorization authentication-info proxy-authentication-info".split(" "),
  ..."x-api-key api-key x-auth-token x-access-token x-csrf-token x-xsrf-token".split(" "),
  ..."x-amz-security-token x-goog-iap-jwt-assertion x-forwarded-access-token".split(" "),
];

export class SensitiveNames {
  readonly #marks: Uint8Array = new Uint8Array(slots);
  /** How many names peers have marked. */
  learned = 0;

  constructor() {
    for (const name of alwaysSensitive) {
      const bytes = Buffer.from(name, "latin1");
      this.#marks[hashName(bytes, 0, bytes.length) & (slots - 1)] = 1;
    }
  }

  /** A peer marked this name. */
  learn(bytes: Uint8Array, start: number, end: number): void {
    const slot = hashName(bytes, start, end) & (slots - 1);
    if (this.#marks[slot] === 1 || this.learned === maxLearned) return;
    this.#marks[slot] = 1;
    this.learned++;
  }

  /** By what `hashName` answered. */
  has(nameHash: number): boolean {
    return this.#marks[nameHash & (slots - 1)] === 1;
  }
}

/** A number for a name in any case (FNV-1a, mixed once more because its low bits decide). */
export function hashName(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let at = start; at < end; at++) {
    hash = Math.imul(hash ^ (tokenLower[bytes[at] as number] as number), 0x01000193);
  }
  return hash ^ (hash >>> 15);
}
