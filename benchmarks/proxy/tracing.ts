/**
 * What tracing costs: the same sidecar without it, with nothing to trace, with a hundredth and with all requests sampled. The spans go to a collector in a process of
 * its own, which looks at nothing and counts for nobody.
 */
import { fileURLToPath } from "node:url";
import type { Benchmark, Settings } from "../harness/benchmark.ts";
import { type HttpTurn, measureCost, routedRequest } from "../harness/http-rounds.ts";
import { startOrigin } from "../harness/origin.ts";
import {
  type Sample,
  type ScenarioResult,
  scenarioResult,
  type Target,
  takeTurns,
} from "../harness/rounds.ts";
import { freePort, Stage } from "../harness/stage.ts";
import { startRoutedPlane, startWeft, type WeftContender } from "../harness/weft.ts";

const drain = fileURLToPath(new URL("../harness/span-drain.ts", import.meta.url));

const cost = { metric: "cpuUs", to: "off" } as const;
const targets: readonly Target[] = [
  { ...cost, of: "0 %", text: "0 % sampled: ≤ 1.05 × the CPU of tracing off", most: 1.05 },
  { ...cost, of: "1 %", text: "1 % sampled: ≤ 1.15 × the CPU of tracing off", most: 1.15 },
  // Two spans for each request at some 15 µs, nearly all of it in OpenTelemetry's serializer in the main thread.
  { ...cost, of: "100 %", text: "100 % sampled: ≤ 4 × the CPU of tracing off", most: 4 },
];

/** A trace that its caller has decided not to sample. */
const unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

type Traced = WeftContender & { readonly tracing: boolean };

async function run(settings: Settings): Promise<readonly ScenarioResult[]> {
  await using stage = new Stage();
  const origin = await startOrigin(stage);
  const plane = await startRoutedPlane(stage, origin.port);
  const port = await freePort();
  await stage.serve("collector", port, () => stage.spawn(process.execPath, [drain, String(port)]));
  const start = async (name: string, ratio: string | undefined): Promise<Traced> => {
    const env: Record<string, string> =
      ratio === undefined
        ? {}
        : {
            WEFT_TRACE_COLLECTOR_SVC_ADDR: `127.0.0.1:${port}`,
            WEFT_TRACE_SAMPLE_RATIO: ratio,
          };
    const weft = await startWeft(stage, plane, { name, workers: 1, env });
    return { ...weft, tracing: ratio !== undefined };
  };
  const contenders = [
    await start("off", undefined),
    await start("0 %", "0"),
    await start("1 %", "0.01"),
    await start("100 %", "1"),
  ];
  const { rounds, seconds } = settings;
  const bare = routedRequest("/bench/100");
  const headers = { ...bare.headers, Traceparent: unsampled };
  const fresh = await takeTurns(contenders, rounds, (one) =>
    measure({ stage, request: bare, seconds }, one),
  );
  const passing = await takeTurns(contenders, rounds, (one) =>
    measure({ stage, request: { ...bare, headers }, seconds }, one),
  );
  return [
    scenarioResult("GET, 100 bytes, no trace comes", fresh, targets),
    scenarioResult("GET, 100 bytes, a trace comes unsampled", passing, [
      { ...cost, of: "0 %", text: "on: ≤ 1.05 × the CPU of tracing off", most: 1.05 },
    ]),
  ];
}

/** With how many spans for each request have arrived: what is more than the collector's way can take is given up, and costs less. */
async function measure(turn: Omit<HttpTurn, "paced">, contender: Traced): Promise<Sample> {
  const before = await sentBy(contender);
  const startMs = performance.now();
  const sample = await measureCost(turn, contender);
  const seconds = (performance.now() - startMs) / 1_000;
  const requests = (sample["perSecond"] ?? 0) * seconds;
  return { ...sample, spansPerRequest: ((await sentBy(contender)) - before) / requests };
}

async function sentBy({ sidecar, tracing }: Traced): Promise<number> {
  if (!tracing) return 0;
  const page = await sidecar.page("metrics");
  return Number(/^weft_trace_spans_sent_total (\d+)$/m.exec(page)?.[1] ?? 0);
}

export const tracing: Benchmark = {
  name: "tracing",
  title: "The cost of tracing",
  needs: ["nginx", "wrk"],
  defaults: { rounds: 11, seconds: 1 },
  plots: ["cpuUs", "spansPerRequest"],
  run,
};
