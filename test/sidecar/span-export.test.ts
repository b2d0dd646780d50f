import test from "ava";
import {
  flushLimitMs,
  type SinkEvents,
  SpanExport,
  type SpanSink,
} from "../../src/sidecar/span-export.ts";
import { maxBatchesUnderWay, type SpanBatch } from "../../src/thread/spans.ts";
import { type ManualClock, manualClock } from "./manual-clock.ts";
import { recordingLog } from "./recording-log.ts";

const batch: SpanBatch = { count: 10, numbers: new Float64Array(0), texts: [], dropped: 0 };

type Opened = {
  readonly spans: SpanExport;
  readonly clock: ManualClock;
  readonly events: Promise<SinkEvents>;
  /** Lets the packages be there. */
  readonly load: () => void;
  readonly log: ReturnType<typeof recordingLog>;
};

function open(sink: SpanSink): Opened {
  const { promise: loaded, resolve: load } = Promise.withResolvers<void>();
  const { promise: events, resolve: told } = Promise.withResolvers<SinkEvents>();
  const clock = manualClock();
  const log = recordingLog();
  const spans = new SpanExport({
    collector: "otel:4317",
    log,
    timers: clock.timers,
    async open(sinkEvents) {
      told(sinkEvents);
      await loaded;
      return sink;
    },
  });
  return { spans, clock, events, load, log };
}

/** The value of the sample with this reason, or of the only one. */
function count(spans: SpanExport, name: string, reason?: string): number {
  const family = spans.families().find((one) => one.name === name);
  const sample = family?.samples.find(({ labels }) => labels["reason"] === reason);
  return sample !== undefined && "value" in sample ? sample.value : Number.NaN;
}

const droppedTotal = "weft_trace_spans_dropped_total";

test("SpanExport.take() keeps what comes before the packages are loaded, and not without end", async (t) => {
  const taken: SpanBatch[] = [];
  const sink: SpanSink = { take: (one) => taken.push(one) * 0, close: async () => {} };
  const { spans, load } = open(sink);
  for (let sent = 0; sent < maxBatchesUnderWay + 2; sent++) spans.take(batch);
  t.is(count(spans, droppedTotal, "queue"), 20);
  load();
  await spans.close();
  t.is(taken.length, maxBatchesUnderWay);
});

test("SpanExport.families() counts what was lost where", async (t) => {
  const { spans, events, load } = open({ take: () => 3, close: async () => {} });
  spans.take({ ...batch, dropped: 5 });
  load();
  const { onSent, onLost } = await events;
  await spans.close();
  onSent(7);
  onLost(2, "gone");
  t.is(count(spans, "weft_trace_spans_sent_total"), 7);
  t.is(count(spans, droppedTotal, "worker"), 5);
  t.is(count(spans, droppedTotal, "queue"), 3);
  t.is(count(spans, droppedTotal, "collector"), 2);
});

test("SpanExport logs the loss of the collector and its return once each, however often it fails", async (t) => {
  const { spans, events, log } = open({ take: () => 0, close: async () => {} });
  spans.take(batch);
  const { onSent, onLost } = await events;
  onSent(1);
  for (let failed = 0; failed < 3; failed++) onLost(10, "connection refused");
  for (let sent = 0; sent < 3; sent++) onSent(10);
  onLost(10, "connection refused");
  const lines = log.text().match(/trace_collector_\w+/g);
  t.deepEqual(lines, ["trace_collector_lost", "trace_collector_back", "trace_collector_lost"]);
  t.regex(log.text(), /"collector":"otel:4317","reason":"connection refused"/);
});

test("SpanExport.close() waits for a collector that hangs, and no longer than its limit", async (t) => {
  const { spans, clock, load } = open({ take: () => 0, close: () => new Promise(() => {}) });
  spans.take(batch);
  load();
  let isClosed = false;
  const closed = spans.close().then(() => {
    isClosed = true;
  });
  clock.advance(flushLimitMs - 1);
  await new Promise((resolve) => setImmediate(resolve));
  t.false(isClosed);
  clock.advance(1);
  await closed;
  t.true(isClosed);
});

test("SpanExport loads nothing before there is a span, and ends at once without one", async (t) => {
  let isLoaded = false;
  const spans = new SpanExport({
    collector: "otel:4317",
    log: recordingLog(),
    timers: manualClock().timers,
    async open() {
      isLoaded = true;
      return { take: () => 0, close: async () => {} };
    },
  });
  await spans.close();
  t.false(isLoaded);
  spans.take(batch);
  t.true(isLoaded);
});
