/** From the start of the process to ready: for a sidecar with a certificate, its policies and its ports open, for the peers with a port that takes connections. */
import type { Benchmark, Settings } from "../harness/benchmark.ts";
import { startOrigin } from "../harness/origin.ts";
import { routeRules, startHaproxy, startNginx } from "../harness/peers.ts";
import { type ScenarioResult, scenarioResult, type Target, takeTurns } from "../harness/rounds.ts";
import { Stage } from "../harness/stage.ts";
import { startRoutedPlane, startWeft } from "../harness/weft.ts";

const target: Target = { text: "≤ 600 ms", metric: "readyMs", of: "weft", most: 600 };

async function run({ rounds }: Settings): Promise<readonly ScenarioResult[]> {
  await using ground = new Stage();
  const origin = await startOrigin(ground);
  const plane = await startRoutedPlane(ground, origin.port);
  const server = `127.0.0.1:${origin.port}`;
  const starts = [
    { name: "weft", start: (at: Stage) => startWeft(at, plane, { name: "weft", workers: 1 }) },
    {
      name: "weft, 2 workers",
      start: (at: Stage) => startWeft(at, plane, { name: "weft", workers: 2 }),
    },
    {
      name: "haproxy",
      start: (at: Stage) =>
        startHaproxy(at, { name: "haproxy", mode: "http", rules: routeRules, server }),
    },
    { name: "nginx", start: (at: Stage) => startNginx(at, origin.port) },
  ];
  const taken = await takeTurns(starts, rounds, async ({ start }) => {
    await using stage = new Stage();
    const startMs = performance.now();
    await start(stage);
    return { readyMs: performance.now() - startMs };
  });
  return [scenarioResult("start", taken, [target])];
}

export const start: Benchmark = {
  name: "start",
  title: "From start to ready",
  needs: ["haproxy", "nginx"],
  defaults: { rounds: 9, seconds: 0 },
  plots: ["readyMs"],
  run,
};
