/**
 * The fields behind the last chunk (RFC 9112 §7.1.2), checked while they pass by. They are forwarded as they came, so
 * what must not come this late is refused: a hop that merges trailers into the head would act on it.
 */
import { Byte, tokenLower, valueByte } from "./byte-class.ts";
import { wrongByte } from "./field-lines.ts";
import { Refusal, type RefusalCode } from "./refusal.ts";
import { WordTable } from "./word-table.ts";

/** Trailers carry a status, a checksum, a signature: a few fields, and the longest known ones are traces of 4 KiB. */
const maxTrailers = 32;
const maxTrailerBytes = 8 * 1024;

/** RFC 9110 §6.5.1: framing, routing, request modifiers, authentication, response control, and how content is read. */
const forbidden: WordTable = new WordTable([
  ..."content-length transfer-encoding connection host te trailer upgrade keep-alive".split(" "),
  ..."proxy-connection proxy-authenticate proxy-authorization http2-settings".split(" "),
  ..."expect max-forwards range if-match if-none-match if-modified-since".split(" "),
  ..."if-unmodified-since if-range cache-control pragma authorization www-authenticate".split(" "),
  ..."cookie set-cookie age date expires location retry-after vary warning".split(" "),
  ..."content-encoding content-type content-range forwarded via x-real-ip".split(" "),
]);

/** Prefixes that are ours, or that applications trust for routing. An underscore counts as a dash. */
const forbiddenPrefixes: readonly string[] = ["l5d-", "x-forwarded-"];

/** Longer than every forbidden name. */
const keptNameBytes = 32;

const Step = { line: 0, name: 1, value: 2, lf: 3, lastLf: 4 } as const;

export class TrailerSection {
  #step: number = Step.line;
  #fields = 0;
  #bytes = 0;
  #nameLength = 0;
  /** The first bytes of the name: the buffer with its beginning may be gone when its end arrives. */
  readonly #name: Uint8Array = new Uint8Array(keptNameBytes);

  begin(): void {
    this.#step = Step.line;
    this.#fields = 0;
    this.#bytes = 0;
    this.#nameLength = 0;
  }

  /** Answers the position behind the empty line, 0 when bytes are missing, or a negative refusal. */
  take(bytes: Buffer, start: number, end: number): number {
    for (let at = start; at < end; at++) {
      if (++this.#bytes > maxTrailerBytes) return -Refusal.longTrailers;
      const byte = bytes[at] as number;
      if (this.#step === Step.lastLf) return byte === Byte.lf ? at + 1 : -Refusal.bareCr;
      const refusal = this.#takeByte(byte);
      if (refusal !== 0) return -refusal;
    }
    return 0;
  }

  #takeByte(byte: number): RefusalCode | 0 {
    switch (this.#step) {
      case Step.line:
        if (byte === Byte.cr) {
          this.#step = Step.lastLf;
          return 0;
        }
        if (++this.#fields > maxTrailers) return Refusal.longTrailers;
        this.#nameLength = 0;
        this.#step = Step.name;
        return this.#takeNameByte(byte);
      case Step.name:
        return this.#takeNameByte(byte);
      case Step.value:
        if (byte === Byte.cr) this.#step = Step.lf;
        else if (valueByte[byte] === 0) return wrongByte(byte, Refusal.badTrailer);
        return 0;
      default:
        this.#step = Step.line;
        return byte === Byte.lf ? 0 : Refusal.bareCr;
    }
  }

  #takeNameByte(byte: number): RefusalCode | 0 {
    const lower = tokenLower[byte] as number;
    if (lower !== 0) {
      if (this.#nameLength < keptNameBytes) this.#name[this.#nameLength] = lower;
      this.#nameLength++;
      return 0;
    }
    if (byte !== Byte.colon || this.#nameLength === 0) return wrongByte(byte, Refusal.badTrailer);
    this.#step = Step.value;
    return this.#isForbidden() ? Refusal.forbiddenTrailer : 0;
  }

  #isForbidden(): boolean {
    const length = Math.min(this.#nameLength, keptNameBytes);
    for (let at = 0; at < length; at++) {
      if (this.#name[at] === Byte.underscore) this.#name[at] = Byte.dash;
    }
    if (this.#nameLength <= keptNameBytes && forbidden.find(this.#name, 0, length) !== 0)
      return true;
    return forbiddenPrefixes.some((prefix) => this.#startsWith(prefix, length));
  }

  #startsWith(prefix: string, length: number): boolean {
    if (length < prefix.length) return false;
    for (let at = 0; at < prefix.length; at++) {
      if (this.#name[at] !== prefix.charCodeAt(at)) return false;
    }
    return true;
  }
}
