import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type Backend,
  type Distribution,
  defaultLoad,
  defaultLoadPenalty,
  type LoadPenalty,
  type PeakEwma,
  type RouteBackend,
} from "../model/backend.ts";
import { type Filter, failAlways } from "../model/filter.ts";
import {
  fromWireLambda,
  fromWireProtocol,
  fromWireStatic,
  toWireLambda,
  toWireProtocol,
  toWireStatic,
} from "./backend-extension.ts";
import { report, type Trace, under } from "./decode.ts";
import { fromWireDuration, toWireDuration } from "./duration.ts";
import { fromWireEndpoint, toWireEndpoint } from "./endpoint.ts";
import type {
  Backend_BalanceP2c,
  Backend_BalanceP2c_PenaltyPeakEwma,
  Backend_BalanceP2cSchema,
  BackendSchema,
  GrpcRoute_Distribution,
  HttpRoute_Distribution,
  OpaqueRoute_Distribution,
  TlsRoute_Distribution,
  Backend as WireBackend,
} from "./gen/linkerd/outbound_pb.ts";
import { fromWireMeta, toWireMeta, unnamed } from "./meta.ts";

/** What Linkerd's controller sends; its proxy requires the message and then goes by its own settings. */
const defaultQueue = { capacity: 100, failfastTimeout: toWireDuration(3_000) };

export function toWireBackend({
  meta,
  dispatch,
  protocol,
}: Backend): MessageInitShape<typeof BackendSchema> {
  const shared = {
    metadata: toWireMeta(meta),
    queue: defaultQueue,
    ...(protocol === undefined ? {} : { protocol: toWireProtocol(protocol) }),
  };
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
            load: toWireLoad(dispatch.load),
          },
        },
      };
    case "static":
      return { ...shared, kind: { case: "static", value: toWireStatic(dispatch.hosts) } };
    case "lambda":
      return { ...shared, kind: { case: "lambda", value: toWireLambda(dispatch.function) } };
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
  const { backend, refusal } = fromWireKind(message, trace);
  const protocol = fromWireProtocol(message.protocol, under(trace, "protocol"));
  return { backend: protocol === undefined ? backend : { ...backend, protocol }, refusal };
}

function fromWireKind(message: WireBackend, trace: Trace): ReadBackend {
  const meta = fromWireMeta(message.metadata, under(trace, "metadata"));
  switch (message.kind.case) {
    case "forward": {
      const at = under(trace, "forward");
      const endpoint = fromWireEndpoint(message.kind.value, at);
      if (endpoint === undefined) return failing(meta, `${at.path}: cannot be used`);
      return usable(meta, { kind: "forward", endpoint });
    }
    case "balancer": {
      const { discovery } = message.kind.value;
      const at = under(trace, "balancer");
      const authority = discovery?.kind.value?.path ?? "";
      if (!/^[^\s:]+:[1-9][0-9]{0,4}$/.test(authority)) {
        return failing(meta, report(at, "does not say which endpoints to ask for"));
      }
      const load = fromWireLoad(message.kind.value, at);
      return usable(meta, { kind: "balancer", authority, load });
    }
    case "static": {
      const at = under(trace, "static");
      const hosts = fromWireStatic(message.kind.value, at);
      return hosts === undefined
        ? failing(meta, `${at.path}: cannot be used`)
        : usable(meta, { kind: "static", hosts });
    }
    case "lambda": {
      const at = under(trace, "lambda");
      const lambda = fromWireLambda(message.kind.value, at);
      return lambda === undefined
        ? failing(meta, `${at.path}: cannot be used`)
        : usable(meta, { kind: "lambda", function: lambda });
    }
    case undefined:
      // A backend of no kind is how the contract says that nothing can be reached; a filter beside it says why.
      return usable(meta, { kind: "fail" });
  }
}

/** A message of the three distributions that HTTP, gRPC, opaque and TLS routes have alike. `F` is what they call a filter. */
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

type AnyDistribution =
  | HttpRoute_Distribution
  | GrpcRoute_Distribution
  | OpaqueRoute_Distribution
  | TlsRoute_Distribution;

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

function usable(meta: Backend["meta"], dispatch: Backend["dispatch"]): ReadBackend {
  return { backend: { meta, dispatch }, refusal: undefined };
}

function failing(meta: Backend["meta"], refusal: string): ReadBackend {
  return { backend: { meta, dispatch: { kind: "fail" } }, refusal };
}

type LoadInit = NonNullable<
  Exclude<MessageInitShape<typeof Backend_BalanceP2cSchema>, { $typeName: string }>["load"]
>;

function toWireLoad({ defaultRttMs, decayMs, penalty }: PeakEwma): LoadInit {
  const value = { defaultRtt: toWireDuration(defaultRttMs), decay: toWireDuration(decayMs) };
  if (penalty === undefined) return { case: "peakEwma", value };
  return {
    case: "penaltyPeakEwma",
    value: {
      ...value,
      penalty: toWireDuration(penalty.penaltyMs),
      maxRetryAfter: toWireDuration(penalty.maxRetryAfterMs),
      penaltyDecay: toWireDuration(penalty.decayMs),
    },
  };
}

/** How load is estimated opens nothing and refuses nothing, so that Linkerd's defaults can stand in. */
function fromWireLoad({ load }: Backend_BalanceP2c, trace: Trace): PeakEwma {
  if (load.case === undefined) {
    report(trace, "says nothing about load; the defaults are taken");
    return defaultLoad;
  }
  const { defaultRtt, decay } = load.value;
  const shared = {
    defaultRttMs: (defaultRtt && fromWireDuration(defaultRtt)) || defaultLoad.defaultRttMs,
    decayMs: (decay && fromWireDuration(decay)) || defaultLoad.decayMs,
  };
  return load.case === "peakEwma" ? shared : { ...shared, penalty: fromWirePenalty(load.value) };
}

/** A penalty of 0 and a hint that is never believed are wishes; a window of 0 is none. */
function fromWirePenalty(message: Backend_BalanceP2c_PenaltyPeakEwma): LoadPenalty {
  const { penalty, maxRetryAfter, penaltyDecay } = message;
  const { penaltyMs, maxRetryAfterMs, decayMs } = defaultLoadPenalty;
  return {
    penaltyMs: (penalty && fromWireDuration(penalty)) ?? penaltyMs,
    maxRetryAfterMs: (maxRetryAfter && fromWireDuration(maxRetryAfter)) ?? maxRetryAfterMs,
    decayMs: (penaltyDecay && fromWireDuration(penaltyDecay)) || decayMs,
  };
}
