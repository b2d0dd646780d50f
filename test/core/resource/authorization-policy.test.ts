import test from "ava";
import { parseAuthorizationPolicy } from "../../../src/core/resource/authorization-policy.ts";
import { authorizationPolicy, edit, faultsOf, parsed, type Refusal, titleOf } from "./manifests.ts";

const group = "policy.linkerd.io";

test("parseAuthorizationPolicy() reads references into its own namespace", (t) => {
  const value = parsed(parseAuthorizationPolicy(authorizationPolicy));
  t.deepEqual(value.targetRef, { group, kind: "Server", namespace: "demo", name: "web-http" });
  t.deepEqual(value.requiredAuthenticationRefs, [
    { group, kind: "MeshTLSAuthentication", namespace: "demo", name: "friends" },
  ]);
});

test("parseAuthorizationPolicy() reads authentications of other namespaces", (t) => {
  const refs = [
    { group, kind: "NetworkAuthentication", name: "office", namespace: "net" },
    { kind: "ServiceAccount", name: "client", namespace: "other" },
  ];
  const value = parsed(
    parseAuthorizationPolicy(edit(authorizationPolicy, "spec.requiredAuthenticationRefs", refs)),
  );
  t.deepEqual(value.requiredAuthenticationRefs, [
    { group, kind: "NetworkAuthentication", namespace: "net", name: "office" },
    { group: "", kind: "ServiceAccount", namespace: "other", name: "client" },
  ]);
});

test("parseAuthorizationPolicy() takes an empty list of authentications", (t) => {
  const open = edit(authorizationPolicy, "spec.requiredAuthenticationRefs", []);
  t.deepEqual(parsed(parseAuthorizationPolicy(open)).requiredAuthenticationRefs, []);
});

for (const targetRef of [
  { group, kind: "Server", name: "a" },
  { group, kind: "HTTPRoute", name: "a" },
  { group: "gateway.networking.k8s.io", kind: "HTTPRoute", name: "a" },
  { group: "gateway.networking.k8s.io", kind: "GRPCRoute", name: "a" },
]) {
  test(`parseAuthorizationPolicy() takes ${targetRef.group} ${targetRef.kind} as target`, (t) => {
    const value = parsed(
      parseAuthorizationPolicy(edit(authorizationPolicy, "spec.targetRef", targetRef)),
    );
    t.deepEqual(value.targetRef, { ...targetRef, namespace: "demo" });
  });
}

for (const given of [{}, { group: "" }, { group: "core" }]) {
  test(`parseAuthorizationPolicy() takes its own Namespace as target, group ${JSON.stringify(given)}`, (t) => {
    const targetRef = { ...given, kind: "Namespace", name: "demo" };
    const value = parsed(
      parseAuthorizationPolicy(edit(authorizationPolicy, "spec.targetRef", targetRef)),
    );
    t.deepEqual(value.targetRef, { group: "", kind: "Namespace", namespace: "", name: "demo" });
  });
}

const refs = "spec.requiredAuthenticationRefs";
const mesh = { group, kind: "MeshTLSAuthentication", name: "a" };
const network = { group, kind: "NetworkAuthentication", name: "a" };
const account = { kind: "ServiceAccount", name: "a" };
const token = { group: "weft.dev", kind: "JWTAuthentication", name: "a" };

const refused: readonly Refusal[] = [
  ["spec.targetRef", undefined, "spec.targetRef: is required"],
  ["spec.targetRef.name", undefined, "spec.targetRef.name: is required"],
  ["spec.targetRef.name", "", "spec.targetRef.name: must not be empty"],
  ["spec.targetRef.kind", undefined, "spec.targetRef.kind: is required"],
  [
    "spec.targetRef.kind",
    "Pod",
    'spec.targetRef: must refer to policy.linkerd.io Server, policy.linkerd.io HTTPRoute, gateway.networking.k8s.io HTTPRoute, gateway.networking.k8s.io GRPCRoute or Namespace, is "policy.linkerd.io Pod"',
  ],
  [
    "spec.targetRef",
    { kind: "Namespace", name: "other" },
    'spec.targetRef.name: must be the policy\'s own namespace "demo", is "other"',
  ],
  [refs, undefined, `${refs}: is required`],
  [refs, {}, `${refs}: must be a list, is an object`],
  [
    `${refs}[0].group`,
    "",
    `${refs}[0]: must refer to policy.linkerd.io MeshTLSAuthentication, policy.linkerd.io NetworkAuthentication, ServiceAccount or weft.dev JWTAuthentication, is "MeshTLSAuthentication"`,
  ],
  [`${refs}[0].namespace`, "A", `${refs}[0].namespace: must name a namespace, is "A"`],
];

for (const refusal of refused) {
  const [path, value, fault] = refusal;
  test(`parseAuthorizationPolicy() ${titleOf(refusal)}`, (t) => {
    t.deepEqual(faultsOf(parseAuthorizationPolicy(edit(authorizationPolicy, path, value))), [
      fault,
    ]);
  });
}

test("parseAuthorizationPolicy() takes several authentications of each sort together", (t) => {
  const many = [network, network, account, account, mesh, mesh, token, token];
  const all = edit(authorizationPolicy, refs, many);
  t.is(parsed(parseAuthorizationPolicy(all)).requiredAuthenticationRefs.length, many.length);
});

test("parseAuthorizationPolicy() enforces, audits by annotation, and refuses other words", (t) => {
  const annotated = (word: string) =>
    parseAuthorizationPolicy(
      edit(authorizationPolicy, "metadata.annotations", { "weft.dev/enforcement": word }),
    );
  t.is(parsed(parseAuthorizationPolicy(authorizationPolicy)).enforcement, "enforce");
  t.is(parsed(annotated("enforce")).enforcement, "enforce");
  t.is(parsed(annotated("audit")).enforcement, "audit");
  t.deepEqual(faultsOf(annotated("Audit")), [
    'metadata.annotations["weft.dev/enforcement"]: must be "enforce" or "audit", is "Audit"',
  ]);
});
