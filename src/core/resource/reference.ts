import { isDnsLabel } from "../std/dns-name.ts";
import { type Field, portRange, quote } from "./field.ts";

/** How one object names another. Defaults are filled in, and the group `core` is read as the empty one it stands for. */
export type ObjectRef = {
  readonly group: string;
  readonly kind: string;
  /** The namespace of the referring object when the reference does not say; empty for kinds without one. */
  readonly namespace: string;
  readonly name: string;
};

/** What a route attaches to (Gateway API ParentReference). */
export type ParentRef = ObjectRef & {
  /** Service: name of a port. */
  readonly sectionName: string | undefined;
  /** Service: number of a port. Undefined: all ports. */
  readonly port: number | undefined;
};

/** Where traffic may be sent (Gateway API BackendObjectReference). */
export type BackendRef = ObjectRef & {
  /** The port of the Service, not the target port. Undefined only where the kind has no ports. */
  readonly port: number | undefined;
};

/** What a reference means when it leaves things out. */
export type RefDefaults = {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
};

export function readParentRef(field: Field, defaults: RefDefaults): ParentRef {
  return {
    ...readRef(field, defaults),
    sectionName: field.at("sectionName").optionalText(),
    port: field.at("port").optionalInteger(portRange),
  };
}

export function readBackendRef(field: Field, namespace: string): BackendRef {
  const ref = readRef(field, { group: "", kind: "Service", namespace });
  const port = field.at("port").optionalInteger(portRange);
  // Gateway API: a Service is referred to by one of its ports; other kinds may have none.
  if (ref.group === "" && ref.kind === "Service" && !field.at("port").isPresent) {
    field.at("port").fault("is required for a Service");
  }
  return { ...ref, port };
}

function readRef(field: Field, defaults: RefDefaults): ObjectRef {
  return {
    group: readGroup(field.at("group")) ?? defaults.group,
    kind: readWord(field.at("kind")) ?? defaults.kind,
    namespace: readNamespace(field.at("namespace")) ?? defaults.namespace,
    name: readName(field.at("name")),
  };
}

/** A reference whose kind has no default. */
export function readKindRef(field: Field, namespace: string): ObjectRef {
  field.at("kind").required();
  return readRef(field, { group: "", kind: "", namespace });
}

/** Manifests for Linkerd write `core` for the group whose name is the empty string. */
export function readGroup(field: Field): string | undefined {
  const group = field.optionalText();
  return group === "core" ? "" : group;
}

export function readNamespace(field: Field): string | undefined {
  const namespace = field.optionalText();
  if (namespace === undefined) return undefined;
  if (!isDnsLabel(namespace)) field.fault(`must name a namespace, is ${quote(namespace)}`);
  return namespace;
}

function readName(field: Field): string {
  return readWord(field.required()) ?? "";
}

function readWord(field: Field): string | undefined {
  const text = field.optionalText();
  if (text === "") field.fault("must not be empty");
  return text;
}
