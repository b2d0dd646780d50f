/** Filters of type ExtensionRef: the kinds that Weft knows, in the namespace of the route. */
import type { Filter } from "../model/filter.ts";
import type { DirectResponse } from "../resource/direct-response.ts";
import type { HttpFault } from "../resource/http-fault.ts";
import type { ExtensionRef, HttpRouteFilter } from "../resource/http-filter.ts";
import type { BackendContext } from "./backend.ts";
import { describeBroken } from "./broken.ts";
import type { FilterPlace, Outcome } from "./http-filter.ts";
import { kgatewayGroup } from "./kgateway-backend.ts";
import { incompatible, type Problem, unresolved, unsupported } from "./problem.ts";
import { findBroken, objectName } from "./store.ts";

const faultGroup = "weft.dev";

/** What kgateway sets where no filter says otherwise. */
const contentType = "text/plain";

export function isDirectResponse(filter: HttpRouteFilter): boolean {
  return (
    filter.type === "ExtensionRef" &&
    filter.extensionRef.group === kgatewayGroup &&
    filter.extensionRef.kind === "DirectResponse"
  );
}

/** kgateway: a rule has one answer. */
export function directResponseProblem(
  filters: readonly HttpRouteFilter[],
  hasBackends: boolean,
): Problem | undefined {
  const count = filters.filter(isDirectResponse).length;
  if (count === 0) return undefined;
  if (count > 1) return incompatible("a rule must have at most one DirectResponse");
  if (hasBackends) return incompatible("a rule with a DirectResponse must have no backendRefs");
  return filters.some(({ type }) => type === "RequestRedirect")
    ? incompatible("a rule must not have both DirectResponse and RequestRedirect")
    : undefined;
}

export function resolveExtension(
  context: BackendContext,
  ref: ExtensionRef,
  place: FilterPlace,
): Outcome {
  const { store, namespace } = context;
  const name = objectName({ namespace, name: ref.name });
  if (ref.group === kgatewayGroup && ref.kind === "DirectResponse") {
    // kgateway lets it have no effect there, which nobody who writes it can mean.
    if (place === "backend") {
      return fatal(unsupported("a DirectResponse must be a filter of the rule, not of a backend"));
    }
    const found = store.directResponses.get(name);
    return found === undefined ? missing(context, ref) : filters(directResponse(found));
  }
  if (ref.group === faultGroup && ref.kind === "HTTPFault") {
    const found = store.httpFaults.get(name);
    return found === undefined ? missing(context, ref) : filters(...faultFilters(found));
  }
  if (ref.group === kgatewayGroup && ref.kind === "Parameter" && place === "rule") {
    return fatal(unsupported("a Parameter must be a filter of a backendRef, not of the rule"));
  }
  return fatal(
    unresolved("BackendNotFound", `unknown filter ${ref.group} ${ref.kind} ${ref.name}`),
  );
}

function filters(...list: readonly Filter[]): Outcome {
  return { kind: "filters", filters: list };
}

function fatal(problem: Problem): Outcome {
  return { kind: "fatal", problem };
}

/** Gateway API: a filter that cannot be resolved must not be skipped. */
function missing({ store, namespace }: BackendContext, ref: ExtensionRef): Outcome {
  const kind = ref.kind === "HTTPFault" ? "HTTPFault" : "DirectResponse";
  const broken = findBroken(store, kind, { namespace, name: ref.name });
  const message = broken === undefined ? `${kind} not found ${ref.name}` : describeBroken(broken);
  return fatal(unresolved("BackendNotFound", message));
}

function directResponse({ status, body }: DirectResponse): Filter {
  const response = { status, body, contentType: body === "" ? "" : contentType };
  return { kind: "direct-response", response };
}

/** First the wait, then the failure, as a slow and broken backend would have it. */
function faultFilters({ meta, delay, abort }: HttpFault): readonly Filter[] {
  const list: Filter[] = [];
  if (delay !== undefined) list.push({ kind: "delay", delay });
  if (abort !== undefined) {
    const message = abort.message || `injected by HTTPFault ${objectName(meta)}`;
    list.push({ kind: "failure", failure: { ...abort, message } });
  }
  return list;
}
