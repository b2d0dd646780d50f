/** Which contract a client knows. */
import { cidrContains, parseCidr, parseIp } from "../core/std/ip.ts";
import type { CallInfo } from "../edge/grpc/reply-stream.ts";

/** What a sidecar says that knows the fields from 1000 on, which Linkerd's contract lacks (proto/weft/extensions.proto). */
const apiMetadata = "weft-api";
const apiVersion = "1";

/**
 * The fields bring keys of functions, which are for the sidecars of the mesh: over the network a client must have proved that
 * it is one.
 */
export function knowsExtensions({ metadata, identity, peer }: CallInfo): boolean {
  return metadata(apiMetadata) === apiVersion && (identity !== undefined || isLocal(peer));
}

const loopback = [parseCidr("127.0.0.0/8"), parseCidr("::1/128")];

function isLocal(peer: string): boolean {
  const ip = parseIp(peer.slice(0, peer.lastIndexOf(":")).replace(/^\[|\]$/g, ""));
  return ip !== undefined && loopback.some((net) => net !== undefined && cidrContains(net, ip));
}
