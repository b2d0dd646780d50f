import type { FailureAccrual } from "./accrual.ts";
import type { Distribution } from "./backend.ts";
import type { OutboundHttpRoute } from "./http-route.ts";
import type { HostMatch } from "./match.ts";
import type { Meta } from "./meta.ts";

/** What a client's sidecar does with traffic to one destination. */
export type OutboundPolicy = {
  /** The Service, or a default. */
  readonly parent: Meta;
  readonly protocol: "detect" | "http1" | "http2" | "grpc" | "opaque" | "tls";
  /** In policy order: oldest route first, then by namespace/name. */
  readonly httpRoutes: readonly OutboundHttpRoute[];
  /**
   * `list`: the first match in the order of routes, rules and matches takes a request, as in a ServiceProfile. Absent: Gateway API's precedence. No
   * message of a policy can carry it.
   */
  readonly routeOrder?: "list";
  /** Undefined: endpoints are never taken out because of their answers. */
  readonly accrual: FailureAccrual | undefined;
  readonly opaque: OpaqueRoute;
  /** Of the protocol `tls`: by server name, in policy order. Absent: `opaque` takes every connection. */
  readonly tlsRoutes?: readonly TlsRoute[];
};

/** TLS that the application ends. */
export type TlsRoute = OpaqueRoute & {
  /** Empty: any name, and none. */
  readonly snis: readonly HostMatch[];
};

export type OpaqueRoute = {
  readonly meta: Meta;
  /** Set: connections are refused, for this reason. */
  readonly refusal: "" | "forbidden" | "invalid";
  readonly backends: Distribution;
};

/** What a sidecar asks for, and the client on whose behalf (its namespace selects consumer routes). */
export type OutboundTarget =
  | { readonly kind: "address"; readonly ip: string; readonly port: number }
  | { readonly kind: "authority"; readonly authority: string };
