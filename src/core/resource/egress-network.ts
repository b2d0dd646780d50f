import type { Fault, Result } from "../std/result.ts";
import { FaultList, Field } from "./field.ts";
import { type NetworkExcept, readNetwork } from "./network-authentication.ts";
import { type ObjectMeta, readMeta } from "./object-meta.ts";

/** Linkerd's word for destinations outside of the mesh, and whether they may be reached. Routes may have it as a parent. */
export type EgressNetwork = {
  readonly kind: "EgressNetwork";
  readonly group: "policy.linkerd.io";
  readonly meta: ObjectMeta;
  readonly trafficPolicy: "Allow" | "Deny";
  /** Undefined: everything outside of the cluster's networks. */
  readonly networks: readonly NetworkExcept[] | undefined;
};

export function parseEgressNetwork(
  json: unknown,
  known: readonly Fault[] = [],
): Result<EgressNetwork> {
  const list = new FaultList(known);
  const root = new Field(json, list);
  const spec = root.at("spec").required();
  const networks = spec.at("networks");
  if (networks.isPresent && networks.items().length === 0) {
    networks.fault("must have at least one entry, or be absent for everything outside the cluster");
  }
  return list.settle<EgressNetwork>({
    kind: "EgressNetwork",
    group: "policy.linkerd.io",
    meta: readMeta(root.at("metadata"), "dns-name"),
    trafficPolicy: spec
      .at("trafficPolicy")
      .required()
      .choice(["Allow", "Deny"] as const, "Deny"),
    networks: networks.isPresent ? networks.items().map(readNetwork) : undefined,
  });
}
