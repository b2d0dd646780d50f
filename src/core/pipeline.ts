/**
 * The way of every Kubernetes kind through Weft, on one page. The policy service runs the stages up to the message, the
 * sidecar those after it; the file that does it has the same name in the folder of each stage.
 *
 *   JSON ─ resource ─► resource ─ store, resolve ─► model ─ wire ─► message ─ wire ─► model ─ table ─► table
 *
 * To add a kind: a row in `kinds`, and the files that the compiler then asks for.
 */
import type { EndpointSet } from "./model/endpoint.ts";
import type { InboundPolicy } from "./model/inbound-policy.ts";
import type { OutboundPolicy, OutboundTarget } from "./model/outbound-policy.ts";
import type { Profile } from "./model/profile.ts";
import { profileAsPolicy } from "./model/profile-policy.ts";
import type { Workload } from "./model/workload.ts";
import { resolveEndpoints } from "./resolve/endpoints.ts";
import { resolveInbound } from "./resolve/inbound.ts";
import { resolveOutbound } from "./resolve/outbound.ts";
import { resolveProfile } from "./resolve/profile.ts";
import type { Resolution, ResolveSettings } from "./resolve/settings.ts";
import type { Store } from "./resolve/store.ts";
import { parseAuthorizationPolicy } from "./resource/authorization-policy.ts";
import { parseBackend } from "./resource/backend.ts";
import { parseBackendTrafficPolicy } from "./resource/backend-traffic-policy.ts";
import { parseDirectResponse } from "./resource/direct-response.ts";
import { parseEgressNetwork } from "./resource/egress-network.ts";
import { parseEndpointSlice } from "./resource/endpoint-slice.ts";
import { parseHttpFault } from "./resource/http-fault.ts";
import { parseGrpcRoute, parseHttpRoute } from "./resource/http-route.ts";
import { parseJwtAuthentication } from "./resource/jwt-authentication.ts";
import { parseMeshTlsAuthentication } from "./resource/mesh-tls-authentication.ts";
import { parseNamespace } from "./resource/namespace.ts";
import { parseNetworkAuthentication } from "./resource/network-authentication.ts";
import { parsePod } from "./resource/pod.ts";
import { parseRateLimitPolicy } from "./resource/rate-limit-policy.ts";
import type { Kind, Resource } from "./resource/resource.ts";
import { parseSecret } from "./resource/secret.ts";
import { parseServer } from "./resource/server.ts";
import { parseServerAuthorization } from "./resource/server-authorization.ts";
import { parseService } from "./resource/service.ts";
import { parseServiceProfile } from "./resource/service-profile.ts";
import { parseTcpRoute, parseTlsRoute } from "./resource/stream-route.ts";
import type { Fault, Result } from "./std/result.ts";
import { type EndpointTable, endpointTable } from "./table/endpoints.ts";
import { type InboundTable, inboundTable } from "./table/inbound.ts";
import { type OutboundTable, outboundTable } from "./table/outbound.ts";
import { applyUpdate, toWireUpdates } from "./wire/endpoint.ts";
import type { DestinationProfile, Update } from "./wire/gen/linkerd/destination_pb.ts";
import type { Server as WireInbound } from "./wire/gen/linkerd/inbound_pb.ts";
import type { OutboundPolicy as WireOutbound } from "./wire/gen/linkerd/outbound_pb.ts";
import { fromWireInbound, type InboundQuestion, toWireInbound } from "./wire/inbound.ts";
import { fromWireOutbound, type OutboundQuestion, toWireOutbound } from "./wire/outbound.ts";
import { fromWireProfile, toWireProfile } from "./wire/profile.ts";

/** What a sidecar asks for: what it does with traffic, what it admits, where a Service is. */
type Concept = "outbound" | "inbound" | "endpoints";

type KindEntry = {
  readonly resource: (json: unknown) => Result<Resource>;
  /** Which answers an object of the kind has a part in. */
  readonly feeds: readonly Concept[];
};

export const kinds: Readonly<Record<Kind, KindEntry>> = {
  Namespace: { resource: parseNamespace, feeds: ["inbound", "endpoints"] },
  Pod: { resource: parsePod, feeds: ["inbound", "endpoints"] },
  Service: { resource: parseService, feeds: ["outbound", "endpoints"] },
  EndpointSlice: { resource: parseEndpointSlice, feeds: ["endpoints"] },
  HTTPRoute: { resource: parseHttpRoute, feeds: ["outbound", "inbound"] },
  GRPCRoute: { resource: parseGrpcRoute, feeds: ["outbound", "inbound"] },
  TLSRoute: { resource: parseTlsRoute, feeds: ["outbound"] },
  TCPRoute: { resource: parseTcpRoute, feeds: ["outbound"] },
  EgressNetwork: { resource: parseEgressNetwork, feeds: ["outbound"] },
  Secret: { resource: parseSecret, feeds: ["outbound"] },
  HTTPFault: { resource: parseHttpFault, feeds: ["outbound"] },
  DirectResponse: { resource: parseDirectResponse, feeds: ["outbound"] },
  Backend: { resource: parseBackend, feeds: ["outbound"] },
  XBackendTrafficPolicy: { resource: parseBackendTrafficPolicy, feeds: ["outbound"] },
  ServiceProfile: { resource: parseServiceProfile, feeds: ["outbound"] },
  Server: { resource: parseServer, feeds: ["inbound", "endpoints"] },
  AuthorizationPolicy: { resource: parseAuthorizationPolicy, feeds: ["inbound"] },
  ServerAuthorization: { resource: parseServerAuthorization, feeds: ["inbound"] },
  HTTPLocalRateLimitPolicy: { resource: parseRateLimitPolicy, feeds: ["inbound"] },
  JWTAuthentication: { resource: parseJwtAuthentication, feeds: ["inbound"] },
  MeshTLSAuthentication: { resource: parseMeshTlsAuthentication, feeds: ["inbound"] },
  NetworkAuthentication: { resource: parseNetworkAuthentication, feeds: ["inbound"] },
};

/** One answer at every stage after the store. `faults` are what the sidecar's side could not read. */
export type Stages<Model, Wire, Table> = {
  readonly model: Model;
  readonly wire: Wire;
  readonly faults: readonly Fault[];
  readonly table: Table;
};

export function outboundStages(
  store: Store,
  settings: ResolveSettings,
  question: OutboundQuestion,
): Resolution<Stages<OutboundPolicy, WireOutbound, OutboundTable>> {
  const { workload, target } = question;
  const resolved = resolveOutbound(store, settings, target, workload);
  if ("unknown" in resolved) return resolved;
  const wire = toWireOutbound(resolved.policy, { extensions: true });
  const { value, faults } = fromWireOutbound(wire);
  const profile = profileStages(store, settings, question);
  // As the sidecar does, which asks for both.
  const inForce =
    "unknown" in profile
      ? value
      : profileAsPolicy(value, fromWireProfile(profile.policy.wire).value, portOf(target));
  return { policy: { model: resolved.policy, wire, faults, table: outboundTable(inForce) } };
}

/** What a sidecar is told beside the policy. It has no table of its own. */
export function profileStages(
  store: Store,
  settings: ResolveSettings,
  { workload, target }: OutboundQuestion,
): Resolution<Omit<Stages<Profile, DestinationProfile, never>, "table">> {
  const resolved = resolveProfile(store, settings, target, workload.namespace);
  if ("unknown" in resolved) return resolved;
  const wire = toWireProfile(resolved.policy);
  return { policy: { model: resolved.policy, wire, faults: fromWireProfile(wire).faults } };
}

/** A normalised authority ends in its port. */
function portOf(target: OutboundTarget): number {
  return target.kind === "address"
    ? target.port
    : Number(target.authority.slice(target.authority.lastIndexOf(":") + 1));
}

export function inboundStages(
  store: Store,
  settings: ResolveSettings,
  { workload, port }: InboundQuestion,
): Resolution<Stages<InboundPolicy, WireInbound, InboundTable>> {
  const resolved = resolveInbound(store, settings, workload, port);
  if ("unknown" in resolved) return resolved;
  const wire = toWireInbound(resolved.policy);
  const { value, faults } = fromWireInbound(wire);
  return { policy: { model: resolved.policy, wire, faults, table: inboundTable(value) } };
}

/** As a reader sees it who knows nothing yet. Without a client: as seen from nowhere in particular. */
export function endpointStages(
  store: Store,
  settings: ResolveSettings,
  authority: string,
  client?: Workload,
): Stages<EndpointSet, readonly Update[], EndpointTable> {
  const model = resolveEndpoints(store, settings, authority, client);
  const wire = toWireUpdates(undefined, model);
  const faults: Fault[] = [];
  let known: EndpointSet = { exists: false, endpoints: [] };
  for (const update of wire) {
    const applied = applyUpdate(known, update);
    known = applied.value;
    faults.push(...applied.faults);
  }
  return { model, wire, faults, table: endpointTable(known) };
}
