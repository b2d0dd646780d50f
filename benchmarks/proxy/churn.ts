/** Ten new policies a second for the destination that is under load, against the same load in peace. */
import { everyRequest } from "../../src/core/model/match.ts";
import { policyWith } from "../../test/sidecar/policies.ts";
import type { Benchmark, Settings } from "../harness/benchmark.ts";
import { measureHttp, routedRequest, startPaced } from "../harness/http-rounds.ts";
import { startOrigin } from "../harness/origin.ts";
import { type ScenarioResult, scenarioResult, takeTurns } from "../harness/rounds.ts";
import { Stage } from "../harness/stage.ts";
import { destination, routedPolicy, startRoutedPlane, startWeft } from "../harness/weft.ts";

const updatesPerSecond = 10;

/** Another rule behind the one that the load takes, so that the table differs and the answers do not. */
function policyNumber(count: number): typeof routedPolicy {
  const [route] = routedPolicy.httpRoutes;
  const other = policyWith([
    {
      match: { ...everyRequest, path: { kind: "exact", value: `/other/${count}` } },
      authorities: [destination],
    },
  ]).httpRoutes[0];
  if (route === undefined || other === undefined) throw new Error("The policies have no routes");
  return {
    ...routedPolicy,
    httpRoutes: [{ ...route, rules: [...route.rules, ...other.rules] }],
  };
}

async function run(settings: Settings): Promise<readonly ScenarioResult[]> {
  await using stage = new Stage();
  const origin = await startOrigin(stage);
  const plane = await startRoutedPlane(stage, origin.port);
  const weft = await startWeft(stage, plane, { name: "weft", workers: 1 });
  const turn = {
    stage,
    paced: startPaced(stage),
    request: routedRequest("/bench/100"),
    seconds: settings.seconds,
  };
  let count = 0;
  const contenders = [
    { ...weft, name: "in peace", updates: 0 },
    { ...weft, name: "10 updates a second", updates: updatesPerSecond },
  ];
  const taken = await takeTurns(contenders, settings.rounds, async (contender) => {
    if (contender.updates === 0) return measureHttp(turn, contender);
    const timer = setInterval(
      () => plane.setOutbound(destination, policyNumber(++count)),
      1_000 / contender.updates,
    );
    try {
      return await measureHttp(turn, contender);
    } finally {
      clearInterval(timer);
    }
  });
  return [scenarioResult("GET, 100 bytes", taken, [])];
}

export const churn: Benchmark = {
  name: "churn",
  title: "Policies that change under load",
  needs: ["nginx", "wrk"],
  defaults: { rounds: 9, seconds: 2 },
  plots: ["cpuUs", "p99Us", "p999Us"],
  run,
};
