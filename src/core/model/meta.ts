/**
 * Where a piece of policy comes from. The same name travels through model, wire, table, metric labels and explanations,
 * so that every decision can be traced back to the object that a person wrote.
 */
export type ResourceRef = {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** Name of a rule or a port inside the object; empty when the whole object is meant. */
  readonly section: string;
  /** Port of a Service; 0 when all of them are meant. */
  readonly port: number;
};

export type Meta =
  | { readonly type: "default"; readonly name: string }
  | ({ readonly type: "resource" } & ResourceRef);

export function defaultMeta(name: string): Meta {
  return { type: "default", name };
}

export function resourceMeta(
  ref: Pick<ResourceRef, "group" | "kind" | "namespace" | "name"> & Partial<ResourceRef>,
): Meta {
  return { section: "", port: 0, ...ref, type: "resource" };
}

/** For people: `HTTPRoute demo/alternative`, `Service demo/backend-a:8080`, `ServiceProfile demo/a.demo.svc.cluster.local "GET /"`, `default all-unauthenticated`. */
export function describeMeta(meta: Meta): string {
  if (meta.type === "default") return `default ${meta.name}`;
  const namespace = meta.namespace === "" ? "" : `${meta.namespace}/`;
  const port = meta.port === 0 ? "" : `:${meta.port}`;
  const section = meta.section === "" ? "" : ` ${JSON.stringify(meta.section)}`;
  return `${meta.kind} ${namespace}${meta.name}${port}${section}`;
}
