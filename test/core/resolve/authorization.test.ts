import test from "ava";
import { resolveAuthorization } from "../../../src/core/resolve/authorization.ts";
import { resolveInbound } from "../../../src/core/resolve/inbound.ts";
import { describeFaults } from "../../../src/core/std/result.ts";
import { admitsText } from "./summary.ts";
import { readBrokenStore, settings } from "./world.ts";

const authentications = `---
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: { name: any, namespace: demo }
spec: { identities: ["*"] }
---
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: { name: some, namespace: demo }
spec: { identities: ["web.demo.example", "*.prod.example", "spiffe://example.org/web"] }
---
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: { name: accounts, namespace: demo }
spec:
  identityRefs:
    - { kind: ServiceAccount, name: web }
    - { kind: ServiceAccount, name: web, namespace: prod }
    - { kind: Namespace, name: staging }
---
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: { name: elsewhere, namespace: prod }
spec: { identities: ["web.prod.example"] }
---
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: { name: broken, namespace: demo }
spec: { identities: ["not a name!"] }
---
apiVersion: policy.linkerd.io/v1alpha1
kind: NetworkAuthentication
metadata: { name: office, namespace: demo }
spec: { networks: [{ cidr: 192.0.2.0/24, except: [192.0.2.7/32] }, { cidr: "2001:db8::/32" }] }
`;

function policy(refs: string): string {
  return `---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: p, namespace: demo }
spec:
  targetRef: { group: policy.linkerd.io, kind: Server, name: s }
  requiredAuthenticationRefs: [${refs}]
`;
}

const webPort = `---
apiVersion: v1
kind: Pod
metadata: { name: web-1, namespace: demo }
spec: { containers: [{ name: app }] }
---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: s, namespace: demo }
spec: { podSelector: {}, port: 8080 }
`;

const mesh = (name: string, more = ""): string =>
  `{ group: policy.linkerd.io, kind: MeshTLSAuthentication, name: ${name}${more} }`;
const office = "{ group: policy.linkerd.io, kind: NetworkAuthentication, name: office }";
const everywhere = "0.0.0.0/0 ::/0";
const inOffice = "192.0.2.0/24!192.0.2.7/32 2001:db8::/32";
const domain = "serviceaccount.identity.weft.cluster.local";

/** What the policy admits, or why it admits nobody; in the policy of the port the latter has no trace. */
const admission = test.macro({
  exec: (t, refs: string, expected: string) => {
    const store = readBrokenStore(webPort, authentications, policy(refs));
    const [found] = [...store.authorizationPolicies.values()].flat();
    if (found === undefined) throw new Error("the policy cannot be read");
    const resolved = resolveAuthorization(store, settings, found);
    t.is(
      resolved.ok
        ? admitsText(resolved.value).replace(/^.* admits /, "")
        : describeFaults(resolved.faults),
      expected,
    );
    const port = resolveInbound(store, settings, { namespace: "demo", pod: "web-1" }, 8080);
    const inForce = "policy" in port ? port.policy.authorizations : [];
    t.deepEqual(inForce, resolved.ok ? [resolved.value] : []);
  },
  title: (given) => `resolveAuthorization() ${given}`,
});

test("asks nothing without references", admission, "", `unauthenticated from ${everywhere}`);
test(
  "admits any identity by *",
  admission,
  mesh("any"),
  `identities * from ${everywhere}`.replace("identities ", ""),
);
test(
  "admits names, endings and SPIFFE ids",
  admission,
  mesh("some"),
  `web.demo.example spiffe://example.org/web *.prod.example from ${everywhere}`,
);
test(
  "admits service accounts, and namespaces as the ending of their names",
  admission,
  mesh("accounts"),
  `web.demo.${domain} web.prod.${domain} *.staging.${domain} from ${everywhere}`,
);
test(
  "admits a service account by itself",
  admission,
  "{ kind: ServiceAccount, name: web, namespace: prod }",
  `web.prod.${domain} from ${everywhere}`,
);
test(
  "reads authentications of another namespace",
  admission,
  mesh("elsewhere", ", namespace: prod"),
  `web.prod.example from ${everywhere}`,
);
test(
  "admits networks without their exceptions",
  admission,
  office,
  `unauthenticated from ${inOffice}`,
);
test(
  "asks for identity and network at once",
  admission,
  `${mesh("any")}, ${office}`,
  `* from ${inOffice}`,
);
test(
  "admits nobody when an authentication is missing",
  admission,
  mesh("gone"),
  "MeshTLSAuthentication demo/gone does not exist",
);
test(
  "admits nobody when one of two authentications is missing",
  admission,
  `${office}, ${mesh("gone")}`,
  "MeshTLSAuthentication demo/gone does not exist",
);
test(
  "admits nobody when a network authentication is missing",
  admission,
  office.replace("office", "gone"),
  "NetworkAuthentication demo/gone does not exist",
);
test(
  "admits nobody when an authentication cannot be read",
  admission,
  mesh("broken"),
  "MeshTLSAuthentication demo/broken cannot be read",
);

test("accessAuthorizations() admits nobody from the cluster when it has no networks", (t) => {
  const store = readBrokenStore(
    webPort.replace("port: 8080", "port: 8080, accessPolicy: cluster-unauthenticated"),
  );
  const workload = { namespace: "demo", pod: "web-1" };
  const resolution = resolveInbound(store, { ...settings, clusterNetworks: [] }, workload, 8080);
  t.like(resolution, { policy: { authorizations: [] } });
});
