/** What a destination is, for clients that ask by address before they know: a Service, one pod, or nothing of ours. */
import type { Endpoint } from "../model/endpoint.ts";
import type { Meta } from "../model/meta.ts";
import type { OutboundTarget } from "../model/outbound-policy.ts";
import type { Service } from "../resource/service.ts";
import { unreachable } from "../std/unreachable.ts";
import { isOpaquePort, serviceMeta, servicePort } from "./backend.ts";
import { describeBroken } from "./broken.ts";
import { findDestination } from "./destination.ts";
import { plainEndpoint, podEndpoint } from "./endpoints.ts";
import type { Resolution, ResolveSettings } from "./settings.ts";
import type { Store } from "./store.ts";

export type Profile =
  /** `name` has no port. */
  | {
      readonly kind: "service";
      readonly name: string;
      readonly opaque: boolean;
      readonly parent: Meta;
    }
  | { readonly kind: "endpoint"; readonly endpoint: Endpoint; readonly opaque: boolean }
  /** A port that the Service does not have. */
  | { readonly kind: "unknown" };

export function resolveProfile(
  store: Store,
  settings: ResolveSettings,
  target: OutboundTarget,
): Resolution<Profile> {
  const found = findDestination(store, settings, target);
  switch (found.kind) {
    case "service":
      return { policy: ofService(settings, found.service, found.port) };
    case "pod": {
      const labels = { namespace: found.pod.meta.namespace };
      const endpoint = podEndpoint({ store, settings, ...found }, labels);
      return { policy: { kind: "endpoint", endpoint, opaque: endpoint.hint === "opaque" } };
    }
    case "outside": {
      // Linkerd tells the bare address back, so that the client goes there without a balancer.
      const endpoint = plainEndpoint(found.ip, found.port, {});
      return { policy: { kind: "endpoint", endpoint, opaque: false } };
    }
    case "broken":
      return { unknown: describeBroken(found.service) };
    case "unknown":
      return { unknown: found.reason };
    default:
      return unreachable(found);
  }
}

function ofService(settings: ResolveSettings, service: Service, port: number): Profile {
  const declared = servicePort(service, port);
  if (declared === undefined) return { kind: "unknown" };
  const { name, namespace } = service.meta;
  return {
    kind: "service",
    name: `${name}.${namespace}.svc.${settings.clusterDomain}`,
    opaque: isOpaquePort(declared),
    parent: serviceMeta(service, port),
  };
}
