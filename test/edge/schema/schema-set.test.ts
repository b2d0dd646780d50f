import test from "ava";
import fc from "fast-check";
import { maxFaultsPerObject, type SchemaFault } from "../../../src/edge/schema/schema-set.ts";
import {
  authorizationPolicy,
  edit,
  endpointSlice,
  everyManifest,
  gatewayRoute,
  type Manifest,
  nameOf,
  namespace,
  pod,
  policyRoute,
  server,
  service,
} from "../../core/resource/manifests.ts";
import { definitionSchemas } from "./definitions-folder.ts";

const schemas = definitionSchemas();

function texts(faults: readonly SchemaFault[]): readonly string[] {
  return faults.map(({ path, reason, severity }) => `${severity} ${path}: ${reason}`);
}

for (const manifest of everyManifest) {
  test(`check() finds nothing wrong with a good ${nameOf(manifest)}`, (t) => {
    t.deepEqual(schemas.check(manifest), []);
  });
}

test("check() takes what the API server and its tools add to every object", (t) => {
  const metadata = {
    name: "a",
    creationTimestamp: null,
    labels: null,
    uid: "x",
    resourceVersion: "7",
    managedFields: [{ manager: "kubectl", fieldsV1: { "f:spec": {} } }],
    ownerReferences: [{ kind: "Deployment", name: "a" }],
  };
  t.deepEqual(schemas.check({ ...server, metadata }), []);
  t.deepEqual(schemas.check({ ...pod, metadata }), []);
});

test("check() lets fields through that the mesh does not read, in kinds that are not its own", (t) => {
  t.deepEqual(schemas.check(edit(pod, "spec.containers[0].image", "web:1")), []);
  t.deepEqual(schemas.check(edit(service, "spec.ports[0].nodePort", 30_000)), []);
  t.deepEqual(schemas.check(edit(endpointSlice, "endpoints[0].deprecatedTopology", {})), []);
  t.deepEqual(schemas.check(edit(namespace, "spec.finalizers", ["kubernetes"])), []);
});

const rule = "spec.rules[0]";
const refused: readonly [Manifest, string, unknown, readonly string[]][] = [
  [
    server,
    "spec.proxyprotocol",
    "gRPC",
    ['refused spec.proxyprotocol: is not a known field: did you mean "proxyProtocol"?'],
  ],
  [server, "spek", {}, ['refused spek: is not a known field: did you mean "spec"?']],
  [
    server,
    "spec.tls",
    true,
    [
      "refused spec.tls: is not a known field: known are podSelector, externalWorkloadSelector, port, proxyProtocol, accessPolicy",
    ],
  ],
  [
    server,
    "metadata.label",
    { a: "b" },
    ['refused metadata.label: is not a known field: did you mean "labels"?'],
  ],
  [
    server,
    'metadata.annotations["a.b/c"]',
    25,
    ['refused metadata.annotations["a.b/c"]: must be text, is 25: put it in quotes ("25")'],
  ],
  [
    server,
    "metadata.name",
    "Web",
    [
      'refused metadata.name: must be a DNS name (RFC 1123: a-z, 0-9, - and ., at most 253 characters), is "Web"',
    ],
  ],
  [
    server,
    "metadata.namespace",
    "a.b",
    [
      'refused metadata.namespace: must be a DNS label (RFC 1123: a-z, 0-9 and -, at most 63 characters), is "a.b"',
    ],
  ],
  [
    server,
    "metadata",
    undefined,
    ["refused metadata: is required", "refused metadata.name: is required"],
  ],
  [
    server,
    "spec",
    null,
    ["refused spec: must be an object, is null: give it a value or remove the field"],
  ],
  [
    server,
    "spec.accessPolicy",
    "Deny",
    [
      'refused spec.accessPolicy: must be "deny", "audit", "all-unauthenticated", "all-authenticated", "cluster-unauthenticated" or "cluster-authenticated", is "Deny": did you mean "deny"?',
    ],
  ],
  [
    server,
    "spec.port",
    true,
    ['refused spec.port: must be a whole number or text, is true: put it in quotes ("true")'],
  ],
  [
    server,
    "spec.podSelector",
    undefined,
    ["refused spec: must have exactly one of podSelector and externalWorkloadSelector"],
  ],
  [
    gatewayRoute,
    `${rule}.matches[0].headers`,
    [{ value: "a" }, { value: "b" }],
    [
      `refused ${rule}.matches[0].headers[0].name: is required`,
      `refused ${rule}.matches[0].headers[1].name: is required`,
    ],
  ],
  [
    authorizationPolicy,
    "spec.requiredAuthenticationRefs",
    undefined,
    ["refused spec.requiredAuthenticationRefs: is required"],
  ],
  [
    gatewayRoute,
    `${rule}.matches[0].queryParams[0]`,
    { name: "a", value: 2 },
    [`refused ${rule}.matches[0].queryParams[0].value: must be text, is 2: put it in quotes ("2")`],
  ],
  [
    gatewayRoute,
    `${rule}.matches[0].backendRefs`,
    [],
    [
      `refused ${rule}.matches[0].backendRefs: is not a known field here, it is one of "${rule}": check the indentation`,
    ],
  ],
  [
    gatewayRoute,
    `${rule}.parentRefs`,
    [],
    [
      `refused ${rule}.parentRefs: is not a known field here, it is one of "spec": check the indentation`,
    ],
  ],
  [
    gatewayRoute,
    `${rule}.metadata`,
    {},
    [
      `refused ${rule}.metadata: is not a known field here, it is one of the object itself: check the indentation`,
    ],
  ],
  [
    gatewayRoute,
    `${rule}.backendRefs[0].port`,
    "80",
    [`refused ${rule}.backendRefs[0].port: must be a whole number, is "80": remove the quotes`],
  ],
  [
    gatewayRoute,
    `${rule}.timeouts.request`,
    "1.5s",
    [
      `refused ${rule}.timeouts.request: must be a duration like "500ms", "10s" or "1h30m" (GEP-2257: whole numbers with h, m, s or ms), is "1.5s"`,
    ],
  ],
  [
    policyRoute,
    `${rule}.retry`,
    {},
    [
      `refused ${rule}.retry: is not a known field: known are matches, filters, backendRefs, timeouts`,
    ],
  ],
  [
    pod,
    "spec.containers[0].ports[0].containerPort",
    0,
    ["refused spec.containers[0].ports[0].containerPort: must be at least 1, is 0"],
  ],
  [service, "spec.ports[0].port", undefined, ["refused spec.ports[0].port: is required"]],
  [
    service,
    "spec.type",
    "clusterIP",
    [
      'refused spec.type: must be "ClusterIP", "NodePort", "LoadBalancer" or "ExternalName", is "clusterIP": did you mean "ClusterIP"?',
    ],
  ],
  [
    endpointSlice,
    "endpoints[0].addresses",
    [],
    ["refused endpoints[0].addresses: must have at least one entry"],
  ],
  [
    namespace,
    "metadata.namespace",
    "demo",
    ["refused metadata.namespace: must be absent: objects of this kind lie in no namespace"],
  ],
];

for (const [manifest, path, value, expected] of refused) {
  const shown = value === undefined ? "absent" : JSON.stringify(value);
  test(`check() refuses ${String(manifest["kind"])} with ${path} ${shown}`, (t) => {
    t.deepEqual(texts(schemas.check(edit(manifest, path, value))), expected);
  });
}

test("check() reports every fault of an object", (t) => {
  const spoilt = edit(edit(edit(server, "spec.port", 1.5), "spec.x", 1), "metadata.name", "_");
  t.is(schemas.check(spoilt).length, 3);
});

test("check() finds a key that would hide in an ordinary object", (t) => {
  const json: unknown = JSON.parse(
    JSON.stringify(server).replace('"port"', '"__proto__":{},"port"'),
  );
  const known = "podSelector, externalWorkloadSelector, port, proxyProtocol, accessPolicy";
  t.deepEqual(texts(schemas.check(json)), [
    `refused spec.__proto__: is not a known field: known are ${known}`,
  ]);
});

test("check() warns of a version that is deprecated, and still checks it", (t) => {
  const old = edit(
    edit(server, "apiVersion", "policy.linkerd.io/v1beta1"),
    "spec.accessPolicy",
    "deny",
  );
  t.deepEqual(texts(schemas.check(old)), [
    "refused spec.accessPolicy: is not a known field: known are podSelector, port, proxyProtocol",
    "warning apiVersion: policy.linkerd.io/v1beta1 Server is deprecated: use policy.linkerd.io/v1beta3",
  ]);
});

const kinds =
  "Backend, DirectResponse, GRPCRoute, HTTPRoute, TCPRoute, TLSRoute, XBackendTrafficPolicy, ServiceProfile, AuthorizationPolicy, EgressNetwork, HTTPLocalRateLimitPolicy, MeshTLSAuthentication, NetworkAuthentication, ServerAuthorization, Server, HTTPFault, JWTAuthentication, Namespace, Pod, Service, Secret, EndpointSlice";

for (const [apiVersion, kind, expected] of [
  [
    "apps/v1",
    "Deployment",
    `ignored : kind "Deployment" of "apps/v1" is not known to Weft, which knows ${kinds}`,
  ],
  [
    "serving.knative.dev/v1",
    "Service",
    `ignored : kind "Service" of "serving.knative.dev/v1" is not known to Weft, which knows ${kinds}`,
  ],
  [
    "policy.linkerd.io/v1beta3",
    "Sever",
    'refused : kind "Sever" of "policy.linkerd.io/v1beta3" is not known to Weft: did you mean "Server"?',
  ],
  [
    "policy.linkerd.io/v1alpha1",
    "MeshTlsAuthentication",
    'refused : kind "MeshTlsAuthentication" of "policy.linkerd.io/v1alpha1" is not known to Weft: did you mean "MeshTLSAuthentication"?',
  ],
  [
    "policy.linkerd.io/v9",
    "NetworkAuthentication",
    "refused apiVersion: is a version of NetworkAuthentication that is not known to Weft: use one of policy.linkerd.io/v1alpha1",
  ],
  [
    "gateway.networking.k8s.io/v1alpha2",
    "HTTPRoute",
    "refused apiVersion: is a version of HTTPRoute that is not known to Weft: use one of gateway.networking.k8s.io/v1beta1, gateway.networking.k8s.io/v1",
  ],
] as const) {
  test(`check() answers for ${apiVersion} ${kind}`, (t) => {
    t.deepEqual(texts(schemas.check({ apiVersion, kind, metadata: { name: "a" } })), [expected]);
  });
}

for (const [json, expected] of [
  [null, ["refused apiVersion: is required", "refused kind: is required"]],
  ["text", ['refused : must be an object, is "text"']],
  [{ kind: "Server" }, ["refused apiVersion: is required"]],
  [{ apiVersion: 1, kind: "Server" }, ["refused apiVersion: must be text, is 1"]],
] as const) {
  test(`check() answers for ${JSON.stringify(json)}`, (t) => {
    t.deepEqual(texts(schemas.check(json)), expected);
  });
}

test("check() stops counting when an object is all faults", (t) => {
  const items = Array.from({ length: 1000 }, () => 1);
  const faults = schemas.check(edit(gatewayRoute, "spec.hostnames", items));
  t.is(faults.length, maxFaultsPerObject + 1);
  t.is(faults.at(-1)?.reason, "has about 951 more faults");
});

test("check() answers for any JSON in place of any part of any object", (t) => {
  const parts = ["metadata", "spec", "status", "endpoints", "ports", "apiVersion", "kind"];
  fc.assert(
    fc.property(
      fc.constantFrom(...everyManifest),
      fc.constantFrom(...parts),
      fc.jsonValue({ maxDepth: 4 }),
      (manifest, path, json) => {
        t.true(Array.isArray(schemas.check(edit(manifest, path, json))));
      },
    ),
  );
});

test("the set lists what it knows", (t) => {
  t.true(schemas.known.includes("policy.linkerd.io/v1beta3 Server"));
  t.true(schemas.known.includes("v1 Pod"));
  t.is(schemas.known.length, 35);
});

test("check() leaves Linkerd's group the names and values that Gateway API forbids", (t) => {
  const match = {
    headers: [{ name: "x-a", value: "two  blanks" }],
    queryParams: [{ name: "list[0]", value: "é" }],
  };
  t.deepEqual(schemas.check(edit(policyRoute, `${rule}.matches`, [match])), []);
  t.deepEqual(
    schemas.check(edit(gatewayRoute, `${rule}.matches`, [match])).map(({ path }) => path),
    [`${rule}.matches[0].headers[0].value`, `${rule}.matches[0].queryParams[0].name`],
  );
});
