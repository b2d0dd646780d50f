import { spawnSync } from "node:child_process";
import test from "ava";
import { formatMetrics } from "../../../src/edge/telemetry/prometheus-text.ts";
import { needing } from "../../harness/needing.ts";

const promtool = { command: "promtool", trial: ["--version"], debianPackage: "prometheus" };

test("formatMetrics() writes HELP, TYPE and one line for each sample", (t) => {
  const text = formatMetrics([
    {
      name: "request_total",
      kind: "counter",
      help: "Requests.",
      samples: [
        { labels: { direction: "inbound", route: "a" }, value: 3 },
        { labels: {}, value: 0 },
      ],
    },
  ]);
  t.is(
    text,
    `# HELP request_total Requests.
# TYPE request_total counter
request_total{direction="inbound",route="a"} 3
request_total 0
`,
  );
});

test("formatMetrics() leaves out a family without samples", (t) => {
  t.is(formatMetrics([{ name: "a", kind: "gauge", help: "A.", samples: [] }]), "");
});

test("formatMetrics() escapes what ends a label, a line or a help text", (t) => {
  const text = formatMetrics([
    {
      name: "a",
      kind: "gauge",
      help: "back\\slash\nline",
      samples: [{ labels: { x: 'quote " back \\ line \n end' }, value: 1 }],
    },
  ]);
  t.is(
    text,
    '# HELP a back\\\\slash\\nline\n# TYPE a gauge\na{x="quote \\" back \\\\ line \\n end"} 1\n',
  );
});

const numbers = test.macro({
  exec: (t, value: number, text: string) => {
    const family = formatMetrics([
      { name: "a", kind: "gauge", help: "A.", samples: [{ labels: {}, value }] },
    ]);
    t.true(family.endsWith(`\na ${text}\n`));
  },
  title: (_given, value: number) => `formatMetrics() writes the number ${value}`,
});
test(numbers, 0.25, "0.25");
test(numbers, 1_700_000_000.5, "1700000000.5");
test(numbers, 1e300, "1e+300");
test(numbers, Number.POSITIVE_INFINITY, "+Inf");
test(numbers, Number.NEGATIVE_INFINITY, "-Inf");
test(numbers, Number.NaN, "NaN");

const histogram = {
  name: "latency_seconds",
  kind: "histogram" as const,
  help: "Latency.",
  samples: [
    { labels: { route: "a" }, histogram: { bounds: [1, 10], counts: [2, 0, 5], sum: 123.5 } },
  ],
};

test("formatMetrics() writes buckets of a histogram cumulatively, and the count as their sum", (t) => {
  t.is(
    formatMetrics([histogram]),
    `# HELP latency_seconds Latency.
# TYPE latency_seconds histogram
latency_seconds_bucket{route="a",le="1"} 2
latency_seconds_bucket{route="a",le="10"} 2
latency_seconds_bucket{route="a",le="+Inf"} 7
latency_seconds_sum{route="a"} 123.5
latency_seconds_count{route="a"} 7
`,
  );
});

needing(promtool)("formatMetrics() is read by promtool", (t) => {
  const hostile = { labels: { x: 'a"b\\c\nd{}=,é', y: "" }, value: Number.POSITIVE_INFINITY };
  const input = formatMetrics([
    histogram,
    { name: "odd", kind: "gauge", help: "Odd \\ \n help.", samples: [hostile] },
  ]);
  const { status, stdout } = spawnSync("promtool", ["check", "metrics"], {
    input,
    encoding: "utf8",
  });
  t.is(stdout, "");
  t.is(status, 0);
});
