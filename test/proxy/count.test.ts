import test from "ava";
import { ConnectionCounts, Counts, RouteCounts } from "../../src/proxy/count.ts";
import { histogramSlots, latencyBucketsMs, overflowSlot } from "../../src/thread/counters.ts";
import type { Series } from "../../src/thread/messages.ts";

function setUp(slots: number = 1_000): {
  readonly counts: Counts;
  readonly values: Float64Array;
  readonly series: Series[];
  readonly valueIn: (metric: string) => number | undefined;
} {
  const buffer = new SharedArrayBuffer(slots * 8);
  const values = new Float64Array(buffer);
  const series: Series[] = [];
  const counts = new Counts(buffer, (one) => series.push(one));
  const valueIn = (metric: string): number | undefined =>
    values[series.find((one) => one.metric === metric)?.slot ?? -1];
  return { counts, values, series, valueIn };
}

test("place() announces a series once and keeps its place", (t) => {
  const { counts, series } = setUp();
  const labels = { direction: "inbound" };
  t.is(counts.place("request_total", labels), counts.place("request_total", { ...labels }));
  t.not(counts.place("request_total", labels), counts.place("request_total", { direction: "x" }));
  t.is(series.length, 2);
});

test("observe() counts in the first bucket that is not below the value", (t) => {
  const { counts, values } = setUp();
  const slot = counts.place("response_latency_ms", {});
  for (const ms of [0.5, 1, 1.5, 50_000, 50_001]) counts.observe(slot, ms);
  const buckets = values.subarray(slot, slot + latencyBucketsMs.length + 1);
  t.deepEqual([...buckets.subarray(0, 3)], [2, 1, 0]);
  t.deepEqual([...buckets.subarray(-2)], [1, 1]);
  t.is(values[slot + histogramSlots - 2], 5);
  t.is(values[slot + histogramSlots - 1], 100_004);
});

test("place() counts what finds no room as overflow", (t) => {
  const { counts, values, series } = setUp(3);
  counts.place("request_total", {});
  const slot = counts.place("response_latency_ms", {});
  t.is(slot, overflowSlot);
  counts.observe(slot, 5);
  t.is(values[overflowSlot], 1);
  t.is(series.length, 1);
});

test("RouteCounts counts requests, and responses by status and class", (t) => {
  const { counts, series, values } = setUp();
  const route = new RouteCounts(counts, { direction: "outbound" });
  route.request();
  route.response(200, 1);
  route.response(200, 1);
  route.response(503, 1);
  const totals = series
    .filter(({ metric }) => metric === "response_total")
    .map(({ labels, slot }) => [labels["status_code"], labels["classification"], values[slot]]);
  t.deepEqual(totals, [
    ["200", "success", 2],
    ["503", "failure", 1],
  ]);
});

test("RouteCounts has room for so many statuses and no more", (t) => {
  const { counts, series, values } = setUp(10_000);
  const route = new RouteCounts(counts, {});
  for (let status = 200; status < 600; status++) route.response(status, 1);
  t.is(series.filter(({ metric }) => metric === "response_total").length, 64);
  t.true((values[overflowSlot] ?? 0) > 0);
});

test("ConnectionCounts tells how many are open", (t) => {
  const { counts, valueIn } = setUp();
  const connections = new ConnectionCounts(counts, {});
  connections.opened();
  connections.opened();
  connections.closed();
  t.is(valueIn("tcp_open_total"), 2);
  t.is(valueIn("tcp_close_total"), 1);
  t.is(valueIn("tcp_open_connections"), 1);
});
