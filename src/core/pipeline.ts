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
import type { OutboundPolicy } from "./model/outbound-policy.ts";
import type { Workload } from "./model/workload.ts";
import { resolveEndpoints } from "./resolve/endpoints.ts";
import { resolveInbound } from "./resolve/inbound.ts";
import { resolveOutbound } from "./resolve/outbound.ts";
import type { Resolution, ResolveSettings } from "./resolve/settings.ts";
import type { Store } from "./resolve/store.ts";
import { parseAuthorizationPolicy } from "./resource/authorization-policy.ts";
import { parseBackend } from "./resource/backend.ts";
import { parseBackendTrafficPolicy } from "./resource/backend-traffic-policy.ts";
import { parseDirectResponse } from "./resource/direct-response.ts";
import { parseEndpointSlice } from "./resource/endpoint-slice.ts";
import { parseHttpFault } from "./resource/http-fault.ts";
import { parseHttpRoute } from "./resource/http-route.ts";
import { parseMeshTlsAuthentication } from "./resource/mesh-tls-authentication.ts";
import { parseNamespace } from "./resource/namespace.ts";
import { parseNetworkAuthentication } from "./resource/network-authentication.ts";
import { parsePod } from "./resource/pod.ts";
import type { Kind, Resource } from "./resource/resource.ts";
import { parseSecret } from "./resource/secret.ts";
import { parseServer } from "./resource/server.ts";
import { parseService } from "./resource/service.ts";
import type { Fault, Result } from "./std/result.ts";
import { type EndpointTable, endpointTable } from "./table/endpoints.ts";
import { type InboundTable, inboundTable } from "./table/inbound.ts";
import { type OutboundTable, outboundTable } from "./table/outbound.ts";
import { applyUpdate, toWireUpdates } from "./wire/endpoint.ts";
import type { Update } from "./wire/gen/linkerd/destination_pb.ts";
import type { Server as WireInbound } from "./wire/gen/linkerd/inbound_pb.ts";
import type { OutboundPolicy as WireOutbound } from "./wire/gen/linkerd/outbound_pb.ts";
import { fromWireInbound, type InboundQuestion, toWireInbound } from "./wire/inbound.ts";
import { fromWireOutbound, type OutboundQuestion, toWireOutbound } from "./wire/outbound.ts";

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
  Secret: { resource: parseSecret, feeds: ["outbound"] },
  HTTPFault: { resource: parseHttpFault, feeds: ["outbound"] },
  DirectResponse: { resource: parseDirectResponse, feeds: ["outbound"] },
  Backend: { resource: parseBackend, feeds: ["outbound"] },
  XBackendTrafficPolicy: { resource: parseBackendTrafficPolicy, feeds: ["outbound"] },
  Server: { resource: parseServer, feeds: ["inbound", "endpoints"] },
  AuthorizationPolicy: { resource: parseAuthorizationPolicy, feeds: ["inbound"] },
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
  { workload, target }: OutboundQuestion,
): Resolution<Stages<OutboundPolicy, WireOutbound, OutboundTable>> {
  const resolved = resolveOutbound(store, settings, target, workload);
  if ("unknown" in resolved) return resolved;
  const wire = toWireOutbound(resolved.policy, { extensions: true });
  const { value, faults } = fromWireOutbound(wire);
  return { policy: { model: resolved.policy, wire, faults, table: outboundTable(value) } };
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
