import { isDnsLabel, isDnsName, maxDnsLabelLength, maxDnsNameLength } from "../std/dns-name.ts";
import { type Field, quote } from "./field.ts";

/** The part of `metadata` that the mesh reads. */
export type ObjectMeta = {
  readonly name: string;
  /** Empty for kinds without a namespace. */
  readonly namespace: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly annotations: ReadonlyMap<string, string>;
  /** 0 when the source does not say, as files do not: such objects rank by name alone. */
  readonly creationTimestampMs: number;
  readonly generation: number;
};

/** Kubernetes puts an object without a namespace here. */
const defaultNamespace = "default";

/**
 * What kinds ask of a name beyond a DNS name (RFC 1123): namespaces are one label, and Services are one label that
 * starts with a letter (RFC 1035 §2.3.1), because both become parts of longer DNS names.
 */
export type NameRule = "dns-name" | "dns-label" | "service-name";

const nameRules: Readonly<
  Record<NameRule, { readonly holds: (name: string) => boolean; readonly wanted: string }>
> = {
  "dns-name": {
    holds: isDnsName,
    wanted: `a DNS name (RFC 1123: a-z, 0-9, - and ., at most ${maxDnsNameLength} characters)`,
  },
  "dns-label": {
    holds: isDnsLabel,
    wanted: `a DNS label (RFC 1123: a-z, 0-9 and -, at most ${maxDnsLabelLength} characters)`,
  },
  "service-name": {
    holds: (name) => isDnsLabel(name) && /^[a-z]/.test(name),
    wanted: `a DNS label that starts with a letter (RFC 1035: a-z, 0-9 and -, at most ${maxDnsLabelLength} characters)`,
  },
};

export function readMeta(metadata: Field, rule: NameRule): ObjectMeta {
  return {
    ...readIdentity(metadata, rule, "namespaced"),
    ...readAttributes(metadata),
  };
}

export function readClusterMeta(metadata: Field, rule: NameRule): ObjectMeta {
  return {
    ...readIdentity(metadata, rule, "cluster"),
    ...readAttributes(metadata),
  };
}

/** Name and namespace alone: what an object must at least say to be known at all. */
export function readIdentity(
  metadata: Field,
  rule: NameRule,
  scope: "namespaced" | "cluster",
): Pick<ObjectMeta, "name" | "namespace"> {
  const name = metadata.at("name").text();
  const { holds, wanted } = nameRules[rule];
  if (metadata.at("name").isPresent && !holds(name)) {
    metadata.at("name").fault(`must be ${wanted}, is ${quote(metadata.at("name").json)}`);
  }
  const field = metadata.at("namespace");
  if (scope === "cluster") {
    if (field.isPresent) field.fault("must be absent: objects of this kind lie in no namespace");
    return { name, namespace: "" };
  }
  const namespace = field.optionalText() ?? defaultNamespace;
  if (field.isPresent && !isDnsLabel(namespace)) {
    field.fault(`must be ${nameRules["dns-label"].wanted}, is ${quote(field.json)}`);
  }
  return { name, namespace };
}

function readAttributes(metadata: Field): Omit<ObjectMeta, "name" | "namespace"> {
  return {
    labels: metadata.at("labels").textMap(),
    annotations: metadata.at("annotations").textMap(),
    creationTimestampMs: readTimestampMs(metadata.at("creationTimestamp")),
    generation:
      metadata.at("generation").optionalInteger({ min: 0, max: Number.MAX_SAFE_INTEGER }) ?? 1,
  };
}

/** RFC 3339, as the Kubernetes API prints times. */
function readTimestampMs(field: Field): number {
  const text = field.optionalText();
  if (text === undefined) return 0;
  try {
    return Temporal.Instant.from(text).epochMilliseconds;
  } catch {
    field.fault(`must be a time like "2006-01-02T15:04:05Z" (RFC 3339), is ${quote(text)}`);
    return 0;
  }
}
