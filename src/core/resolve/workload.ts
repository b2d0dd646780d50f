/** What a pod says about itself beside its containers: the annotations that the mesh reads. */
import type { Pod } from "../resource/pod.ts";
import type { Store } from "./store.ts";

/** Linkerd's names, so that manifests written for it hold. */
export const annotations = {
  defaultInboundPolicy: "config.linkerd.io/default-inbound-policy",
  inboundPort: "config.linkerd.io/inbound-port",
  opaquePorts: "config.linkerd.io/opaque-ports",
  requireIdentityPorts: "config.linkerd.io/proxy-require-identity-inbound-ports",
  skipInboundPorts: "config.linkerd.io/skip-inbound-ports",
} as const;

/** The label that names the control plane of a meshed pod, by its namespace. */
export const controlPlaneLabel = "linkerd.io/control-plane-ns";

/** On the pod, or else on its namespace. */
export function annotationOf(store: Store, pod: Pod, name: string): string | undefined {
  return (
    pod.meta.annotations.get(name) ??
    store.namespaces.get(pod.meta.namespace)?.meta.annotations.get(name)
  );
}

/** A port is meant by its number, or by the name of a container's port. */
export function isPort(pod: Pod, wanted: number | string, port: number): boolean {
  return portsNamed(pod, wanted).includes(port);
}

/** Two containers may give one name to two ports. */
export function portsNamed(pod: Pod, wanted: number | string): readonly number[] {
  if (typeof wanted === "number") return [wanted];
  return pod.containers
    .flatMap(({ ports }) => ports)
    .filter(({ name, protocol }) => name === wanted && protocol === "TCP")
    .map(({ port }) => port);
}

/**
 * Whether a list such as `25,4000-4010,mysql` names the port. Undefined when an entry of the list is none of number, range
 * and name, because then nobody knows which ports were meant.
 */
export function listsPort(list: string, pod: Pod, port: number): boolean | undefined {
  let found = false;
  for (const entry of list.split(",").map((text) => text.trim())) {
    const [, first, last] = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(entry) ?? [];
    if (first !== undefined) {
      found ||= Number(first) <= port && port <= Number(last ?? first);
    } else if (/^[a-z0-9-]{1,63}$/.test(entry)) {
      found ||= isPort(pod, entry, port);
    } else if (entry !== "") {
      return undefined;
    }
  }
  return found;
}
