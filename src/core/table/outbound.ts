/** Outbound policies as the data plane reads them. */
import type { Backend, Distribution } from "../model/backend.ts";
import type { Endpoint } from "../model/endpoint.ts";
import { type Filter, failAlways } from "../model/filter.ts";
import type { OutboundHttpRoute } from "../model/http-route.ts";
import { everyRequest } from "../model/match.ts";
import type { Meta } from "../model/meta.ts";
import type { OpaqueRoute, OutboundPolicy } from "../model/outbound-policy.ts";
import { compileHttpRoutes, type HttpRouteTable } from "./http-route.ts";

/**
 * Everything a worker needs to send a request to one destination. Parallel arrays: `rules[i]` belongs to `http.rules[i]`. A destination of the
 * protocols `opaque` and `tls` has one rule that takes everything, so that a request that names it explicitly goes where its bytes would.
 */
export type OutboundTable = {
  readonly parent: Meta;
  readonly protocol: "detect" | "http1" | "http2" | "grpc" | "opaque" | "tls";
  readonly http: HttpRouteTable;
  readonly rules: readonly OutboundRule[];
  /** Each backend once, however many rules name it. */
  readonly backends: readonly BackendEntry[];
};

export type OutboundRule = {
  readonly filters: readonly Filter[];
  readonly distribution: "empty" | "first-available" | "random-available";
  readonly choices: readonly BackendChoice[];
  readonly totalWeight: number;
  /** 0: no limit. */
  readonly requestTimeoutMs: number;
};

export type BackendChoice = {
  /** Index into `backends`. */
  readonly backend: number;
  readonly weight: number;
  readonly filters: readonly Filter[];
};

export type BackendEntry = {
  readonly meta: Meta;
  readonly dispatch: /** `authority` is the key of an EndpointTable. */
    | {
        readonly kind: "balancer";
        readonly authority: string;
        readonly defaultRttMs: number;
        readonly decayMs: number;
      }
    | { readonly kind: "forward"; readonly endpoint: Endpoint }
    | { readonly kind: "fail" };
};

export function outboundTable(policy: OutboundPolicy): OutboundTable {
  const { parent, protocol } = policy;
  const isOpaque = protocol === "opaque" || protocol === "tls";
  const routes = isOpaque ? [opaqueAsHttp(policy.opaque)] : policy.httpRoutes;
  const backends: BackendEntry[] = [];
  const places = new Map<string, number>();
  const placeOf = (backend: Backend): number => {
    const key = JSON.stringify(backend);
    const known = places.get(key);
    if (known !== undefined) return known;
    const place = backends.push(compileBackend(backend)) - 1;
    places.set(key, place);
    return place;
  };
  const rules = routes.flatMap((route) =>
    route.rules.map((rule) => ({
      filters: rule.filters,
      requestTimeoutMs: rule.requestTimeoutMs,
      ...compileDistribution(rule.backends, placeOf),
    })),
  );
  return { parent, protocol, http: compileHttpRoutes(routes), rules, backends };
}

function compileDistribution(
  distribution: Distribution,
  placeOf: (backend: Backend) => number,
): Pick<OutboundRule, "distribution" | "choices" | "totalWeight"> {
  if (distribution.kind === "empty") return { distribution: "empty", choices: [], totalWeight: 0 };
  const choices = distribution.backends.map(({ backend, weight, filters }) => ({
    backend: placeOf(backend),
    weight,
    filters,
  }));
  const totalWeight = choices.reduce((sum, { weight }) => sum + weight, 0);
  return { distribution: distribution.kind, choices, totalWeight };
}

function compileBackend({ meta, dispatch }: Backend): BackendEntry {
  if (dispatch.kind !== "balancer") return { meta, dispatch };
  const { kind, authority, load } = dispatch;
  return { meta, dispatch: { kind, authority, ...load } };
}

function opaqueAsHttp({ meta, refusal, backends }: OpaqueRoute): OutboundHttpRoute {
  const filters = refusal === "" ? [] : [failAlways(...refusals[refusal])];
  const rule = { matches: [everyRequest], filters, backends, requestTimeoutMs: 0 };
  return { meta, hosts: [], rules: [rule] };
}

const refusals: Readonly<Record<Exclude<OpaqueRoute["refusal"], "">, [number, string]>> = {
  forbidden: [403, "traffic not allowed"],
  invalid: [500, "the route of this destination cannot be used as written"],
};
