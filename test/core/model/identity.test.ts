import test from "ava";
import fc from "fast-check";
import {
  identityName,
  parseIdentityName,
  parseServiceAccountUsername,
} from "../../../src/core/model/identity.ts";
import { isDnsName } from "../../../src/core/std/dns-name.ts";

const frontend = {
  serviceAccount: "frontend",
  namespace: "mesh",
  controlNamespace: "weft",
  trustDomain: "cluster.local",
};
const frontendName = "frontend.mesh.serviceaccount.identity.weft.cluster.local";

test("identityName() writes the parts in the order of the contract", (t) => {
  t.is(identityName(frontend), frontendName);
});

test("parseIdentityName() reads what identityName() writes", (t) => {
  const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
  const trustDomain = fc
    .array(label, { minLength: 1, maxLength: 4 })
    .map((labels) => labels.join("."));
  const identities = fc.record({
    serviceAccount: label,
    namespace: label,
    controlNamespace: label,
    trustDomain,
  });
  fc.assert(
    fc.property(identities, (identity) => {
      const name = identityName(identity);
      fc.pre(isDnsName(name));
      t.deepEqual(parseIdentityName(name), { ok: true, value: identity });
    }),
  );
});

for (const name of [
  "",
  "frontend",
  "frontend.mesh.serviceaccount.identity.weft",
  "frontend.mesh.user.identity.weft.cluster.local",
  "frontend.mesh.serviceaccount.other.weft.cluster.local",
  "a.b.mesh.serviceaccount.identity.weft.cluster.local",
  "*.mesh.serviceaccount.identity.weft.cluster.local",
  "Frontend.mesh.serviceaccount.identity.weft.cluster.local",
  `${frontendName}.`,
  `${frontendName}\n`,
  `frontend.mesh.serviceaccount.identity.weft.${"x.".repeat(120)}local`,
]) {
  test(`parseIdentityName() refuses ${JSON.stringify(name.slice(0, 60))}`, (t) => {
    t.false(parseIdentityName(name).ok);
  });
}

test("parseServiceAccountUsername() reads namespace and account", (t) => {
  t.deepEqual(parseServiceAccountUsername("system:serviceaccount:mesh:frontend"), {
    ok: true,
    value: { serviceAccount: "frontend", namespace: "mesh" },
  });
});

for (const username of [
  "",
  "frontend",
  "system:serviceaccount:mesh",
  "system:serviceaccount:mesh:frontend:more",
  "system:serviceaccount::frontend",
  "system:serviceaccount:mesh:",
  "system:serviceaccount:mesh:a.b",
  "system:serviceaccount:a.b:frontend",
  "system:serviceaccount:Mesh:frontend",
  "system:serviceaccount:mesh:frontend\n",
  "system:node:mesh:frontend",
  "user:serviceaccount:mesh:frontend",
  `system:serviceaccount:mesh:${"x".repeat(64)}`,
]) {
  test(`parseServiceAccountUsername() refuses ${JSON.stringify(username.slice(0, 60))}`, (t) => {
    t.false(parseServiceAccountUsername(username).ok);
  });
}
