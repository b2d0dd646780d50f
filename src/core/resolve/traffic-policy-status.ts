/** What became of an XBackendTrafficPolicy (GEP-713). */
import type { BackendTrafficPolicy } from "../resource/backend-traffic-policy.ts";
import type { ObjectRef } from "../resource/reference.ts";
import { notAccepted, type Verdict } from "./conditions.ts";
import { objectName, type Store } from "./store.ts";
import { findTrafficPolicy } from "./traffic-policy.ts";

/** The API's conditions are those of each target; here the first target that something is wrong with speaks for all, and names itself. */
export function trafficPolicyVerdicts(
  store: Store,
  policy: BackendTrafficPolicy,
): readonly Verdict[] {
  const bad = policy.targetRefs
    .map((ref) => verdictOf(store, policy, ref))
    .find((verdict) => verdict !== undefined);
  return [bad ?? { type: "Accepted", status: "True", reason: "Accepted", message: "" }];
}

function verdictOf(
  store: Store,
  policy: BackendTrafficPolicy,
  ref: ObjectRef,
): Verdict | undefined {
  if (ref.group !== "" || ref.kind !== "Service") {
    return notAccepted(
      "Invalid",
      `${ref.group || "core"} ${ref.kind} cannot be a target: use a Service`,
    );
  }
  const service = store.services.get(objectName(ref));
  if (service === undefined) {
    return notAccepted("TargetNotFound", `Service ${objectName(ref)} does not exist`);
  }
  const speaking = findTrafficPolicy(store, service);
  if (speaking !== undefined && speaking !== policy) {
    const name = `XBackendTrafficPolicy ${objectName(speaking.meta)}`;
    return notAccepted("Conflicted", `Service ${objectName(ref)} is that of ${name}`);
  }
  if (policy.sessionPersistence !== undefined && service.sessionAffinity === "ClientIP") {
    const why = "has sessionAffinity ClientIP, so that sessionPersistence is not in force there";
    return notAccepted("Conflicted", `Service ${objectName(ref)} ${why}`);
  }
  return undefined;
}
