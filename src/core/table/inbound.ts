/** Inbound policies as the data plane reads them. */
import type { Authorization } from "../model/authorization.ts";
import type { Filter } from "../model/filter.ts";
import type { InboundHttpRoute } from "../model/http-route.ts";
import type { InboundPolicy, ServerLabels } from "../model/inbound-policy.ts";
import { everyRequest } from "../model/match.ts";
import { defaultMeta } from "../model/meta.ts";
import type { RateLimit } from "../model/rate-limit.ts";
import { compileHttpRoutes, type HttpRouteTable } from "./http-route.ts";

/** What one port admits. Parallel arrays: `filters[i]` belongs to `http.rules[i]`, `admits[i]` to `http.routes[i]`. */
export type InboundTable = {
  readonly protocol: "detect" | "http1" | "http2" | "grpc" | "opaque" | "tls";
  readonly detectTimeoutMs: number;
  readonly server: ServerLabels;
  readonly http: HttpRouteTable;
  readonly filters: readonly (readonly Filter[])[];
  readonly authorizations: readonly Authorization[];
  /** For each route the indices into `authorizations` that admit its requests, in the order in which they are tried. */
  readonly admits: readonly (readonly number[])[];
  /** The same for a connection whose bytes are not HTTP. */
  readonly admitsConnection: readonly number[];
  readonly rateLimit: RateLimit | undefined;
};

/** What stands in when no route is attached, so that every admitted request has a route. */
const catchAll: InboundHttpRoute = {
  meta: defaultMeta("default"),
  hosts: [],
  authorizations: [],
  rules: [{ matches: [everyRequest], filters: [] }],
};

export function inboundTable(policy: InboundPolicy): InboundTable {
  const { protocol, detectTimeoutMs, server } = policy;
  const routes = policy.routes.length === 0 ? [catchAll] : policy.routes;
  const authorizations = [...policy.authorizations];
  const admitsConnection = [...authorizations.keys()];
  const admits = routes.map((route) => {
    const own = route.authorizations.map((authorization) => authorizations.push(authorization) - 1);
    return [...own, ...admitsConnection];
  });
  return {
    protocol,
    detectTimeoutMs,
    server,
    http: compileHttpRoutes(routes),
    filters: routes.flatMap(({ rules }) => rules.map(({ filters }) => filters)),
    authorizations,
    admits,
    admitsConnection,
    rateLimit: policy.rateLimit,
  };
}
