/** What became of a ServiceProfile. Linkerd says nothing about one; the words are Gateway API's. */
import { parseServiceAuthority, type ServiceAuthority } from "../model/authority.ts";
import { maxBudgetRatio } from "../model/profile.ts";
import type { ServiceProfile } from "../resource/service-profile.ts";
import { notAccepted, type Verdict } from "./conditions.ts";
import { budgetOf, overrideAuthority } from "./profile.ts";
import type { ResolveSettings } from "./settings.ts";
import { objectName, type Store } from "./store.ts";

export function serviceProfileVerdicts(
  store: Store,
  settings: ResolveSettings,
  profile: ServiceProfile,
): readonly Verdict[] {
  const { clusterDomain } = settings;
  // No verdict depends on the port.
  const service = parseServiceAuthority(`${profile.meta.name}:80`, clusterDomain);
  if (service === undefined) {
    const form = `<service>.<namespace>.svc.${clusterDomain}`;
    return [notAccepted("TargetNotFound", `the name is not that of a Service: use ${form}`)];
  }
  if (!store.services.has(objectName(service))) {
    return [notAccepted("TargetNotFound", `Service ${objectName(service)} does not exist`)];
  }
  return [...acceptance(settings, profile), resolution(store, settings, profile, service)];
}

function acceptance(settings: ResolveSettings, profile: ServiceProfile): readonly Verdict[] {
  const { retryBudget } = profile;
  const isUnused = retryBudget !== undefined && budgetOf(retryBudget) === undefined;
  const message = isUnused
    ? `without effect here: spec.retryBudget, whose ttl must be 1s to 60s and whose retryRatio at most ${maxBudgetRatio}: nothing is retried`
    : "";
  const accepted = { type: "Accepted", status: "True", reason: "Accepted", message } as const;
  const bad = badPatterns(settings, profile);
  if (bad.length === 0) return [accepted];
  const text = `requests that such a route may mean are answered with 500: ${bad.join("; ")}`;
  return [
    accepted,
    { type: "PartiallyInvalid", status: "True", reason: "UnsupportedValue", message: text },
  ];
}

function badPatterns({ checkPattern }: ResolveSettings, { routes }: ServiceProfile): string[] {
  return routes.flatMap(({ condition }, at) =>
    patternsOf(condition).flatMap((pattern) => {
      const reason = checkPattern(pattern);
      return reason === undefined
        ? []
        : [`spec.routes[${at}].condition: the regular expression cannot be used: ${reason}`];
    }),
  );
}

type Condition = ServiceProfile["routes"][number]["condition"];

function patternsOf(condition: Condition): readonly string[] {
  switch (condition.kind) {
    case "path":
      return [condition.pattern];
    case "method":
      return [];
    case "not":
      return patternsOf(condition.of);
    case "all":
    case "any":
      return condition.of.flatMap(patternsOf);
  }
}

function resolution(
  store: Store,
  settings: ResolveSettings,
  { meta, dstOverrides }: ServiceProfile,
  { port }: ServiceAuthority,
): Verdict {
  const at = { namespace: meta.namespace, port };
  const missing = dstOverrides.flatMap((override) => {
    const authority = overrideAuthority(settings, override, at);
    const service = parseServiceAuthority(authority, settings.clusterDomain);
    const isKnown = service !== undefined && store.services.has(objectName(service));
    return isKnown ? [] : [override.authority];
  });
  const type = "ResolvedRefs";
  return missing.length === 0
    ? { type, status: "True", reason: "ResolvedRefs", message: "" }
    : {
        type,
        status: "False",
        reason: "BackendNotFound",
        message: `no such Service: ${missing.join(", ")}; its share of the requests fails`,
      };
}
