/** What is said of a series of measurements: the middle, and how far they were apart. */
export type Summary = { readonly median: number; readonly min: number; readonly max: number };

export function median(values: readonly number[]): number {
  return quantile(
    values.toSorted((left, right) => left - right),
    0.5,
  );
}

export function summarize(values: readonly number[]): Summary {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** The nearest rank, of values in order. All samples are kept, so nothing is rounded into buckets. */
export function quantile(sorted: readonly number[], share: number): number {
  const rank = Math.ceil(share * sorted.length) - 1;
  return sorted[Math.max(rank, 0)] ?? Number.NaN;
}
