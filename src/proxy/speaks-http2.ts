/**
 * Which protocol a request is sent on with. Who wrote one into the policy decides, for the backend before its destination; else it stays the one that the
 * client speaks, for a client that begins with HTTP/2 mostly knows that its server does. Where it does not, the request goes on as HTTP/1.
 */
import type { Endpoint } from "../core/model/endpoint.ts";
import type { Exchange, Target } from "./exchange.ts";
import type { SpokenProtocol } from "./loaded.ts";

/** Between proxies: what the message was before it was carried over HTTP/2 (Linkerd's wire contract). It reaches no application. */
const originalProtocol = "l5d-orig-proto";

export function speaksHttp2(exchange: Exchange, target: Target): boolean {
  const { head, keepsUpgrade, downstream } = exchange;
  // A function has a way of its own, and a tunnel takes its connection along.
  if (target.open !== undefined || head.method === "CONNECT") return false;
  const declared = declaredProtocol(exchange);
  if (isHttp2(declared)) return true;
  if (keepsUpgrade) return mayUpgradeOverHttp2(exchange, target);
  if (isUpgraded(target.endpoint)) return true;
  if (declared === "http1" || !downstream.isStream || wasHttp1(exchange)) return false;
  return target.http2?.isUnable !== true || exchange.isGrpc;
}

/** Another proxy sends extended CONNECT where the application is said to speak HTTP/2. Whether it does, and takes that, it says itself. */
function mayUpgradeOverHttp2({ downstream, origin }: Exchange, { http2 }: Target): boolean {
  if (!downstream.isStream || origin.direction === "outbound") return false;
  return http2 === undefined || !(http2.isUnable || http2.refusesUpgrades);
}

/** As `speaksHttp2`, for a copy of a request. `declared`: for its mirror, which is asked over connections of its own. */
export function mirrorsOverHttp2(
  { head, keepsUpgrade, downstream, isGrpc }: Exchange,
  target: Target,
  declared: SpokenProtocol,
): boolean {
  if (target.open !== undefined || head.method === "CONNECT") return false;
  if (isHttp2(declared)) return true;
  if (declared === "http1" || keepsUpgrade || !downstream.isStream) return false;
  return target.mirrorHttp2?.isUnable !== true || isGrpc;
}

/** Says to the other proxy what the request was, where HTTP/2 is only how the two talk. */
export function noteOriginalProtocol(exchange: Exchange, { endpoint }: Target): void {
  const { requestEdit, downstream } = exchange;
  const isHttp1 = !downstream.isStream || wasHttp1(exchange);
  requestEdit.remove(originalProtocol);
  if (!isUpgraded(endpoint) || !isHttp1 || isHttp2(declaredProtocol(exchange))) return;
  requestEdit.add(originalProtocol, "HTTP/1.1");
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

function isHttp2(declared: SpokenProtocol): boolean {
  return declared === "http2" || declared === "grpc";
}

function declaredProtocol({ shard, origin, choice }: Exchange): SpokenProtocol {
  if (origin.direction === "inbound") {
    return shard.tables.inbound(origin.port)?.table.protocol ?? "detect";
  }
  return choice?.protocol ?? "detect";
}
