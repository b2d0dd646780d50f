/**
 * Which protocol a request is sent on with. Who wrote one into the policy decides; else it stays the one that the client speaks,
 * for a client that begins with HTTP/2 mostly knows that its server does. Where it does not, the request goes on as HTTP/1.
 */
import type { Endpoint } from "../core/model/endpoint.ts";
import type { Exchange, Target } from "./exchange.ts";

/** Between proxies: what the message was before it was carried over HTTP/2 (Linkerd's wire contract). It reaches no application. */
const originalProtocol = "l5d-orig-proto";

type Declared = "detect" | "http1" | "http2" | "grpc" | "opaque" | "tls";

export function speaksHttp2(exchange: Exchange, target: Target): boolean {
  const { head, keepsUpgrade, downstream } = exchange;
  // A function has a way of its own, and a tunnel takes its connection along.
  if (target.open !== undefined || head.method === "CONNECT") return false;
  const declared = declaredProtocol(exchange);
  if (declared === "http2" || declared === "grpc") return true;
  if (keepsUpgrade) return false;
  if (isUpgraded(target.endpoint)) return true;
  if (declared === "http1" || !downstream.isStream || wasHttp1(exchange)) return false;
  return target.http2?.isUnable !== true || exchange.isGrpc;
}

/** Says to the other proxy what the request was, where HTTP/2 is only how the two talk. */
export function noteOriginalProtocol(exchange: Exchange, { endpoint }: Target): void {
  const { requestEdit, downstream } = exchange;
  const isHttp1 = !downstream.isStream || wasHttp1(exchange);
  requestEdit.remove(originalProtocol);
  if (isUpgraded(endpoint) && isHttp1) requestEdit.add(originalProtocol, "HTTP/1.1");
}

/** Linkerd: an endpoint with this hint is a proxy that takes HTTP/1 over HTTP/2. */
function isUpgraded({ hint, tls }: Endpoint): boolean {
  return hint === "h2" && tls !== undefined;
}

/** Another proxy carried it over HTTP/2. Whoever writes the field in vain gets no more than HTTP/1 for its request. */
function wasHttp1({ downstream, origin, head }: Exchange): boolean {
  if (!downstream.isStream || origin.direction === "outbound") return false;
  return head.fields.get(originalProtocol)?.startsWith("HTTP/1") === true;
}

function declaredProtocol({ shard, origin, destination }: Exchange): Declared {
  if (origin.direction === "inbound") {
    return shard.tables.inbound(origin.port)?.table.protocol ?? "detect";
  }
  return destination?.answer.kind === "policy"
    ? destination.answer.policy.table.protocol
    : "detect";
}
