/**
 * What is different in a head when it is forwarded, and writing it. A forwarded head is copied as it came, in runs between
 * the fields that are left out, with the added lines at its end; nothing is parsed again and no field becomes a string.
 */
import { Byte, spells, tokenLower } from "./byte-class.ts";
import { ConnectionOption, skipListGap, tokenEnd } from "./framing.ts";
import { type Fields, Known, knownId } from "./header-list.ts";
import type { MessageHead } from "./message-head.ts";

/** Up to here a loop is faster than calling into the engine for each string (`benchmarks/codec/write-head.ts`). */
const shortText = 24;

/** Most messages lose no field, so there is no room for marks until one does. */
const noFields: Uint8Array = new Uint8Array(0);

/** Marks for as many fields as most heads have, which fit into the object itself. */
const firstMarks = 32;

/**
 * Fields left out and lines added. Nothing is copied until the head is written, and nothing is made when nothing is
 * edited. One `HeadEdit` serves a connection for its whole life.
 */
export class HeadEdit {
  /** How many lines are added. The lists behind it are longer: they keep their room from one message to the next. */
  count = 0;
  /** In lower case. */
  readonly names: string[] = [];
  readonly values: string[] = [];
  /** 1 for each field (by position) that is left out. */
  #dropped: Uint8Array = noFields;
  /** No mark is set from here on. */
  #marksEnd = 0;
  /** Names whose fields are all left out. */
  readonly #removed: string[] = [];
  #removedCount = 0;

  reset(): void {
    this.count = 0;
    this.#removedCount = 0;
    this.#unmark();
  }

  /** Becomes what `other` is, so that edits can be taken back to where they were. */
  copyFrom(other: HeadEdit): void {
    this.count = other.count;
    for (let at = 0; at < other.count; at++) {
      this.names[at] = other.names[at] as string;
      this.values[at] = other.values[at] as string;
    }
    this.#removedCount = other.#removedCount;
    for (let at = 0; at < other.#removedCount; at++) {
      this.#removed[at] = other.#removed[at] as string;
    }
    this.#unmark();
    for (let i = 0; i < other.#marksEnd; i++) if (other.isDropped(i)) this.dropField(i);
  }

  /** Leaves out one field of the head. */
  dropField(i: number): void {
    if (i >= this.#dropped.length) this.#makeRoom(i);
    this.#dropped[i] = 1;
    if (i >= this.#marksEnd) this.#marksEnd = i + 1;
  }

  /** Leaves out every field of a name (in lower case), and the lines that were added with it. */
  remove(name: string): void {
    checkName(name);
    this.#removed[this.#removedCount++] = name;
    let kept = 0;
    for (let at = 0; at < this.count; at++) {
      if (this.names[at] === name) continue;
      this.names[kept] = this.names[at] as string;
      this.values[kept++] = this.values[at] as string;
    }
    this.count = kept;
  }

  /** Makes `value` the only one of a name. */
  set(name: string, value: string): void {
    checkValue(name, value);
    this.remove(name);
    this.#append(name, value);
  }

  /** Adds a line and leaves what is there. */
  add(name: string, value: string): void {
    checkName(name);
    checkValue(name, value);
    this.#append(name, value);
  }

  #append(name: string, value: string): void {
    this.names[this.count] = name;
    this.values[this.count++] = value;
  }

  /** Resolves the removed names against the head's fields. To be called before `isDropped`. */
  resolve(fields: Fields): void {
    for (let at = 0; at < this.#removedCount; at++) {
      const name = this.#removed[at] as string;
      for (let i = fields.find(name, 0); i >= 0; i = fields.find(name, i + 1)) this.dropField(i);
    }
  }

  /** One by one: they are few, and `fill` leaves compiled code (`benchmarks/proxy/http1.ts`). */
  #unmark(): void {
    for (let i = 0; i < this.#marksEnd; i++) this.#dropped[i] = 0;
    this.#marksEnd = 0;
  }

  #makeRoom(i: number): void {
    const before = this.#dropped;
    this.#dropped = new Uint8Array(Math.max(firstMarks, 2 * before.length, i + 1));
    this.#dropped.set(before);
  }

  isDropped(i: number): boolean {
    return this.#dropped[i] === 1;
  }

  /** Whether any field is left out; without one the whole head can be copied at once. */
  get drops(): boolean {
    return this.#marksEnd > 0;
  }
}

// What the edits contain was checked when the tables were built. A bad one here is a bug, and one that splits responses,
// so it throws. Characters above 0xff are refused because Latin-1 would cut them down to a byte, U+010A to a line feed.

function checkName(name: string): void {
  if (knownId(name) !== 0) return;
  for (let at = 0; at < name.length; at++) {
    const code = name.charCodeAt(at);
    if (code === 0 || tokenLower[code] !== code) throw badEdit(name);
  }
  if (name === "") throw badEdit(name);
}

function checkValue(name: string, value: string): void {
  for (let at = 0; at < value.length; at++) {
    const code = value.charCodeAt(at);
    if (code === 0 || code === 0x0a || code === 0x0d || code > 0xff) {
      throw new Error(
        `Set field '${name}' to a value without CR, LF, NUL and characters above U+00FF`,
      );
    }
  }
}

function badEdit(name: string): Error {
  return new Error(`Name the field by a lower-case token, not '${name}'`);
}

/**
 * Leaves out Connection, what it lists, and the fields that end here whether listed or not. With `keepUpgrade` the
 * Upgrade stays, and `Connection: upgrade` is made anew, because the next hop ignores one without the other.
 * `TE: trailers` stays likewise (RFC 9110 §10.1.4): trailers are forwarded. HTTP2-Settings always ends here: nothing
 * upgrades to HTTP/2 through a proxy (RFC 9113 §3.1 abandons it).
 */
export function dropHopByHop(head: MessageHead, edit: HeadEdit, keepUpgrade: boolean): void {
  const { fields } = head;
  const keepsUpgrade = keepUpgrade && head.upgrade;
  let keepsTe = false;
  for (let i = 0; i < fields.count; i++) {
    switch (fields.known[i] as number) {
      case Known.connection:
        edit.dropField(i);
        dropListed(head, edit, i);
        break;
      case Known.te:
        if (isTrailers(head, i)) keepsTe = true;
        else edit.dropField(i);
        break;
      case Known.upgrade:
        if (!keepsUpgrade) edit.dropField(i);
        break;
      case Known.keepAlive:
      case Known.http2Settings:
      case Known.proxyConnection:
      case Known.proxyAuthenticate:
      case Known.proxyAuthorization:
        edit.dropField(i);
        break;
      default:
        break;
    }
  }
  if (keepsUpgrade) edit.add("connection", keepsTe ? "upgrade, te" : "upgrade");
  else if (keepsTe) edit.add("connection", "te");
}

function isTrailers(head: MessageHead, i: number): boolean {
  const { spans } = head.fields;
  return spells(head.bytes, spans[4 * i + 2] as number, spans[4 * i + 3] as number, "trailers");
}

/** Leaves out the fields that Connection field `i` names. The parser has refused lists with framing names. */
function dropListed(head: MessageHead, edit: HeadEdit, i: number): void {
  if ((head.options & ConnectionOption.other) === 0) return;
  const { bytes, fields } = head;
  const end = fields.spans[4 * i + 3] as number;
  let at = skipListGap(bytes, fields.spans[4 * i + 2] as number, end);
  while (at < end) {
    const optionEnd = tokenEnd(bytes, at, end);
    const name = bytes.toString("latin1", at, optionEnd).toLowerCase();
    // TE and Upgrade are listed for this hop; whether they stay was decided by their own rules.
    if (name !== "te" && name !== "upgrade") {
      for (let j = fields.find(name, 0); j >= 0; j = fields.find(name, j + 1)) edit.dropField(j);
    }
    at = skipListGap(bytes, optionEnd, end);
  }
}

/**
 * Writes `head` with its edits to `out` from `at` on. `startLine` (without CR LF) replaces the first line. Answers the
 * position after the empty line, or -1 when `out` is too small, which leaves `out` half written. `out` must be another
 * buffer than the head's.
 */
// biome-ignore lint/complexity/useMaxParams: an options object would be made for every message.
export function writeHead(
  out: Buffer,
  at: number,
  head: MessageHead,
  startLine: string | undefined,
  edit: HeadEdit,
): number {
  const { fields } = head;
  edit.resolve(fields);
  let to = at;
  let from = head.start;
  if (startLine !== undefined) {
    to = writeLine(out, at, checked(startLine));
    if (to < 0) return -1;
    from = lineStart(fields, 0);
  }
  if (edit.drops) {
    for (let i = 0; i < fields.count; i++) {
      if (!edit.isDropped(i)) continue;
      const end = lineStart(fields, i);
      if (head.bytes.copy(out, to, from, end) < end - from) return -1;
      to += end - from;
      from = lineStart(fields, i + 1);
    }
  }
  if (head.bytes.copy(out, to, from, fields.blank) < fields.blank - from) return -1;
  to += fields.blank - from;
  for (let i = 0; i < edit.count && to >= 0; i++) {
    to = writeField(out, to, edit.names[i] as string, edit.values[i] as string);
  }
  return to < 0 ? -1 : writeLine(out, to, "");
}

/** Where line `i` begins; behind the last field that is the empty line. */
function lineStart(fields: Fields, i: number): number {
  return i < fields.count ? (fields.spans[4 * i] as number) : fields.blank;
}

/** A response of our own. */
export type Answer = {
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly (readonly [string, string])[];
  /** A string is sent as UTF-8. */
  readonly body: string | Buffer;
  readonly close: boolean;
  /** For an answer to HEAD: Content-Length tells the body's length, but it is not sent (RFC 9110 §9.3.2). */
  readonly omitBody: boolean;
};

/** Writes a whole response to `out` from `at` on. Answers the position after it, or -1 when `out` is too small. */
export function writeAnswer(out: Buffer, at: number, answer: Answer): number {
  const bodyBytes = Buffer.byteLength(answer.body);
  let head = `HTTP/1.1 ${answer.status} ${checked(answer.reason)}\r\n`;
  for (const [name, value] of answer.headers) head += `${checked(name)}: ${checked(value)}\r\n`;
  // RFC 9110 §8.6: responses without content by their status carry no length.
  const hasContent = answer.status >= 200 && answer.status !== 204 && answer.status !== 304;
  if (hasContent) head += `content-length: ${bodyBytes}\r\n`;
  if (answer.close) head += "connection: close\r\n";
  head += "\r\n";
  const sendsBody = hasContent && !answer.omitBody;
  if (at + head.length + (sendsBody ? bodyBytes : 0) > out.length) return -1;
  const bodyAt = at + out.write(head, at, "latin1");
  if (!sendsBody) return bodyAt;
  const { body } = answer;
  const length =
    typeof body === "string" ? out.write(body, bodyAt, "utf8") : body.copy(out, bodyAt);
  return bodyAt + length;
}

/** Start lines and answers are made from checked parts. One that would split the message is a bug. */
function checked(text: string): string {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if ((code < 0x20 && code !== Byte.tab) || code > 0xff) {
      throw new Error("Write start lines and fields without controls and characters above U+00FF");
    }
  }
  return text;
}

function writeField(out: Buffer, at: number, name: string, value: string): number {
  if (at + name.length + value.length + 4 > out.length) return -1;
  let to = writeText(out, at, name);
  out[to++] = Byte.colon;
  out[to++] = Byte.space;
  to = writeText(out, to, value);
  out[to++] = Byte.cr;
  out[to++] = Byte.lf;
  return to;
}

function writeLine(out: Buffer, at: number, line: string): number {
  if (at + line.length + 2 > out.length) return -1;
  const to = writeText(out, at, line);
  out[to] = Byte.cr;
  out[to + 1] = Byte.lf;
  return to + 2;
}

function writeText(out: Buffer, at: number, text: string): number {
  if (text.length > shortText) return at + out.write(text, at, "latin1");
  for (let i = 0; i < text.length; i++) out[at + i] = text.charCodeAt(i);
  return at + text.length;
}
