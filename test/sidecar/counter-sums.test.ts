import test from "ava";
import type { Sample } from "../../src/edge/telemetry/prometheus-text.ts";
import { CounterSums } from "../../src/sidecar/counter-sums.ts";
import { histogramSlots, latencyBucketsMs, slotCapacity } from "../../src/thread/counters.ts";

function startShard(sums: CounterSums, shard: number): Float64Array {
  const counters = new SharedArrayBuffer(slotCapacity * 8);
  sums.start(shard, counters);
  return new Float64Array(counters);
}

function samplesOf(sums: CounterSums, name: string): readonly Sample[] {
  return sums.families().find((family) => family.name === name)?.samples ?? [];
}

const labels = { direction: "inbound", route_name: "a" };

test("CounterSums adds the same series of several shards, wherever each keeps it", (t) => {
  const sums = new CounterSums();
  const first = startShard(sums, 0);
  const second = startShard(sums, 1);
  sums.announce(0, { slot: 7, metric: "request_total", labels });
  const reordered = { route_name: "a", direction: "inbound" };
  sums.announce(1, { slot: 9, metric: "request_total", labels: reordered });
  first[7] = 2;
  second[9] = 40;
  t.deepEqual(samplesOf(sums, "request_total"), [{ labels, value: 42 }]);
});

test("CounterSums keeps series apart whose labels differ", (t) => {
  const sums = new CounterSums();
  startShard(sums, 0).fill(1);
  sums.announce(0, { slot: 7, metric: "request_total", labels });
  sums.announce(0, { slot: 8, metric: "request_total", labels: { ...labels, route_name: "b" } });
  t.is(samplesOf(sums, "request_total").length, 2);
});

test("CounterSums keeps counters and histograms of a shard that ended, and adds those of its successor", (t) => {
  const sums = new CounterSums();
  for (const [count, latency] of [
    [5, 1],
    [7, 2],
  ] as const) {
    const slots = startShard(sums, 0);
    sums.announce(0, { slot: 1, metric: "request_total", labels });
    sums.announce(0, { slot: 2, metric: "response_latency_ms", labels });
    slots[1] = count;
    slots[2] = latency;
    slots[2 + histogramSlots - 1] = 10 * latency;
    sums.end(0);
  }
  t.deepEqual(samplesOf(sums, "request_total"), [{ labels, value: 12 }]);
  const [sample] = samplesOf(sums, "response_latency_ms");
  t.true(sample !== undefined && "histogram" in sample);
  if (sample === undefined || !("histogram" in sample)) return;
  t.is(sample.histogram.counts[0], 3);
  t.is(sample.histogram.counts.length, latencyBucketsMs.length + 1);
  t.is(sample.histogram.sum, 30);
});

test("CounterSums drops the gauges of a shard that ended", (t) => {
  const sums = new CounterSums();
  const slots = startShard(sums, 0);
  sums.announce(0, { slot: 1, metric: "tcp_open_connections", labels });
  slots[1] = 3;
  t.deepEqual(samplesOf(sums, "tcp_open_connections"), [{ labels, value: 3 }]);
  sums.end(0);
  t.deepEqual(samplesOf(sums, "tcp_open_connections"), []);
});

test("CounterSums counts what found no slot once, whether it is announced or not", (t) => {
  const sums = new CounterSums();
  startShard(sums, 0)[0] = 4;
  t.true(sums.announce(0, { slot: 0, metric: "weft_metric_overflow_total", labels: {} }));
  t.deepEqual(samplesOf(sums, "weft_metric_overflow_total"), [{ labels: {}, value: 4 }]);
});

const refusals = test.macro({
  exec: (t, metric: string, slot: number) => {
    const sums = new CounterSums();
    startShard(sums, 0).fill(1);
    t.false(sums.announce(0, { slot, metric, labels }));
    t.deepEqual(samplesOf(sums, metric), []);
  },
  title: (_given, metric: string, slot: number) => `announce() refuses ${metric} at slot ${slot}`,
});
test(refusals, "no_such_metric", 5);
test(refusals, "toString", 5);
test(refusals, "response_latency_ms", slotCapacity - 2);
test(refusals, "request_total", 0);
