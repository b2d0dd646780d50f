/**
 * Where a client is: its node and its zone. Nodes are not among the kinds that are read; what is known of them is what EndpointSlices say of the pods on them.
 */
import type { EndpointSlice } from "../resource/endpoint-slice.ts";
import type { Pod } from "../resource/pod.ts";

/** Undefined: not known. */
export type Place = { readonly node: string | undefined; readonly zone: string | undefined };

export const unknownPlace: Place = { node: undefined, zone: undefined };

export type PlaceIndex = {
  /** By `namespace/name`. */
  readonly ofPod: ReadonlyMap<string, Place>;
  readonly zoneOfNode: ReadonlyMap<string, string>;
};

export function indexPlaces(slices: readonly EndpointSlice[]): PlaceIndex {
  const ofPod = new Map<string, Place>();
  const zoneOfNode = new Map<string, string>();
  for (const { nodeName: node, zone, targetRef } of slices.flatMap((slice) => slice.endpoints)) {
    if (node !== undefined && zone !== undefined) zoneOfNode.set(node, zone);
    if (targetRef?.kind === "Pod" && (node !== undefined || zone !== undefined)) {
      ofPod.set(`${targetRef.namespace}/${targetRef.name}`, { node, zone });
    }
  }
  return { ofPod, zoneOfNode };
}

/** Any pod on a node tells the zone of all others there, so that a client which is no endpoint of anything has one too. */
export function findPlace(index: PlaceIndex, name: string, pod: Pod | undefined): Place {
  const told = index.ofPod.get(name);
  const scheduled = pod === undefined || pod.nodeName === "" ? undefined : pod.nodeName;
  const node = scheduled ?? told?.node;
  const zoneOfNode = node === undefined ? undefined : index.zoneOfNode.get(node);
  return { node, zone: zoneOfNode ?? told?.zone };
}
