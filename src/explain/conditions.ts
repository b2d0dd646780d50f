/** What the mesh has to say against the objects that a request has to do with. */
import type { ServiceAuthority } from "../core/model/authority.ts";
import type { Condition } from "../core/resolve/conditions.ts";
import type { ObjectStatus } from "../core/resolve/status.ts";
import { referenceKey } from "../core/resolve/store.ts";
import type { ParentRef } from "../core/resource/reference.ts";
import type { ConditionView } from "./explanation.ts";

/** Of the routes of the Service, and of everything else in the namespaces where the request may arrive. */
export function complaints(
  statuses: readonly ObjectStatus[],
  service: ServiceAuthority | undefined,
  namespaces: ReadonlySet<string>,
): readonly ConditionView[] {
  const key =
    service === undefined
      ? ""
      : referenceKey({
          group: "",
          kind: "Service",
          namespace: service.namespace,
          name: service.name,
        });
  return statuses.flatMap((status) => {
    const object = `${status.kind} ${place(status)}`;
    const ofParents = status.parents
      .filter(
        ({ parentRef }) => referenceKey(parentRef) === key || isInbound(parentRef, namespaces),
      )
      .flatMap(({ parentRef, conditions }) =>
        conditions.filter(isComplaint).map((each) => view(object, describeParent(parentRef), each)),
      );
    const isNear =
      namespaces.has(status.namespace === "" ? status.name : status.namespace) ||
      isProfileOf(status, service);
    const own = isNear ? status.conditions.filter(isComplaint) : [];
    return [...ofParents, ...own.map((each) => view(object, "", each))];
  });
}

/** Whose namespace may be that of the clients. */
function isProfileOf({ kind, name }: ObjectStatus, service: ServiceAuthority | undefined): boolean {
  if (kind !== "ServiceProfile" || service === undefined) return false;
  return name.startsWith(`${service.name}.${service.namespace}.svc.`);
}

/** Gateway API: PartiallyInvalid is the one condition that is bad news when it is True. */
function isComplaint({ type, status }: Condition): boolean {
  return type === "PartiallyInvalid" ? status === "True" : status !== "True";
}

function isInbound({ kind, namespace }: ParentRef, namespaces: ReadonlySet<string>): boolean {
  return kind === "Server" && namespaces.has(namespace);
}

function view(object: string, parent: string, condition: Condition): ConditionView {
  const { type, status, reason, message } = condition;
  return { object, parent, type, status, reason, message };
}

function describeParent({ kind, namespace, name, port, sectionName }: ParentRef): string {
  return [`${kind} ${namespace}/${name}`, port, sectionName]
    .filter((part) => part !== undefined)
    .join(":");
}

function place({ namespace, name }: ObjectStatus): string {
  return namespace === "" ? name : `${namespace}/${name}`;
}
