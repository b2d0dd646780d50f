/** Why a request goes where it goes: the policy that the sidecar was given, judged by the engine that the sidecar runs. */
import { create } from "@bufbuild/protobuf";
import { describeRoute, explainRoute } from "../core/decide/explain-route.ts";
import { loadHttpRoutes } from "../core/decide/find-route.ts";
import { describeMeta } from "../core/model/meta.ts";
import { formatWorkload, type Workload } from "../core/model/workload.ts";
import { type OutboundTable, outboundTable } from "../core/table/outbound.ts";
import { OutboundPolicies, TrafficSpecSchema } from "../core/wire/gen/linkerd/outbound_pb.ts";
import { fromWireOutbound } from "../core/wire/outbound.ts";
import { callUnary, openChannel } from "../edge/grpc/client.ts";
import { describeFailure } from "../edge/grpc/status.ts";

export type WhyQuestion = {
  /** Address of the policy service. */
  readonly policyAddress: string;
  readonly client: Workload;
  readonly authority: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
};

const callDeadlineMs = 2_000;

/** One line for people. */
export async function explainOutbound(question: WhyQuestion): Promise<string> {
  const channel = openChannel(question.policyAddress);
  try {
    const answer = await callUnary(
      channel,
      OutboundPolicies.method.get,
      create(TrafficSpecSchema, {
        sourceWorkload: formatWorkload(question.client),
        target: { case: "authority", value: question.authority },
      }),
      { deadlineMs: callDeadlineMs },
    );
    if (!answer.ok) return `the policy service says ${describeFailure(answer.failure)}`;
    return explain(outboundTable(fromWireOutbound(answer.value).value), question);
  } finally {
    channel.close();
  }
}

function explain(table: OutboundTable, question: WhyQuestion): string {
  const loaded = loadHttpRoutes(table.http);
  const explanation = explainRoute(loaded, {
    method: question.method,
    path: question.path,
    query: "",
    authority: question.authority,
    header: (name) => question.headers[name],
  });
  const line = describeRoute(loaded, explanation);
  const entry =
    explanation.winner === undefined ? undefined : table.http.entries[explanation.winner];
  const rule = entry === undefined ? undefined : table.rules[entry.rule];
  const backends = (rule?.choices ?? []).map(({ backend }) => {
    const meta = table.backends[backend]?.meta;
    return meta === undefined ? "nothing" : describeMeta(meta);
  });
  return `${line} → ${backends.join(", ")}`;
}
