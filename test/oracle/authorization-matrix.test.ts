/** Random policies, clients and requests: from the manifests to the verdict, against the slow oracle. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import test from "ava";
import fc from "fast-check";
import { admitRequest, notAdmitted, type Peer } from "../../src/core/decide/admit.ts";
import { findRoute, loadHttpRoutes, noRoute } from "../../src/core/decide/find-route.ts";
import { resolveInbound } from "../../src/core/resolve/inbound.ts";
import { buildStore } from "../../src/core/resolve/store.ts";
import { parseResource } from "../../src/core/resource/resource.ts";
import { parseIp } from "../../src/core/std/ip.ts";
import { describeFaults } from "../../src/core/std/result.ts";
import { inboundTable } from "../../src/core/table/inbound.ts";
import { ServerSchema } from "../../src/core/wire/gen/linkerd/inbound_pb.ts";
import { fromWireInbound, toWireInbound } from "../../src/core/wire/inbound.ts";
import { inboundWithoutExtensions } from "../../src/core/wire/without-extensions.ts";
import { viewOf } from "../arbitrary/request.ts";
import { settings } from "../core/resolve/world.ts";
import { type Fate, fateOf } from "./authorization-oracle.ts";
import {
  anyInboundRequest,
  anyWorld,
  type InboundRequest,
  manifestsOf,
  type World,
} from "./authorization-world.ts";

const clusterDefault = settings.defaultInboundPolicy;

/** The whole pipeline: resource, resolve, wire (through bytes), table, decide. */
function pipelineFate(world: World, request: InboundRequest, extensions: boolean): Fate {
  const resources = manifestsOf(world).map((json) => {
    const parsed = parseResource(json);
    if (!parsed.ok) throw new Error(describeFaults(parsed.faults));
    return parsed.value;
  });
  const store = buildStore({ resources, broken: [], unreadableAtStart: false });
  const workload = { namespace: "demo", pod: "web-1" };
  const resolved = resolveInbound(store, settings, workload, request.port);
  if ("unknown" in resolved) throw new Error(resolved.unknown);
  const policy = extensions ? resolved.policy : inboundWithoutExtensions(resolved.policy);
  const message = fromBinary(ServerSchema, toBinary(ServerSchema, toWireInbound(policy)));
  const { value, faults } = fromWireInbound(message);
  if (faults.length > 0) throw new Error(describeFaults(faults));
  const table = inboundTable(value);
  const view = viewOf({
    method: request.method,
    path: request.path,
    query: "",
    authority: "web.demo",
    headers: {},
  });
  const found = findRoute(loadHttpRoutes(table.http), view);
  if (found <= noRoute) return "no route";
  const route = table.http.rules[table.http.entries[found]?.rule ?? -1]?.route ?? -1;
  const admitted = admitRequest(table, route, peerOf(request), ({ meta }) =>
    meta.type === "resource" && request.tokens.includes(meta.name) ? undefined : "not sent",
  );
  if (admitted === notAdmitted) return "denied";
  const meta = table.authorizations[admitted]?.meta;
  return meta?.type === "default" && meta.name === "audit" ? "audited" : "admitted";
}

function peerOf({ ip: text, identity }: InboundRequest): Peer {
  const ip = parseIp(text);
  if (ip === undefined) throw new Error(`Wrote a bad address: ${text}`);
  return { ip, tls: identity !== undefined, identity: identity === "" ? undefined : identity };
}

const requests = fc.array(anyInboundRequest, { minLength: 1, maxLength: 8 });

test("the pipeline admits whom the documentation's words admit, and nobody else", (t) => {
  const fates = new Map<Fate, number>();
  fc.assert(
    fc.property(anyWorld, requests, (world, all) => {
      for (const request of all) {
        const fate = fateOf(world, request, clusterDefault);
        fates.set(fate, (fates.get(fate) ?? 0) + 1);
        t.is(pipelineFate(world, request, true), fate, JSON.stringify(request));
      }
    }),
    { numRuns: 800 },
  );
  // A generator that only ever made one of these would prove nothing.
  for (const fate of ["admitted", "audited", "denied", "no route"] as const) {
    t.true((fates.get(fate) ?? 0) > 25, `${fate}: ${fates.get(fate)}`);
  }
});

test("a client that knows Linkerd's contract alone admits nobody whom the pipeline does not", (t) => {
  fc.assert(
    fc.property(anyWorld, requests, (world, all) => {
      for (const request of all) {
        const plain = pipelineFate(world, request, false);
        const full = pipelineFate(world, request, true);
        t.true(
          plain === full || plain === "denied" || full === "admitted",
          JSON.stringify(request),
        );
      }
    }),
    { numRuns: 400 },
  );
});
