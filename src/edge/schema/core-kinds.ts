/**
 * The kinds that every cluster has and that no definition describes. Only the fields the mesh reads are listed, with
 * the types the Kubernetes API gives them; the many others are let through unseen, since their owner is another program.
 */
import type { KindVersion } from "./crd.ts";
import type { JsonSchema } from "./strict-schema.ts";

const text: JsonSchema = { type: "string", nullable: true };
const flag: JsonSchema = { type: "boolean", nullable: true };
const port: JsonSchema = { type: "integer", minimum: 1, maximum: 65_535 };
const optionalPort: JsonSchema = { ...port, nullable: true };
const portOrName: JsonSchema = { type: ["integer", "string"] };
const protocol: JsonSchema = { type: "string", enum: ["TCP", "UDP", "SCTP"] };
const textMap: JsonSchema = {
  type: "object",
  nullable: true,
  additionalProperties: { type: "string" },
};

const containers: JsonSchema = listOf(
  open({
    name: { type: "string", minLength: 1 },
    ports: listOf(open({ name: text, containerPort: port, protocol }, ["containerPort"])),
    livenessProbe: probe(),
    readinessProbe: probe(),
    startupProbe: probe(),
  }),
);

const pod: JsonSchema = {
  spec: open({
    serviceAccountName: text,
    nodeName: text,
    hostNetwork: flag,
    initContainers: containers,
    containers,
  }),
  status: open({
    phase: text,
    podIP: text,
    podIPs: listOf(open({ ip: text })),
    conditions: listOf(open({ type: text, status: text })),
  }),
};

const service: JsonSchema = {
  spec: open({
    type: { type: "string", enum: ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] },
    clusterIP: text,
    clusterIPs: listOf({ type: "string" }),
    externalName: text,
    selector: textMap,
    ports: listOf(
      open({ name: text, port, targetPort: portOrName, protocol, appProtocol: text }, ["port"]),
    ),
    sessionAffinity: { type: "string", enum: ["None", "ClientIP"] },
    publishNotReadyAddresses: flag,
    internalTrafficPolicy: { type: "string", enum: ["Cluster", "Local"] },
    trafficDistribution: {
      type: "string",
      enum: ["PreferClose", "PreferSameZone", "PreferSameNode"],
    },
  }),
  status: open({}),
};

/** A report on a schema quotes what it found, so the values of a Secret are shown to no schema: its parser checks them. */
const unseen: JsonSchema = { "x-kubernetes-preserve-unknown-fields": true };

const secret: JsonSchema = { type: text, immutable: flag, data: unseen, stringData: unseen };

const endpointSlice: JsonSchema = {
  addressType: { type: "string", enum: ["IPv4", "IPv6", "FQDN"] },
  endpoints: listOf(
    open(
      {
        addresses: { type: "array", minItems: 1, items: { type: "string" } },
        conditions: open({ ready: flag, serving: flag, terminating: flag }),
        hostname: text,
        nodeName: text,
        zone: text,
        hints: open({ forZones: listOf(open({ name: { type: "string" } }, ["name"])) }),
        targetRef: open({ kind: text, namespace: text, name: text }),
      },
      ["addresses"],
    ),
  ),
  ports: listOf(open({ name: text, port: optionalPort, protocol, appProtocol: text })),
};

export const coreKinds: readonly KindVersion[] = [
  kind("", "Namespace", { spec: open({}), status: open({}) }, []),
  kind("", "Pod", pod, ["spec"]),
  kind("", "Service", service, ["spec"]),
  kind("", "Secret", secret, []),
  kind("discovery.k8s.io", "EndpointSlice", endpointSlice, ["addressType"]),
];

function kind(
  group: string,
  name: string,
  properties: JsonSchema,
  required: readonly string[],
): KindVersion {
  const meta = {
    apiVersion: { type: "string" },
    kind: { type: "string" },
    metadata: { type: "object" },
  };
  // At the top every field is known, so that a misspelt `spec` is found.
  const schema = { type: "object", required, properties: { ...meta, ...properties } };
  return { group, version: "v1", kind: name, schema, deprecation: "" };
}

/** An object with these fields and others. */
function open(properties: JsonSchema, required: readonly string[] = []): JsonSchema {
  return {
    type: "object",
    nullable: true,
    required,
    properties,
    "x-kubernetes-preserve-unknown-fields": true,
  };
}

function listOf(items: JsonSchema): JsonSchema {
  return { type: "array", nullable: true, items };
}

function probe(): JsonSchema {
  return open({
    httpGet: open({ path: text, port: portOrName }, ["port"]),
    grpc: open({ port, service: text }, ["port"]),
  });
}
