/** HTTP/1.1 through an outbound sidecar with one route that asks for a header and a prefix. */
import type { Benchmark, Settings } from "../harness/benchmark.ts";
import { runScenarios } from "../harness/http-rounds.ts";
import { startOrigin } from "../harness/origin.ts";
import { routeRules, startHaproxy, startNginx, startRelay } from "../harness/peers.ts";
import type { ScenarioResult, Target } from "../harness/rounds.ts";
import { type Contender, Stage } from "../harness/stage.ts";
import { startRoutedPlane, startWeft } from "../harness/weft.ts";

type Scenario = {
  readonly name: string;
  readonly path: string;
  readonly bodyBytes: number;
  readonly targets: readonly Target[];
};

const cost = { metric: "cpuUs", of: "weft" } as const;
const toHaproxy: Target = { ...cost, text: "≤ 1.0 × HAProxy's CPU", to: "haproxy", most: 1 };
const toNginx: Target = { ...cost, text: "≤ nginx's CPU", to: "nginx", most: 1 };
const toRelay: Target = {
  ...cost,
  text: "≤ 1.15 × a relay's CPU (HAProxy, TCP mode)",
  to: "haproxy-tcp",
  most: 1.15,
};

/** The latency that a proxy adds is told by the direct way to the origin in the same rounds. */
const added: readonly Target[] = (
  [
    ["p50Us", "p50 ≤ 150 µs above direct, or no worse than HAProxy", 150],
    ["p99Us", "p99 ≤ 1,000 µs above direct, or no worse than HAProxy", 1_000],
    ["p999Us", "p99.9 ≤ 3,000 µs above direct, or no worse than HAProxy", 3_000],
  ] as const
).map(([metric, text, most]) => ({
  metric,
  text,
  of: "weft",
  to: "direct",
  by: "difference",
  orNoWorseThan: "haproxy",
  most,
}));

const small: readonly Target[] = [toHaproxy, toNginx, toRelay, ...added];

const scenarios: readonly Scenario[] = [
  { name: "GET, 100 bytes", path: "/bench/100", bodyBytes: 0, targets: small },
  { name: "POST of 4 KiB", path: "/bench/100", bodyBytes: 4_096, targets: small },
  { name: "GET, 4 KiB", path: "/bench/4096", bodyBytes: 0, targets: small },
  { name: "GET, 100 KiB", path: "/bench/102400", bodyBytes: 0, targets: [toHaproxy, ...added] },
];

async function run(settings: Settings): Promise<readonly ScenarioResult[]> {
  await using stage = new Stage();
  const origin = await startOrigin(stage);
  const plane = await startRoutedPlane(stage, origin.port);
  const server = `127.0.0.1:${origin.port}`;
  const contenders: readonly Contender[] = [
    await startWeft(stage, plane, { name: "weft", workers: 1 }),
    await startWeft(stage, plane, { name: "weft, 2 workers", workers: 2 }),
    await startHaproxy(stage, { name: "haproxy", mode: "http", rules: routeRules, server }),
    await startHaproxy(stage, { name: "haproxy-tcp", mode: "tcp", server }),
    await startNginx(stage, origin.port),
    await startRelay(stage, "node-relay", origin.port),
    await startRelay(stage, "kernel-relay", origin.port),
    { ...origin, name: "direct" },
  ];
  return await runScenarios(stage, settings, contenders, scenarios);
}

export const http1: Benchmark = {
  name: "http1",
  title: "HTTP/1.1 through an outbound sidecar with one route",
  needs: ["haproxy", "nginx", "wrk"],
  defaults: { rounds: 7, seconds: 1 },
  plots: ["cpuUs", "p50Us", "p99Us"],
  run,
};
