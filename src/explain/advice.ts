/** What somebody may have meant who asks for something that is not there. */
import { parseServiceAuthority } from "../core/model/authority.ts";
import { objectName } from "../core/resolve/store.ts";
import { controlPlaneLabel } from "../core/resolve/workload.ts";
import { suggest } from "../edge/schema/suggestion.ts";
import type { Question } from "./question.ts";
import type { World } from "./world.ts";

/** Names that are listed when none is near. */
const maxNames = 10;

/** One sentence, or none when nothing is wrong with the destination. */
export function adviseDestination(
  { store, settings }: World,
  question: Question,
): readonly string[] {
  const named = parseServiceAuthority(question.authority, settings.clusterDomain);
  if (named === undefined) return [];
  const service = store.services.get(objectName(named));
  if (service !== undefined) {
    const ports = service.ports.filter(({ protocol }) => protocol === "TCP");
    if (ports.length === 0 || ports.some(({ port }) => port === named.port)) return [];
    const list = ports.map(({ name, port }) => (name === "" ? `${port}` : `${port} (${name})`));
    return [`Service ${objectName(named)} has no port ${named.port}: use ${list.join(" or ")}`];
  }
  const wanted = `${named.name}.${named.namespace}`;
  const known = [...store.services.values()].map(({ meta }) => `${meta.name}.${meta.namespace}`);
  const elsewhere = known.find((name) => name.startsWith(`${named.name}.`));
  const near = elsewhere ?? suggest(wanted, known);
  if (near !== undefined) return [`there is no Service ${wanted}: did you mean ${near}?`];
  if (known.length === 0) return ["the folder holds no Service: check -f"];
  return [`there is no Service ${wanted}: the folder holds ${listOf(known)}`];
}

/** Whether anybody runs as the client, and beside a sidecar. */
export function adviseClient({ store, settings }: World, question: Question): readonly string[] {
  const { client } = question;
  const wanted = `${client.namespace}/${client.serviceAccount}`;
  const own = [...store.pods.values()].filter(
    ({ meta, serviceAccountName }) =>
      meta.namespace === client.namespace && serviceAccountName === client.serviceAccount,
  );
  const bare = own.filter(
    ({ meta }) => meta.labels.get(controlPlaneLabel) !== settings.controlNamespace,
  );
  if (own.length > 0 && bare.length === own.length) {
    const label = `${controlPlaneLabel}: ${settings.controlNamespace}`;
    return [`no pod of ${wanted} has a sidecar (label ${label}): what it sends is not routed`];
  }
  if (own.length > 0) return [];
  const known = new Set(
    Array.from(store.pods.values(), (pod) => `${pod.meta.namespace}/${pod.serviceAccountName}`),
  );
  const near = suggest(wanted, [...known]);
  const hint = near === undefined ? "" : `: did you mean ${near}?`;
  return [`no pod of the folder runs as ${wanted}${hint}`];
}

function listOf(names: readonly string[]): string {
  const shown = names.toSorted().slice(0, maxNames);
  const rest = names.length - shown.length;
  return rest > 0 ? `${shown.join(", ")} and ${rest} more` : shown.join(", ");
}
