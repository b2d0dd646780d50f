/** Sidecar to sidecar: a route at the client's, mutual TLS between them, an authorization at the server's. The cost is that of both. */
import { endpoint } from "../../test/sidecar/policies.ts";
import type { Benchmark, Settings } from "../harness/benchmark.ts";
import { runScenarios } from "../harness/http-rounds.ts";
import { clientName, clientTls, webName } from "../harness/identity.ts";
import { startInboundHaproxy, startInboundWeft } from "../harness/inbound.ts";
import { startOrigin } from "../harness/origin.ts";
import { routeRules, startHaproxy } from "../harness/peers.ts";
import type { ScenarioResult, Target } from "../harness/rounds.ts";
import { type Contender, Stage } from "../harness/stage.ts";
import { destination, startRoutedPlane, startWeft } from "../harness/weft.ts";

/** The goal for one side, twice. */
const target: Target = {
  text: "≤ 1.2 × the CPU of two HAProxies",
  metric: "cpuUs",
  of: "weft",
  to: "haproxy",
  most: 1.2,
};

const targets = [target];

const scenarios = [
  { name: "GET, 100 bytes", path: "/bench/100", targets },
  { name: "GET, 4 KiB", path: "/bench/4096", targets },
  { name: "GET, 100 KiB", path: "/bench/102400", targets },
];

async function startWeftPair(stage: Stage, originPort: number): Promise<Contender> {
  const plane = await startRoutedPlane(stage, originPort);
  const web = await startInboundWeft(stage, plane, originPort);
  const meshed = {
    ...endpoint(web.policyPort),
    tls: { identity: webName, serverName: webName },
    inboundPort: web.meshPort,
  };
  plane.setEndpoints(destination, { exists: true, endpoints: [meshed] });
  const client = await startWeft(stage, plane, {
    name: "client",
    workers: 1,
    env: { WEFT_IDENTITY_LOCAL_NAME: clientName },
  });
  return { name: "weft", pids: [...client.pids, ...web.pids], port: client.port };
}

async function startHaproxyPair(stage: Stage, originPort: number): Promise<Contender> {
  const plane = await startRoutedPlane(stage, originPort);
  const web = await startInboundHaproxy(stage, plane, originPort);
  const client = await startHaproxy(stage, {
    name: "haproxy-client",
    mode: "http",
    rules: routeRules,
    server: `127.0.0.1:${web.port} ${clientTls(stage, plane, webName)}`,
  });
  return { name: "haproxy", pids: [...client.pids, ...web.pids], port: client.port };
}

async function run(settings: Settings): Promise<readonly ScenarioResult[]> {
  await using stage = new Stage();
  const origin = await startOrigin(stage);
  const contenders = [
    await startWeftPair(stage, origin.port),
    await startHaproxyPair(stage, origin.port),
  ];
  return await runScenarios(stage, settings, contenders, scenarios);
}

export const mesh: Benchmark = {
  name: "mesh",
  title: "Sidecar to sidecar with mutual TLS",
  needs: ["haproxy", "nginx", "wrk"],
  defaults: { rounds: 9, seconds: 1 },
  plots: ["cpuUs", "p50Us", "p99Us"],
  run,
};
