/**
 * Adds up what the workers count. Each worker writes its own buffer; a scrape sums all of them. What a dead worker had
 * counted is kept in `#base`, so that no counter of this process ever goes down; its gauges go with it, because what they
 * told of (open connections) is gone.
 */
import type { MetricFamily, Sample } from "../edge/telemetry/prometheus-text.ts";
import {
  latencyBucketsMs,
  overflowSlot,
  slotCapacity,
  slotsOf,
  type WorkerMetric,
  workerMetrics,
} from "../thread/counters.ts";
import type { Series } from "../thread/messages.ts";

export class CounterSums {
  readonly #live = new Map<number, LiveBuffer>();
  readonly #base = new Map<string, Sum>();

  /** A shard starts, or starts again, with an empty buffer. What it counted before has been folded by `end`. */
  start(shard: number, counters: SharedArrayBuffer): void {
    const series = new Map([[overflowSlot, overflow]]);
    this.#live.set(shard, { slots: new Float64Array(counters), series });
  }

  /** False: there is no such metric, or it has no room there. Nothing of it is counted then. */
  announce(shard: number, { slot, metric, labels }: Series): boolean {
    if (!isWorkerMetric(metric) || slot + slotsOf(workerMetrics[metric].kind) > slotCapacity) {
      return false;
    }
    if (slot === overflowSlot) return metric === overflow.metric;
    this.#live.get(shard)?.series.set(slot, { slot, metric, labels });
    return true;
  }

  /** Call it after the last message of the shard was read: a series that was announced late would be lost. */
  end(shard: number): void {
    const buffer = this.#live.get(shard);
    if (buffer === undefined) return;
    addBuffer(this.#base, buffer, (metric) => workerMetrics[metric].kind !== "gauge");
    this.#live.delete(shard);
  }

  /** One family for each metric of the workers, in the order in which they are declared. */
  families(): readonly MetricFamily[] {
    const sums = new Map(
      [...this.#base].map(([key, sum]) => [key, { ...sum, values: sum.values.slice() }]),
    );
    for (const buffer of this.#live.values()) addBuffer(sums, buffer, () => true);
    const byMetric = Map.groupBy(sums.values(), ({ metric }) => metric);
    return workerMetricNames.map((name) => ({
      name,
      kind: workerMetrics[name].kind,
      help: workerMetrics[name].help,
      samples: (byMetric.get(name) ?? []).map(sampleOf),
    }));
  }
}

type LiveBuffer = {
  readonly slots: Float64Array;
  readonly series: Map<number, KnownSeries>;
};

type KnownSeries = Series & { readonly metric: WorkerMetric };

type Sum = {
  readonly metric: WorkerMetric;
  readonly labels: Readonly<Record<string, string>>;
  /** One value, or those of a histogram as counters.ts lays them out. */
  readonly values: Float64Array;
};

const workerMetricNames: readonly WorkerMetric[] =
  Object.keys(workerMetrics).filter(isWorkerMetric);

/** Every buffer has it, whether the worker announced it or not. */
const overflow: KnownSeries = {
  slot: overflowSlot,
  metric: "weft_metric_overflow_total",
  labels: {},
};

function addBuffer(
  sums: Map<string, Sum>,
  { slots, series }: LiveBuffer,
  wanted: (metric: WorkerMetric) => boolean,
): void {
  for (const { slot, metric, labels } of series.values()) {
    if (!wanted(metric)) continue;
    const length = slotsOf(workerMetrics[metric].kind);
    const key = `${metric} ${JSON.stringify(Object.entries(labels).toSorted(byName))}`;
    const sum = sums.get(key) ?? { metric, labels, values: new Float64Array(length) };
    for (let at = 0; at < length; at++) {
      sum.values[at] = (sum.values[at] ?? 0) + (slots[slot + at] ?? 0);
    }
    sums.set(key, sum);
  }
}

function sampleOf({ metric, labels, values }: Sum): Sample {
  if (workerMetrics[metric].kind !== "histogram") return { labels, value: values[0] ?? 0 };
  const buckets = latencyBucketsMs.length + 1;
  const counts = Array.from(values.subarray(0, buckets));
  return { labels, histogram: { bounds: latencyBucketsMs, counts, sum: values[buckets + 1] ?? 0 } };
}

function byName([left]: [string, string], [right]: [string, string]): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

function isWorkerMetric(name: string): name is WorkerMetric {
  return Object.hasOwn(workerMetrics, name);
}
