import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { normaliseAuthority, targetOf } from "../model/authority.ts";
import { type Filter, failAlways } from "../model/filter.ts";
import { everyRequest } from "../model/match.ts";
import type { Meta } from "../model/meta.ts";
import type {
  OpaqueRoute,
  OutboundPolicy,
  OutboundTarget,
  TlsRoute,
} from "../model/outbound-policy.ts";
import { parseWorkload, type Workload } from "../model/workload.ts";
import { formatIp } from "../std/ip.ts";
import { fail, fault, ok, type Result } from "../std/result.ts";
import { unreachable } from "../std/unreachable.ts";
import { fromWireAccrual, toWireAccrual } from "./accrual.ts";
import { type FilterReader, fromWireDistribution, toWireDistribution } from "./backend.ts";
import { type Decoded, decode, report, type Trace, under } from "./decode.ts";
import { toWireDuration } from "./duration.ts";
import {
  type OpaqueRoute_Filter,
  type OpaqueRoute_FilterSchema,
  OutboundPolicySchema,
  type ProxyProtocol,
  type ProxyProtocol_Http1,
  type ProxyProtocolSchema,
  type TlsRoute_Filter,
  type TrafficSpec,
  type OpaqueRoute as WireOpaqueRoute,
  type OutboundPolicy as WireOutboundPolicy,
  type TlsRoute as WireTlsRoute,
} from "./gen/linkerd/outbound_pb.ts";
import type { SniMatchSchema } from "./gen/linkerd/tls_route_pb.ts";
import { areRpcRoutes, fromWireOutboundGrpcRoute, toWireOutboundGrpcRoute } from "./grpc-route.ts";
import { failingRule, fromWireOutboundRoute, toWireOutboundRoute } from "./http-route.ts";
import { fromWireNames, toWireHost } from "./match.ts";
import { fromWireMeta, toWireMeta } from "./meta.ts";
import { fromWireTcpAddress } from "./net.ts";
import { withoutExtensions } from "./without-extensions.ts";

/** What Linkerd's controller sends; its proxy requires it and then goes by its own setting. */
const detectTimeout = toWireDuration(10_000);

export type OutboundQuestion = { readonly workload: Workload; readonly target: OutboundTarget };

/** Faults are for INVALID_ARGUMENT. Addresses and names come out in the one spelling of model/authority. */
export function fromWireTrafficSpec(
  { sourceWorkload, target }: TrafficSpec,
  clusterDomain: string,
): Result<OutboundQuestion> {
  const workload = parseWorkload(sourceWorkload);
  if (workload === undefined) {
    return fail(fault("source_workload", 'write {"ns":"<namespace>","pod":"<pod>"}'));
  }
  switch (target.case) {
    case "addr": {
      const address = fromWireTcpAddress(target.value);
      if (address === undefined) return fail(fault("addr", "name an address and a port"));
      const { ip, port } = address;
      return ok({ workload, target: { kind: "address", ip: formatIp(ip), port } });
    }
    case "authority": {
      const canonical = normaliseAuthority(target.value, workload.namespace, clusterDomain);
      if (canonical === undefined) return fail(fault("authority", "write host:port"));
      return ok({ workload, target: targetOf(canonical) });
    }
    case undefined:
      return fail(fault("target", "name an address or an authority"));
  }
}

/** `extensions`: whether the client reads the fields of `weft.v1`, which it says by `weft-api: 1` in the metadata of its watch. */
export function toWireOutbound(
  policy: OutboundPolicy,
  { extensions }: { readonly extensions: boolean },
): WireOutboundPolicy {
  if (policy.routeOrder !== undefined) throw new Error("The order of a list has no message");
  return create(OutboundPolicySchema, {
    metadata: toWireMeta(policy.parent),
    protocol: toWireProtocol(extensions ? policy : withoutExtensions(policy)),
  });
}

export function fromWireOutbound(message: WireOutboundPolicy): Decoded<OutboundPolicy> {
  return decode((trace) => {
    const parent = fromWireMeta(message.metadata, under(trace, "metadata"));
    return { parent, ...fromWireProtocol(message.protocol, parent, under(trace, "protocol")) };
  });
}

type Body = Omit<OutboundPolicy, "parent">;

function toWireProtocol({
  protocol,
  httpRoutes,
  accrual,
  opaque,
  tlsRoutes = [{ ...opaque, snis: [] }],
}: OutboundPolicy): MessageInitShape<typeof ProxyProtocolSchema> {
  // What is not told by service and method holds on HTTP/2, which reads the same bytes.
  const isGrpc = protocol === "grpc" && areRpcRoutes(httpRoutes);
  const http = {
    routes: isGrpc ? [] : httpRoutes.map(toWireOutboundRoute),
    ...(accrual === undefined ? {} : { failureAccrual: toWireAccrual(accrual) }),
  };
  switch (protocol) {
    case "detect":
      return {
        kind: {
          case: "detect",
          value: {
            timeout: detectTimeout,
            opaque: { routes: [toWireOpaque(opaque)] },
            http1: http,
            http2: http,
          },
        },
      };
    case "http1":
      return { kind: { case: "http1", value: http } };
    case "http2":
      return { kind: { case: "http2", value: http } };
    case "grpc":
      if (!isGrpc) return { kind: { case: "http2", value: http } };
      return {
        kind: { case: "grpc", value: { ...http, routes: httpRoutes.map(toWireOutboundGrpcRoute) } },
      };
    case "opaque":
      return { kind: { case: "opaque", value: { routes: [toWireOpaque(opaque)] } } };
    case "tls":
      return { kind: { case: "tls", value: { routes: tlsRoutes.map(toWireTls) } } };
    default:
      return unreachable(protocol);
  }
}

function fromWireProtocol(message: ProxyProtocol | undefined, parent: Meta, trace: Trace): Body {
  const kind = message?.kind;
  switch (kind?.case) {
    case "detect": {
      const at = under(trace, "detect");
      const { http1, opaque } = kind.value;
      if (http1 === undefined) return refuseAll(parent, report(at, "has no routes for HTTP"));
      return {
        protocol: "detect",
        ...fromWireHttp(http1, under(at, "http1")),
        opaque: fromWireOpaque(opaque?.routes ?? [], parent, under(at, "opaque")),
      };
    }
    case "http1":
    case "http2": {
      const http = fromWireHttp(kind.value, under(trace, kind.case));
      return { protocol: kind.case, ...http, opaque: refusedOpaque(parent) };
    }
    case "opaque": {
      const opaque = fromWireOpaque(kind.value.routes, parent, under(trace, "opaque"));
      return { protocol: "opaque", httpRoutes: [], accrual: undefined, opaque };
    }
    case "tls":
      return {
        protocol: "tls",
        httpRoutes: [],
        accrual: undefined,
        ...fromWireTls(kind.value.routes, parent, under(trace, "tls")),
      };
    case "grpc": {
      const at = under(trace, "grpc");
      const { routes, failureAccrual } = kind.value;
      return {
        protocol: "grpc",
        httpRoutes: routes.map((route, index) =>
          fromWireOutboundGrpcRoute(route, under(at, "routes", index)),
        ),
        accrual: failureAccrual && fromWireAccrual(failureAccrual, under(at, "failureAccrual")),
        opaque: refusedOpaque(parent),
      };
    }
    case undefined:
      return refuseAll(parent, report(trace, "is of no known kind"));
  }
}

type WireHttp = Pick<ProxyProtocol_Http1, "routes" | "failureAccrual">;

function fromWireHttp(
  { routes, failureAccrual }: WireHttp,
  trace: Trace,
): Pick<OutboundPolicy, "httpRoutes" | "accrual"> {
  return {
    httpRoutes: routes.map((route, at) => fromWireOutboundRoute(route, under(trace, "routes", at))),
    accrual: failureAccrual && fromWireAccrual(failureAccrual, under(trace, "failureAccrual")),
  };
}

/** HTTP requests get 500 and the reason; bytes get a closed connection. */
function refuseAll(parent: Meta, reason: string): Body {
  return {
    protocol: "detect",
    httpRoutes: [{ meta: parent, hosts: [], rules: [failingRule([everyRequest], reason)] }],
    accrual: undefined,
    opaque: refusedOpaque(parent),
  };
}

/** What stands in where bytes are not routed, so that they are never passed on by mistake. */
export function refusedOpaque(meta: Meta): OpaqueRoute {
  return { meta, refusal: "invalid", backends: { kind: "empty" } };
}

type OpaqueInit = {
  readonly metadata: ReturnType<typeof toWireMeta>;
  readonly rules: [
    {
      readonly filters: OpaqueFilterInit[];
      readonly backends: ReturnType<typeof toWireDistribution<OpaqueFilterInit>>;
    },
  ];
};

type OpaqueFilterInit = MessageInitShape<typeof OpaqueRoute_FilterSchema> & { $typeName?: never };

function toWireOpaque({ meta, refusal, backends }: OpaqueRoute): OpaqueInit {
  const filters = refusal === "" ? [] : [opaqueRefusals[refusal]];
  return {
    metadata: toWireMeta(meta),
    rules: [{ filters, backends: toWireDistribution(backends, toWireOpaqueFilter) }],
  };
}

const opaqueRefusals: Readonly<Record<Exclude<OpaqueRoute["refusal"], "">, OpaqueFilterInit>> = {
  forbidden: { kind: { case: "forbidden", value: {} } },
  invalid: { kind: { case: "invalid", value: {} } },
};

/** Of HTTP filters only a failure has a meaning for bytes; the rest cannot be applied, so they refuse. */
function toWireOpaqueFilter(filter: Filter): OpaqueFilterInit {
  if (filter.kind !== "failure") return opaqueRefusals.invalid;
  const { status, message } = filter.failure;
  return status === 403
    ? opaqueRefusals.forbidden
    : { kind: { case: "invalid", value: { message } } };
}

const readOpaqueFilters: FilterReader = (routeBackend) =>
  (routeBackend.filters as (OpaqueRoute_Filter | TlsRoute_Filter)[]).map(({ kind }) =>
    kind.case === "forbidden"
      ? failAlways(403, "traffic not allowed")
      : failAlways(500, kind.value?.message ?? "the filter is of no known kind"),
  );

function toWireTls({ snis, ...route }: TlsRoute): OpaqueInit & {
  snis: MessageInitShape<typeof SniMatchSchema>[];
} {
  return { ...toWireOpaque(route), snis: snis.map(toWireHost) };
}

/** One route for every name is what bytes of any other kind have, too. */
function fromWireTls(
  routes: readonly WireTlsRoute[],
  parent: Meta,
  trace: Trace,
): Pick<OutboundPolicy, "opaque" | "tlsRoutes"> {
  const [only, ...more] = routes;
  if (only === undefined || (more.length === 0 && only.snis.length === 0)) {
    return { opaque: fromWireOpaque(routes, parent, trace) };
  }
  const tlsRoutes = routes.map((route, at): TlsRoute => {
    const here = under(trace, "routes", at);
    const { hosts, unreadable } = fromWireNames(route.snis, under(here, "snis"));
    const read = fromWireBytes(route, here);
    return unreadable === undefined
      ? { ...read, snis: hosts }
      : { ...refusedOpaque(read.meta), snis: [] };
  });
  return { opaque: refusedOpaque(parent), tlsRoutes };
}

function fromWireOpaque(
  routes: readonly (WireOpaqueRoute | WireTlsRoute)[],
  parent: Meta,
  trace: Trace,
): OpaqueRoute {
  const [route, ...more] = routes;
  if (route === undefined || more.length > 0) {
    report(trace, "must have one route with one rule");
    return refusedOpaque(parent);
  }
  return fromWireBytes(route, under(trace, "routes", 0));
}

function fromWireBytes(route: WireOpaqueRoute | WireTlsRoute, trace: Trace): OpaqueRoute {
  const meta = fromWireMeta(route.metadata, under(trace, "metadata"));
  const [rule, ...more] = route.rules;
  if (rule === undefined || more.length > 0) {
    report(trace, "must have one rule");
    return refusedOpaque(meta);
  }
  const backends = fromWireDistribution(rule.backends, readOpaqueFilters, under(trace, "backends"));
  if (backends === undefined) return refusedOpaque(meta);
  const refusal = rule.filters[0]?.kind.case ?? (rule.filters.length > 0 ? "invalid" : "");
  return { meta, refusal, backends };
}
