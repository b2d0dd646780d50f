/** What `weft explain --at` says of a request is what the sidecar does with it, and the text of a denial is the same. */
import test from "ava";
import { inboundStages } from "../../src/core/pipeline.ts";
import type { InboundTable } from "../../src/core/table/inbound.ts";
import { explainInbound } from "../../src/explain/explain-inbound.ts";
import type { World } from "../../src/explain/world.ts";
import { EchoOrigin } from "../harness/origin.ts";
import { inboundSnapshot } from "../harness/policies.ts";
import { withPort } from "../harness/port.ts";
import { RawClient, type RawResponse } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";
import { keySet, makeSigner, makeToken } from "../harness/tokens.ts";
import { backend, worldOf } from "./world-in-test.ts";

/** The client of these tests. */
const loopback = "127.0.0.1";

function server(access = "deny"): string {
  return `---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: { name: a-http, namespace: demo }
spec: { podSelector: {}, port: http, proxyProtocol: HTTP/1, accessPolicy: ${access} }
`;
}

function route(name: string, prefix: string, more = ""): string {
  return `---
apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: { name: ${name}, namespace: demo }
spec:
  parentRefs: [{ group: policy.linkerd.io, kind: Server, name: a-http }]
  rules: [{ matches: [{ path: { type: PathPrefix, value: ${prefix} } }]${more} }]
`;
}

function policy(name: string, target: string, refs: string): string {
  return `---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: ${name}, namespace: demo }
spec:
  targetRef: { group: policy.linkerd.io, ${target} }
  requiredAuthenticationRefs: [${refs}]
`;
}

const toServer = "kind: Server, name: a-http";
const redirect =
  ", filters: [{ type: RequestRedirect, requestRedirect: { statusCode: 302, hostname: b.example } }]";

const office = `---
apiVersion: policy.linkerd.io/v1alpha1
kind: NetworkAuthentication
metadata: { name: office, namespace: demo }
spec: { networks: [{ cidr: 192.168.0.0/16 }] }
`;
const local = office.replace("office", "local").replace("192.168.0.0/16", "127.0.0.0/8");
const clients = `---
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: { name: clients, namespace: demo }
spec: { identities: ["*"] }
`;

const signer = makeSigner();
const people = `---
apiVersion: weft.dev/v1alpha1
kind: JWTAuthentication
metadata: { name: people, namespace: demo }
spec: { issuer: us, audiences: [web], keys: { inline: '${keySet(signer)}' } }
`;

const byNetwork = "{ group: policy.linkerd.io, kind: NetworkAuthentication, name: office }";
const byLocal = "{ group: policy.linkerd.io, kind: NetworkAuthentication, name: local }";
const byMesh = "{ group: policy.linkerd.io, kind: MeshTLSAuthentication, name: clients }";
const byToken = "{ group: weft.dev, kind: JWTAuthentication, name: people }";

const worlds: ReadonlyMap<string, string> = new Map([
  ["nobody is authorized", server()],
  [
    "a network and an identity are",
    server() + office + clients + policy("n", toServer, byNetwork) + policy("i", toServer, byMesh),
  ],
  ["a token is", server() + people + policy("t", toServer, byToken)],
  [
    "a token from a network is",
    server() + people + local + policy("t", toServer, `${byLocal}, ${byToken}`),
  ],
  ["an authentication is missing", server() + policy("lost", toServer, byMesh)],
  ["everything is audited", server("audit")],
  [
    "one route of two is open",
    server() +
      route("admin", "/admin") +
      route("open", "/open") +
      policy("open", "kind: HTTPRoute, name: open", ""),
  ],
  [
    "all but one route is open, and one redirects",
    server() +
      office +
      route("admin", "/admin") +
      route("away", "/away", redirect) +
      route("rest", "/") +
      policy("admin", "kind: HTTPRoute, name: admin", byNetwork) +
      policy("away", "kind: HTTPRoute, name: away", "") +
      policy("rest", "kind: HTTPRoute, name: rest", ""),
  ],
  [
    "the limit cannot be read",
    `${server("all-unauthenticated")}---
apiVersion: policy.linkerd.io/v1alpha1
kind: HTTPLocalRateLimitPolicy
metadata: { name: bad, namespace: demo }
spec: { targetRef: { group: policy.linkerd.io, kind: Server, name: a-http }, total: { requestsPerSecond: 0 } }
`,
  ],
]);

const paths = [
  "/",
  "/open",
  "/open/x?q=1",
  "/admin",
  "/open/../admin",
  "//admin",
  "/ADMIN/x",
  "/away",
];

function token(claims: Readonly<Record<string, unknown>>): string {
  const exp = Math.floor(Date.now() / 1_000) + 3_600;
  return makeToken(signer, { iss: "us", aud: "web", exp, ...claims });
}

function headersOf(): readonly (readonly string[])[] {
  return [
    [],
    [`Authorization: Bearer ${token({})}`],
    [`Authorization: Bearer ${token({ aud: "other" })}`],
    ["Authorization: Basic YTpi"],
    [`Authorization: Bearer ${token({})}`, "Authorization: Bearer x.y.z"],
  ];
}

function tableOf({ store, settings }: World): InboundTable {
  const workload = { namespace: "demo", pod: "a-1" };
  const stages = inboundStages(store, settings, { workload, port: 8080 });
  if ("unknown" in stages) throw new Error(stages.unknown);
  return stages.policy.table;
}

function inFrontOf(hostPort: number, table: InboundTable): Promise<ShardInTest> {
  return withPort((own) =>
    ShardInTest.start({
      listeners: [{ kind: "inbound-port", host: loopback, port: own }],
      forwards: [{ port: own, host: loopback, hostPort }],
      snapshots: [inboundSnapshot(own, table)],
    }),
  );
}

type Asked = { readonly path: string; readonly headers: readonly string[] };

function send(client: RawClient, { path, headers }: Asked): Promise<RawResponse> {
  const fields = headers.map((header) => `${header}\r\n`).join("");
  return client.send(`GET ${path} HTTP/1.1\r\nHost: a.demo:8080\r\n${fields}\r\n`).response();
}

function tell(world: World, { path, headers }: Asked): { status: number; reason: string } {
  const told = explainInbound(world, {
    at: "demo/a-1:8080",
    from: "",
    identity: undefined,
    to: "a.demo:8080",
    headers,
    ip: loopback,
    request: [path],
  });
  if (!told.ok) throw new Error(JSON.stringify(told.faults));
  const [fate] = told.value.verdict.fates;
  return { status: fate?.status ?? 200, reason: fate?.kind === "refusal" ? fate.reason : "" };
}

for (const [title, text] of worlds) {
  test(`explainInbound() says what the sidecar answers where ${title}`, async (t) => {
    const world = worldOf(backend("a", { ip: "10.1.0.1", meshed: true }) + text);
    await using origin = await EchoOrigin.start("a");
    await using shard = await inFrontOf(origin.port, tableOf(world));
    using client = await RawClient.open(shard.port());
    for (const headers of headersOf()) {
      for (const path of paths) {
        const asked = { path, headers };
        const { status, headers: answered } = await send(client, asked);
        const { status: told, reason } = tell(world, asked);
        t.is(status, told, JSON.stringify(asked));
        // A 404 does not tell a stranger which routes there are.
        if (status < 400 || status === 404) continue;
        t.is(answered.get("l5d-proxy-error"), reason, JSON.stringify(asked));
      }
    }
  });
}
