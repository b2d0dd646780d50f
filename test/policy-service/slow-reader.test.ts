import { create } from "@bufbuild/protobuf";
import test from "ava";
import {
  OutboundPolicies,
  type OutboundPolicy,
  type TrafficSpec,
  TrafficSpecSchema,
} from "../../src/core/wire/gen/linkerd/outbound_pb.ts";
import { fromWireOutbound } from "../../src/core/wire/outbound.ts";
import { methodDefinition } from "../../src/edge/grpc/service.ts";
import { mesh, redirectRoute } from "./files.ts";
import { startBench, watchOutbound } from "./harness.ts";

const rounds = 40;

/** Some 60 KB on the wire: a few of them fill every buffer on the way to a reader that has stopped. */
function bigRoute(round: number): string {
  const value = "x".repeat(3_500);
  const matches = Array.from(
    { length: 16 },
    (_, at) => `{ headers: [{ name: x-${at}, value: ${value} }] }`,
  );
  const rule = `    - matches: [${matches.join(", ")}]
      filters: [{ type: RequestRedirect, requestRedirect: { hostname: never.example } }]
`;
  return redirectRoute(`host-${round}.example`) + rule;
}

function hostOf(message: OutboundPolicy): string {
  const [filter] = fromWireOutbound(message).value.httpRoutes[0]?.rules[0]?.filters ?? [];
  return filter?.kind === "redirect" ? filter.redirect.host : "";
}

test("A reader that stops misses what is between, and has the newest when it reads again", async (t) => {
  await using bench = await startBench({ "mesh.yaml": mesh, "route.yaml": bigRoute(0) });
  const request = create(TrafficSpecSchema, {
    sourceWorkload: "demo:slow",
    target: { case: "authority", value: "a:8080" },
  });
  const definition = methodDefinition(OutboundPolicies.method.watch);
  const call = bench.policy
    .client()
    ?.makeServerStreamRequest<TrafficSpec, OutboundPolicy>(
      definition.path,
      definition.requestSerialize,
      definition.responseDeserialize,
      request,
    );
  if (call === undefined) throw new Error("the channel is closed");
  call.on("error", () => undefined);
  const slow = call[Symbol.asyncIterator]();
  t.is(hostOf((await slow.next()).value), "host-0.example");

  // A reader on a connection of its own says when each change has been published.
  const quick = watchOutbound(bench, "a:8080");
  for (let round = 1; round <= rounds; round++) {
    await bench.put("route.yaml", bigRoute(round));
    await quick.until((message) => hostOf(message) === `host-${round}.example`);
  }
  let seen = 0;
  let host = "";
  while (host !== `host-${rounds}.example`) {
    host = hostOf((await slow.next()).value);
    seen++;
  }
  t.true(seen < rounds, `${seen} of ${rounds} messages`);
  call.cancel();
});
