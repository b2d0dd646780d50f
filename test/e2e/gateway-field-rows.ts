/** More tables of Gateway API's HTTPRoute: durations, origins, backends, sessions, ports by name, and routes that came with a mistake. */
import { type Row, route, service } from "./table-mesh.ts";

const toEcho = "backendRefs: [{ name: echo, port: 80 }]";

function at(prefix: string, more: string): string {
  return `{ matches: [{ path: { value: ${prefix} } }], ${more} }`;
}

/** Section 5.1, GEP-2257: what is written, and whether it means a time that passes before the answer comes, one that does not, none, or nothing at all. */
const durationRows: readonly (readonly [string, "over" | "enough" | "refused"])[] = [
  ["00050ms", "over"],
  ["20ms30ms", "over"],
  ["10ms20ms10ms10ms", "over"],
  ["0s", "enough"],
  ["0h0m0s0ms", "enough"],
  ["1h", "enough"],
  ["99999h", "enough"],
  ["1s1h", "enough"],
  ["1", "refused"],
  ["0", "refused"],
  ["1d", "refused"],
  ["1.5h", "refused"],
  ["-15m", "refused"],
  ["999999h", "refused"],
  ["1s1s1s1s1s", "refused"],
  ["1 s", "refused"],
  ["", "refused"],
];

function durationRow([, means]: (typeof durationRows)[number], at_: number): Row {
  if (means === "refused") return { ask: `/late/${at_}/`, status: 500 };
  return means === "over"
    ? { ask: `/hang/${at_}/`, status: 504 }
    : { ask: `/late/${at_}/`, body: "late" };
}

export const durations: readonly Row[] = [
  ...durationRows.map(durationRow),
  { ask: "/longer", status: 500 },
  { ask: "/late/try", body: "late" },
];

/** Two, since a route has at most 16 rules. */
const durationRoute = route("durations", {
  rules: durationRows
    .slice(0, 16)
    .map(([text, means], index) =>
      at(
        `/${means === "over" ? "hang" : "late"}/${index}/`,
        `timeouts: { request: "${text}" }, backendRefs: [{ name: mood, port: 80 }]`,
      ),
    ),
});
const moreDurations = route("more-durations", {
  parent: '{ group: "", kind: Service, name: durations }',
  rules: [
    at("/late/16/", `timeouts: { request: "" }, ${toEcho}`),
    at("/longer", `timeouts: { request: 1s, backendRequest: 2s }, ${toEcho}`),
    at(
      "/late/try",
      "timeouts: { request: 0s, backendRequest: 2s }, backendRefs: [{ name: mood, port: 80 }]",
    ),
  ],
});

const allowOrigin = "access-control-allow-origin";
const asks = "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: X-A\r\n";

function crossing(prefix: string, parts: string): string {
  return at(prefix, `filters: [{ type: CORS, cors: { ${parts} } }], ${toEcho}`);
}

/** Section 3.5: what the first table of origins leaves out. */
const originRoute = route("origins", {
  rules: [
    crossing("/https", 'allowOrigins: ["https://*"]'),
    crossing("/ported", 'allowOrigins: ["http://a.org:81"]'),
    crossing(
      "/any",
      'allowOrigins: ["*"], allowMethods: ["*"], allowHeaders: ["*"], exposeHeaders: ["*"]',
    ),
    crossing("/own", 'allowOrigins: ["*"], exposeHeaders: ["*"], allowCredentials: true'),
  ],
});
export const origins: readonly Row[] = [
  ...(
    [
      ["/https", "https://x.y", "https://x.y"],
      ["/https", "https://x.y:443", "https://x.y:443"],
      ["/https", "https://x.y:8443", undefined],
      ["/https", "http://x.y", undefined],
      ["/ported", "http://a.org:81", "http://a.org:81"],
      ["/ported", "http://a.org", undefined],
      ["/any", "http://x.y:81", "*"],
      ["/own", "http://x.y:81", "http://x.y:81"],
    ] as const
  ).map(([ask, origin, allowed]) => ({
    ask,
    headers: `Origin: ${origin}\r\n`,
    body: `echo GET ${ask}`,
    has: { [allowOrigin]: allowed },
  })),
  {
    ask: "OPTIONS /any",
    headers: `Origin: http://x.y\r\n${asks}`,
    status: 204,
    has: {
      [allowOrigin]: "*",
      "access-control-allow-methods": "*",
      "access-control-allow-headers": "*",
      "access-control-expose-headers": "*",
      "access-control-max-age": "5",
    },
  },
  {
    ask: "/own",
    headers: "Origin: http://x.y\r\n",
    has: { "access-control-expose-headers": undefined, "access-control-allow-credentials": "true" },
  },
  { ask: "OPTIONS /any", headers: "Origin: http://x.y\r\n", body: "echo OPTIONS /any" },
];

const direct = (name: string): string =>
  `{ type: ExtensionRef, extensionRef: { group: gateway.kgateway.dev, kind: DirectResponse, name: ${name} } }`;

/** Sections 4.2, 4.3, 7.4 and 10.1: what the first table of statuses leaves out. */
const backendRoute = route("backends", {
  rules: [
    at("/all", "backendRefs: [{ name: gone, port: 80 }, { name: gone-too, port: 80 }]"),
    at("/wss", "backendRefs: [{ name: spoken, port: 443 }]"),
    at("/bytes", "backendRefs: [{ name: spoken, port: 3306 }]"),
    at("/ws", "backendRefs: [{ name: spoken, port: 80 }]"),
    at(
      "/filter",
      `backendRefs: [{ name: echo, port: 80, filters: [${direct("gone")}, ${direct("gone")}] }]`,
    ),
    at("/two", `filters: [${direct("teapot")}, ${direct("teapot")}]`),
    at("/teapot", `filters: [${direct("teapot")}]`),
    at(
      "/beside",
      `filters: [${direct("teapot")}, { type: RequestRedirect, requestRedirect: { port: 81 } }]`,
    ),
    at("/unknown", `filters: [{ type: Sing }], ${toEcho}`),
    at("/share", `backendRefs: [{ name: gone, port: 80 }, { name: echo, port: 80, weight: 3 }]`),
    at("/core", "backendRefs: [{ group: core, kind: Service, name: echo, port: 80 }]"),
  ],
});
export const backends: readonly Row[] = [
  ...["/all", "/wss", "/bytes", "/filter", "/two", "/beside", "/unknown"].map((ask) => ({
    ask,
    status: 500,
  })),
  { ask: "/ws", body: "echo GET /ws" },
  { ask: "/core", body: "echo GET /core" },
  {
    ask: "/teapot",
    status: 418,
    body: "short and stout",
    has: { "content-type": "text/plain", "l5d-proxy-error": undefined },
  },
];

const spoken = `---
apiVersion: v1
kind: Service
metadata: { name: spoken, namespace: demo }
spec:
  clusterIP: 10.97.0.1
  ports:
    - { name: http, port: 80, appProtocol: kubernetes.io/ws }
    - { name: tls, port: 443, appProtocol: kubernetes.io/wss }
    - { name: bytes, port: 3306, appProtocol: linkerd.io/opaque }
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: DirectResponse
metadata: { name: teapot, namespace: demo }
spec: { status: 418, body: short and stout }
`;

/** Section 5.4: every spelling that the field has had, and what the answer says. */
export const sessionSpellings: readonly {
  readonly path: string;
  readonly field: string;
  readonly header: string;
  readonly says: RegExp;
}[] = [
  {
    path: "/oldest",
    field: "{ sessionName: s5, absoluteTimeout: 1h, cookieConfig: { lifetimeType: Permanent } }",
    header: "set-cookie",
    says: /^s5=[^;]+;.*max-age=3600/i,
  },
  {
    path: "/older",
    field: "{ type: Header, sessionName: X-Oldest }",
    header: "x-oldest",
    says: /^\S+$/,
  },
  {
    path: "/newest",
    field: "{ type: Cookie, cookie: { name: s7, path: /newest } }",
    header: "set-cookie",
    says: /^s7=[^;]+;(?!.*max-age).*path=\/newest.*httponly.*samesite=strict/i,
  },
  {
    path: "/header",
    field: "{ type: Header, header: { name: X-Newest } }",
    header: "x-newest",
    says: /^\S+$/,
  },
];

const spelledRoute = route("spelled", {
  rules: sessionSpellings.map(({ path, field }) =>
    at(path, `sessionPersistence: ${field}, backendRefs: [{ name: session, port: 80 }]`),
  ),
});

/** Section 1.2: `sectionName` is the name of a port. */
const sectionRoute = route("section", {
  parent: '{ group: "", kind: Service, name: section, sectionName: http }',
  rules: ["{ filters: [{ type: RequestRedirect, requestRedirect: { scheme: https } }] }"],
});
export const atSection: readonly Row[] = [
  { ask: "/a", status: 302, has: { location: "https://section/a" } },
];
export const besideSection: readonly Row[] = [{ ask: "/a", body: "echo GET /a" }];

/** Section 10.4: a value that is a number. Its rule refuses what it may have meant, and nothing else. */
const slipRoute = route("slip", {
  rules: [
    `{ matches: [{ path: { value: /x }, queryParams: [{ name: q, value: 2 }] }], ${toEcho} }`,
    at("/", toEcho),
  ],
});
export const slips: readonly Row[] = [
  { ask: "/x?q=2", status: 500 },
  { ask: "/x", body: "echo GET /x" },
  { ask: "/y?q=2", body: "echo GET /y?q=2" },
];

/** A ServiceImport is no parent of ours (section 7.7); the Service beside it is. */
const importRoute = route("imported", {
  parent:
    "{ group: multicluster.x-k8s.io, kind: ServiceImport, name: imported }, { group: core, kind: Service, name: imported }",
  rules: [`{ matches: [{ path: { value: /in } }], ${toEcho} }`],
});
export const imports: readonly Row[] = [
  { ask: "/in", body: "echo GET /in" },
  { ask: "/out", status: 404 },
];

/** Section 7.1: a Service has its routes back when only some are gone, and itself when all are. */
const fleeting = ["one", "two"].map((name) =>
  route(`fleeting-${name}`, {
    parent: '{ group: "", kind: Service, name: fleeting }',
    rules: [at(`/${name}`, toEcho)],
  }),
);

/** All of it; `portOf` an origin. */
export function fieldManifests(portOf: (name: string) => number): readonly string[] {
  const fronts = ["durations", "origins", "backends", "spelled", "slip", "imported"];
  return [
    ...fronts.map((name) => service(name, [])),
    ...["section", "fleeting"].map((name) => service(name, [portOf("echo")])),
    ...fleeting,
    spoken,
    `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: spoken-1, namespace: demo, labels: { kubernetes.io/service-name: spoken } }
addressType: IPv4
ports: [{ name: http, port: ${portOf("echo")} }]
endpoints: [{ addresses: [127.0.0.1] }]
`,
    durationRoute,
    moreDurations,
    originRoute,
    backendRoute,
    spelledRoute,
    sectionRoute,
    slipRoute,
    importRoute,
  ];
}
