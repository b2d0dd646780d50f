/** Outbound policies as the data plane reads them. */
import type { FailureAccrual } from "../model/accrual.ts";
import {
  type Backend,
  type BackendProtocol,
  type Distribution,
  defaultLoad,
  type LambdaFunction,
  type PeakEwma,
  type StaticHost,
} from "../model/backend.ts";
import type { Endpoint } from "../model/endpoint.ts";
import { type ExternalAuth, type Filter, failAlways, type Mirror } from "../model/filter.ts";
import type { OutboundHttpRoute } from "../model/http-route.ts";
import { everyRequest, type HostMatch } from "../model/match.ts";
import type { Meta } from "../model/meta.ts";
import type { OpaqueRoute, OutboundPolicy } from "../model/outbound-policy.ts";
import type { Retry } from "../model/retry.ts";
import type { SessionPersistence } from "../model/session.ts";
import { noTimeouts, type Timeouts } from "../model/timeouts.ts";
import { compileHttpRoutes, groupByRank, type HttpRouteTable, hostRank } from "./http-route.ts";

/**
 * Everything a worker needs to send a request to one destination. Parallel arrays: `rules[i]` belongs to `http.rules[i]`. A destination of the
 * protocols `opaque` and `tls` has one rule that takes everything, so that a request that names it explicitly goes where its bytes would.
 */
export type OutboundTable = {
  readonly parent: Meta;
  readonly protocol: "detect" | "http1" | "http2" | "grpc" | "opaque" | "tls";
  readonly http: HttpRouteTable;
  readonly rules: readonly OutboundRule[];
  /** Each backend once, however many rules and filters name it. */
  readonly backends: readonly BackendEntry[];
  /** Undefined: endpoints are never taken out because of their answers. */
  readonly accrual: FailureAccrual | undefined;
  /** Where connections go whose bytes are not read as requests. Undefined: requests alone are carried, because somebody wrote a policy about them. */
  readonly opaque: OpaqueEntry | undefined;
  /** Of the protocol `tls`: by server name, the closest first. */
  readonly tls: readonly TlsEntry[] | undefined;
};

/** No names: any, and none. */
export type TlsEntry = OpaqueEntry & { readonly snis: readonly HostMatch[] };

export type OpaqueEntry = Pick<OutboundRule, "distribution" | "choices" | "totalWeight"> & {
  readonly meta: Meta;
  readonly refusal: OpaqueRoute["refusal"];
};

export type OutboundRule = {
  readonly filters: readonly FilterEntry[];
  readonly distribution: "empty" | "first-available" | "random-available";
  readonly choices: readonly BackendChoice[];
  readonly totalWeight: number;
  readonly timeouts: Timeouts;
  /** Undefined: a request is sent once. */
  readonly retry: Retry | undefined;
  readonly session: SessionPersistence | undefined;
  /** Set under a ServiceProfile: what requests carry in `l5d-dst-canonical`. */
  readonly canonical?: string | undefined;
};

export type BackendChoice = {
  /** Index into `backends`. */
  readonly backend: number;
  readonly weight: number;
  readonly filters: readonly FilterEntry[];
};

/** A filter whose backend, if it has one, is an index into `backends`. */
export type FilterEntry =
  | Exclude<Filter, { readonly kind: "mirror" | "external-auth" }>
  | { readonly kind: "mirror"; readonly mirror: MirrorEntry }
  | { readonly kind: "external-auth"; readonly auth: ExternalAuthEntry };

export type MirrorEntry = Omit<Mirror, "backend"> & { readonly backend: number };

export type ExternalAuthEntry = Omit<ExternalAuth, "backend"> & { readonly backend: number };

export type BackendEntry = {
  readonly meta: Meta;
  readonly dispatch: BackendDispatch;
  /** Absent: that of the table. */
  readonly protocol?: BackendProtocol;
};

export type BackendDispatch =
  /** `authority` is the key of an EndpointTable. */
  | ({ readonly kind: "balancer"; readonly authority: string } & PeakEwma)
  | { readonly kind: "forward"; readonly endpoint: Endpoint }
  | ({ readonly kind: "static"; readonly hosts: readonly StaticHost[] } & PeakEwma)
  | { readonly kind: "lambda"; readonly function: LambdaEntry }
  | { readonly kind: "fail" };

type Keys = "accessKey" | "secretKey" | "sessionToken";

/**
 * The keys in the clear: an instance of Secret does not survive the structured clone that takes the table to the workers. Whoever prints a table leaves
 * this part out.
 */
export type LambdaEntry = Omit<LambdaFunction, Keys> & Readonly<Record<Keys, string>>;

export function outboundTable(policy: OutboundPolicy): OutboundTable {
  const { parent, protocol, accrual } = policy;
  const isOpaque = protocol === "opaque" || protocol === "tls";
  const bytes =
    policy.tlsRoutes === undefined ? opaqueAsHttp(policy.opaque) : refusesRequests(parent);
  const routes = isOpaque ? [bytes] : policy.httpRoutes;
  const places = new BackendPlaces();
  const rules = routes.flatMap((route) =>
    route.rules.map(({ filters, backends, timeouts, retry, session, canonical }) => ({
      filters: filters.map((filter) => compileFilter(filter, places)),
      ...compileDistribution(backends, places),
      timeouts,
      retry,
      session,
      canonical,
    })),
  );
  const http = compileHttpRoutes(routes, policy.routeOrder);
  const opaque = carriesBytes(policy) ? compileOpaque(policy.opaque, places) : undefined;
  const tls = protocol === "tls" ? compileTls(policy, places) : undefined;
  return { parent, protocol, http, rules, backends: places.backends, accrual, opaque, tls };
}

/** What is spoken to a backend of the table. Calls of gRPC have no other form than HTTP/2, whatever a port is said to speak. */
export function protocolTo(
  { protocol, backends }: OutboundTable,
  backend: number,
): OutboundTable["protocol"] {
  return protocol === "grpc" ? protocol : (backends[backend]?.protocol ?? protocol);
}

/** Gateway API TLSRouteSpec.hostnames: names rank as those of an HTTPRoute; what ties keeps the order of the routes. */
function compileTls(
  { opaque, tlsRoutes = [{ ...opaque, snis: [] }] }: OutboundPolicy,
  places: BackendPlaces,
): readonly TlsEntry[] {
  const entries = tlsRoutes.flatMap(({ snis, ...route }) =>
    groupByRank(snis).map((group) => ({ ...compileOpaque(route, places), snis: group })),
  );
  return entries.sort((left, right) => hostRank(right.snis[0]) - hostRank(left.snis[0]));
}

/** A protocol that is found out never lets bytes around routes that somebody wrote: what cannot be read is refused (decisions 5). */
function carriesBytes({ protocol, httpRoutes }: OutboundPolicy): boolean {
  if (protocol === "opaque" || protocol === "tls") return true;
  return protocol === "detect" && httpRoutes.every(({ meta }) => meta.type === "default");
}

function compileOpaque(
  { meta, refusal, backends }: OpaqueRoute,
  places: BackendPlaces,
): OpaqueEntry {
  return { meta, refusal, ...compileDistribution(backends, places) };
}

/** Gives each backend one place, however many rules and filters name it. */
class BackendPlaces {
  readonly backends: BackendEntry[] = [];
  readonly #places = new Map<string, number>();

  indexOf(backend: Backend): number {
    const entry = compileBackend(backend);
    // The entry, not the model: there all secrets look alike, and functions with different keys would be one.
    const key = JSON.stringify(entry);
    const known = this.#places.get(key);
    if (known !== undefined) return known;
    const place = this.backends.push(entry) - 1;
    this.#places.set(key, place);
    return place;
  }
}

function compileFilter(filter: Filter, places: BackendPlaces): FilterEntry {
  if (filter.kind === "mirror") {
    const { mirror } = filter;
    return { kind: "mirror", mirror: { ...mirror, backend: places.indexOf(mirror.backend) } };
  }
  if (filter.kind === "external-auth") {
    const { auth } = filter;
    return { kind: "external-auth", auth: { ...auth, backend: places.indexOf(auth.backend) } };
  }
  return filter;
}

function compileDistribution(
  distribution: Distribution,
  places: BackendPlaces,
): Pick<OutboundRule, "distribution" | "choices" | "totalWeight"> {
  if (distribution.kind === "empty") return { distribution: "empty", choices: [], totalWeight: 0 };
  const choices = distribution.backends.map(({ backend, weight, filters }) => ({
    backend: places.indexOf(backend),
    weight,
    filters: filters.map((filter) => compileFilter(filter, places)),
  }));
  const totalWeight = choices.reduce((sum, { weight }) => sum + weight, 0);
  return { distribution: distribution.kind, choices, totalWeight };
}

function compileBackend({ meta, dispatch, protocol }: Backend): BackendEntry {
  return {
    meta,
    dispatch: compileDispatch(dispatch),
    ...(protocol === undefined ? {} : { protocol }),
  };
}

function compileDispatch(dispatch: Backend["dispatch"]): BackendDispatch {
  switch (dispatch.kind) {
    case "balancer": {
      const { kind, authority, load } = dispatch;
      return { kind, authority, ...load };
    }
    case "static": {
      const { kind, hosts } = dispatch;
      return { kind, hosts, ...defaultLoad };
    }
    case "lambda":
      return { kind: "lambda", function: discloseKeys(dispatch.function) };
    case "forward":
    case "fail":
      return dispatch;
  }
}

function discloseKeys(lambda: LambdaFunction): LambdaEntry {
  return {
    ...lambda,
    accessKey: lambda.accessKey.reveal(),
    secretKey: lambda.secretKey.reveal(),
    sessionToken: lambda.sessionToken.reveal(),
  };
}

function opaqueAsHttp({ meta, refusal, backends }: OpaqueRoute): OutboundHttpRoute {
  return everythingTo(meta, refusal === "" ? [] : [failAlways(...refusals[refusal])], backends);
}

function everythingTo(
  meta: Meta,
  filters: readonly Filter[],
  backends: Distribution,
): OutboundHttpRoute {
  const rule = {
    matches: [everyRequest],
    filters,
    backends,
    timeouts: noTimeouts,
    retry: undefined,
    session: undefined,
  };
  return { meta, hosts: [], rules: [rule] };
}

/** Without a server name nobody knows where a request is to go. */
function refusesRequests(meta: Meta): OutboundHttpRoute {
  const message = "TLSRoutes take connections of TLS only, by their server name";
  return everythingTo(meta, [failAlways(500, message)], { kind: "empty" });
}

const refusals: Readonly<Record<Exclude<OpaqueRoute["refusal"], "">, [number, string]>> = {
  forbidden: [403, "traffic not allowed"],
  invalid: [500, "the route of this destination cannot be used as written"],
};
