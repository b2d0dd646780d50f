import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type Backend,
  type Distribution,
  defaultLoad,
  type PeakEwma,
  type RouteBackend,
} from "../model/backend.ts";
import { type Filter, failAlways } from "../model/filter.ts";
import { report, type Trace, under } from "./decode.ts";
import { fromWireDuration, toWireDuration } from "./duration.ts";
import { fromWireEndpoint, toWireEndpoint } from "./endpoint.ts";
import type {
  Backend_BalanceP2c,
  BackendSchema,
  HttpRoute_Distribution,
  OpaqueRoute_Distribution,
  TlsRoute_Distribution,
  Backend as WireBackend,
} from "./gen/linkerd/outbound_pb.ts";
import { fromWireMeta, toWireMeta, unnamed } from "./meta.ts";

/** What Linkerd's controller sends; its proxy requires the message and then goes by its own settings. */
const defaultQueue = { capacity: 100, failfastTimeout: toWireDuration(3_000) };

export function toWireBackend({ meta, dispatch }: Backend): MessageInitShape<typeof BackendSchema> {
  const shared = { metadata: toWireMeta(meta), queue: defaultQueue };
  switch (dispatch.kind) {
    case "forward":
      return { ...shared, kind: { case: "forward", value: toWireEndpoint(dispatch.endpoint) } };
    case "balancer":
      return {
        ...shared,
        kind: {
          case: "balancer",
          value: {
            discovery: { kind: { case: "dst", value: { path: dispatch.authority } } },
            load: {
              case: "peakEwma",
              value: {
                defaultRtt: toWireDuration(dispatch.load.defaultRttMs),
                decay: toWireDuration(dispatch.load.decayMs),
              },
            },
          },
        },
      };
    case "fail":
      return shared;
  }
}

/** `refusal`: why every request to it fails. */
type ReadBackend = { readonly backend: Backend; readonly refusal: string | undefined };

export function fromWireBackend(message: WireBackend | undefined, trace: Trace): ReadBackend {
  if (message === undefined) {
    return failing(unnamed, report(trace, "is missing"));
  }
  const meta = fromWireMeta(message.metadata, under(trace, "metadata"));
  switch (message.kind.case) {
    case "forward": {
      const at = under(trace, "forward");
      const endpoint = fromWireEndpoint(message.kind.value, at);
      if (endpoint === undefined) return failing(meta, `${at.path}: cannot be used`);
      return { backend: { meta, dispatch: { kind: "forward", endpoint } }, refusal: undefined };
    }
    case "balancer": {
      const { discovery } = message.kind.value;
      const at = under(trace, "balancer");
      const authority = discovery?.kind.value?.path ?? "";
      if (!/^[^\s:]+:[1-9][0-9]{0,4}$/.test(authority)) {
        return failing(meta, report(at, "does not say which endpoints to ask for"));
      }
      const load = fromWireLoad(message.kind.value, at);
      return {
        backend: { meta, dispatch: { kind: "balancer", authority, load } },
        refusal: undefined,
      };
    }
    case undefined:
      // A backend of no kind is how the contract says that nothing can be reached; a filter beside it says why.
      return { backend: { meta, dispatch: { kind: "fail" } }, refusal: undefined };
  }
}

/** A message of the three distributions that HTTP, opaque and TLS routes have alike. `F` is what they call a filter. */
export type DistributionInit<F> = {
  readonly kind:
    | { case: "empty"; value: Record<never, never> }
    | { case: "firstAvailable"; value: { backends: RouteBackendInit<F>[] } }
    | {
        case: "randomAvailable";
        value: { backends: { backend: RouteBackendInit<F>; weight: number }[] };
      };
};

type RouteBackendInit<F> = { backend: MessageInitShape<typeof BackendSchema>; filters: F[] };

/**
 * Linkerd's proxy panics when all weights are 0, refuses an empty list, and sends requests to a single backend whatever its weight. A
 * distribution that gives no traffic to anybody is therefore sent as empty.
 */
export function toWireDistribution<F>(
  distribution: Distribution,
  toWireFilter: (filter: Filter) => F,
): DistributionInit<F> {
  const toWireRouteBackend = ({ backend, filters }: RouteBackend): RouteBackendInit<F> => ({
    backend: toWireBackend(backend),
    filters: filters.map(toWireFilter),
  });
  if (distribution.kind === "empty") return { kind: { case: "empty", value: {} } };
  const { kind, backends } = distribution;
  if (kind === "first-available" && backends.length > 0) {
    return {
      kind: { case: "firstAvailable", value: { backends: backends.map(toWireRouteBackend) } },
    };
  }
  if (kind === "random-available" && backends.some(({ weight }) => weight > 0)) {
    const weighted = backends.map((each) => ({
      backend: toWireRouteBackend(each),
      weight: each.weight,
    }));
    return { kind: { case: "randomAvailable", value: { backends: weighted } } };
  }
  return { kind: { case: "empty", value: {} } };
}

type AnyDistribution = HttpRoute_Distribution | OpaqueRoute_Distribution | TlsRoute_Distribution;

type AnyRouteBackend = Extract<
  AnyDistribution["kind"],
  { case: "firstAvailable" }
>["value"]["backends"][number];

/** How the filters of a route's kind are read. */
export type FilterReader = (routeBackend: AnyRouteBackend, trace: Trace) => readonly Filter[];

/** Undefined: the rule has no distribution that can be used. */
export function fromWireDistribution(
  message: AnyDistribution | undefined,
  readFilters: FilterReader,
  trace: Trace,
): Distribution | undefined {
  const kind = message?.kind;
  switch (kind?.case) {
    case "empty":
      return { kind: "empty" };
    case "firstAvailable": {
      const backends = kind.value.backends.map((each, at) =>
        fromWireRouteBackend(each, readFilters, under(trace, "backends", at)),
      );
      if (backends.length > 0) {
        return {
          kind: "first-available",
          backends: backends.map((backend) => ({ ...backend, weight: 1 })),
        };
      }
      break;
    }
    case "randomAvailable": {
      const backends = kind.value.backends.map(({ backend, weight }, at) => ({
        ...fromWireRouteBackend(backend, readFilters, under(trace, "backends", at)),
        weight,
      }));
      if (backends.length > 0) return { kind: "random-available", backends };
      break;
    }
    case undefined:
  }
  report(trace, "has no backends");
  return undefined;
}

/** A broken backend keeps its share and fails it. */
function fromWireRouteBackend(
  message: AnyRouteBackend | undefined,
  readFilters: FilterReader,
  trace: Trace,
): Omit<RouteBackend, "weight"> {
  const { backend, refusal } = fromWireBackend(message?.backend, under(trace, "backend"));
  if (refusal !== undefined) return { backend, filters: [failAlways(500, refusal)] };
  return { backend, filters: message === undefined ? [] : readFilters(message, trace) };
}

function failing(meta: Backend["meta"], refusal: string): ReadBackend {
  return { backend: { meta, dispatch: { kind: "fail" } }, refusal };
}

/** How load is estimated opens nothing and refuses nothing, so that Linkerd's defaults can stand in. */
function fromWireLoad({ load }: Backend_BalanceP2c, trace: Trace): PeakEwma {
  if (load.case === undefined) {
    report(trace, "says nothing about load; the defaults are taken");
    return defaultLoad;
  }
  if (load.case === "penaltyPeakEwma") {
    report(trace, "asks for penalties, which are not supported; response times alone count");
  }
  const { defaultRtt, decay } = load.value;
  return {
    defaultRttMs: (defaultRtt && fromWireDuration(defaultRtt)) || defaultLoad.defaultRttMs,
    decayMs: (decay && fromWireDuration(decay)) || defaultLoad.decayMs,
  };
}
