/** What a destination is, for clients that ask by address before they know: a Service and its ServiceProfile, one pod, or nothing of ours. */
import {
  formatServiceAuthority,
  normaliseAuthority,
  parseServiceAuthority,
} from "../model/authority.ts";
import { resourceMeta } from "../model/meta.ts";
import type { OutboundTarget } from "../model/outbound-policy.ts";
import {
  budgetTtlMs,
  maxBudgetRatio,
  noProfile,
  type Profile,
  type ProfileOverride,
} from "../model/profile.ts";
import { defaultRetryBudget, type RetryBudget } from "../model/retry.ts";
import type { Service } from "../resource/service.ts";
import type {
  DstOverride,
  ProfileRetryBudget,
  ServiceProfile,
} from "../resource/service-profile.ts";
import { unreachable } from "../std/unreachable.ts";
import { isOpaquePort, serviceMeta, servicePort } from "./backend.ts";
import { describeBroken } from "./broken.ts";
import { findDestination } from "./destination.ts";
import { plainEndpoint, podEndpoint } from "./endpoints.ts";
import type { Resolution, ResolveSettings } from "./settings.ts";
import { objectName, type Store } from "./store.ts";

/** `namespace`: of the client, undefined when it is not known; a ServiceProfile there comes before that beside the Service. */
export function resolveProfile(
  store: Store,
  settings: ResolveSettings,
  target: OutboundTarget,
  namespace: string | undefined,
): Resolution<Profile> {
  const found = findDestination(store, settings, target);
  switch (found.kind) {
    case "service": {
      const { service, port } = found;
      return { policy: ofService({ store, settings, namespace }, service, port) };
    }
    case "pod": {
      const labels = { namespace: found.pod.meta.namespace };
      const endpoint = podEndpoint({ store, settings, ...found }, labels);
      const opaque = endpoint.hint === "opaque";
      return { policy: { ...noProfile, budget: defaultRetryBudget, endpoint, opaque } };
    }
    case "outside": {
      // Linkerd tells the bare address back, so that the client goes there without a balancer.
      const endpoint = plainEndpoint(found.ip, found.port, {});
      return { policy: { ...noProfile, budget: defaultRetryBudget, endpoint } };
    }
    case "broken":
      return { unknown: describeBroken(found.service) };
    case "unknown":
      return { unknown: found.reason };
    default:
      return unreachable(found);
  }
}

type Asked = {
  readonly store: Store;
  readonly settings: ResolveSettings;
  readonly namespace: string | undefined;
};

/** A port that the Service does not have is answered with an empty profile. */
function ofService(asked: Asked, service: Service, port: number): Profile {
  const declared = servicePort(service, port);
  if (declared === undefined) return noProfile;
  const name = fullName(asked.settings, service);
  const known = {
    ...noProfile,
    name,
    opaque: isOpaquePort(declared),
    parent: serviceMeta(service, port),
    budget: defaultRetryBudget,
  };
  const found = findServiceProfile(asked, name, service.meta.namespace);
  if (found === undefined) return known;
  const isOpaque = found.opaquePorts.some(({ min, max }) => port >= min && port <= max);
  return {
    ...known,
    opaque: known.opaque || isOpaque,
    source: resourceMeta({ group: found.group, kind: found.kind, ...nameOf(found) }),
    routes: found.routes.map((route) => ({ ...route, unreadable: "" })),
    budget: found.retryBudget === undefined ? defaultRetryBudget : budgetOf(found.retryBudget),
    overrides: found.dstOverrides.map((override) =>
      toOverride(asked.settings, override, { namespace: found.meta.namespace, port }),
    ),
  };
}

function nameOf({ meta }: ServiceProfile): { readonly namespace: string; readonly name: string } {
  return { namespace: meta.namespace, name: meta.name };
}

function fullName({ clusterDomain }: ResolveSettings, { meta }: Service): string {
  const { name, namespace } = meta;
  return formatServiceAuthority({ name, namespace, port: 0 }, clusterDomain).slice(0, -":0".length);
}

/** In the namespace of the client, else beside the Service. One that cannot be read is not in force: it can neither admit nor refuse anything, and the log and `/status` name it. */
function findServiceProfile(
  { store, namespace }: Pick<Asked, "store" | "namespace">,
  name: string,
  ofService: string,
): ServiceProfile | undefined {
  const own =
    namespace === undefined
      ? undefined
      : store.serviceProfiles.get(objectName({ namespace, name }));
  return own ?? store.serviceProfiles.get(objectName({ namespace: ofService, name }));
}

/** Undefined: outside of Linkerd's bounds, so that nothing is retried (the status of the profile says so). */
export function budgetOf({
  ratio,
  minPerSecond,
  ttlMs,
}: ProfileRetryBudget): RetryBudget | undefined {
  if (ratio > maxBudgetRatio || ttlMs < budgetTtlMs.min || ttlMs > budgetTtlMs.max) {
    return undefined;
  }
  return { percent: ratio * 100, intervalMs: ttlMs, minPerSecond };
}

/** Linkerd counts in tenths. What was given any weight keeps some. */
const milliOfOne = 100;

function toOverride(
  settings: ResolveSettings,
  override: DstOverride,
  at: { readonly namespace: string; readonly port: number },
): ProfileOverride {
  const authority = overrideAuthority(settings, override, at);
  const service = parseServiceAuthority(authority, settings.clusterDomain);
  const group = "core";
  return {
    authority,
    weight: Math.ceil(override.milliWeight / milliOfOne),
    backend:
      service === undefined ? undefined : resourceMeta({ group, kind: "Service", ...service }),
  };
}

/** Without a port it is that of the request (Linkerd). What is no name stays as it is, and nobody will know it. */
export function overrideAuthority(
  { clusterDomain }: ResolveSettings,
  { authority }: DstOverride,
  { namespace, port }: { readonly namespace: string; readonly port: number },
): string {
  const named = /:[0-9]+$/.test(authority) ? authority : `${authority}:${port}`;
  return normaliseAuthority(named, namespace, clusterDomain) ?? named;
}
