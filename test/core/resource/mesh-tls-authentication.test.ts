import test from "ava";
import { parseMeshTlsAuthentication } from "../../../src/core/resource/mesh-tls-authentication.ts";
import {
  edit,
  faultsOf,
  meshTlsAuthentication,
  parsed,
  type Refusal,
  titleOf,
} from "./manifests.ts";

const identity = "web.demo.serviceaccount.identity.linkerd.cluster.local";

for (const [text, pattern] of [
  ["*", { kind: "any" }],
  [identity, { kind: "exact", identity }],
  [`*.${identity}`, { kind: "suffix", suffix: `.${identity}` }],
  [
    "spiffe://root.linkerd.cluster.local/ns/a",
    { kind: "exact", identity: "spiffe://root.linkerd.cluster.local/ns/a" },
  ],
  ["spiffe://domain", { kind: "exact", identity: "spiffe://domain" }],
] as const) {
  test(`parseMeshTlsAuthentication() reads the identity ${text}`, (t) => {
    const value = parsed(
      parseMeshTlsAuthentication(edit(meshTlsAuthentication, "spec.identities", [text])),
    );
    t.deepEqual(value.identities, [pattern]);
    t.deepEqual(value.identityRefs, []);
  });
}

for (const [json, ref] of [
  [
    { kind: "ServiceAccount", name: "web" },
    { group: "", kind: "ServiceAccount", namespace: "demo", name: "web" },
  ],
  [
    { group: "core", kind: "ServiceAccount", namespace: "other" },
    { group: "", kind: "ServiceAccount", namespace: "other", name: "" },
  ],
  [
    { kind: "Namespace", name: "other" },
    { group: "", kind: "Namespace", namespace: "", name: "other" },
  ],
] as const) {
  test(`parseMeshTlsAuthentication() reads the reference ${JSON.stringify(json)}`, (t) => {
    const value = parsed(
      parseMeshTlsAuthentication({ ...meshTlsAuthentication, spec: { identityRefs: [json] } }),
    );
    t.deepEqual(value.identityRefs, [ref]);
    t.deepEqual(value.identities, []);
  });
}

for (const text of [
  "",
  "**",
  "*a",
  "a.*",
  "*.",
  "*.*",
  "A",
  "a..b",
  "spiffe://",
  "spiffe://Domain/a",
  "spiffe://domain/",
  "spiffe://domain/a//b",
  "spiffe://domain/../a",
  "spiffe://domain/a?b",
  `spiffe://domain/${"x".repeat(2048)}`,
  "https://domain/a",
]) {
  test(`parseMeshTlsAuthentication() refuses the identity ${text.slice(0, 40)}`, (t) => {
    const [fault = ""] = faultsOf(
      parseMeshTlsAuthentication(edit(meshTlsAuthentication, "spec.identities", [text])),
    );
    t.true(
      fault.startsWith(
        'spec.identities[0]: must be a DNS name, "*", "*." and a DNS name, or a SPIFFE ID ("spiffe://domain/path"), is "',
      ),
      fault,
    );
  });
}

const one = "spec: must have exactly one of identities and identityRefs";
const refused: readonly Refusal[] = [
  ["spec", undefined, "spec: is required"],
  ["spec", {}, one],
  ["spec.identityRefs", [], one],
  ["spec.identities[0]", 1, "spec.identities[0]: must be text, is 1"],
  [
    "spec",
    { identityRefs: [{ kind: "Pod", name: "a" }] },
    'spec.identityRefs[0].kind: must be "ServiceAccount" or "Namespace", is "Pod"',
  ],
  [
    "spec",
    { identityRefs: [{ group: "apps", kind: "ServiceAccount", name: "a" }] },
    'spec.identityRefs[0].group: must be empty, is "apps"',
  ],
  [
    "spec",
    { identityRefs: [{ kind: "Namespace", name: "a", namespace: "b" }] },
    "spec.identityRefs[0].namespace: must be absent for kind Namespace",
  ],
  ["spec", { identityRefs: [{ kind: "Namespace" }] }, "spec.identityRefs[0].name: is required"],
];

for (const refusal of refused) {
  const [path, value, fault] = refusal;
  test(`parseMeshTlsAuthentication() ${titleOf(refusal)}`, (t) => {
    t.is(faultsOf(parseMeshTlsAuthentication(edit(meshTlsAuthentication, path, value)))[0], fault);
  });
}
