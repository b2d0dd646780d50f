/** What is left to say about an object that cannot be read. */
import type { BrokenResource } from "../resource/broken.ts";
import type { ParentRef } from "../resource/reference.ts";
import { describeFaults } from "../std/result.ts";

export function describeBroken(object: BrokenResource): string {
  const { kind, namespace, name, faults } = object;
  const place = namespace === "" ? name : `${namespace}/${name}`;
  return `${kind} ${place} cannot be read: ${describeFaults(faults)}`;
}

/** Empty when they cannot be read either. */
export function parentsOf(route: BrokenResource): readonly ParentRef[] {
  return route.scope?.type === "parents" ? route.scope.parentRefs : [];
}
