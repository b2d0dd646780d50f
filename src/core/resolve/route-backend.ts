/** A backendRef of a rule: where it leads, its own filters, and its share. */
import type { RouteBackend } from "../model/backend.ts";
import type { HttpRouteFilter } from "../resource/http-filter.ts";
import type { HttpBackendRef } from "../resource/http-route.ts";
import type { Service } from "../resource/service.ts";
import { type BackendContext, findBackend, metaOfReference } from "./backend.ts";
import { resolveFilters } from "./http-filter.ts";
import { kgatewayGroup } from "./kgateway-backend.ts";
import { answerWith500, joinMessages, type Problem, unsupported } from "./problem.ts";

export type ResolvedBackend = {
  readonly value: RouteBackend;
  readonly problems: readonly Problem[];
  /** Undefined outside of the mesh, and for a reference that leads nowhere. */
  readonly service: Service | undefined;
};

/** Older manifests write this group for it. */
const parameterGroups: ReadonlySet<string> = new Set([kgatewayGroup, "gloo.solo.io"]);

/** Gateway API HTTPBackendRef: a reference that leads nowhere keeps its weight and answers 500 for its share. */
export function resolveBackend(context: BackendContext, ref: HttpBackendRef): ResolvedBackend {
  const parameters = ref.filters.flatMap(parameterOf);
  if (parameters.length > 1) {
    return failing(ref, [unsupported("a backendRef must have at most one Parameter")]);
  }
  const target = findBackend(context, ref, parameters[0]);
  if ("problem" in target) return failing(ref, [target.problem]);
  const own = ref.filters.filter((filter) => parameterOf(filter).length === 0);
  const { filters, fatal, dropped } = resolveFilters(context, own, "backend");
  if (fatal.length > 0) return failing(ref, [...fatal, ...dropped], fatal);
  return {
    value: { backend: target.backend, filters, weight: ref.weight },
    problems: dropped,
    service: target.service,
  };
}

/** kgateway's older way to pick a function of a Backend: the name of a filter. */
function parameterOf(filter: HttpRouteFilter): readonly string[] {
  if (filter.type !== "ExtensionRef") return [];
  const { group, kind, name } = filter.extensionRef;
  return kind === "Parameter" && parameterGroups.has(group) ? [name] : [];
}

function failing(
  ref: HttpBackendRef,
  problems: readonly Problem[],
  reasons: readonly Problem[] = problems,
): ResolvedBackend {
  return {
    value: {
      backend: { meta: metaOfReference(ref), dispatch: { kind: "fail" } },
      filters: [answerWith500(joinMessages(reasons))],
      weight: ref.weight,
    },
    problems,
    service: undefined,
  };
}
