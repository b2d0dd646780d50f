/** The tables of `exchange.ts`: a destination whose requests all go to one endpoint. */
import { defaultLoad, type RouteBackend } from "../../src/core/model/backend.ts";
import { everyRequest, type HttpMatch } from "../../src/core/model/match.ts";
import { defaultMeta } from "../../src/core/model/meta.ts";
import { noTimeouts } from "../../src/core/model/timeouts.ts";
import { outboundTable } from "../../src/core/table/outbound.ts";
import type { Snapshot } from "../../src/thread/messages.ts";

/** What the rule of the benchmark asks of a request. */
const match: HttpMatch = {
  ...everyRequest,
  path: { kind: "prefix", value: "/bench" },
  headers: [{ name: "x-route", kind: "exact", value: "bench" }],
};

type BenchmarkSnapshot = Extract<Snapshot, { readonly kind: "outbound" | "endpoints" }>;

/** One destination, with one rule that asks for a header and a prefix; other requests are refused. */
export function snapshots(originPort: number): readonly BenchmarkSnapshot[] {
  const endpoint = {
    ip: "127.0.0.1",
    port: originPort,
    weight: 1,
    tls: undefined,
    inboundPort: 0,
    hint: "none",
    labels: {},
  } as const;
  return [
    {
      kind: "endpoints",
      authority: "origin",
      revision: 1,
      table: { exists: true, endpoints: [endpoint] },
    },
    routed(),
  ];
}

function routed(): BenchmarkSnapshot {
  const meta = defaultMeta("benchmark");
  const backend: RouteBackend = {
    backend: { meta, dispatch: { kind: "balancer", authority: "origin", load: defaultLoad } },
    filters: [],
    weight: 1,
  };
  const rule = { filters: [], timeouts: noTimeouts, retry: undefined, session: undefined };
  const table = outboundTable({
    parent: meta,
    protocol: "detect",
    httpRoutes: [
      {
        meta,
        hosts: [],
        rules: [
          {
            ...rule,
            matches: [match],
            backends: { kind: "random-available", backends: [backend] },
          },
          { ...rule, matches: [everyRequest], backends: { kind: "empty" } },
        ],
      },
    ],
    accrual: undefined,
    opaque: { meta, refusal: "", backends: { kind: "empty" } },
  });
  return {
    kind: "outbound",
    target: "web.demo.svc.cluster.local:80",
    revision: 1,
    answer: { kind: "policy", table },
  };
}
