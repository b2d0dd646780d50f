/**
 * Resident memory of a sidecar: idle, with connections that have asked once and are silent since, with Services that were asked for, and with Services that the
 * control plane knows and nobody asked for. Every round takes fresh processes.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { Benchmark, Settings } from "../harness/benchmark.ts";
import { routedRequest } from "../harness/http-rounds.ts";
import { requestText } from "../harness/load.ts";
import { startOrigin } from "../harness/origin.ts";
import { routeRules, startHaproxy, startNginx } from "../harness/peers.ts";
import { residentMiB } from "../harness/process-cost.ts";
import {
  type Sample,
  type ScenarioResult,
  scenarioResult,
  type Target,
  takeTurns,
} from "../harness/rounds.ts";
import { type Contender, Stage } from "../harness/stage.ts";
import { routedPolicy, startRoutedPlane, startWeft } from "../harness/weft.ts";

const services = 1_000;
const unusedServices = 10_000;
const few = 1_000;
const many = 10_000;
/** Connections that are opened at once. */
const atOnce = 100;
/** What a process needs to become quiet: timers that fire once a second, and what it gives back 2.5 s after it was ready. */
const settleMs = 5_000;
/** A worker gives back what a crowd took when it is idle, and not more often than every 10 s. */
const dispersedMs = 15_000;

const targets: readonly Target[] = [
  { text: "≤ 80 MiB idle", metric: "idleMiB", of: "weft", most: 80 },
  { text: "≤ 12 KiB per idle connection", metric: "connectionKiB", of: "weft", most: 12 },
  {
    text: `idle memory does not grow with ${unusedServices} Services that nobody uses`,
    metric: "idleMiB",
    of: "weft, unused Services",
    to: "weft",
    most: 1.05,
  },
];

/** A connection that has had an answer. */
async function openAsked(port: number, text: string): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  socket.setEncoding("latin1");
  await once(socket, "connect");
  socket.write(text);
  const [answer] = (await once(socket, "data")) as [string];
  if (!answer.startsWith("HTTP/1.1 200")) throw new Error(`Not answered: ${answer}`);
  return socket;
}

async function openMany(port: number, count: number): Promise<Socket[]> {
  const text = requestText(routedRequest("/bench/100"));
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const batch = Array.from({ length: atOnce }, () => openAsked(port, text));
    sockets.push(...(await Promise.all(batch)));
  }
  return sockets;
}

async function settled({ pids }: Contender, afterMs: number = settleMs): Promise<number> {
  await pause(afterMs);
  return residentMiB(pids);
}

async function measureConnections(contender: Contender): Promise<Sample> {
  const idleMiB = await settled(contender);
  // Compiled code and the engine's first heap are not a connection's.
  for (const socket of await openMany(contender.port, few)) socket.destroy();
  const warmMiB = await settled(contender, dispersedMs);
  const sockets = await openMany(contender.port, few);
  const fewMiB = await settled(contender);
  sockets.push(...(await openMany(contender.port, many - few)));
  const manyMiB = await settled(contender);
  for (const socket of sockets) socket.destroy();
  const afterMiB = await settled(contender, dispersedMs);
  const connectionKiB = ((manyMiB - fewMiB) * 1_024) / (many - few);
  return { idleMiB, warmMiB, with1000MiB: fewMiB, with10000MiB: manyMiB, afterMiB, connectionKiB };
}

type Entry = {
  readonly name: string;
  readonly measure: (stage: Stage) => Promise<Sample>;
};

function nameOf(service: number): string {
  return `s${service}.demo.svc.cluster.local:8080`;
}

async function startWithServices(
  stage: Stage,
  originPort: number,
  count: number,
): Promise<Contender> {
  const plane = await startRoutedPlane(stage, originPort);
  for (let at = 0; at < count; at++) plane.setOutbound(nameOf(at), routedPolicy);
  return startWeft(stage, plane, { name: "weft", workers: 1 });
}

async function measureServices(weft: Contender): Promise<Sample> {
  const idleMiB = await settled(weft);
  for (let from = 0; from < services; from += atOnce) {
    const asked = Array.from({ length: atOnce }, async (_, at) => {
      const request = routedRequest("/bench/100");
      const headers = { ...request.headers, Host: nameOf(from + at) };
      (await openAsked(weft.port, requestText({ ...request, headers }))).destroy();
    });
    await Promise.all(asked);
  }
  const servicesMiB = await settled(weft);
  return { idleMiB, servicesMiB, serviceKiB: ((servicesMiB - idleMiB) * 1_024) / services };
}

async function run({ rounds }: Settings): Promise<readonly ScenarioResult[]> {
  await using ground = new Stage();
  const origin = await startOrigin(ground);
  const server = `127.0.0.1:${origin.port}`;
  const entries: readonly Entry[] = [
    {
      name: "weft",
      measure: async (stage) => measureConnections(await startWithServices(stage, origin.port, 0)),
    },
    {
      name: "weft, unused Services",
      measure: async (stage) => ({
        idleMiB: await settled(await startWithServices(stage, origin.port, unusedServices)),
      }),
    },
    {
      name: "haproxy",
      measure: async (stage) =>
        measureConnections(
          await startHaproxy(stage, {
            name: "haproxy",
            mode: "http",
            rules: routeRules,
            server,
            maxConnections: 12_000,
          }),
        ),
    },
    {
      name: "nginx",
      measure: async (stage) => measureConnections(await startNginx(stage, origin.port)),
    },
  ];
  const onFreshStage = async ({ measure }: Entry): Promise<Sample> => {
    await using stage = new Stage();
    return await measure(stage);
  };
  // Each turn is a fresh process, so there is nothing to warm up.
  const taken = await takeTurns(entries, rounds, onFreshStage, 0);
  const discovered = [
    {
      name: "weft",
      measure: async (stage: Stage) =>
        measureServices(await startWithServices(stage, origin.port, services)),
    },
  ];
  const asked = await takeTurns(discovered, rounds, onFreshStage, 0);
  return [
    scenarioResult("connections", taken, targets),
    scenarioResult(`${services} Services in use`, asked, []),
  ];
}

export const memory: Benchmark = {
  name: "memory",
  title: "Resident memory of one worker",
  needs: ["haproxy", "nginx"],
  defaults: { rounds: 5, seconds: 0 },
  plots: ["idleMiB", "with10000MiB", "connectionKiB", "servicesMiB"],
  run,
};
