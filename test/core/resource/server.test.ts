import test from "ava";
import { parseServer } from "../../../src/core/resource/server.ts";
import { edit, faultsOf, parsed, type Refusal, server, titleOf } from "./manifests.ts";

test("parseServer() admits nobody and detects the protocol unless told otherwise", (t) => {
  const { meta: _, ...value } = parsed(parseServer(server));
  t.deepEqual(value, {
    kind: "Server",
    group: "policy.linkerd.io",
    selector: {
      workload: "pods",
      labels: { matchLabels: new Map([["app", "web"]]), matchExpressions: [] },
    },
    port: "http",
    proxyProtocol: "unknown",
    accessPolicy: "deny",
  });
});

test("parseServer() reads every field", (t) => {
  const spec = {
    externalWorkloadSelector: {
      matchExpressions: [{ key: "tier", operator: "In", values: ["a", "b"] }],
    },
    port: 8080,
    proxyProtocol: "HTTP/2",
    accessPolicy: "cluster-authenticated",
  };
  const value = parsed(parseServer({ ...server, spec }));
  t.deepEqual(value.selector, {
    workload: "external-workloads",
    labels: {
      matchLabels: new Map(),
      matchExpressions: [{ key: "tier", operator: "In", values: ["a", "b"] }],
    },
  });
  t.is(value.port, 8080);
  t.is(value.proxyProtocol, "HTTP/2");
  t.is(value.accessPolicy, "cluster-authenticated");
});

for (const proxyProtocol of ["unknown", "HTTP/1", "HTTP/2", "gRPC", "opaque", "TLS"]) {
  test(`parseServer() knows the protocol ${proxyProtocol}`, (t) => {
    const value = parsed(parseServer(edit(server, "spec.proxyProtocol", proxyProtocol)));
    t.is(value.proxyProtocol as string, proxyProtocol);
  });
}

for (const accessPolicy of [
  "deny",
  "audit",
  "all-unauthenticated",
  "all-authenticated",
  "cluster-unauthenticated",
  "cluster-authenticated",
]) {
  test(`parseServer() knows the access policy ${accessPolicy}`, (t) => {
    const value = parsed(parseServer(edit(server, "spec.accessPolicy", accessPolicy)));
    t.is(value.accessPolicy as string, accessPolicy);
  });
}

const refused: readonly Refusal[] = [
  ["spec", undefined, "spec: is required"],
  [
    "spec.podSelector",
    undefined,
    "spec: must have exactly one of podSelector and externalWorkloadSelector",
  ],
  [
    "spec.externalWorkloadSelector",
    {},
    "spec: must have exactly one of podSelector and externalWorkloadSelector",
  ],
  ["spec.port", undefined, "spec.port: is required"],
  ["spec.port", 70_000, "spec.port: must be a whole number from 1 to 65535, is 70000"],
  [
    "spec.proxyProtocol",
    "HTTP",
    'spec.proxyProtocol: must be "unknown", "HTTP/1", "HTTP/2", "gRPC", "opaque" or "TLS", is "HTTP"',
  ],
  [
    "spec.accessPolicy",
    "allow",
    'spec.accessPolicy: must be "deny", "audit", "all-unauthenticated", "all-authenticated", "cluster-unauthenticated" or "cluster-authenticated", is "allow"',
  ],
  [
    "spec.podSelector.matchExpressions",
    [{ key: "a", operator: "Is" }],
    'spec.podSelector.matchExpressions[0].operator: must be "In", "NotIn", "Exists" or "DoesNotExist", is "Is"',
  ],
  [
    "spec.podSelector.matchExpressions",
    [{ key: "a", operator: "In" }],
    'spec.podSelector.matchExpressions[0].values: must have at least one entry for operator "In"',
  ],
  [
    "spec.podSelector.matchExpressions",
    [{ key: "a", operator: "Exists", values: ["b"] }],
    'spec.podSelector.matchExpressions[0].values: must be absent for operator "Exists"',
  ],
];

for (const refusal of refused) {
  const [path, value, fault] = refusal;
  test(`parseServer() ${titleOf(refusal)}`, (t) => {
    t.deepEqual(faultsOf(parseServer(edit(server, path, value))), [fault]);
  });
}
