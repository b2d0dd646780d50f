/**
 * The Prometheus text format, version 0.0.4: what `/metrics` answers. A family without samples is left out; every other one
 * has its HELP and TYPE.
 */

export const prometheusContentType = "text/plain; version=0.0.4; charset=utf-8";

export type MetricFamily = {
  readonly name: string;
  readonly kind: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly samples: readonly Sample[];
};

type Labels = Readonly<Record<string, string>>;

export type Sample =
  | { readonly labels: Labels; readonly value: number }
  | { readonly labels: Labels; readonly histogram: Histogram };

type Histogram = {
  /** Upper bounds, ascending, without +Inf. */
  readonly bounds: readonly number[];
  /** Observations in each bucket alone; one more than bounds, for what exceeds them all. */
  readonly counts: readonly number[];
  readonly sum: number;
};

export function formatMetrics(families: readonly MetricFamily[]): string {
  return families.map(formatFamily).join("");
}

function formatFamily({ name, kind, help, samples }: MetricFamily): string {
  if (samples.length === 0) return "";
  const head = `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${kind}\n`;
  return head + samples.map((sample) => formatSample(name, sample)).join("");
}

function formatSample(name: string, sample: Sample): string {
  if ("value" in sample) return line(name, sample.labels, sample.value);
  const { bounds, counts, sum } = sample.histogram;
  let text = "";
  // Buckets are cumulative in this format. The count is their sum and not a figure of its own, so that a scrape in the
  // middle of an observation still adds up.
  let count = 0;
  for (const [at, inBucket] of counts.entries()) {
    count += inBucket;
    const le = formatNumber(bounds[at] ?? Number.POSITIVE_INFINITY);
    text += line(`${name}_bucket`, { ...sample.labels, le }, count);
  }
  return `${text}${line(`${name}_sum`, sample.labels, sum)}${line(`${name}_count`, sample.labels, count)}`;
}

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escapeLabel(text)}"`);
  const braces = pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
  return `${name}${braces} ${formatNumber(value)}\n`;
}

function formatNumber(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  return String(value);
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"');
}
