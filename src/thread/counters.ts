/**
 * Layout of the shared counter buffer: 64-bit floats, one slot for a counter or gauge, `histogramSlots` in a row for a histogram (one for each
 * bucket, then count, then sum). One worker writes its buffer, the main thread sums the buffers of all workers when it is asked for metrics; a
 * torn read is impossible for an aligned 8-byte value on the platforms that Node runs on.
 */
import { unreachable } from "../core/std/unreachable.ts";

/** 32,768 slots = 256 KiB a worker, some 1,000 routes with their histograms. What does not fit is counted in slot 0. */
export const slotCapacity = 32_768;

/** Slot 0 counts increments that found no slot, so that lost series are seen (`weft_metric_overflow_total`). */
export const overflowSlot = 0;

/** Upper bounds in milliseconds: Linkerd's `response_latency_ms`. The last bucket is +Inf. */
export const latencyBucketsMs: readonly number[] = [
  1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1_000, 2_000, 3_000, 4_000, 5_000,
  10_000, 20_000, 30_000, 40_000, 50_000,
];

export const histogramSlots: number = latencyBucketsMs.length + 3;

export type MetricKind = "counter" | "gauge" | "histogram";

/** Every metric that workers write: its kind, its help text and its labels, in one place. */
export const workerMetrics: Readonly<Record<WorkerMetric, MetricSpec>> = {
  weft_metric_overflow_total: {
    kind: "counter",
    help: "Increments that found no room in the counter buffer.",
    labels: [],
  },
  request_total: {
    kind: "counter",
    help: "Requests received, by direction and route.",
    labels: ["direction", "route"],
  },
  response_total: {
    kind: "counter",
    help: "Responses sent, by direction, route, status and class.",
    labels: ["direction", "route", "status_code", "classification"],
  },
  response_latency_ms: {
    kind: "histogram",
    help: "Milliseconds from the end of the request head to the first byte of the response body.",
    labels: ["direction", "route", "status_code"],
  },
  inbound_http_authz_allow_total: {
    kind: "counter",
    help: "Inbound requests that an authorization admitted.",
    labels: ["server", "route", "authz"],
  },
  inbound_http_authz_deny_total: {
    kind: "counter",
    help: "Inbound requests that no authorization admitted.",
    labels: ["server", "route"],
  },
  inbound_http_authz_audit_total: {
    kind: "counter",
    help: "Inbound requests that were let through by audit mode alone: they would be denied.",
    labels: ["server", "route"],
  },
  inbound_http_local_ratelimit_total: {
    kind: "counter",
    help: "Inbound requests that a rate limit refused.",
    labels: ["server", "ratelimit", "scope"],
  },
  inbound_http_route_not_found_total: {
    kind: "counter",
    help: "Inbound requests that matched no route of a Server that has routes.",
    labels: ["server"],
  },
  inbound_tcp_authz_allow_total: {
    kind: "counter",
    help: "Inbound connections that are not read as HTTP and that an authorization admitted.",
    labels: ["server", "authz"],
  },
  inbound_tcp_authz_deny_total: {
    kind: "counter",
    help: "Inbound connections that are not read as HTTP and that no authorization admitted.",
    labels: ["server"],
  },
  inbound_tcp_authz_audit_total: {
    kind: "counter",
    help: "Inbound connections that were let through by audit mode alone: they would be closed.",
    labels: ["server"],
  },
  inbound_tcp_authz_terminate_total: {
    kind: "counter",
    help: "Inbound connections that were closed because a later policy does not admit them.",
    labels: ["server"],
  },
  inbound_http_errors_total: {
    kind: "counter",
    help: "Inbound requests that the proxy answered itself, by cause.",
    labels: ["error"],
  },
  inbound_tcp_errors_total: {
    kind: "counter",
    help: "Inbound connections that were refused before a request, by cause.",
    labels: ["error"],
  },
  outbound_tcp_errors_total: {
    kind: "counter",
    help: "Connections of the application that were refused or lost before they reached an endpoint, by cause.",
    labels: ["error"],
  },
  outbound_tcp_route_open_total: {
    kind: "counter",
    help: "Connections of the application that are not read as HTTP and reached an endpoint.",
    labels: ["parent", "route", "backend"],
  },
  outbound_tcp_route_close_total: {
    kind: "counter",
    help: "The same, when they ended.",
    labels: ["parent", "route", "backend"],
  },
  outbound_http_errors_total: {
    kind: "counter",
    help: "Outbound requests that the proxy answered itself, by cause.",
    labels: ["error"],
  },
  outbound_http_route_mirror_total: {
    kind: "counter",
    help: "Copies of requests that RequestMirror filters made, by what became of them.",
    labels: ["parent", "route", "backend", "result"],
  },
  outbound_http_route_retry_requests_total: {
    kind: "counter",
    help: "Requests that were sent again.",
    labels: ["parent", "route"],
  },
  outbound_http_route_retry_successes_total: {
    kind: "counter",
    help: "Requests that were sent again and then answered by something that is not retried.",
    labels: ["parent", "route"],
  },
  outbound_http_route_retry_overflow_total: {
    kind: "counter",
    help: "Requests that were not sent again because the retry budget was used up.",
    labels: ["parent", "route"],
  },
  outbound_http_route_retry_limit_exceeded_total: {
    kind: "counter",
    help: "Requests that were not sent again because no try was left.",
    labels: ["parent", "route"],
  },
  weft_http_route_retry_skipped_total: {
    kind: "counter",
    help: "Requests that were not sent again for another reason.",
    labels: ["parent", "route", "reason"],
  },
  outbound_http_balancer_endpoints: {
    kind: "gauge",
    help: "Endpoints of a backend: ready, or pending while they cannot be reached or a circuit breaker is open.",
    labels: ["parent", "backend", "endpoint_state"],
  },
  weft_tunnel_open_total: {
    kind: "counter",
    help: "Tunnels opened by a 2xx to CONNECT or by 101.",
    labels: ["direction", "kind"],
  },
  weft_tunnel_close_total: {
    kind: "counter",
    help: "Tunnels ended, by cause: closed by a peer, idle, or revoked by a policy.",
    labels: ["direction", "kind", "cause"],
  },
  weft_tunnel_open_connections: {
    kind: "gauge",
    help: "Tunnels open now.",
    labels: ["direction", "kind"],
  },
  weft_http2_refusals_total: {
    kind: "counter",
    help: "What peers that speak HTTP/2 were refused because it was too much, too large, too slow or malformed, by cause.",
    labels: ["cause"],
  },
  weft_access_log_dropped_total: {
    kind: "counter",
    help: "Lines of the access log that were given up because whoever reads it does not keep up.",
    labels: [],
  },
  tcp_open_total: {
    kind: "counter",
    help: "Connections opened, by direction and peer.",
    labels: ["direction", "peer", "tls"],
  },
  tcp_close_total: {
    kind: "counter",
    help: "Connections closed, by direction and peer.",
    labels: ["direction", "peer", "tls"],
  },
  tcp_open_connections: {
    kind: "gauge",
    help: "Connections open now, by direction and peer.",
    labels: ["direction", "peer", "tls"],
  },
};

/**
 * `route`, `server`, `authz` and `parent` stand for Linkerd's groups of labels (`route_group`, `route_kind`, `route_namespace`, `route_name`, …),
 * which a series carries in full.
 */
export type MetricSpec = {
  readonly kind: MetricKind;
  readonly help: string;
  readonly labels: readonly string[];
};

export type WorkerMetric =
  | "weft_metric_overflow_total"
  | "request_total"
  | "response_total"
  | "response_latency_ms"
  | "inbound_http_authz_allow_total"
  | "inbound_http_authz_deny_total"
  | "inbound_http_authz_audit_total"
  | "inbound_http_local_ratelimit_total"
  | "inbound_http_route_not_found_total"
  | "inbound_tcp_authz_allow_total"
  | "inbound_tcp_authz_deny_total"
  | "inbound_tcp_authz_audit_total"
  | "inbound_tcp_authz_terminate_total"
  | "inbound_http_errors_total"
  | "inbound_tcp_errors_total"
  | "outbound_tcp_errors_total"
  | "outbound_tcp_route_open_total"
  | "outbound_tcp_route_close_total"
  | "outbound_http_errors_total"
  | "outbound_http_route_mirror_total"
  | "outbound_http_route_retry_requests_total"
  | "outbound_http_route_retry_successes_total"
  | "outbound_http_route_retry_overflow_total"
  | "outbound_http_route_retry_limit_exceeded_total"
  | "weft_http_route_retry_skipped_total"
  | "outbound_http_balancer_endpoints"
  | "weft_tunnel_open_total"
  | "weft_tunnel_close_total"
  | "weft_tunnel_open_connections"
  | "weft_http2_refusals_total"
  | "weft_access_log_dropped_total"
  | "tcp_open_total"
  | "tcp_close_total"
  | "tcp_open_connections";

export function slotsOf(kind: MetricKind): number {
  switch (kind) {
    case "counter":
    case "gauge":
      return 1;
    case "histogram":
      return histogramSlots;
    default:
      return unreachable(kind);
  }
}
