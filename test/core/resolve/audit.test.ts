/** When a Server all of whose readable policies are in audit mode is open, and when it is not. */
import test from "ava";
import { resolveInbound } from "../../../src/core/resolve/inbound.ts";
import { buildStore } from "../../../src/core/resolve/store.ts";
import { readContent, settings } from "./world.ts";

const world = `---
apiVersion: v1
kind: Pod
metadata: { name: web-1, namespace: demo }
spec: { containers: [{ name: app, ports: [{ containerPort: 8080 }] }] }
---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: web, namespace: demo }
spec: { podSelector: {}, port: 8080 }
`;

function policy(
  name: string,
  more: { target?: string; word?: string; namespace?: string },
): string {
  const {
    target = "{ group: policy.linkerd.io, kind: Server, name: web }",
    word,
    namespace = "demo",
  } = more;
  const annotations = word === undefined ? "" : `, annotations: { weft.dev/enforcement: ${word} }`;
  return `---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: ${name}, namespace: ${namespace}${annotations} }
spec:
  targetRef: ${target}
  requiredAuthenticationRefs: [{ group: policy.linkerd.io, kind: MeshTLSAuthentication, name: absent }]
`;
}

const audited = policy("audited", { word: "audit" });
const ofNamespace = "{ kind: Namespace, name: demo }";
const ofOther = "{ group: policy.linkerd.io, kind: Server, name: other }";

function isOpen(texts: readonly string[], unreadableAtStart: boolean): boolean {
  const store = buildStore({ ...readContent(world, ...texts), unreadableAtStart });
  const found = resolveInbound(store, settings, { namespace: "demo", pod: "web-1" }, 8080);
  if (!("policy" in found)) throw new Error(found.unknown);
  return found.policy.authorizations.some(
    ({ meta }) => meta.type === "default" && meta.name === "audit",
  );
}

for (const [title, texts, expected, unreadableAtStart = false] of [
  ["is open with a policy in audit mode, though it would admit nobody", [audited], true],
  [
    "is open with one for its namespace",
    [policy("n", { target: ofNamespace, word: "audit" })],
    true,
  ],
  ["is closed without any policy", [], false],
  ["is closed by an enforced policy that admits nobody", [audited, policy("e", {})], false],
  [
    "is closed by an enforced policy of its namespace",
    [audited, policy("e", { target: ofNamespace })],
    false,
  ],
  [
    "is not closed by a policy of another Server",
    [audited, policy("e", { target: ofOther })],
    true,
  ],
  [
    "is closed by a policy with a word that nobody knows",
    [audited, policy("e", { word: "Audit" })],
    false,
  ],
  [
    "is not closed by such a policy of another Server",
    [audited, policy("e", { target: ofOther, word: "Audit" })],
    true,
  ],
  [
    "is not closed by such a policy of another namespace",
    [audited, policy("e", { word: "Audit", namespace: "other" })],
    true,
  ],
  [
    "is closed by a policy of which nobody knows what it is for",
    [audited, policy("e", { target: "{}" })],
    false,
  ],
  ["is closed while a document cannot be read", [audited], false, true],
  [
    "is closed by a ServerAuthorization that cannot be read",
    [
      audited,
      "---\napiVersion: policy.linkerd.io/v1beta1\nkind: ServerAuthorization\nmetadata: { name: a, namespace: demo }\nspec: {}\n",
    ],
    false,
  ],
] as const) {
  test(`a Server ${title}`, (t) => {
    t.is(isOpen(texts, unreadableAtStart), expected);
  });
}
