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

/** Milliseconds of each unit of Go's `time.ParseDuration`. */
const goUnitMs: ReadonlyMap<string, number> = new Map([
  ["ns", 0.000_001],
  ["us", 0.001],
  ["µs", 0.001],
  ["ms", 1],
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
]);

/** Durations as Linkerd's ServiceProfiles write them, which Go reads: fractions and small units too. Rounded up, so that a short limit does not become none. */
export function parseGoDurationMs(text: string): number | undefined {
  if (text === "0") return 0;
  if (!/^([0-9]{1,9}(\.[0-9]{1,9})?(ns|us|µs|ms|s|m|h)){1,6}$/.test(text)) return undefined;
  let sum = 0;
  for (const [, digits = "", unit = ""] of text.matchAll(/([0-9.]+)(ns|us|µs|ms|s|m|h)/g)) {
    sum += Number(digits) * (goUnitMs.get(unit) ?? 0);
  }
  // Whole nanoseconds first: 1.1 s must not become 1101 ms by the error of the last bit.
  return Math.ceil(Math.round(sum * 1_000_000) / 1_000_000);
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
