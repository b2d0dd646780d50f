/**
 * Counters, gauges and histograms of this worker, in memory that the main thread reads (layout in `thread/counters.ts`). A
 * series gets its place when it is first wanted and keeps it; after that counting is adding to a number.
 */
import { accrualAnswer } from "../core/decide/accrual.ts";
import {
  histogramSlots,
  latencyBucketsMs,
  overflowSlot,
  slotsOf,
  type WorkerMetric,
  workerMetrics,
} from "../thread/counters.ts";
import type { Series } from "../thread/messages.ts";

export type Labels = Readonly<Record<string, string>>;

export class Counts {
  readonly #slots: Float64Array;
  readonly #announce: (series: Series) => void;
  readonly #places = new Map<string, number>();
  #next = overflowSlot + 1;

  constructor(buffer: SharedArrayBuffer, announce: (series: Series) => void) {
    this.#slots = new Float64Array(buffer);
    this.#announce = announce;
  }

  /** Where a series is counted. The same metric and labels have the same place, whoever asks; without room it is `overflowSlot`. */
  place(metric: WorkerMetric, labels: Labels): number {
    const key = `${metric} ${JSON.stringify(labels)}`;
    const known = this.#places.get(key);
    if (known !== undefined) return known;
    const size = slotsOf(workerMetrics[metric].kind);
    if (this.#next + size > this.#slots.length) return overflowSlot;
    const slot = this.#next;
    this.#next += size;
    this.#places.set(key, slot);
    this.#announce({ slot, metric, labels });
    return slot;
  }

  add(slot: number, amount: number = 1): void {
    this.#slots[slot] = (this.#slots[slot] ?? 0) + amount;
  }

  /** One more value of a histogram. */
  observe(slot: number, ms: number): void {
    if (slot === overflowSlot) {
      this.add(slot);
      return;
    }
    let bucket = 0;
    while (bucket < latencyBucketsMs.length && ms > (latencyBucketsMs[bucket] as number)) bucket++;
    this.add(slot + bucket);
    this.add(slot + histogramSlots - 2);
    this.add(slot + histogramSlots - 1, ms);
  }
}

/**
 * A peer chooses the status, so a route has room for this many; the rest is counted as overflow. Applications use a dozen,
 * the registry has 63.
 */
const maxStatuses = 64;

type StatusPlaces = { readonly total: number; readonly latency: number };

/** Requests and responses of one route in one direction. */
export class RouteCounts {
  readonly #counts: Counts;
  readonly #labels: Labels;
  readonly #requests: number;
  /** By status, and by that of gRPC behind the thousands. */
  readonly #byStatus = new Map<number, StatusPlaces>();

  constructor(counts: Counts, labels: Labels) {
    this.#counts = counts;
    this.#labels = labels;
    this.#requests = counts.place("request_total", labels);
  }

  request(): void {
    this.#counts.add(this.#requests);
  }

  /** `grpcStatus`: undefined where there is none. */
  response(status: number, latencyMs: number, grpcStatus?: number): void {
    const key = grpcStatus === undefined ? status : status + 1_000 * (grpcStatus + 1);
    const places = this.#byStatus.get(key) ?? this.#placesOf(key, status, grpcStatus);
    this.#counts.add(places.total);
    this.#counts.observe(places.latency, latencyMs);
  }

  #placesOf(key: number, status: number, grpcStatus: number | undefined): StatusPlaces {
    if (this.#byStatus.size >= maxStatuses) return { total: overflowSlot, latency: overflowSlot };
    const grpc = grpcStatus === undefined ? {} : { grpc_status: String(grpcStatus) };
    const labels = { ...this.#labels, status_code: String(status), ...grpc };
    // Linkerd's.
    const classification = accrualAnswer(status, grpcStatus) === "failure" ? "failure" : "success";
    const places = {
      total: this.#counts.place("response_total", { ...labels, classification }),
      latency: this.#counts.place("response_latency_ms", labels),
    };
    this.#byStatus.set(key, places);
    return places;
  }
}

/** Connections of one kind. */
export class ConnectionCounts {
  readonly #counts: Counts;
  readonly #opened: number;
  readonly #closed: number;
  readonly #open: number;

  constructor(counts: Counts, labels: Labels) {
    this.#counts = counts;
    this.#opened = counts.place("tcp_open_total", labels);
    this.#closed = counts.place("tcp_close_total", labels);
    this.#open = counts.place("tcp_open_connections", labels);
  }

  opened(): void {
    this.#counts.add(this.#opened);
    this.#counts.add(this.#open);
  }

  closed(): void {
    this.#counts.add(this.#closed);
    this.#counts.add(this.#open, -1);
  }
}
