/** What differs in a rule of a GRPCRoute: a failure is told as a code of gRPC. */
import type { Filter } from "../model/filter.ts";
import { grpcCode, grpcCodeOf, statusOfGrpc } from "../model/grpc-status.ts";
import type { OutboundHttpRule } from "../model/http-route.ts";

/** Gateway API GRPCRouteRule: UNAVAILABLE for the share of a backend that is none. A rule that cannot be carried out is INTERNAL, which no client tries again. */
export function asGrpcRule(rule: OutboundHttpRule): OutboundHttpRule {
  const { filters, backends } = rule;
  return {
    ...rule,
    filters: asGrpcFilters(filters),
    backends:
      backends.kind === "empty"
        ? backends
        : {
            ...backends,
            backends: backends.backends.map((share) => ({
              ...share,
              filters: share.filters.map((filter) => told(filter, grpcCode.unavailable)),
            })),
          },
  };
}

export function asGrpcFilters(filters: readonly Filter[]): readonly Filter[] {
  return filters.map((filter) => told(filter, grpcCode.internal));
}

/** `broken`: what 500 stands for here. Other statuses are those that somebody asked for. */
function told(filter: Filter, broken: number): Filter {
  if (filter.kind !== "failure") return filter;
  const { status } = filter.failure;
  const grpcStatus = status === 500 ? broken : grpcCodeOf(status);
  const failure = { ...filter.failure, status: statusOfGrpc(grpcStatus), grpcStatus };
  return { kind: "failure", failure };
}
