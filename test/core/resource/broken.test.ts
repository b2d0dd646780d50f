import test from "ava";
import { type Scope, scopeOf, scopeOfResource } from "../../../src/core/resource/broken.ts";
import { parseResource } from "../../../src/core/resource/resource.ts";
import {
  authorizationPolicy,
  edit,
  everyManifest,
  gatewayRoute,
  type Manifest,
  nameOf,
  parsed,
  policyRoute,
  server,
} from "./manifests.ts";

const parent = {
  group: "",
  kind: "Service",
  namespace: "demo",
  name: "web",
  sectionName: undefined,
};
const target = { group: "policy.linkerd.io", kind: "Server", namespace: "demo", name: "web-http" };
const labels = { matchLabels: new Map([["app", "web"]]), matchExpressions: [] };
const workloads = { type: "workloads", workload: "pods", labels } as const;

const salvaged: readonly [string, Manifest, Scope | undefined][] = [
  [
    "a route with a bad host name",
    edit(gatewayRoute, "spec.hostnames", [1]),
    { type: "parents", parentRefs: [{ ...parent, port: 80 }] },
  ],
  [
    "a route of Linkerd's group without rules",
    edit(policyRoute, "spec.rules", "none"),
    { type: "parents", parentRefs: [{ ...parent, port: 80 }] },
  ],
  [
    "a route with a bad port of its parent: all ports",
    edit(gatewayRoute, "spec.parentRefs[0].port", "http"),
    { type: "parents", parentRefs: [{ ...parent, port: undefined }] },
  ],
  [
    "a route without parents",
    edit(gatewayRoute, "spec.parentRefs", undefined),
    { type: "parents", parentRefs: [] },
  ],
  [
    "a route with a nameless parent: anything",
    edit(gatewayRoute, "spec.parentRefs[1]", {}),
    undefined,
  ],
  [
    "a route whose parents are no list: anything",
    edit(gatewayRoute, "spec.parentRefs", "web"),
    undefined,
  ],
  [
    "a policy without authentications",
    edit(authorizationPolicy, "spec.requiredAuthenticationRefs", undefined),
    { type: "target", targetRef: target },
  ],
  [
    "a policy without a target: anything",
    edit(authorizationPolicy, "spec.targetRef", undefined),
    undefined,
  ],
  [
    "a policy with a bad target: anything",
    edit(authorizationPolicy, "spec.targetRef.kind", "Pod"),
    undefined,
  ],
  [
    "a Server with a bad access policy",
    edit(server, "spec.accessPolicy", "open"),
    { ...workloads, port: "http" },
  ],
  [
    "a Server with a bad port: any port",
    edit(server, "spec.port", true),
    { ...workloads, port: undefined },
  ],
  [
    "a Server with a bad label: more pods than meant",
    edit(server, "spec.podSelector.matchLabels.version", 2),
    { ...workloads, port: "http" },
  ],
  [
    "a Server with a bad expression: anything",
    edit(server, "spec.podSelector.matchExpressions", [{ key: "a", operator: "Is" }]),
    undefined,
  ],
  ["a Server without a selector: anything", edit(server, "spec.podSelector", undefined), undefined],
];

for (const [name, manifest, scope] of salvaged) {
  test(`scopeOf() reads ${name}`, (t) => {
    t.deepEqual(scopeOf(manifest), scope);
  });
}

for (const manifest of everyManifest) {
  test(`scopeOf() of a good ${nameOf(manifest)} is the scope it has in force`, (t) => {
    t.deepEqual(scopeOf(manifest), scopeOfResource(parsed(parseResource(manifest))));
  });
}

test("scopeOf() knows nothing of an object that does not say which it is", (t) => {
  t.is(scopeOf(edit(server, "metadata.name", undefined)), undefined);
  t.is(scopeOf(null), undefined);
});
