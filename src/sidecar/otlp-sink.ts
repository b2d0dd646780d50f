/**
 * Spans of workers as spans of OpenTelemetry, on their way to a collector over OTLP/gRPC. It is loaded with the first span (`span-export.ts`): what this file
 * imports is most of what tracing costs in memory.
 */
import type { ChannelCredentials } from "@grpc/grpc-js";
import {
  type Attributes,
  type HrTime,
  type SpanContext,
  SpanKind,
  type SpanStatus,
} from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { type Resource, resourceFromAttributes } from "@opentelemetry/resources";
import {
  BatchSpanProcessor,
  type ReadableSpan,
  type SpanExporter,
} from "@opentelemetry/sdk-trace-base";
import {
  ATTR_SERVICE_NAME,
  ATTR_TELEMETRY_SDK_LANGUAGE,
  ATTR_TELEMETRY_SDK_NAME,
  TELEMETRY_SDK_LANGUAGE_VALUE_NODEJS,
} from "@opentelemetry/semantic-conventions";
import { type SpanBatch, SpanNumber, SpanReader } from "../thread/spans.ts";
import { type SpanFace, spanFace } from "./span-attributes.ts";
import type { SinkEvents, SpanSink } from "./span-export.ts";

/** OpenTelemetry's own defaults for a batch and the queue behind it: some 4 MiB when it is full. */
const maxExportSpans = 512;
const maxQueuedSpans = 2_048;

/** Shorter than OpenTelemetry's 5 s: who looks for the trace of the request that has just failed is waiting. */
const exportEveryMs = 1_000;

/** A collector that takes longer for a batch is away. */
const exportTimeoutMs = 5_000;

export type OtlpSinkOptions = {
  /** `host:port`. */
  readonly collector: string;
  /** Undefined: clear text. */
  readonly credentials: ChannelCredentials | undefined;
  readonly serviceName: string;
  readonly resource: Readonly<Record<string, string>>;
  readonly version: string;
};

export function openOtlpSink(options: OtlpSinkOptions, events: SinkEvents): SpanSink {
  const { collector, credentials, version } = options;
  const exporter = new OTLPTraceExporter({
    url: `http://${collector}`,
    timeoutMillis: exportTimeoutMs,
    ...(credentials === undefined ? {} : { credentials }),
  });
  let queued = 0;
  const counting = countingExporter(exporter, {
    onTaken: (spans) => {
      queued -= spans;
    },
    ...events,
  });
  const processor = new BatchSpanProcessor(counting, {
    maxExportBatchSize: maxExportSpans,
    maxQueueSize: maxQueuedSpans,
    scheduledDelayMillis: exportEveryMs,
    exportTimeoutMillis: exportTimeoutMs,
  });
  const resource = resourceFromAttributes({
    [ATTR_TELEMETRY_SDK_LANGUAGE]: TELEMETRY_SDK_LANGUAGE_VALUE_NODEJS,
    [ATTR_TELEMETRY_SDK_NAME]: "opentelemetry",
    [ATTR_SERVICE_NAME]: options.serviceName,
    ...options.resource,
  });
  const origin: SpanOrigin = { resource, instrumentationScope: { name: "weft", version } };
  return {
    take(batch: SpanBatch): number {
      const taken = Math.min(batch.count, maxQueuedSpans - queued);
      for (let at = 0; at < taken; at++) {
        queued++;
        processor.onEnd(waiting(new SpanReader(batch, at), origin));
      }
      return batch.count - taken;
    },
    async close() {
      // What could not be sent has been counted.
      await processor.shutdown().catch(() => undefined);
    },
  };
}

type ExportEvents = SinkEvents & { readonly onTaken: (spans: number) => void };

/** The processor tells nobody when it has taken spans out of its queue, and what became of them. */
function countingExporter(exporter: SpanExporter, events: ExportEvents): SpanExporter {
  return {
    export(spans, callback) {
      events.onTaken(spans.length);
      exporter.export(spans, (result) => {
        if (result.error === undefined) events.onSent(spans.length);
        else events.onLost(spans.length, result.error.message);
        callback(result);
      });
    },
    shutdown: () => exporter.shutdown(),
  };
}

type SpanOrigin = {
  readonly resource: Resource;
  readonly instrumentationScope: ReadableSpan["instrumentationScope"];
};

/** While it waits in the queue it is a place in a batch; what it says is made when it is sent. */
class WaitingSpan implements ReadableSpan {
  readonly ended: boolean = true;
  readonly links: ReadableSpan["links"] = none;
  readonly events: ReadableSpan["events"] = none;
  readonly droppedAttributesCount: number = 0;
  readonly droppedEventsCount: number = 0;
  readonly droppedLinksCount: number = 0;
  readonly span: SpanReader;
  readonly #origin: SpanOrigin;
  #face: SpanFace | undefined;

  constructor(span: SpanReader, origin: SpanOrigin) {
    this.span = span;
    this.#origin = origin;
  }

  spanContext(): SpanContext {
    return new SpanIds(this.span, SpanNumber.spanId);
  }

  get name(): string {
    return this.#said.name;
  }

  get kind(): SpanKind {
    return this.span.number(SpanNumber.isServer) === 1 ? SpanKind.SERVER : SpanKind.CLIENT;
  }

  get attributes(): Attributes {
    return this.#said.attributes;
  }

  get status(): SpanStatus {
    return this.#said.status;
  }

  get startTime(): HrTime {
    return hrTime(this.#startMs);
  }

  get endTime(): HrTime {
    return hrTime(this.#startMs + this.#lastedMs);
  }

  get duration(): HrTime {
    return hrTime(this.#lastedMs);
  }

  get resource(): Resource {
    return this.#origin.resource;
  }

  get instrumentationScope(): ReadableSpan["instrumentationScope"] {
    return this.#origin.instrumentationScope;
  }

  get #said(): SpanFace {
    this.#face ??= spanFace(this.span);
    return this.#face;
  }

  get #startMs(): number {
    return this.span.number(SpanNumber.startMs);
  }

  get #lastedMs(): number {
    return Math.max(this.span.number(SpanNumber.endMs) - this.#startMs, 0);
  }
}

/** One that has a parent, which is in the process before us if it is that of a request. */
class WaitingChild extends WaitingSpan {
  get parentSpanContext(): SpanContext {
    return new SpanIds(this.span, SpanNumber.parentId);
  }
}

/** Texts when they are asked for: the queue asks for the flags alone. */
class SpanIds implements SpanContext {
  readonly #span: SpanReader;
  readonly #place: number;

  /** `place`: of the span's own identifier, or of its parent's. */
  constructor(span: SpanReader, place: number) {
    this.#span = span;
    this.#place = place;
  }

  get traceId(): string {
    return idOf(this.#span, SpanNumber.traceId, 4);
  }

  get spanId(): string {
    return idOf(this.#span, this.#place, 2);
  }

  get traceFlags(): number {
    return this.#span.number(SpanNumber.flags);
  }

  get isRemote(): boolean {
    return this.#place === SpanNumber.parentId && this.#span.number(SpanNumber.isServer) === 1;
  }
}

function waiting(span: SpanReader, origin: SpanOrigin): WaitingSpan {
  const place = SpanNumber.parentId;
  const isRoot = span.number(place) === 0 && span.number(place + 1) === 0;
  return isRoot ? new WaitingSpan(span, origin) : new WaitingChild(span, origin);
}

const none: never[] = [];
const idBytes: Buffer = Buffer.alloc(16);

/** An id of so many words, in hexadecimal digits. */
function idOf(span: SpanReader, place: number, words: number): string {
  for (let at = 0; at < words; at++) idBytes.writeUInt32BE(span.number(place + at), 4 * at);
  return idBytes.toString("hex", 0, 4 * words);
}

/** Seconds and nanoseconds. */
function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1_000);
  return [seconds, Math.round((ms - seconds * 1_000) * 1e6)];
}
