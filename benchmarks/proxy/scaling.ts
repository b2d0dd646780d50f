/**
 * What a second worker brings. Both workers, the load generator and the backend do not fit on two processors, so each worker is held to a quarter of one: what it
 * gets through then is what it would get through on a slower processor of its own. Without quotas the cost of a request tells as much.
 */
import type { Benchmark, Settings } from "../harness/benchmark.ts";
import { hasQuotas, holdThreads } from "../harness/cpu-quota.ts";
import { measureCost, measureTime, routedRequest, startPaced } from "../harness/http-rounds.ts";
import { startOrigin } from "../harness/origin.ts";
import { threadsOf, threadUs } from "../harness/process-cost.ts";
import {
  type Sample,
  type ScenarioResult,
  scenarioResult,
  type Target,
  takeTurns,
} from "../harness/rounds.ts";
import { Stage } from "../harness/stage.ts";
import { startRoutedPlane, startWeft, type WeftContender } from "../harness/weft.ts";

const connections = 256;
const quota = 0.25;

const throughput: Target = {
  text: "≥ 1.8 × the throughput of one worker",
  metric: "perSecond",
  of: "2 workers",
  to: "1 worker",
  least: 1.8,
};
const spread: Target = {
  text: "connections spread within 20 %",
  metric: "spread",
  of: "2 workers",
  most: 0.2,
};

type Counted = WeftContender & { readonly workers: number };

/** The threads that took most while `act` ran, in order, with what they took. */
async function busiest(
  { pids: [pid = 0] }: Counted,
  act: () => Promise<unknown>,
): Promise<readonly { readonly thread: string; readonly us: number }[]> {
  const before = new Map(threadsOf(pid).map((thread) => [thread, threadUs(pid, thread)]));
  await act();
  return threadsOf(pid)
    .map((thread) => ({ thread, us: threadUs(pid, thread) - (before.get(thread) ?? 0) }))
    .toSorted((left, right) => right.us - left.us);
}

async function run(settings: Settings): Promise<readonly ScenarioResult[]> {
  await using stage = new Stage();
  const origin = await startOrigin(stage);
  const plane = await startRoutedPlane(stage, origin.port);
  const contenders: Counted[] = [];
  for (const workers of [1, 2]) {
    const name = workers === 1 ? "1 worker" : `${workers} workers`;
    contenders.push({ ...(await startWeft(stage, plane, { name, workers })), workers });
  }
  const request = routedRequest("/bench/100");
  const turn = { stage, request, seconds: settings.seconds, connections };
  const paced = startPaced(stage);
  const measure = async (contender: Counted): Promise<Sample> => {
    // At a fixed rate all connections ask in turn, so a worker's share of the time is its share of the connections.
    const threads = await busiest(contender, () => measureTime({ ...turn, paced }, contender));
    const used = threads.slice(0, contender.workers).map(({ us }) => us);
    const evenUs = used.reduce((sum, us) => sum + us, 0) / used.length;
    const unevenness = (Math.max(...used) - evenUs) / evenUs;
    const workers = threads.slice(0, contender.workers).map(({ thread }) => thread);
    using held = hasQuotas() ? holdThreads(workers, quota) : undefined;
    const { cpuUs = 0, perSecond = 0 } = await measureCost(turn, contender);
    return { cpuUs, perSecond, spread: unevenness, isHeld: held === undefined ? 0 : 1 };
  };
  const taken = await takeTurns(contenders, settings.rounds, measure);
  const targets = hasQuotas() ? [throughput, spread] : [spread];
  return [scenarioResult("GET, 100 bytes", taken, targets)];
}

export const scaling: Benchmark = {
  name: "scaling",
  title: "From one worker to two, each held to a quarter of a processor",
  needs: ["nginx", "wrk"],
  defaults: { rounds: 9, seconds: 2 },
  plots: ["perSecond", "cpuUs"],
  run,
};
