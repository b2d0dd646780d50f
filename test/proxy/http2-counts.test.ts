import test from "ava";
import { newHttp2Counts } from "../../src/codec/http2/protection.ts";
import { Counts } from "../../src/proxy/count.ts";
import { http2CountsOn } from "../../src/proxy/http2-counts.ts";
import { slotCapacity } from "../../src/thread/counters.ts";
import type { Series } from "../../src/thread/messages.ts";

test("http2CountsOn() gives each number a series of its own, from its first increment on", (t) => {
  const buffer = new SharedArrayBuffer(slotCapacity * 8);
  const series: Series[] = [];
  const counts = http2CountsOn(new Counts(buffer, (one) => series.push(one)));
  const names = Object.keys(newHttp2Counts()) as (keyof typeof counts)[];
  t.deepEqual(series, []);
  for (const [at, name] of names.entries()) {
    for (let i = 0; i <= at; i++) counts[name]++;
    t.is(counts[name], at + 1);
  }
  const slots = new Float64Array(buffer);
  t.deepEqual(
    series.map(({ slot }) => slots[slot]),
    names.map((_, at) => at + 1),
  );
  t.is(new Set(series.map(({ labels }) => labels["cause"])).size, names.length);
  t.true(series.every(({ metric }) => metric === "weft_http2_refusals_total"));
});
