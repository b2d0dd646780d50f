/** Reads field lines (RFC 9112 §5), resumable at every byte. */
import { Byte, tokenLower, valueByte } from "./byte-class.ts";
import { type Fields, knownTable, maxFields } from "./header-list.ts";
import { Refusal, type RefusalCode } from "./refusal.ts";

/** Where a line stands. The scanner stops anywhere when the bytes end, and goes on from there. */
const Step = { line: 0, name: 1, gap: 2, value: 3, lf: 4, lastLf: 5 } as const;

/**
 * Reads field lines from `fields.at` up to `limit` (RFC 9112 §5) and remembers where it stopped. Answers the position
 * after the empty line, 0 when there is no empty line yet, or a negative refusal. No byte is looked at twice, whatever
 * the pieces, except the white space after a value and a name that is another than was guessed.
 */
export function scanFields(fields: Fields, bytes: Buffer, limit: number): number {
  let { spans } = fields;
  let at = fields.at;
  let slot = 4 * fields.count;
  let step = fields.step;
  let guessed = 0;
  while (at < limit) {
    if (step === Step.line) {
      if (bytes[at] === Byte.cr) {
        fields.blank = at++;
        step = Step.lastLf;
        continue;
      }
      if (slot === spans.length) {
        if (fields.count === maxFields) return -Refusal.manyFields;
        fields.makeRoom();
        spans = fields.spans;
      }
      spans[slot] = at;
      step = Step.name;
      guessed = guessedEnd(fields, bytes, at, limit);
      if (guessed !== 0) {
        spans[slot + 1] = guessed;
        at = guessed + 1;
        step = Step.gap;
      }
    }
    if (step === Step.name) {
      while (at < limit && tokenLower[bytes[at] as number] !== 0) at++;
      if (at === limit) break;
      if (bytes[at] !== Byte.colon || at === spans[slot]) return -wrongName(bytes, at, spans[slot]);
      spans[slot + 1] = at;
      fields.known[fields.count] = knownTable.find(bytes, spans[slot] as number, at);
      at++;
      step = Step.gap;
    }
    if (step === Step.gap) {
      while (at < limit && isBlank(bytes[at])) at++;
      if (at === limit) break;
      spans[slot + 2] = at;
      step = Step.value;
    }
    if (step === Step.value) {
      while (at < limit && valueByte[bytes[at] as number] !== 0) at++;
      if (at === limit) break;
      if (bytes[at] !== Byte.cr) return -wrongByte(bytes[at], Refusal.badValue);
      spans[slot + 3] = trimEnd(bytes, spans[slot + 2] as number, at);
      at++;
      step = Step.lf;
      if (at === limit) break;
    }
    if (bytes[at] !== Byte.lf) return -Refusal.bareCr;
    at++;
    if (step === Step.lastLf) return at;
    slot += 4;
    fields.count++;
    step = Step.line;
  }
  fields.at = at;
  fields.step = step;
  return 0;
}

/** Where the name ends if it is the one that the head before had in this place, as on most connections; 0 if not. */
function guessedEnd(fields: Fields, bytes: Buffer, at: number, limit: number): number {
  const id = fields.known[fields.count] as number;
  if (id === 0) return 0;
  const end = at + knownTable.lengthOf(id);
  if (end >= limit || bytes[end] !== Byte.colon) return 0;
  return knownTable.is(id, bytes, at) ? end : 0;
}

function isBlank(byte: number | undefined): boolean {
  return byte === Byte.space || byte === Byte.tab;
}

function trimEnd(bytes: Buffer, start: number, end: number): number {
  let last = end;
  while (last > start && isBlank(bytes[last - 1])) last--;
  return last;
}

function wrongName(bytes: Buffer, at: number, nameStart: number | undefined): RefusalCode {
  if (!isBlank(bytes[at])) return wrongByte(bytes[at], Refusal.badName);
  return at === nameStart ? Refusal.foldedField : Refusal.spaceInName;
}

/** The refusal for a byte that may not be where it is: LF and NUL have their own. */
export function wrongByte(byte: number | undefined, otherwise: RefusalCode): RefusalCode {
  if (byte === Byte.lf) return Refusal.bareLf;
  return byte === 0 ? Refusal.nul : otherwise;
}
