/** A destination with 1,000 rules against one with a single rule, in the same sidecar. Requests are those that only the last rule takes. */
import { endpoint, policyWith } from "../../test/sidecar/policies.ts";
import { type Benchmark, type Settings, wants } from "../harness/benchmark.ts";
import { measureCost } from "../harness/http-rounds.ts";
import { startOrigin } from "../harness/origin.ts";
import { type ScenarioResult, scenarioResult, type Target, takeTurns } from "../harness/rounds.ts";
import { Stage } from "../harness/stage.ts";
import { destination, startPlane, startWeft } from "../harness/weft.ts";
import {
  destinationName,
  pathFor,
  ruleCounts,
  ruleDestinations,
  ruleKinds,
  tenantFor,
} from "./rule-destinations.ts";

const [one, many] = ruleCounts;

const target: Target = {
  text: "≤ 1.3 × one rule",
  metric: "cpuUs",
  of: nameOf(many),
  to: nameOf(one),
  most: 1.3,
};

function nameOf(count: number): string {
  return count === 1 ? "1 rule" : `${count} rules`;
}

async function run(settings: Settings): Promise<readonly ScenarioResult[]> {
  await using stage = new Stage();
  const origin = await startOrigin(stage);
  const plane = await startPlane(stage);
  for (const [name, matches] of ruleDestinations()) {
    const rules = matches.map((match) => ({ match, authorities: [destination] }));
    plane.setOutbound(`${name}.svc.cluster.local:80`, policyWith(rules));
  }
  plane.setEndpoints(destination, { exists: true, endpoints: [endpoint(origin.port)] });
  const weft = await startWeft(stage, plane, { name: "weft", workers: 1 });
  const results: ScenarioResult[] = [];
  for (const kind of ruleKinds) {
    if (!wants(settings, kind)) continue;
    const contenders = ruleCounts.map((count) => ({ ...weft, name: nameOf(count), count }));
    const taken = await takeTurns(contenders, settings.rounds, (contender) => {
      const { count } = contender;
      const headers = { Host: destinationName(kind, count), "X-Tenant": tenantFor(count) };
      const request = { path: pathFor(count), headers, bodyBytes: 0 };
      return measureCost({ stage, request, seconds: settings.seconds }, contender);
    });
    results.push(scenarioResult(kind, taken, [target]));
  }
  return results;
}

export const rules: Benchmark = {
  name: "rules",
  title: "1,000 rules instead of one",
  needs: ["nginx", "wrk"],
  defaults: { rounds: 9, seconds: 1 },
  plots: ["cpuUs"],
  run,
};
