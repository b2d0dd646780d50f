/**
 * Kinds that other meshes and gateways serve and Weft does not: whoever writes one expects something of it. Each with what becomes of it, so that nothing is left
 * out in silence. Kinds that say nothing about a mesh (Gateway, GatewayClass, ReferenceGrant: GEP-1294 asks for no grant) are not here.
 */
const plainAsBefore = "traffic to its targets goes on as if it were not there";

const rows: readonly (readonly [group: string, kind: string, instead: string])[] = [
  [
    "gateway.networking.k8s.io",
    "BackendTLSPolicy",
    `${plainAsBefore}: sidecars speak mutual TLS to meshed endpoints, and what the application sends to others`,
  ],
  ["gateway.networking.k8s.io", "UDPRoute", "only TCP goes through a sidecar"],
  [
    "gateway.networking.x-k8s.io",
    "XBackend",
    "a rule that names it answers 500: use an EgressNetwork, or a Backend of gateway.kgateway.dev with static hosts",
  ],
  [
    "gateway.kgateway.dev",
    "TrafficPolicy",
    `${plainAsBefore}: write timeouts, retry and filters into the HTTPRoute`,
  ],
  [
    "gateway.kgateway.dev",
    "BackendConfigPolicy",
    `${plainAsBefore}: annotate the Service with balancer.linkerd.io/failure-accrual and timeout.linkerd.io/*`,
  ],
  ["workload.linkerd.io", "ExternalWorkload", "it is no endpoint of any Service"],
  ["multicluster.linkerd.io", "Link", "Services of other clusters are not mirrored"],
  ["multicluster.x-k8s.io", "ServiceImport", "a route that names it is not accepted there"],
];

const insteads: ReadonlyMap<string, string> = new Map(
  rows.map(([group, kind, instead]) => [`${group} ${kind}`, instead]),
);

/** What becomes of objects of a kind that Weft does not serve. Undefined: the kind is known, or none of our business. */
export function insteadOf(group: string, kind: string): string | undefined {
  return insteads.get(`${group} ${kind}`);
}
