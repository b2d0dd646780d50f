/** One turn of a contender that takes HTTP/1.1 requests: what they cost when it is saturated, and how long they take at a fixed rate. */
import { type Settings, wants } from "./benchmark.ts";
import { PacedLoad, type Request, saturate } from "./load.ts";
import { readCpu, residentMiB, spentBetween } from "./process-cost.ts";
import {
  type Sample,
  type ScenarioResult,
  scenarioResult,
  type Target,
  takePasses,
} from "./rounds.ts";
import type { Contender, Stage } from "./stage.ts";
import { quantile } from "./statistics.ts";
import { destination } from "./weft.ts";

/** As many as a busy application keeps open to its sidecar. */
const defaultConnections = 32;

/** Turns before the first scenario: some functions of Weft reach V8's last compiler only after a hundred thousand requests (`JS:+` in `perf`). */
const firstWarmUps = 5;

/** The rate of the project's goals for latency. */
const pacedPerSecond = 1_000;

/** What the benchmark's route takes. */
export function routedRequest(path: string, bodyBytes: number = 0): Request {
  return { path, headers: { Host: destination, "X-Route": "bench" }, bodyBytes };
}

export type HttpTurn = {
  readonly stage: Stage;
  readonly paced: PacedLoad;
  readonly request: Request;
  readonly seconds: number;
  readonly connections?: number;
  /** Of the paced load: requests at once on each connection, over HTTP/2. */
  readonly streams?: number;
};

export function startPaced(stage: Stage): PacedLoad {
  return stage.use(new PacedLoad());
}

export type HttpScenario = {
  readonly name: string;
  readonly path: string;
  readonly bodyBytes?: number;
  readonly targets: readonly Target[];
};

/** All contenders through each scenario that is wanted, turn by turn. What a request costs is measured there and back. */
export async function runScenarios(
  stage: Stage,
  settings: Settings,
  contenders: readonly Contender[],
  scenarios: readonly HttpScenario[],
): Promise<readonly ScenarioResult[]> {
  const paced = startPaced(stage);
  const results: ScenarioResult[] = [];
  for (const { name, path, bodyBytes, targets } of scenarios) {
    if (!wants(settings, name)) continue;
    const request = routedRequest(path, bodyBytes);
    const turn = { stage, paced, request, seconds: settings.seconds };
    const cost = (one: Contender): Promise<Sample> => measureCost(turn, one);
    const time = (one: Contender): Promise<Sample> => measureTime(turn, one);
    const warmUps = results.length === 0 ? firstWarmUps : undefined;
    const taken = await takePasses(contenders, settings.rounds, [cost, cost, time], warmUps);
    results.push(scenarioResult(name, taken, targets));
  }
  return results;
}

export async function measureHttp(turn: HttpTurn, contender: Contender): Promise<Sample> {
  return { ...(await measureCost(turn, contender)), ...(await measureTime(turn, contender)) };
}

export async function measureCost(
  { stage, request, seconds, connections = defaultConnections }: Omit<HttpTurn, "paced">,
  { pids, port }: Contender,
): Promise<Sample> {
  const before = readCpu(pids);
  const { requests, perSecond } = await saturate({ stage, port, request, seconds, connections });
  const after = readCpu(pids);
  const spent = spentBetween(before, after, requests);
  return { ...spent, perSecond, residentMiB: residentMiB(pids) };
}

export async function measureTime(
  { paced, request, seconds, connections = defaultConnections, streams = 0 }: HttpTurn,
  { pids, port }: Contender,
): Promise<Sample> {
  const before = readCpu(pids);
  const load = { port, request, seconds, connections, streams };
  const sorted = await paced.run(load, pacedPerSecond);
  const after = readCpu(pids);
  return {
    p50Us: quantile(sorted, 0.5),
    p99Us: quantile(sorted, 0.99),
    p999Us: quantile(sorted, 0.999),
    pacedCpuUs: spentBetween(before, after, sorted.length).cpuUs,
  };
}
