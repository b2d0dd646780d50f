/**
 * What a connection of mutual TLS with one request on it costs, with a full handshake and where the client offers to resume. Weft never resumes: every
 * connection proves both identities anew.
 */
import { type Benchmark, type Settings, wants } from "../harness/benchmark.ts";
import { measureCost, routedRequest } from "../harness/http-rounds.ts";
import { behindTls, startInboundHaproxy, startInboundWeft } from "../harness/inbound.ts";
import { startOrigin } from "../harness/origin.ts";
import { type ScenarioResult, scenarioResult, takeTurns } from "../harness/rounds.ts";
import { Stage } from "../harness/stage.ts";
import { startPlane } from "../harness/weft.ts";

const scenarios = [
  { name: "full handshakes", more: "no-ssl-reuse" },
  { name: "resumption offered", more: "" },
] as const;

const { path, headers, bodyBytes } = routedRequest("/bench/100");
const request = { path, headers: { ...headers, Connection: "close" }, bodyBytes };

async function run(settings: Settings): Promise<readonly ScenarioResult[]> {
  await using stage = new Stage();
  const origin = await startOrigin(stage);
  const plane = await startPlane(stage);
  const weft = await startInboundWeft(stage, plane, origin.port);
  const haproxy = await startInboundHaproxy(stage, plane, origin.port);
  const results: ScenarioResult[] = [];
  for (const { name, more } of scenarios) {
    if (!wants(settings, name)) continue;
    const contenders = [
      await behindTls({ stage, plane, contender: weft, tlsPort: weft.policyPort, more }),
      await behindTls({ stage, plane, contender: haproxy, tlsPort: haproxy.port, more }),
    ];
    const turn = { stage, request, seconds: settings.seconds };
    const taken = await takeTurns(contenders, settings.rounds, (one) => measureCost(turn, one));
    results.push(scenarioResult(name, taken, []));
  }
  return results;
}

export const handshakes: Benchmark = {
  name: "handshakes",
  title: "Mutual TLS, a connection for each request",
  needs: ["haproxy", "nginx", "wrk"],
  defaults: { rounds: 7, seconds: 2 },
  plots: ["cpuUs", "perSecond"],
  run,
};
