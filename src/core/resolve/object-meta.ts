/** Names of Kubernetes objects as the model carries them. */
import { type Meta, resourceMeta } from "../model/meta.ts";
import type { BrokenResource } from "../resource/broken.ts";
import type { Resource } from "../resource/resource.ts";

export function metaOf(resource: Pick<Resource, "group" | "kind" | "meta">): Meta {
  const { group, kind, meta } = resource;
  return resourceMeta({ group, kind, namespace: meta.namespace, name: meta.name });
}

export function metaOfBroken({ group, kind, namespace, name }: BrokenResource): Meta {
  return resourceMeta({ group, kind, namespace, name });
}
