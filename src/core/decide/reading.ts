/** What is read of a connection to a port before it reaches the application. */
import type { InboundTable } from "../table/inbound.ts";

/**
 * `opaque`: nothing. `tls`: whether it is TLS that ends here. `http`: requests, and what is none is refused, because
 * somebody wrote a policy about requests. `any`: requests where the bytes are such, and nothing else.
 */
export type Reading = "opaque" | "tls" | "http" | "any";

export function readingOf({ protocol, http, rateLimit }: InboundTable): Reading {
  switch (protocol) {
    case "opaque":
    case "tls":
      return protocol;
    case "http1":
    case "http2":
    case "grpc":
      return "http";
    case "detect":
      // Routes without a name of their own let probes pass and leave the rest to what admits connections as well.
      return http.routes.some(({ meta }) => meta.type !== "default") || rateLimit !== undefined
        ? "http"
        : "any";
  }
}
