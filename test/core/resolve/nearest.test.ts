/** Which endpoints a client sees by where it is. */
import test from "ava";
import { resolveEndpoints, viewOf } from "../../../src/core/resolve/endpoints.ts";
import { readStore, settings } from "./world.ts";

const authority = "web.demo.svc.cluster.local:80";

function web(spec: string): string {
  return `---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: demo }
spec: { clusterIP: 10.96.0.1, ports: [{ port: 80 }]${spec} }
`;
}

/** Two nodes in zone a, one in zone b; `web-3` is in zone b and hinted to both zones. */
function slice(hints: string): string {
  const place = (at: number, node: string, zone: string, hint: string): string =>
    `{ addresses: [10.1.0.${at}], nodeName: ${node}, zone: ${zone}${hint} }`;
  const hint = (zones: string): string => (hints === "" ? "" : `, hints: { forZones: [${zones}] }`);
  return `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: web-1, namespace: demo, labels: { kubernetes.io/service-name: web } }
addressType: IPv4
ports: [{ port: 8080 }]
endpoints:
  - ${place(1, "a1", "a", hint("{ name: a }"))}
  - ${place(2, "a2", "a", hint("{ name: a }"))}
  - ${place(3, "b1", "b", hints === "some" ? "" : hint("{ name: a }, { name: b }"))}
`;
}

const clients = `---
apiVersion: v1
kind: Pod
metadata: { name: on-a1, namespace: demo }
spec: { nodeName: a1, containers: [{ name: app }] }
---
apiVersion: v1
kind: Pod
metadata: { name: on-b1, namespace: demo }
spec: { nodeName: b1, containers: [{ name: app }] }
---
apiVersion: v1
kind: Pod
metadata: { name: on-c1, namespace: demo }
spec: { nodeName: c1, containers: [{ name: app }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: client-1, namespace: demo, labels: { kubernetes.io/service-name: client } }
addressType: IPv4
ports: [{ port: 8080 }]
endpoints: [{ addresses: [10.1.1.1], zone: b, targetRef: { kind: Pod, name: in-b, namespace: demo } }]
`;

const seen = test.macro({
  exec: (
    t,
    given: readonly [spec: string, hints: string, pod: string],
    expected: readonly number[],
  ) => {
    const [spec, hints, pod] = given;
    const store = readStore(web(spec), slice(hints), clients);
    const client = pod === "" ? undefined : { namespace: "demo", pod };
    const { endpoints } = resolveEndpoints(store, settings, authority, client);
    t.deepEqual(
      endpoints.map(({ ip }) => Number(ip.split(".")[3])),
      expected,
    );
  },
  title: (given = "") => `nearest() ${given}`,
});

const local = ", internalTrafficPolicy: Local";
const sameZone = ", trafficDistribution: PreferSameZone";
const sameNode = ", trafficDistribution: PreferSameNode";
test("takes all endpoints when nothing is asked", seen, ["", "", "on-a1"], [1, 2, 3]);
test("keeps to the node for Local", seen, [local, "", "on-a1"], [1]);
test("has nothing on a node without endpoints for Local", seen, [local, "", "on-c1"], []);
test("takes all for Local while the node is not known", seen, [local, "", ""], [1, 2, 3]);
test("follows the hints for the client's zone", seen, ["", "all", "on-b1"], [3]);
test("takes every endpoint that is hinted to the zone", seen, ["", "all", "on-a1"], [1, 2, 3]);
test("ignores hints that not every endpoint has", seen, ["", "some", "on-a1"], [1, 2, 3]);
test("ignores hints when none is for the client's zone", seen, ["", "all", "on-c1"], [1, 2, 3]);
test("prefers the zone", seen, [sameZone, "", "on-a1"], [1, 2]);
test(
  "reads PreferClose as the zone",
  seen,
  [", trafficDistribution: PreferClose", "", "on-b1"],
  [3],
);
test("knows the zone of a pod from its own slice", seen, [sameZone, "", "in-b"], [3]);
test("takes all where the zone has none", seen, [sameZone, "", "on-c1"], [1, 2, 3]);
test("prefers hints over zones", seen, [sameZone, "all", "on-a1"], [1, 2, 3]);
test("prefers the node", seen, [sameNode, "", "on-a1"], [1]);
test("takes the zone where the node has none", seen, [sameNode, "", "in-b"], [3]);
test("takes all for a client nobody knows", seen, [sameNode, "all", "stranger"], [1, 2, 3]);

test("resolveEndpoints() says whether an endpoint is in the zone of the client", (t) => {
  const store = readStore(web(""), slice(""), clients);
  const localities = (pod: string): readonly string[] =>
    resolveEndpoints(store, settings, authority, { namespace: "demo", pod }).endpoints.map(
      ({ labels }) => labels["zone_locality"] ?? "",
    );
  t.deepEqual(localities("on-a1"), ["local", "local", "remote"]);
  t.deepEqual(localities("on-c1"), ["unknown", "unknown", "unknown"]);
});

test("viewOf() tells nodes apart only for Services that ask for them", (t) => {
  const view = (spec: string): object =>
    viewOf(readStore(web(spec), slice(""), clients), settings, authority, {
      namespace: "demo",
      pod: "on-a1",
    });
  t.deepEqual(view(""), { node: undefined, zone: "a" });
  t.deepEqual(view(sameZone), { node: undefined, zone: "a" });
  t.deepEqual(view(sameNode), { node: "a1", zone: "a" });
  t.deepEqual(view(local), { node: "a1", zone: "a" });
});
