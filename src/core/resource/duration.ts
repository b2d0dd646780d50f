import { parseDurationMs } from "../std/duration.ts";
import { type Field, quote } from "./field.ts";

/** A duration of Gateway API (GEP-2257). */
export function readDurationMs(field: Field): number | undefined {
  const text = field.optionalText();
  if (text === undefined) return undefined;
  const ms = parseDurationMs(text);
  if (ms === undefined) {
    field.fault(
      `must be a duration like "500ms", "10s" or "1h30m" (GEP-2257: whole numbers with h, m, s or ms), is ${quote(text)}`,
    );
  }
  return ms;
}
