import { isDnsLabel, isDnsName } from "../std/dns-name.ts";

/** Who asks: the pod a sidecar stands beside. */
export type Workload = { readonly namespace: string; readonly pod: string };

/**
 * `{"ns":"demo","pod":"web-1"}`, or the older `demo:web-1`. Linkerd's injector leaves spaces and a line end in the JSON,
 * which the JSON grammar allows, and other keys may stand beside these two.
 */
export function parseWorkload(text: string): Workload | undefined {
  const fields = parseFields(text);
  if (fields !== undefined) return workload(fields.get("ns"), fields.get("pod"));
  const parts = text.trim().split(":");
  return parts.length === 2 ? workload(parts[0], parts[1]) : undefined;
}

export function formatWorkload({ namespace, pod }: Workload): string {
  return JSON.stringify({ ns: namespace, pod });
}

/** The client's namespace in the context token of a Destination request: `{"ns":"demo",…}`, or the older `ns:demo`. */
export function parseContextNamespace(text: string): string | undefined {
  const fields = parseFields(text);
  const namespace = fields === undefined ? /^ns:(.*)$/.exec(text.trim())?.[1] : fields.get("ns");
  return typeof namespace === "string" && isDnsLabel(namespace) ? namespace : undefined;
}

function workload(namespace: unknown, pod: unknown): Workload | undefined {
  if (typeof namespace !== "string" || typeof pod !== "string") return undefined;
  return isDnsLabel(namespace) && isDnsName(pod) ? { namespace, pod } : undefined;
}

/** The keys come from outside, so they are looked up in a Map. */
function parseFields(text: string): ReadonlyMap<string, unknown> | undefined {
  try {
    const json: unknown = JSON.parse(text);
    if (typeof json === "object" && json !== null) return new Map(Object.entries(json));
  } catch {
    // Not JSON: the caller reads the older form.
  }
  return undefined;
}
