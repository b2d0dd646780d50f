/** Destinations outside of the mesh: which EgressNetwork speaks for an address (Linkerd). */
import type { Backend } from "../model/backend.ts";
import { type Meta, resourceMeta } from "../model/meta.ts";
import type { BrokenResource } from "../resource/broken.ts";
import type { EgressNetwork } from "../resource/egress-network.ts";
import type { NetworkExcept } from "../resource/network-authentication.ts";
import { type Cidr, cidrContains, type Ip, parseIp } from "../std/ip.ts";
import { plainEndpoint } from "./endpoints.ts";
import type { ResolveSettings } from "./settings.ts";
import type { Store } from "./store.ts";

/** Linkerd: what stands there speaks for clients of every namespace that has nothing of its own. */
const globalNamespace = "linkerd-egress";

export type Egress =
  | { readonly kind: "network"; readonly network: EgressNetwork }
  /** It may have meant any address. */
  | { readonly kind: "broken"; readonly network: BrokenResource };

/** The client's namespace first; in a namespace the smallest network, of those alike the oldest, then the first by name. */
export function findEgress(
  store: Store,
  settings: ResolveSettings,
  address: string,
  namespace: string,
): Egress | undefined {
  const ip = parseIp(address);
  if (ip === undefined) return undefined;
  for (const place of new Set([namespace, globalNamespace])) {
    const broken = store.broken.all.find(
      (object) => object.kind === "EgressNetwork" && object.namespace === place,
    );
    if (broken !== undefined) return { kind: "broken", network: broken };
    const network = narrowest(store, settings, ip, place);
    if (network !== undefined) return { kind: "network", network };
  }
  return undefined;
}

function narrowest(
  store: Store,
  settings: ResolveSettings,
  ip: Ip,
  namespace: string,
): EgressNetwork | undefined {
  let best: { readonly network: EgressNetwork; readonly prefix: number } | undefined;
  // In policy order, so that of networks of one size the first stays.
  for (const network of store.egressNetworks.values()) {
    if (network.meta.namespace !== namespace) continue;
    if (overlapOf(settings, network) !== undefined) continue;
    const prefix = prefixFor(network.networks, ip);
    if (prefix !== undefined && prefix > (best?.prefix ?? -1)) best = { network, prefix };
  }
  return best?.network;
}

/** Length of the longest prefix that holds the address. Who asks knows that it is outside of the cluster. */
function prefixFor(networks: readonly NetworkExcept[] | undefined, ip: Ip): number | undefined {
  if (networks === undefined) return 0;
  const prefixes = networks
    .filter(
      ({ cidr, except }) => cidrContains(cidr, ip) && !except.some((one) => cidrContains(one, ip)),
    )
    .map(({ cidr }) => cidr.prefix);
  return prefixes.length === 0 ? undefined : Math.max(...prefixes);
}

/** Linkerd: an EgressNetwork that takes in addresses of the cluster is not in force. Undefined: it does not. */
export function overlapOf(
  { clusterNetworks }: Pick<ResolveSettings, "clusterNetworks">,
  { networks = [] }: EgressNetwork,
): string | undefined {
  const overlaps = networks.some(({ cidr, except }) =>
    clusterNetworks.some(
      (inside) => meet(cidr, inside) && !except.some((one) => covers(one, inside)),
    ),
  );
  return overlaps ? "networks overlap with clusterNetworks" : undefined;
}

function meet(left: Cidr, right: Cidr): boolean {
  return cidrContains(left, right.ip) || cidrContains(right, left.ip);
}

function covers(outer: Cidr, inner: Cidr): boolean {
  return outer.prefix <= inner.prefix && cidrContains(outer, inner.ip);
}

export function egressMeta({ group, kind, meta }: EgressNetwork, port: number): Meta {
  return resourceMeta({ group, kind, namespace: meta.namespace, name: meta.name, port });
}

/** Where the client was going. */
export function onwardBackend(meta: Meta, ip: string, port: number): Backend {
  return { meta, dispatch: { kind: "forward", endpoint: plainEndpoint(ip, port, {}) } };
}
