/**
 * What becomes of the spans that workers send. OpenTelemetry's packages are loaded here and nowhere else, with the first span: they take 13 MiB.
 * A collector that is away, slow or full costs spans, which are counted, and nothing else: no request waits for it and no memory fills up.
 */
import type { Timers } from "../edge/grpc/timers.ts";
import type { Log } from "../edge/telemetry/log.ts";
import type { MetricFamily } from "../edge/telemetry/prometheus-text.ts";
import { maxBatchesUnderWay, type SpanBatch } from "../thread/spans.ts";

/** What makes spans of OpenTelemetry of a batch and sends them. */
export type SpanSink = {
  /** Answers how many of the batch's spans there was no room for. */
  readonly take: (batch: SpanBatch) => number;
  /** Sends what there is. Resolves when it was sent or lost. */
  readonly close: () => Promise<void>;
};

/** What a sink tells about its exports. */
export type SinkEvents = {
  readonly onSent: (spans: number) => void;
  readonly onLost: (spans: number, reason: string) => void;
};

export type SpanExportOptions = {
  /** For the log. */
  readonly collector: string;
  readonly log: Log;
  readonly timers: Timers;
  readonly open: (events: SinkEvents) => Promise<SpanSink>;
};

/** Between the end of the drain and the end of the process. A pod has other things to end in its grace period, and a collector that is there takes less. */
export const flushLimitMs = 3_000;

export class SpanExport {
  readonly #options: SpanExportOptions;
  #opening: Promise<void> | undefined;
  #sink: SpanSink | undefined;
  /** What came while the packages were being loaded. */
  #early: SpanBatch[] = [];
  #isAway = false;
  #sent = 0;
  #lost = 0;
  #noRoom = 0;
  #dropped = 0;

  constructor(options: SpanExportOptions) {
    this.#options = options;
  }

  take(batch: SpanBatch): void {
    this.#opening ??= this.#open();
    this.#dropped += batch.dropped;
    if (this.#sink !== undefined) this.#noRoom += this.#sink.take(batch);
    else if (this.#early.length < maxBatchesUnderWay) this.#early.push(batch);
    else this.#noRoom += batch.count;
  }

  /** Sends what there is, for a while. */
  async close(): Promise<void> {
    const { promise: limit, resolve } = Promise.withResolvers<void>();
    const callOff = this.#options.timers.after(flushLimitMs, resolve);
    const flushed = this.#opening?.then(() => this.#sink?.close());
    await Promise.race([flushed, limit]);
    callOff();
  }

  families(): readonly MetricFamily[] {
    const dropped = (reason: string, value: number): MetricFamily["samples"][number] => ({
      labels: { reason },
      value,
    });
    return [
      {
        name: "weft_trace_spans_sent_total",
        kind: "counter",
        help: "Spans that the collector has taken.",
        samples: [{ labels: {}, value: this.#sent }],
      },
      {
        name: "weft_trace_spans_dropped_total",
        kind: "counter",
        help: "Spans that were given up: a worker had no room, the queue of the export had none, or the collector did not take them.",
        samples: [
          dropped("worker", this.#dropped),
          dropped("queue", this.#noRoom),
          dropped("collector", this.#lost),
        ],
      },
    ];
  }

  async #open(): Promise<void> {
    const sink = await this.#options.open({
      onSent: (spans) => this.#noteSent(spans),
      onLost: (spans, reason) => this.#noteLost(spans, reason),
    });
    this.#sink = sink;
    for (const batch of this.#early) this.#noRoom += sink.take(batch);
    this.#early = [];
  }

  #noteSent(spans: number): void {
    this.#sent += spans;
    if (!this.#isAway) return;
    this.#isAway = false;
    const { log, collector } = this.#options;
    log.info("trace_collector_back", { collector, lostSpans: this.#lost });
  }

  #noteLost(spans: number, reason: string): void {
    this.#lost += spans;
    if (this.#isAway) return;
    this.#isAway = true;
    const { log, collector } = this.#options;
    log.warn("trace_collector_lost", { collector, reason });
  }
}
