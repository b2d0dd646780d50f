/**
 * A match of a gRPC route as one of requests: a call is a POST to `/service/method` (gRPC over HTTP/2, "Requests"). So gRPC routes are looked up, explained and
 * authorized as all others are.
 */
import type {
  HttpMatch,
  PathMatch,
  RequestCondition,
  RpcMatch,
  RpcName,
  ValueMatch,
} from "./match.ts";

export const everyRpc: RpcMatch = {
  service: { kind: "any", value: "" },
  method: { kind: "any", value: "" },
};

/** Both names have at least one character and no slash. */
export function matchOfRpc(rpc: RpcMatch, headers: readonly ValueMatch[]): HttpMatch {
  const conditions: RequestCondition[] = [];
  if (rpc.service.kind === "regex") {
    conditions.push({ kind: "rpc-service", pattern: rpc.service.value });
  }
  if (rpc.method.kind === "regex") {
    conditions.push({ kind: "rpc-method", pattern: rpc.method.value });
  }
  return {
    path: pathOf(rpc),
    headers,
    queryParams: [],
    method: "POST",
    ...(conditions.length === 0 ? {} : { condition: { kind: "all", of: conditions } }),
    rpc,
  };
}

function pathOf({ service, method }: RpcMatch): PathMatch {
  if (service.kind === "exact" && method.kind === "exact") {
    return { kind: "exact", value: `/${service.value}/${method.value}` };
  }
  return { kind: "regex", value: `/${segmentOf(service)}/${segmentOf(method)}` };
}

function segmentOf({ kind, value }: RpcName): string {
  return kind === "exact" ? value.replaceAll(/[^A-Za-z0-9_]/g, "\\$&") : "[^/]+";
}
