import type { Fault, Result } from "../std/result.ts";
import { FaultList, Field } from "./field.ts";
import { type LabelSelector, readLabelSelector } from "./label-selector.ts";
import { type ObjectMeta, readMeta } from "./object-meta.ts";

/** One port of some workloads of its namespace, and what holds there. */
export type Server = {
  readonly kind: "Server";
  readonly group: "policy.linkerd.io";
  readonly meta: ObjectMeta;
  readonly selector: ServerSelector;
  /** A number, or the name of a container's port. */
  readonly port: number | string;
  readonly proxyProtocol: ProxyProtocol;
  readonly accessPolicy: AccessPolicy;
};

export type ServerSelector = {
  readonly workload: "pods" | "external-workloads";
  readonly labels: LabelSelector;
};

export type ProxyProtocol = "unknown" | "HTTP/1" | "HTTP/2" | "gRPC" | "opaque" | "TLS";

export type AccessPolicy =
  | "deny"
  | "audit"
  | "all-unauthenticated"
  | "all-authenticated"
  | "cluster-unauthenticated"
  | "cluster-authenticated";

const proxyProtocols: readonly ProxyProtocol[] = [
  "unknown",
  "HTTP/1",
  "HTTP/2",
  "gRPC",
  "opaque",
  "TLS",
];

const accessPolicies: readonly AccessPolicy[] = [
  "deny",
  "audit",
  "all-unauthenticated",
  "all-authenticated",
  "cluster-unauthenticated",
  "cluster-authenticated",
];

export function parseServer(json: unknown, known: readonly Fault[] = []): Result<Server> {
  const list = new FaultList(known);
  const root = new Field(json, list);
  const spec = root.at("spec").required();
  return list.settle({
    kind: "Server",
    group: "policy.linkerd.io",
    meta: readMeta(root.at("metadata"), "dns-name"),
    selector: readServerSelector(spec),
    port: readServerPort(spec) ?? 0,
    proxyProtocol: spec.at("proxyProtocol").choice(proxyProtocols, "unknown"),
    // A Server without authorizations admits nobody: the default must not open what somebody closed by making it.
    accessPolicy: spec.at("accessPolicy").choice(accessPolicies, "deny"),
  });
}

export function readServerSelector(spec: Field): ServerSelector {
  const pods = spec.at("podSelector");
  const external = spec.at("externalWorkloadSelector");
  if (pods.isPresent === external.isPresent) {
    spec.fault("must have exactly one of podSelector and externalWorkloadSelector");
  }
  return external.isPresent && !pods.isPresent
    ? { workload: "external-workloads", labels: readLabelSelector(external) }
    : { workload: "pods", labels: readLabelSelector(pods) };
}

export function readServerPort(spec: Field): number | string | undefined {
  return spec.at("port").required().optionalPort();
}
