/** What a client means by an address or a name. Policies, endpoints and profiles all start here, so that they agree. */
import { parseServiceAuthority } from "../model/authority.ts";
import type { OutboundTarget } from "../model/outbound-policy.ts";
import type { BrokenResource } from "../resource/broken.ts";
import type { Pod } from "../resource/pod.ts";
import type { Service } from "../resource/service.ts";
import { cidrContains, parseIp } from "../std/ip.ts";
import type { ResolveSettings } from "./settings.ts";
import { findBroken, objectName, type Store } from "./store.ts";

export type Destination =
  | { readonly kind: "service"; readonly service: Service; readonly port: number }
  /** Known by its name only. */
  | { readonly kind: "broken"; readonly service: BrokenResource; readonly port: number }
  | { readonly kind: "pod"; readonly pod: Pod; readonly ip: string; readonly port: number }
  /** Not of this mesh. */
  | { readonly kind: "outside"; readonly ip: string; readonly port: number }
  | { readonly kind: "unknown"; readonly reason: string };

/** `ip` and `authority` are canonical (see model/authority). */
export function findDestination(
  store: Store,
  settings: ResolveSettings,
  target: OutboundTarget,
): Destination {
  return target.kind === "address"
    ? findAddress(store, settings, target)
    : findAuthority(store, settings, target.authority);
}

function findAddress(
  store: Store,
  settings: ResolveSettings,
  target: Extract<OutboundTarget, { readonly kind: "address" }>,
): Destination {
  const { ip, port } = target;
  const service = store.servicesByIp.get(ip);
  if (service !== undefined) return { kind: "service", service, port };
  const pod = store.podsByIp.get(ip);
  if (pod !== undefined) return { kind: "pod", pod, ip, port };
  const parsed = parseIp(ip);
  if (parsed === undefined) return unknown(`${JSON.stringify(ip)} is not an IP address`);
  if (settings.clusterNetworks.some((network) => cidrContains(network, parsed))) {
    return unknown(`no Service has the cluster IP ${ip}`);
  }
  return { kind: "outside", ip, port };
}

function findAuthority(store: Store, settings: ResolveSettings, authority: string): Destination {
  const parsed = parseServiceAuthority(authority, settings.clusterDomain);
  if (parsed === undefined) {
    return unknown(`${authority} is not a Service of ${settings.clusterDomain}`);
  }
  const broken = findBroken(store, "Service", parsed);
  if (broken !== undefined) return { kind: "broken", service: broken, port: parsed.port };
  const service = store.services.get(objectName(parsed));
  if (service === undefined) return unknown(`Service ${objectName(parsed)} does not exist`);
  // The name of an ExternalName Service would let a namespace lend its name to any host (CVE-2021-25740).
  if (service.type === "ExternalName") {
    return unknown(`Service ${objectName(parsed)} is of type ExternalName`);
  }
  return { kind: "service", service, port: parsed.port };
}

function unknown(reason: string): Destination {
  return { kind: "unknown", reason };
}
