import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type Endpoint,
  type EndpointSet,
  type EndpointTls,
  endpointKey,
} from "../model/endpoint.ts";
import { formatIp, parseIp } from "../std/ip.ts";
import { type Decoded, decode, report, type Trace, under } from "./decode.ts";
import {
  type ProtocolHint,
  type ProtocolHintSchema,
  type TlsIdentity,
  type TlsIdentitySchema,
  type Update,
  UpdateSchema,
  type WeightedAddr,
  type WeightedAddrSchema,
  type WeightedAddrSet,
} from "./gen/linkerd/destination_pb.ts";
import type { TcpAddressSchema } from "./gen/linkerd/net_pb.ts";
import { fromWireTcpAddress, toWireTcpAddress } from "./net.ts";

/**
 * Endpoints of one authority that a sidecar keeps: twice what one Kubernetes Service is tested with. A worker's load state and a table's copy for each worker grow
 * with it, so what comes beyond is left out and reported.
 */
export const maxEndpoints = 10_000;

export function toWireEndpoint(endpoint: Endpoint): MessageInitShape<typeof WeightedAddrSchema> {
  const { weight, tls, labels } = endpoint;
  return {
    addr: toWireAddress(endpoint),
    weight,
    metricLabels: { ...labels },
    ...(tls === undefined ? {} : { tlsIdentity: toWireTls(tls) }),
    protocolHint: toWireHint(endpoint),
  };
}

/**
 * Undefined: it cannot be used as it was meant. An endpoint whose identity cannot be read is left out as well, since plain text in its place would go to
 * a peer that nobody has checked.
 */
export function fromWireEndpoint(message: WeightedAddr, trace: Trace): Endpoint | undefined {
  const address = fromWireTcpAddress(message.addr);
  if (address === undefined) return leaveOut(trace, "has no usable address");
  const tls = message.tlsIdentity === undefined ? undefined : fromWireTls(message.tlsIdentity);
  if (message.tlsIdentity !== undefined && tls === undefined) {
    return leaveOut(trace, "has an identity that cannot be checked");
  }
  // The other cluster's gateway would not know where the request is to go.
  if (message.authorityOverride !== undefined) {
    return leaveOut(trace, "is behind a gateway of another cluster, which is not supported");
  }
  const inboundPort = message.protocolHint?.opaqueTransport?.inboundPort;
  if (inboundPort === 0 || (inboundPort ?? 0) > 65_535) {
    return leaveOut(trace, "has no usable inbound port");
  }
  return {
    ip: formatIp(address.ip),
    port: address.port,
    weight: message.weight,
    tls,
    inboundPort: inboundPort ?? 0,
    hint: message.protocolHint?.protocol.case ?? "none",
    labels: message.metricLabels,
  };
}

/**
 * The messages that bring a reader from `previous` to `next`. Without `previous` the reader knows nothing, and the first message tells everything. Unlike
 * Linkerd's service, an empty Service is told at once, so that requests to it fail instead of waiting. What is new comes before what is gone, so that no
 * reader runs out of endpoints in between.
 */
export function toWireUpdates(previous: EndpointSet | undefined, next: EndpointSet): Update[] {
  const before = byKey(previous?.endpoints ?? []);
  const after = byKey(next.endpoints);
  if (after.size === 0 || !next.exists) {
    const isKnown = previous?.exists === next.exists && before.size === 0;
    return isKnown ? [] : [noEndpoints(next.exists)];
  }
  const changed = [...after].filter(([key, endpoint]) => {
    const known = before.get(key);
    return known === undefined || !isSame(known, endpoint);
  });
  const gone = [...before].filter(([key]) => !after.has(key));
  const updates: Update[] = [];
  if (changed.length > 0) {
    const addrs = changed.map(([, endpoint]) => toWireEndpoint(endpoint));
    updates.push(create(UpdateSchema, { update: { case: "add", value: { addrs } } }));
  }
  if (gone.length > 0) {
    const addrs = gone.map(([, endpoint]) => toWireAddress(endpoint));
    updates.push(create(UpdateSchema, { update: { case: "remove", value: { addrs } } }));
  }
  return updates;
}

/** What a reader knows after an update. It begins with `{ exists: false, endpoints: [] }`, again with each new stream. */
export function applyUpdate(set: EndpointSet, { update }: Update): Decoded<EndpointSet> {
  return decode((trace) => {
    switch (update.case) {
      case "add":
        return add(set, update.value, under(trace, "add"));
      case "remove":
        return remove(
          set,
          update.value.addrs.map((addr) => fromWireTcpAddress(addr)),
        );
      case "noEndpoints":
        return { exists: update.value.exists, endpoints: [] };
      case undefined:
        report(trace, "is of no known kind and is ignored");
        return set;
    }
  });
}

function add(
  set: EndpointSet,
  { addrs, metricLabels }: WeightedAddrSet,
  trace: Trace,
): EndpointSet {
  if (addrs.length === 0) return set;
  const endpoints = byKey(set.endpoints);
  for (const [at, message] of addrs.entries()) {
    const endpoint = fromWireEndpoint(message, under(trace, "addrs", at));
    if (endpoint === undefined) {
      // What was known about this address is no longer true.
      const address = fromWireTcpAddress(message.addr);
      if (address !== undefined) endpoints.delete(keyOf(address));
      continue;
    }
    const key = endpointKey(endpoint);
    if (endpoints.size >= maxEndpoints && !endpoints.has(key)) {
      report(under(trace, "addrs", at), `is left out: ${maxEndpoints} endpoints are the limit`);
      break;
    }
    endpoints.set(key, { ...endpoint, labels: { ...metricLabels, ...endpoint.labels } });
  }
  return { exists: true, endpoints: [...endpoints.values()] };
}

function remove(
  set: EndpointSet,
  addresses: readonly ReturnType<typeof fromWireTcpAddress>[],
): EndpointSet {
  const endpoints = byKey(set.endpoints);
  for (const address of addresses) {
    if (address !== undefined) endpoints.delete(keyOf(address));
  }
  return { exists: set.exists, endpoints: [...endpoints.values()] };
}

function leaveOut(trace: Trace, reason: string): undefined {
  report(trace, reason);
}

function noEndpoints(exists: boolean): Update {
  return create(UpdateSchema, { update: { case: "noEndpoints", value: { exists } } });
}

function byKey(endpoints: readonly Endpoint[]): Map<string, Endpoint> {
  return new Map(endpoints.map((endpoint) => [endpointKey(endpoint), endpoint]));
}

function keyOf({ ip, port }: NonNullable<ReturnType<typeof fromWireTcpAddress>>): string {
  return endpointKey({ ip: formatIp(ip), port });
}

function isSame(left: Endpoint, right: Endpoint): boolean {
  const leftLabels = Object.entries(left.labels);
  const rightLabels = new Map(Object.entries(right.labels));
  return (
    left.weight === right.weight &&
    left.inboundPort === right.inboundPort &&
    left.hint === right.hint &&
    left.tls?.identity === right.tls?.identity &&
    left.tls?.serverName === right.tls?.serverName &&
    leftLabels.length === rightLabels.size &&
    leftLabels.every(([name, value]) => rightLabels.get(name) === value)
  );
}

function toWireAddress({ ip, port }: Endpoint): MessageInitShape<typeof TcpAddressSchema> {
  const parsed = parseIp(ip);
  if (parsed === undefined) throw new Error(`An endpoint has the address "${ip}"`);
  return toWireTcpAddress(parsed, port);
}

/** A SPIFFE id is a URI; every other identity is a DNS name. */
function toWireTls({
  identity,
  serverName,
}: EndpointTls): MessageInitShape<typeof TlsIdentitySchema> {
  return {
    strategy: identity.includes("://")
      ? { case: "uriLikeIdentity", value: { uri: identity } }
      : { case: "dnsLikeIdentity", value: { name: identity } },
    serverName: { name: serverName },
  };
}

function fromWireTls({ strategy, serverName }: TlsIdentity): EndpointTls | undefined {
  const name = serverName?.name ?? "";
  switch (strategy.case) {
    case "dnsLikeIdentity": {
      const identity = strategy.value.name;
      return identity === "" ? undefined : { identity, serverName: name || identity };
    }
    case "uriLikeIdentity": {
      const identity = strategy.value.uri;
      return identity === "" || name === "" ? undefined : { identity, serverName: name };
    }
    case undefined:
      return undefined;
  }
}

function toWireHint({ hint, inboundPort }: Endpoint): MessageInitShape<typeof ProtocolHintSchema> {
  return {
    protocol: hint === "none" ? noProtocol : { case: hint, value: {} },
    ...(inboundPort === 0 ? {} : { opaqueTransport: { inboundPort } }),
  };
}

const noProtocol: ProtocolHint["protocol"] = { case: undefined };
