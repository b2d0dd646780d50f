/**
 * Random worlds of inbound policy, in the words of their manifests: one pod, the Servers that may speak for its ports, and whatever may admit a client. From
 * alphabets so small that policies meet, references dangle and requests come near.
 */
import fc from "fast-check";

export type Selector = {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
    readonly values?: readonly string[];
  }[];
};

export type NetworkText = { readonly cidr: string; readonly except: readonly string[] };
export type AccountText = { readonly name: string; readonly namespace: string };
export type RefText = { readonly kind: string; readonly name: string; readonly namespace?: string };

export type ServerText = {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAt: string;
  readonly selector: Selector;
  readonly port: number | string;
  readonly accessPolicy: string | undefined;
};

export type PolicyText = {
  readonly target: { readonly kind: "Server" | "Namespace" | "HTTPRoute"; readonly name: string };
  readonly refs: readonly RefText[];
  readonly audit: boolean;
};

export type ServerAuthorizationText = {
  readonly server: { readonly name: string } | { readonly selector: Selector };
  readonly networks: readonly NetworkText[];
  readonly clients:
    | { readonly unauthenticated: true }
    | { readonly unauthenticatedTLS: true }
    | { readonly identities: readonly string[]; readonly serviceAccounts: readonly AccountText[] };
};

export type RouteText = {
  readonly name: string;
  readonly server: string;
  readonly type: "Exact" | "PathPrefix";
  readonly path: string;
};

export type World = {
  readonly podLabels: Readonly<Record<string, string>>;
  readonly podDefault: string | undefined;
  readonly namespaceDefault: string | undefined;
  readonly probe: { readonly path: string; readonly port: number | string } | undefined;
  readonly servers: readonly ServerText[];
  readonly meshes: Readonly<Record<string, readonly string[]>>;
  readonly accounts: Readonly<Record<string, readonly RefText[]>>;
  readonly networks: Readonly<Record<string, readonly NetworkText[]>>;
  readonly policies: readonly PolicyText[];
  readonly serverAuthorizations: readonly ServerAuthorizationText[];
  readonly routes: readonly RouteText[];
};

export type InboundRequest = {
  readonly port: number;
  readonly ip: string;
  /** Undefined: no mutual TLS. Empty: without a client certificate. */
  readonly identity: string | undefined;
  readonly tokens: readonly string[];
  readonly method: string;
  readonly path: string;
};

/** The ports of the pod's container, with their names. */
export const ports: Readonly<Record<string, number>> = { http: 8080, admin: 9090 };

export const identityEnd = "serviceaccount.identity.weft.cluster.local";

const accessPolicy = fc.constantFrom(
  "deny",
  "audit",
  "all-unauthenticated",
  "all-authenticated",
  "cluster-unauthenticated",
  "cluster-authenticated",
);
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(value, { nil: undefined });

const labels: fc.Arbitrary<Readonly<Record<string, string>>> = fc.record(
  { app: fc.constantFrom("web", "api"), tier: fc.constantFrom("front", "back") },
  { requiredKeys: [] },
);

const selector: fc.Arbitrary<Selector> = fc.oneof(
  { arbitrary: labels.map((matchLabels) => ({ matchLabels })), weight: 3 },
  fc
    .record({
      key: fc.constantFrom("app", "tier"),
      operator: fc.constantFrom("In" as const, "NotIn" as const),
      values: fc.subarray(["web", "front"], { minLength: 1 }),
    })
    .map((one) => ({ matchExpressions: [one] })),
  fc
    .record({
      key: fc.constantFrom("app", "tier"),
      operator: fc.constantFrom("Exists" as const, "DoesNotExist" as const),
    })
    .map((one) => ({ matchExpressions: [one] })),
);

const network: fc.Arbitrary<NetworkText> = fc.constantFrom(
  { cidr: "10.0.0.0/8", except: [] },
  { cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] },
  { cidr: "10.1.0.0/16", except: ["10.1.2.0/24", "10.1.3.3/32"] },
  { cidr: "10.1.2.0/24", except: [] },
  { cidr: "192.0.2.7", except: [] },
  { cidr: "0.0.0.0/0", except: ["10.0.0.0/8"] },
  { cidr: "0.0.0.0/0", except: [] },
  { cidr: "fd00::/8", except: ["fd00:1::/32"] },
  { cidr: "::/0", except: [] },
);
const networks = fc.array(network, { minLength: 1, maxLength: 3 });

const identity = fc.constantFrom(
  "*",
  "*.prod.example",
  "*.example",
  "a.prod.example",
  "b.example",
  "spiffe://example.org/a",
  `*.demo.${identityEnd}`,
);
const identities = fc.array(identity, { minLength: 1, maxLength: 2 });
const account: fc.Arbitrary<AccountText> = fc.record({
  name: fc.constantFrom("web", "api"),
  namespace: fc.constantFrom("demo", "tools"),
});

const ref: fc.Arbitrary<RefText> = fc.oneof(
  fc.record({
    kind: fc.constant("MeshTLSAuthentication"),
    name: fc.constantFrom("m0", "m1", "r0", "absent"),
  }),
  fc.record({
    kind: fc.constant("NetworkAuthentication"),
    name: fc.constantFrom("n0", "n1", "n1", "absent"),
  }),
  account.map((one) => ({ kind: "ServiceAccount", ...one })),
  fc.record({ kind: fc.constant("JWTAuthentication"), name: fc.constantFrom("j0", "j1") }),
);

const serverName = fc.constantFrom("s0", "s1");

const server = (name: string): fc.Arbitrary<ServerText> =>
  fc.record({
    name: fc.constant(name),
    labels,
    createdAt: fc.constantFrom("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
    selector,
    port: fc.constantFrom<number | string>(8080, "http", 9090, "admin"),
    accessPolicy: maybe(accessPolicy),
  });

const policy: fc.Arbitrary<PolicyText> = fc.record({
  target: fc.constantFrom(
    { kind: "Server" as const, name: "s0" },
    { kind: "Server" as const, name: "s1" },
    { kind: "Namespace" as const, name: "demo" },
    { kind: "HTTPRoute" as const, name: "r0" },
    { kind: "HTTPRoute" as const, name: "r1" },
  ),
  refs: fc.array(ref, { maxLength: 3 }),
  audit: fc.boolean(),
});

const serverAuthorization: fc.Arbitrary<ServerAuthorizationText> = fc.record({
  server: fc.oneof(
    serverName.map((name) => ({ name })),
    selector.map((one) => ({ selector: one })),
  ),
  networks: fc.oneof(fc.constant([]), networks),
  clients: fc.oneof(
    fc.constant({ unauthenticated: true } as const),
    fc.constant({ unauthenticatedTLS: true } as const),
    fc.record({ identities, serviceAccounts: fc.array(account, { maxLength: 2 }) }),
  ),
});

const route = (name: string): fc.Arbitrary<RouteText> =>
  fc.record({
    name: fc.constant(name),
    server: serverName,
    type: fc.constantFrom("Exact" as const, "PathPrefix" as const),
    path: fc.constantFrom("/", "/a", "/a/b", "/healthz"),
  });

export const anyWorld: fc.Arbitrary<World> = fc.record({
  podLabels: labels,
  podDefault: maybe(accessPolicy),
  namespaceDefault: maybe(accessPolicy),
  probe: maybe(
    fc.record({
      path: fc.constantFrom("/healthz", "/a", "/healthz?deep=1"),
      port: fc.constantFrom<number | string>(8080, "http", 9090),
    }),
  ),
  servers: fc.tuple(server("s0"), server("s1")).chain((all) => fc.subarray([...all])),
  meshes: fc.record({ m0: identities, m1: identities }),
  accounts: fc.record({
    r0: fc.array(
      fc.oneof(
        account.map((one) => ({ kind: "ServiceAccount", ...one })),
        fc.record({ kind: fc.constant("Namespace"), name: fc.constantFrom("demo", "tools") }),
      ),
      { minLength: 1, maxLength: 2 },
    ),
  }),
  networks: fc.record({ n0: networks, n1: networks }),
  policies: fc.array(policy, { maxLength: 4 }),
  serverAuthorizations: fc.oneof(
    { arbitrary: fc.constant([]), weight: 2 },
    fc.array(serverAuthorization, { maxLength: 2 }),
  ),
  routes: fc.tuple(route("r0"), route("r1")).chain((all) => fc.subarray([...all])),
});

export const anyInboundRequest: fc.Arbitrary<InboundRequest> = fc.record({
  port: fc.constantFrom(8080, 8080, 9090, 7070),
  ip: fc.constantFrom(
    "10.1.2.3",
    "10.1.3.3",
    "10.9.0.1",
    "192.0.2.7",
    "203.0.113.1",
    "fd00::1",
    "fd00:1::1",
    "2001:db8::1",
  ),
  identity: fc.constantFrom(
    undefined,
    "",
    "a.prod.example",
    "b.example",
    "prod.example",
    "spiffe://example.org/a",
    `web.demo.${identityEnd}`,
    `api.tools.${identityEnd}`,
  ),
  tokens: fc.subarray(["j0", "j1"]),
  method: fc.constantFrom("GET", "POST"),
  path: fc.constantFrom("/", "/a", "/a/", "/a/b", "/ab", "/healthz", "/healthz/x"),
});

/** The world as a person would have written it down. */
export function manifestsOf(world: World): readonly unknown[] {
  const annotated = (text: string | undefined): Readonly<Record<string, string>> =>
    text === undefined ? {} : { "config.linkerd.io/default-inbound-policy": text };
  const policyKind = (kind: string, name: string, spec: unknown, metadata = {}): unknown => ({
    apiVersion: apiVersions[kind],
    kind,
    metadata: { name, namespace: "demo", ...metadata },
    spec,
  });
  const { probe } = world;
  return [
    {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: "demo", annotations: annotated(world.namespaceDefault) },
    },
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: "web-1",
        namespace: "demo",
        labels: world.podLabels,
        annotations: annotated(world.podDefault),
      },
      spec: {
        containers: [
          {
            name: "app",
            ports: Object.entries(ports).map(([name, containerPort]) => ({ name, containerPort })),
            ...(probe === undefined ? {} : { readinessProbe: { httpGet: probe } }),
          },
        ],
      },
    },
    ...world.servers.map(({ name, labels: own, createdAt, ...server }) => {
      const { selector: podSelector, port, accessPolicy: access } = server;
      const spec = { podSelector, port, ...(access === undefined ? {} : { accessPolicy: access }) };
      const metadata = { labels: own, creationTimestamp: createdAt };
      return policyKind("Server", name, spec, metadata);
    }),
    ...Object.entries(world.meshes).map(([name, names]) =>
      policyKind("MeshTLSAuthentication", name, { identities: names }),
    ),
    ...Object.entries(world.accounts).map(([name, identityRefs]) =>
      policyKind("MeshTLSAuthentication", name, { identityRefs }),
    ),
    ...Object.entries(world.networks).map(([name, list]) =>
      policyKind("NetworkAuthentication", name, { networks: list }),
    ),
    ...["j0", "j1"].map((name) =>
      policyKind("JWTAuthentication", name, {
        issuer: name,
        audiences: ["web"],
        keys: { inline: '{"keys":[]}' },
      }),
    ),
    ...world.policies.map(({ target, refs, audit }, at) =>
      policyKind(
        "AuthorizationPolicy",
        `p${at}`,
        {
          targetRef: { ...target, group: groups[target.kind] ?? "" },
          requiredAuthenticationRefs: refs.map((one) => ({
            ...one,
            group: groups[one.kind] ?? "",
          })),
        },
        audit ? { annotations: { "weft.dev/enforcement": "audit" } } : {},
      ),
    ),
    ...world.serverAuthorizations.map(({ server, networks: list, clients }, at) => {
      const client = "unauthenticated" in clients ? clients : { meshTLS: clients };
      const more = list.length === 0 ? {} : { networks: list };
      return policyKind("ServerAuthorization", `sa${at}`, {
        server,
        client: { ...client, ...more },
      });
    }),
    ...world.routes.map(({ name, server, type, path }) =>
      policyKind("HTTPRoute", name, {
        parentRefs: [{ group: "policy.linkerd.io", kind: "Server", name: server }],
        rules: [{ matches: [{ path: { type, value: path } }] }],
      }),
    ),
  ];
}

const groups: Readonly<Record<string, string>> = {
  Server: "policy.linkerd.io",
  HTTPRoute: "policy.linkerd.io",
  MeshTLSAuthentication: "policy.linkerd.io",
  NetworkAuthentication: "policy.linkerd.io",
  JWTAuthentication: "weft.dev",
};

const apiVersions: Readonly<Record<string, string>> = {
  Server: "policy.linkerd.io/v1beta3",
  HTTPRoute: "policy.linkerd.io/v1beta3",
  ServerAuthorization: "policy.linkerd.io/v1beta1",
  AuthorizationPolicy: "policy.linkerd.io/v1alpha1",
  MeshTLSAuthentication: "policy.linkerd.io/v1alpha1",
  NetworkAuthentication: "policy.linkerd.io/v1alpha1",
  JWTAuthentication: "weft.dev/v1alpha1",
};
