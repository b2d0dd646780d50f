/** Bytes that are not read: a port whose policy says that it is opaque. The bytes are HTTP all the same, so that the load is that of the other benchmarks. */
import { everybody, inboundFor } from "../../test/sidecar/policies.ts";
import type { Benchmark, Settings } from "../harness/benchmark.ts";
import { runScenarios } from "../harness/http-rounds.ts";
import { startOrigin } from "../harness/origin.ts";
import { startHaproxy } from "../harness/peers.ts";
import type { ScenarioResult, Target } from "../harness/rounds.ts";
import { type Contender, freePort, Stage } from "../harness/stage.ts";
import { startPlane, startWeft } from "../harness/weft.ts";

const target: Target = {
  text: "≤ 1.1 × the CPU of HAProxy in TCP mode",
  metric: "cpuUs",
  of: "weft",
  to: "haproxy-tcp",
  most: 1.1,
};

const targets = [target];

const scenarios = [
  { name: "100 bytes", path: "/bench/100", bodyBytes: 0, targets },
  { name: "4 KiB up", path: "/bench/100", bodyBytes: 4_096, targets },
  { name: "100 KiB down", path: "/bench/102400", bodyBytes: 0, targets },
];

async function startOpaqueWeft(stage: Stage, originPort: number): Promise<Contender> {
  const plane = await startPlane(stage);
  const port = await freePort();
  plane.setInbound(port, { ...inboundFor(everybody()), protocol: "opaque" });
  const weft = await startWeft(stage, plane, {
    name: "weft",
    workers: 1,
    env: { WEFT_INBOUND_FORWARDS: `127.0.0.1:${port}=127.0.0.1:${originPort}` },
  });
  return { ...weft, port: weft.forwardPort };
}

async function run(settings: Settings): Promise<readonly ScenarioResult[]> {
  await using stage = new Stage();
  const origin = await startOrigin(stage);
  const server = `127.0.0.1:${origin.port}`;
  const contenders = [
    await startOpaqueWeft(stage, origin.port),
    await startHaproxy(stage, { name: "haproxy-tcp", mode: "tcp", server }),
  ];
  return await runScenarios(stage, settings, contenders, scenarios);
}

export const opaque: Benchmark = {
  name: "opaque",
  title: "Opaque TCP",
  needs: ["haproxy", "nginx", "wrk"],
  defaults: { rounds: 11, seconds: 1 },
  plots: ["cpuUs", "p50Us", "p99Us"],
  run,
};
