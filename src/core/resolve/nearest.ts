/**
 * Which endpoints of a Service a client is led to by where it is: `internalTrafficPolicy`, the hints of EndpointSlices, and `trafficDistribution`. What cannot
 * be honoured for lack of knowledge is not: a preference then takes all endpoints.
 */
import type { SliceEndpoint } from "../resource/endpoint-slice.ts";
import type { Service } from "../resource/service.ts";
import type { Place } from "./place.ts";

type Holder = { readonly endpoint: SliceEndpoint };

type Wishes = Pick<Service, "internalTrafficPolicy" | "trafficDistribution">;

/** Whether it matters on which node a client is, beside its zone. */
export function asksForNode({ internalTrafficPolicy, trafficDistribution }: Wishes): boolean {
  return internalTrafficPolicy === "Local" || trafficDistribution === "PreferSameNode";
}

export function nearest<T extends Holder>(
  service: Wishes,
  place: Place,
  candidates: readonly T[],
): readonly T[] {
  // Kubernetes: with Local there is no second choice; a node without an endpoint has none.
  if (service.internalTrafficPolicy === "Local" && place.node !== undefined) {
    return onNode(candidates, place);
  }
  const { trafficDistribution } = service;
  const choices = [
    ...(trafficDistribution === "PreferSameNode" ? [onNode(candidates, place)] : []),
    hintedTo(candidates, place) ?? [],
    ...(trafficDistribution === undefined ? [] : [inZone(candidates, place)]),
    candidates,
  ];
  return choices.find((some) => some.length > 0) ?? [];
}

/** The metric label, with Linkerd's words. */
export function zoneLocality(place: Place, { zone }: SliceEndpoint): string {
  if (place.zone === undefined || zone === undefined) return "unknown";
  return place.zone === zone ? "local" : "remote";
}

function onNode<T extends Holder>(candidates: readonly T[], { node }: Place): readonly T[] {
  if (node === undefined) return [];
  return candidates.filter(({ endpoint }) => endpoint.nodeName === node);
}

function inZone<T extends Holder>(candidates: readonly T[], { zone }: Place): readonly T[] {
  if (zone === undefined) return [];
  return candidates.filter(({ endpoint }) => endpoint.zone === zone);
}

/** Kubernetes: hints hold only when every endpoint has some, lest those without be left out by a controller that is not done. */
function hintedTo<T extends Holder>(
  candidates: readonly T[],
  { zone }: Place,
): readonly T[] | undefined {
  if (zone === undefined) return undefined;
  if (candidates.some(({ endpoint }) => endpoint.forZones.length === 0)) return undefined;
  return candidates.filter(({ endpoint }) => endpoint.forZones.includes(zone));
}
