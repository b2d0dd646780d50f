import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { InboundHttpRoute } from "../model/http-route.ts";
import type { InboundPolicy, ServerLabels } from "../model/inbound-policy.ts";
import { parseWorkload, type Workload } from "../model/workload.ts";
import { fail, fault, ok, type Result } from "../std/result.ts";
import { unreachable } from "../std/unreachable.ts";
import { fromWireAuthorizations, toWireAuthorizations } from "./authorization.ts";
import { type Decoded, decode, report, type Trace, under } from "./decode.ts";
import { fromWireDuration, toWireDuration } from "./duration.ts";
import {
  type HttpLocalRateLimit,
  type HttpRoute,
  type PortSpec,
  type ProxyProtocol,
  type ProxyProtocolSchema,
  type Server,
  ServerSchema,
} from "./gen/linkerd/inbound_pb.ts";
import { areRpcRoutes, fromWireInboundGrpcRoute, toWireInboundGrpcRoute } from "./grpc-route.ts";
import { fromWireInboundRoute, toWireInboundRoute } from "./http-route.ts";
import { fromWireRateLimit, toWireRateLimit } from "./rate-limit.ts";

/** Linkerd's default. Taken for protocols that are not detected as well, where it means nothing. */
export const defaultDetectTimeoutMs = 10_000;

export type InboundQuestion = { readonly workload: Workload; readonly port: number };

/** Faults are for INVALID_ARGUMENT. */
export function fromWirePortSpec({ workload, port }: PortSpec): Result<InboundQuestion> {
  const parsed = parseWorkload(workload);
  if (parsed === undefined) {
    return fail(fault("workload", 'write {"ns":"<namespace>","pod":"<pod>"}'));
  }
  if (port < 1 || port > 65_535) return fail(fault("port", "must be 1 to 65535"));
  return ok({ workload: parsed, port });
}

export function toWireInbound(policy: InboundPolicy): Server {
  const { group, kind, name } = policy.server;
  return create(ServerSchema, {
    protocol: toWireProtocol(policy),
    authorizations: toWireAuthorizations(policy.authorizations),
    labels: { group, kind, name },
  });
}

export function fromWireInbound(message: Server): Decoded<InboundPolicy> {
  return decode((trace) => {
    const server = fromLabels(message.labels);
    const protocol = fromWireProtocol(message.protocol, under(trace, "protocol"));
    if (protocol === undefined) return admitsNobody(server);
    const authorizations = fromWireAuthorizations(message.authorizations, trace);
    return { ...protocol, server, authorizations };
  });
}

type Protocol = Pick<InboundPolicy, "protocol" | "detectTimeoutMs" | "routes" | "rateLimit">;

/** A gRPC server with HTTP routes or a rate limit is sent as HTTP/2, where they hold; both read the same bytes. */
function toWireProtocol(policy: InboundPolicy): MessageInitShape<typeof ProxyProtocolSchema> {
  const routes = policy.routes.map(toWireInboundRoute);
  const limit = policy.rateLimit && toWireRateLimit(policy.rateLimit);
  const limited = limit === undefined ? {} : { localRateLimit: limit };
  switch (policy.protocol) {
    case "detect": {
      const timeout = toWireDuration(policy.detectTimeoutMs);
      const detectLimit = limit === undefined ? {} : { httpLocalRateLimit: limit };
      return { kind: { case: "detect", value: { timeout, httpRoutes: routes, ...detectLimit } } };
    }
    case "http1":
    case "http2":
      return { kind: { case: policy.protocol, value: { routes, ...limited } } };
    case "grpc":
      return limit === undefined && areRpcRoutes(policy.routes)
        ? { kind: { case: "grpc", value: { routes: policy.routes.map(toWireInboundGrpcRoute) } } }
        : { kind: { case: "http2", value: { routes, ...limited } } };
    case "opaque":
    case "tls":
      return { kind: { case: policy.protocol, value: {} } };
    default:
      return unreachable(policy.protocol);
  }
}

function fromWireProtocol(message: ProxyProtocol | undefined, trace: Trace): Protocol | undefined {
  const kind = message?.kind;
  switch (kind?.case) {
    case "detect": {
      const at = under(trace, "detect");
      const { timeout, httpRoutes, httpLocalRateLimit } = kind.value;
      const detectTimeoutMs = timeout && fromWireDuration(timeout);
      if (detectTimeoutMs === undefined) {
        report(
          under(at, "timeout"),
          `is missing or negative; ${defaultDetectTimeoutMs} ms are taken`,
        );
      }
      return {
        protocol: "detect",
        detectTimeoutMs: detectTimeoutMs ?? defaultDetectTimeoutMs,
        routes: fromWireRoutes(httpRoutes, under(at, "httpRoutes")),
        ...limitOf(httpLocalRateLimit, under(at, "httpLocalRateLimit")),
      };
    }
    case "http1":
    case "http2": {
      const at = under(trace, kind.case);
      const { routes, localRateLimit } = kind.value;
      return {
        protocol: kind.case,
        detectTimeoutMs: defaultDetectTimeoutMs,
        routes: fromWireRoutes(routes, under(at, "routes")),
        ...limitOf(localRateLimit, under(at, "localRateLimit")),
      };
    }
    case "grpc": {
      const at = under(trace, "grpc");
      const routes = kind.value.routes.map((route, index) =>
        fromWireInboundGrpcRoute(route, under(at, "routes", index)),
      );
      return { protocol: "grpc", detectTimeoutMs: defaultDetectTimeoutMs, routes };
    }
    case "opaque":
    case "tls":
      return { protocol: kind.case, detectTimeoutMs: defaultDetectTimeoutMs, routes: [] };
    case undefined:
      report(trace, "is of no known kind; nobody is admitted");
      return undefined;
  }
}

function fromWireRoutes(routes: readonly HttpRoute[], trace: Trace): readonly InboundHttpRoute[] {
  return routes.map((route, at) =>
    fromWireInboundRoute(route, { ...trace, path: `${trace.path}[${at}]` }),
  );
}

function limitOf(
  limit: HttpLocalRateLimit | undefined,
  trace: Trace,
): Pick<InboundPolicy, "rateLimit"> {
  return limit === undefined ? {} : { rateLimit: fromWireRateLimit(limit, trace) };
}

function admitsNobody(server: ServerLabels): InboundPolicy {
  return {
    protocol: "detect",
    detectTimeoutMs: defaultDetectTimeoutMs,
    server,
    authorizations: [],
    routes: [],
  };
}

function fromLabels(labels: Readonly<Record<string, string>>): ServerLabels {
  const { group = "policy.linkerd.io", kind = "server", name = "" } = labels;
  return { group, kind, name };
}
