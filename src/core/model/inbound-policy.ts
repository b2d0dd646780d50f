import type { Authorization } from "./authorization.ts";
import type { InboundHttpRoute } from "./http-route.ts";
import type { RateLimit } from "./rate-limit.ts";

/** What one port of a workload admits. */
export type InboundPolicy = {
  readonly protocol: "detect" | "http1" | "http2" | "grpc" | "opaque" | "tls";
  /** How long `detect` waits for the first bytes. */
  readonly detectTimeoutMs: number;
  /** The Server, or the default policy, as metric labels `srv_group`, `srv_kind`, `srv_name`. */
  readonly server: ServerLabels;
  readonly authorizations: readonly Authorization[];
  /** Empty: every request is judged by `authorizations` alone. */
  readonly routes: readonly InboundHttpRoute[];
  /** Absent: requests are not counted. */
  readonly rateLimit?: RateLimit;
};

export type ServerLabels = { readonly group: string; readonly kind: string; readonly name: string };
