/** Which Server speaks for a port of a pod. */
import type { BrokenResource } from "../resource/broken.ts";
import { selects } from "../resource/label-selector.ts";
import type { Pod } from "../resource/pod.ts";
import type { Server } from "../resource/server.ts";
import { inPolicyOrder, type Store, selectorKey } from "./store.ts";
import { isPort } from "./workload.ts";

export type ServerOfPort =
  | { readonly kind: "server"; readonly server: Server }
  /** May have spoken for the port: nobody can say what it asked, so nobody is admitted. */
  | { readonly kind: "broken"; readonly server: BrokenResource }
  | { readonly kind: "none" };

/** Of two Servers the older one speaks, then the first by name. */
export function findServer(store: Store, pod: Pod, port: number): ServerOfPort {
  const broken = store.broken.servers
    .get(pod.meta.namespace)
    ?.find((candidate) => mayCover(candidate, pod, port));
  if (broken !== undefined) return { kind: "broken", server: broken };
  const server = serversOf(store, pod).find((candidate) => isPort(pod, candidate.port, port));
  return server === undefined ? { kind: "none" } : { kind: "server", server };
}

/** The Servers that select the pod, whichever of its ports they ask for, in policy order. */
export function serversOf(store: Store, pod: Pod): readonly Server[] {
  const { namespace, labels } = pod.meta;
  const keys = [undefined, ...labels].map((label) => selectorKey(namespace, label));
  return keys
    .flatMap((key) => store.serversBySelector.get(key) ?? [])
    .filter(({ selector }) => selector.workload === "pods" && selects(selector.labels, labels))
    .sort(inPolicyOrder);
}

/** What cannot be read counts as if it took this port. */
function mayCover({ scope }: BrokenResource, pod: Pod, port: number): boolean {
  if (scope?.type !== "workloads") return true;
  return (
    scope.workload === "pods" &&
    (scope.port === undefined || isPort(pod, scope.port, port)) &&
    selects(scope.labels, pod.meta.labels)
  );
}
