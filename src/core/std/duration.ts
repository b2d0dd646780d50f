/**
 * Durations as Gateway API writes them (GEP-2257): one to four parts of one to five digits and a unit, added up.
 * Linkerd's annotations use the same units and a bare `0`, and are read by the same function.
 */
const unitMs: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };

export function parseDurationMs(text: string): number | undefined {
  if (!/^([0-9]{1,5}(h|m|s|ms)){1,4}$/.test(text)) return undefined;
  let sum = 0;
  for (const [, digits = "", unit = ""] of text.matchAll(/([0-9]+)(ms|h|m|s)/g)) {
    sum += Number(digits) * (unitMs[unit] ?? 0);
  }
  return sum;
}

/** Descending units, zero as `0s`. */
export function formatDurationMs(ms: number): string {
  if (ms === 0) return "0s";
  let rest = ms;
  let text = "";
  for (const [unit, size] of Object.entries(unitMs)) {
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text;
}
