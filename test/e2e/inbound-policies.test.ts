/** Audit, tokens and rate limits with real processes: from a dropped file to the answer of a sidecar with two workers. */
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import test from "ava";
import { keySet, makeSigner, makeToken } from "../harness/tokens.ts";
import { adminUrl, eventually, getText, run, startTestMesh, type TestMesh } from "./test-mesh.ts";

// One mesh for the file: each test builds on the policies of the one before.
let mesh: TestMesh;
const teardowns: (() => unknown)[] = [];
test.after.always(async () => {
  for (const end of teardowns.toReversed()) await end();
});

const signer = makeSigner();
const url = "http://backend-a.demo:8080/env";

function put(name: string, ...documents: readonly object[]): void {
  const text = documents.map((document) => `---\n${JSON.stringify(document)}\n`).join("");
  writeFileSync(path.join(mesh.mesh.policyFolder, name), text);
}

function object(kind: string, name: string, spec: object, annotations: object = {}): object {
  const apiVersion = apiVersions[kind];
  return { apiVersion, kind, metadata: { name, namespace: "demo", annotations }, spec };
}

const apiVersions: Readonly<Record<string, string>> = {
  Server: "policy.linkerd.io/v1beta3",
  AuthorizationPolicy: "policy.linkerd.io/v1alpha1",
  HTTPLocalRateLimitPolicy: "policy.linkerd.io/v1alpha1",
  JWTAuthentication: "weft.dev/v1alpha1",
};

const server = object("Server", "backend-a", {
  podSelector: { matchExpressions: [{ key: "app", operator: "In", values: ["backend-a"] }] },
  port: "http",
});
const targetRef = { group: "policy.linkerd.io", kind: "Server", name: "backend-a" };

async function ask(...more: readonly string[]): Promise<string> {
  const through = `http://${mesh.ip("frontend")}:4140`;
  return (await run("curl", ["-s", "-i", "--max-time", "5", "-x", through, ...more, url])).out;
}

/** What the product promises for a change of policy is a second; a busy machine gets more time. */
const promptMs = 10_000;

test.serial("a mesh starts", async (t) => {
  mesh = await startTestMesh({ ...t, teardown: (end) => teardowns.push(end) } as typeof t, {
    workers: 2,
  });
  t.regex(await ask(), /^HTTP\/1\.1 200/);
});

test.serial("a policy in audit mode denies nobody and counts whom it would deny", async (t) => {
  const requiredAuthenticationRefs = [{ kind: "ServiceAccount", name: "backend-b" }];
  put(
    "audit.yaml",
    server,
    object(
      "AuthorizationPolicy",
      "tried",
      { targetRef, requiredAuthenticationRefs },
      { "weft.dev/enforcement": "audit" },
    ),
  );
  const page = adminUrl(mesh.ip("backend-a"), "metrics");
  await eventually(
    async () => {
      t.regex(await ask(), /^HTTP\/1\.1 200/);
      return getText(page);
    },
    (text) => /^inbound_http_authz_audit_total\{.*srv_name="backend-a".*\} [1-9]/m.test(text),
    promptMs,
  );
});

test.serial("the same policy enforced denies, and says why", async (t) => {
  const requiredAuthenticationRefs = [{ kind: "ServiceAccount", name: "backend-b" }];
  put(
    "audit.yaml",
    server,
    object("AuthorizationPolicy", "tried", { targetRef, requiredAuthenticationRefs }),
  );
  const { value } = await eventually(
    () => ask(),
    (out) => out.startsWith("HTTP/1.1 403"),
    promptMs,
  );
  t.regex(value, /is not among the identities of AuthorizationPolicy demo\/tried/);
});

test.serial("a token by the keys of a URL admits beside an identity", async (t) => {
  const keys = createServer((_request, response) => response.end(keySet(signer)));
  keys.listen(0, "127.0.0.1");
  await once(keys, "listening");
  teardowns.push(() => {
    keys.close();
    keys.closeAllConnections();
  });
  const { port } = keys.address() as AddressInfo;
  const requiredAuthenticationRefs = [
    { kind: "ServiceAccount", name: "frontend" },
    { group: "weft.dev", kind: "JWTAuthentication", name: "people" },
  ];
  put(
    "audit.yaml",
    server,
    object("AuthorizationPolicy", "tried", { targetRef, requiredAuthenticationRefs }),
    object("JWTAuthentication", "people", {
      issuer: "login",
      audiences: ["backend"],
      keys: { url: `http://127.0.0.1:${port}/keys` },
    }),
  );
  const exp = Math.floor(Date.now() / 1_000) + 600;
  const token = makeToken(signer, { iss: "login", aud: "backend", exp });
  await eventually(
    () => ask("-H", `Authorization: Bearer ${token}`),
    (out) => out.startsWith("HTTP/1.1 200"),
    promptMs,
  );
  const denied = await ask();
  t.regex(denied, /^HTTP\/1\.1 403/);
  t.regex(denied, /requires a token of JWTAuthentication demo\/people \(no token was sent\)/);
  const stranger = makeToken(makeSigner(), { iss: "login", aud: "backend", exp });
  const forged = await ask("-H", `Authorization: Bearer ${stranger}`);
  t.regex(forged, /\(the signature of the token does not hold\)/);
});

test.serial("a rate limit holds across the workers, and says when to come again", async (t) => {
  put(
    "audit.yaml",
    server,
    object("AuthorizationPolicy", "tried", { targetRef, requiredAuthenticationRefs: [] }),
    object("HTTPLocalRateLimitPolicy", "limit", { targetRef, total: { requestsPerSecond: 1 } }),
  );
  const { value } = await eventually(
    () => ask(),
    (out) => out.startsWith("HTTP/1.1 429"),
    promptMs,
  );
  t.regex(value, /\r\nretry-after: 1\r\n/);
  t.regex(value, /total rate limit exceeded: 1rps/);
  const startMs = performance.now();
  const answers = await Promise.all(Array.from({ length: 24 }, () => ask()));
  const seconds = (performance.now() - startMs) / 1_000;
  const passed = answers.filter((out) => out.startsWith("HTTP/1.1 200")).length;
  t.true(passed <= 2 + seconds, `${passed} in ${seconds} s`);
});

test.serial("a rate limit that is edited into a bad one does not vanish", async (t) => {
  const open = object("AuthorizationPolicy", "tried", {
    targetRef,
    requiredAuthenticationRefs: [],
  });
  const bad = { targetRef, total: { requestsPerSecond: 0 } };
  put("audit.yaml", server, open, object("HTTPLocalRateLimitPolicy", "limit", bad));
  const is = (status: number) => (out: string) => out.startsWith(`HTTP/1.1 ${status}`);
  const refused = await eventually(() => ask(), is(500), promptMs);
  t.regex(refused.value, /HTTPLocalRateLimitPolicy demo\/limit cannot be read/);
  put("audit.yaml", server, open);
  t.true(is(200)((await eventually(() => ask(), is(200), promptMs)).value));
});
