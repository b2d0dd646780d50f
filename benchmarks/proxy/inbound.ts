/** Inbound: mutual TLS on the client's side, one authorization by identity, plain text to the application. */
import type { Benchmark, Settings } from "../harness/benchmark.ts";
import { runScenarios } from "../harness/http-rounds.ts";
import {
  behindTls,
  startInboundHaproxy,
  startInboundRelays,
  startInboundWeft,
} from "../harness/inbound.ts";
import { startOrigin } from "../harness/origin.ts";
import type { ScenarioResult, Target } from "../harness/rounds.ts";
import { Stage } from "../harness/stage.ts";
import { startPlane } from "../harness/weft.ts";

const target: Target = {
  text: "≤ 1.2 × HAProxy's CPU with TLS, a client certificate and one ACL",
  metric: "cpuUs",
  of: "weft",
  to: "haproxy",
  most: 1.2,
};

const targets = [target];

const scenarios = [
  { name: "GET, 100 bytes", path: "/bench/100", bodyBytes: 0, targets },
  { name: "POST of 4 KiB", path: "/bench/100", bodyBytes: 4_096, targets },
  { name: "GET, 4 KiB", path: "/bench/4096", bodyBytes: 0, targets },
  { name: "GET, 100 KiB", path: "/bench/102400", bodyBytes: 0, targets },
];

async function run(settings: Settings): Promise<readonly ScenarioResult[]> {
  await using stage = new Stage();
  const origin = await startOrigin(stage);
  const plane = await startPlane(stage);
  const weft = await startInboundWeft(stage, plane, origin.port);
  const haproxy = await startInboundHaproxy(stage, plane, origin.port);
  const contenders = [
    await behindTls({ stage, plane, contender: weft, tlsPort: weft.policyPort }),
    await behindTls({ stage, plane, contender: haproxy, tlsPort: haproxy.port }),
  ];
  for (const relay of await startInboundRelays(stage, plane, origin.port)) {
    contenders.push(await behindTls({ stage, plane, contender: relay, tlsPort: relay.port }));
  }
  return await runScenarios(stage, settings, contenders, scenarios);
}

export const inbound: Benchmark = {
  name: "inbound",
  title: "Inbound with authorization by identity, mutual TLS on one side",
  needs: ["haproxy", "nginx", "wrk"],
  defaults: { rounds: 7, seconds: 1 },
  plots: ["cpuUs", "p50Us", "p99Us"],
  run,
};
