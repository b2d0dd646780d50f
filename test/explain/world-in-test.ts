/** Worlds of a few lines: Services with endpoints, routes, and what a client is told about them. */
import { ok } from "node:assert";
import { explain } from "../../src/explain/explain.ts";
import type { Explanation } from "../../src/explain/explanation.ts";
import { readQuestion, type Words } from "../../src/explain/question.ts";
import { makeWorld, type World } from "../../src/explain/world.ts";
import { readContent, settings } from "../core/resolve/world.ts";

export function worldOf(...texts: readonly string[]): World {
  return makeWorld(readContent(...texts), settings, []);
}

/** Asked by demo/client for port 8080 of the Service `a` of the namespace demo, unless told otherwise. */
export function ask(
  world: World,
  request: string,
  more: Partial<Omit<Words, "request">> = {},
): Explanation {
  const words = { from: "demo/client", to: "a.demo:8080", headers: [], ip: undefined, ...more };
  const question = readQuestion({ ...words, request: request.split(" ") }, settings.clusterDomain);
  ok(question.ok, JSON.stringify(question));
  return explain(world, question.value);
}

/** A Service of namespace demo with one place on port 8080, and what stands there. */
export function backend(name: string, place: Place): string {
  const { ip, port = 8080, meshed = false, annotations = "" } = place;
  const label = meshed ? ", linkerd.io/control-plane-ns: weft" : "";
  return `---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: demo }
spec: { selector: { app: ${name} }, ports: [{ name: http, port: 8080 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${name}-1, namespace: demo, labels: { kubernetes.io/service-name: ${name} } }
addressType: IPv4
ports: [{ name: http, port: ${port} }]
endpoints: [{ addresses: [${ip}], targetRef: { kind: Pod, name: ${name}-1, namespace: demo } }]
---
apiVersion: v1
kind: Pod
metadata:
  name: ${name}-1
  namespace: demo
  labels: { app: ${name}${label} }
  annotations: { ${annotations} }
spec:
  serviceAccountName: ${name}
  containers: [{ name: app, ports: [{ name: http, containerPort: ${port} }] }]
status: { podIP: ${ip}, podIPs: [{ ip: ${ip} }] }
`;
}

type Place = {
  readonly ip: string;
  readonly port?: number;
  readonly meshed?: boolean;
  /** In YAML's flow style. */
  readonly annotations?: string;
};

/** The pod that asks, and two Services. */
export const smallMesh: string =
  backend("client", { ip: "10.1.0.9", meshed: true }) +
  backend("a", { ip: "10.1.0.1", meshed: true }) +
  backend("b", { ip: "10.1.0.2" });
