/** A store from YAML text, as a source would give it: documents that cannot be read become broken objects. */
import { parseAllDocuments } from "yaml";
import { compilePattern } from "../../../src/core/decide/pattern.ts";
import type { ResolveSettings } from "../../../src/core/resolve/settings.ts";
import { buildStore, type Store, type StoreContent } from "../../../src/core/resolve/store.ts";
import { type BrokenResource, scopeOf } from "../../../src/core/resource/broken.ts";
import { keyOf, parseResource, type Resource } from "../../../src/core/resource/resource.ts";
import { parseCidr } from "../../../src/core/std/ip.ts";
import { describeFaults } from "../../../src/core/std/result.ts";

export const settings: ResolveSettings = {
  clusterDomain: "cluster.local",
  clusterNetworks: ["10.0.0.0/8", "fd00::/8"].map(network),
  defaultInboundPolicy: "all-unauthenticated",
  controlNamespace: "weft",
  trustDomain: "cluster.local",
  checkPattern: (source) => {
    const compiled = compilePattern(source);
    return compiled.ok ? undefined : describeFaults(compiled.faults);
  },
};

export function readContent(...texts: readonly string[]): StoreContent {
  const resources: Resource[] = [];
  const broken: BrokenResource[] = [];
  for (const json of texts.flatMap(documentsOf)) {
    const parsed = parseResource(json);
    if (parsed.ok) {
      resources.push(parsed.value);
      continue;
    }
    const key = keyOf(json);
    if (!key.ok) throw new Error(describeFaults(key.faults));
    broken.push({ ...key.value, faults: parsed.faults, scope: scopeOf(json), source: "test.yaml" });
  }
  return { resources, broken, unreadableAtStart: false };
}

/** Throws for a document that cannot be read, so that a test with a slip of the pen does not pass by it. */
export function readStore(...texts: readonly string[]): Store {
  const content = readContent(...texts);
  const [first] = content.broken;
  if (first !== undefined) throw new Error(`${first.name}: ${describeFaults(first.faults)}`);
  return buildStore(content);
}

export function readBrokenStore(...texts: readonly string[]): Store {
  return buildStore(readContent(...texts));
}

export function documentsOf(text: string): readonly unknown[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as unknown)
    .filter((json) => json !== null);
}

function network(text: string): ResolveSettings["clusterNetworks"][number] {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new Error(`not a network: ${text}`);
  return cidr;
}

/** A Service `name` of namespace demo with port 8080, and one more document for each line of `more`. */
export function service(name: string, spec = ""): string {
  return `---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: demo }
spec: { clusterIP: ${clusterIpOf(name)}, ports: [{ name: http, port: 8080 }]${spec} }
`;
}

/** Different for each letter a test may use at the end of a name. */
function clusterIpOf(name: string): string {
  return `10.96.0.${name.charCodeAt(name.length - 1)}`;
}

/** An HTTPRoute of namespace demo for Service `parent`; `rules` is in YAML's flow style. */
export function route(name: string, parent: string, rules: string, metadata = ""): string {
  return `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: ${name}, namespace: demo${metadata} }
spec:
  parentRefs: [{ group: "", kind: Service, name: ${parent} }]
  rules: ${rules}
`;
}
