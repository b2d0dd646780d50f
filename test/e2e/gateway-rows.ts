/** The tables of Gateway API's HTTPRoute: manifests, and what requests are answered. */
import { type Row, route, service } from "./table-mesh.ts";

type Table = { readonly manifest: string; readonly rows: readonly Row[] };

/** Says in the response which rule it was. */
function named(name: string, matches: string, to = "echo"): string {
  const set = `responseHeaderModifier: { set: [{ name: x-rule, value: "${name}" }] }`;
  const filters = `[{ type: ResponseHeaderModifier, ${set} }]`;
  return `{ matches: [${matches}], filters: ${filters}, backendRefs: [{ name: ${to}, port: 80 }] }`;
}

function path(type: string, value: string, more = ""): string {
  return `{ path: { type: ${type}, value: "${value}" }${more === "" ? "" : `, ${more}`} }`;
}

export function taken(name: string): Partial<Row> {
  return { has: { "x-rule": name } };
}

const created = (year: number): string => `, creationTimestamp: "${year}-01-01T00:00:00Z"`;
const headerA = '{ name: a, value: "1" }';
const paramQ = '{ name: q, value: "1" }';

/** Section 1.4. */
export const matching: Table = {
  manifest: route("match", {
    rules: [
      named("exact", path("Exact", "/exact")),
      named("prefix", path("PathPrefix", "/abc/")),
      named("header", path("PathPrefix", "/h", `headers: [${headerA}]`)),
      named("query", path("PathPrefix", "/q", `queryParams: [${paramQ}]`)),
      named("method", path("PathPrefix", "/m", "method: POST")),
      named("regex", path("RegularExpression", "/r/[0-9]+")),
      named("either", `${path("Exact", "/one")}, ${path("Exact", "/two")}`),
    ],
  }),
  rows: [
    { ask: "/exact", ...taken("exact") },
    { ask: "/exact?q=2", ...taken("exact") },
    { ask: "/exact/", status: 404 },
    { ask: "/EXACT", status: 404 },
    { ask: "/abc", ...taken("prefix") },
    { ask: "/abc/", ...taken("prefix") },
    { ask: "/abc/def", ...taken("prefix") },
    { ask: "/abc?d=e", ...taken("prefix") },
    { ask: "/abcd", status: 404 },
    { ask: "/Abc", status: 404 },
    { ask: "/h", status: 404 },
    { ask: "/h", headers: "A: 1\r\n", ...taken("header") },
    { ask: "/h", headers: "A: 2\r\n", status: 404 },
    { ask: "/h", headers: "a: 1\r\nA: 2\r\n", status: 404 },
    { ask: "/q", status: 404 },
    { ask: "/q?q=1", ...taken("query") },
    { ask: "/q?Q=1", status: 404 },
    { ask: "/q?q=1&q=2", ...taken("query") },
    { ask: "/q?q=2&q=1", status: 404 },
    { ask: "POST /m", headers: "Content-Length: 0\r\n", ...taken("method") },
    { ask: "/m", status: 404 },
    { ask: "/r/12", ...taken("regex") },
    { ask: "/r/12/x", status: 404 },
    { ask: "/one", ...taken("either") },
    { ask: "/two", ...taken("either") },
    { ask: "/", status: 404 },
  ],
};

const twoHeaders = 'headers: [{ name: a, value: "1" }, { name: b, value: "1" }]';
const twoParams = 'queryParams: [{ name: q, value: "1" }, { name: r, value: "1" }]';

/** Section 2: the criteria in their order, each against the next. The weaker rule comes first in the list. */
export const precedence: Table = {
  manifest: route("precedence", {
    rules: [
      named("regex", path("RegularExpression", "/p/.*")),
      named("root", path("PathPrefix", "/")),
      named("short", path("PathPrefix", "/p")),
      named("long", path("PathPrefix", "/p/long")),
      named("param", path("PathPrefix", "/p/long", `queryParams: [${paramQ}]`)),
      named("params", path("PathPrefix", "/p/long", twoParams)),
      named("header", path("PathPrefix", "/p/long", `headers: [${headerA}]`)),
      named("headers", path("PathPrefix", "/p/long", twoHeaders)),
      named("method", path("PathPrefix", "/p/long", "method: GET")),
      named("exact", path("Exact", "/p/long/x")),
    ],
  }),
  rows: [
    { ask: "/p/long/x?q=1&r=1", headers: "a: 1\r\nb: 1\r\n", ...taken("exact") },
    { ask: "/p/long?q=1&r=1", headers: "a: 1\r\nb: 1\r\n", ...taken("method") },
    { ask: "PUT /p/long?q=1&r=1", headers: "a: 1\r\nb: 1\r\n", ...taken("headers") },
    { ask: "PUT /p/long?q=1&r=1", headers: "a: 1\r\n", ...taken("header") },
    { ask: "PUT /p/long?q=1&r=1", ...taken("params") },
    { ask: "PUT /p/long?q=1", ...taken("param") },
    { ask: "PUT /p/long", ...taken("long") },
    { ask: "/p/z", headers: "a: 1\r\n", ...taken("short") },
    { ask: "/z", ...taken("root") },
  ],
};

const toTies = '{ group: "", kind: Service, name: ties }';

function tie(name: string, year: number, ...rules: readonly string[]): string {
  return route(name, { parent: toTies, metadata: created(year), rules });
}

export const ties: Table = {
  manifest:
    tie("b-newer", 2022, named("newer", path("PathPrefix", "/age"))) +
    tie("z-older", 2021, named("older", path("PathPrefix", "/age"))) +
    tie("n-b", 2023, named("second-name", path("PathPrefix", "/name"))) +
    tie("n-a", 2023, named("first-name", path("PathPrefix", "/name"))) +
    tie(
      "order",
      2023,
      named("first-rule", path("PathPrefix", "/order")),
      named("second-rule", path("PathPrefix", "/order")),
    ),
  rows: [
    { ask: "/age", ...taken("older") },
    { ask: "/name", ...taken("first-name") },
    { ask: "/order", ...taken("first-rule") },
    { ask: "/none", status: 404 },
  ],
};

function redirecting(at: number, parts: string): string {
  const filter = `{ type: RequestRedirect, requestRedirect: { ${parts} } }`;
  return `{ matches: [${path("PathPrefix", `/r${at}`)}], filters: [${filter}] }`;
}

/** Section 3.2: scheme and port of the filter, Location when 80 was dialed, and when 8080 was. */
const redirectPorts: readonly (readonly [string, string, string])[] = [
  ["", "http://redirect", "http://redirect:8080"],
  ["port: 8080", "http://redirect:8080", "http://redirect:8080"],
  ["port: 80", "http://redirect", "http://redirect"],
  ["scheme: https", "https://redirect", "https://redirect"],
  ["scheme: https, port: 443", "https://redirect", "https://redirect"],
  ["scheme: https, port: 8443", "https://redirect:8443", "https://redirect:8443"],
  ["scheme: http, port: 8080", "http://redirect:8080", "http://redirect:8080"],
  ["hostname: example.org", "http://example.org", "http://example.org:8080"],
];
const redirectStatuses = [301, 302, 303, 307, 308];

export const redirects: Pick<Table, "manifest"> & { rowsAt(dialed: 80 | 8080): readonly Row[] } = {
  manifest: route("redirect", {
    rules: [
      ...redirectPorts.map(([parts], at) => redirecting(at, parts)),
      ...redirectStatuses.map((status) => redirecting(status, `statusCode: ${status}`)),
    ],
  }),
  rowsAt: (dialed: 80 | 8080): readonly Row[] => [
    ...redirectPorts.map(([, at80, at8080], at) => ({
      ask: `/r${at}/x?y=z`,
      status: 302,
      has: { location: `${dialed === 80 ? at80 : at8080}/r${at}/x?y=z` },
    })),
    ...redirectStatuses.map((status) => ({
      ask: `POST /r${status}`,
      headers: "Content-Length: 0\r\n",
      status,
    })),
  ],
};

/** Section 3.3: request path, matched prefix, replacement, result. */
const prefixes: readonly (readonly [string, string, string, string])[] = [
  ["/foo/bar", "/foo", "/xyz", "/xyz/bar"],
  ["/foo/bar", "/foo", "/xyz/", "/xyz/bar"],
  ["/foo/bar", "/foo/", "/xyz", "/xyz/bar"],
  ["/foo/bar", "/foo/", "/xyz/", "/xyz/bar"],
  ["/foo", "/foo", "/xyz", "/xyz"],
  ["/foo/", "/foo", "/xyz", "/xyz/"],
  ["/foo/bar", "/foo", "", "/bar"],
  ["/foo/", "/foo", "", "/"],
  ["/foo", "/foo", "", "/"],
  ["/foo/", "/foo", "/", "/"],
  ["/foo", "/foo", "/", "/"],
];

function replacing(type: "URLRewrite" | "RequestRedirect"): readonly string[] {
  const field = type === "URLRewrite" ? "urlRewrite" : "requestRedirect";
  const refs = type === "URLRewrite" ? ", backendRefs: [{ name: echo, port: 80 }]" : "";
  return prefixes.map(([, prefix, replacement], at) => {
    const match = path("PathPrefix", prefix, `headers: [{ name: row, value: "${at}" }]`);
    const change = `path: { type: ReplacePrefixMatch, replacePrefixMatch: "${replacement}" }`;
    return `{ matches: [${match}], filters: [{ type: ${type}, ${field}: { ${change} } }]${refs} }`;
  });
}

const full = "path: { type: ReplaceFullPath, replaceFullPath: /full }";
export const rewrites: Table & { readonly redirectRows: readonly Row[] } = {
  manifest:
    route("rewrite", {
      rules: [
        ...replacing("URLRewrite"),
        `{ matches: [${path("PathPrefix", "/all")}], filters: [{ type: URLRewrite, urlRewrite: { hostname: inner.example, ${full} } }], backendRefs: [{ name: echo, port: 80 }] }`,
      ],
    }) + route("relocate", { rules: replacing("RequestRedirect") }),
  rows: [
    ...prefixes.map(([asked, , , result], at) => ({
      ask: `${asked}?q`,
      headers: `Row: ${at}\r\n`,
      body: `echo GET ${result}?q`,
    })),
    { ask: "/all/of/it?q", body: "echo GET /full?q" },
  ],
  redirectRows: prefixes.map(([asked, , , result], at) => ({
    ask: `${asked}?q`,
    headers: `Row: ${at}\r\n`,
    status: 302,
    has: { location: `http://relocate${result}?q` },
  })),
};

const corsFilter = (parts: string): string =>
  `{ type: CORS, cors: { ${parts}, allowMethods: [GET, PUT], allowHeaders: [x-a], exposeHeaders: [x-b], maxAge: 60 } }`;
const corsRule = (prefix: string, parts: string): string =>
  `{ matches: [${path("PathPrefix", prefix)}], filters: [${corsFilter(parts)}], backendRefs: [{ name: echo, port: 80 }] }`;
const asks = "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: X-A\r\n";
const allowOrigin = "access-control-allow-origin";
const preflightOf = (origin: string): string => `Origin: ${origin}\r\n${asks}`;

/** Section 3.5. */
export const cors: Table = {
  manifest: route("cors", {
    rules: [
      corsRule("/some", 'allowOrigins: ["https://www.foo.com", "https://*.bar.com"]'),
      corsRule("/with", 'allowOrigins: ["https://www.foo.com"], allowCredentials: true'),
      `{ matches: [${path("PathPrefix", "/all")}], filters: [{ type: CORS, cors: { allowOrigins: ["*"], allowMethods: ["*"], allowHeaders: ["*"], allowCredentials: true } }], backendRefs: [{ name: echo, port: 80 }] }`,
    ],
  }),
  rows: [
    ...["https://www.foo.com", "https://a.bar.com", "https://a.b.bar.com"].flatMap((origin) => [
      {
        ask: "OPTIONS /some",
        headers: preflightOf(origin),
        status: 204,
        body: "",
        has: {
          [allowOrigin]: origin,
          "access-control-allow-methods": "GET, PUT",
          "access-control-allow-headers": "x-a",
          "access-control-max-age": "60",
          "access-control-allow-credentials": undefined,
        },
      },
      {
        ask: "/some",
        headers: `Origin: ${origin}\r\n`,
        body: "echo GET /some",
        has: { [allowOrigin]: origin, "access-control-expose-headers": "x-b" },
      },
    ]),
    ...["https://bar.com", "https://foobar.com", "http://www.foo.com", "null"].flatMap((origin) => [
      {
        ask: "OPTIONS /some",
        headers: preflightOf(origin),
        status: 204,
        has: { [allowOrigin]: undefined, "access-control-allow-methods": undefined },
      },
      {
        ask: "/some",
        headers: `Origin: ${origin}\r\n`,
        body: "echo GET /some",
        has: { [allowOrigin]: undefined },
      },
    ]),
    {
      ask: "OPTIONS /with",
      headers: preflightOf("https://www.foo.com"),
      status: 204,
      has: { "access-control-allow-credentials": "true" },
    },
    {
      ask: "OPTIONS /all",
      headers: preflightOf("http://any.org:81"),
      status: 204,
      has: {
        [allowOrigin]: "http://any.org:81",
        "access-control-allow-methods": "PUT",
        "access-control-allow-headers": "X-A",
      },
    },
    {
      ask: "OPTIONS /all",
      headers: "Origin: http://any.org\r\nAccess-Control-Request-Method: PUT\r\n",
      status: 204,
      has: { "access-control-allow-headers": undefined },
    },
  ],
};

function toBackend(prefix: string, refs: string, filters = ""): string {
  return `{ matches: [${path("PathPrefix", prefix)}], filters: [${filters}], backendRefs: [${refs}] }`;
}

const ref = (name: string, more = ""): string => `{ name: ${name}, port: 80${more} }`;
const extension = (kind: string, name: string): string =>
  `{ type: ExtensionRef, extensionRef: { group: gateway.kgateway.dev, kind: ${kind}, name: ${name} } }`;

/** Sections 4.2 and 10.1: whatever cannot be sent on, and what stands beside it in the same route. */
export const statuses: Table = {
  manifest: `${route("status", {
    rules: [
      toBackend("/kind", "{ group: example.org, kind: Bucket, name: b }"),
      toBackend("/missing", ref("missing")),
      toBackend("/port", "{ name: echo, port: 81 }"),
      toBackend("/external", ref("external")),
      toBackend("/none", ""),
      toBackend("/zero", ref("echo", ", weight: 0")),
      toBackend("/dangling", `${ref("missing", ", weight: 0")}, ${ref("echo")}`),
      toBackend("/empty", ref("empty")),
      toBackend("/filter", ref("echo"), extension("DirectResponse", "missing")),
      toBackend("/unknown", ref("echo"), extension("Bucket", "b")),
      `{ matches: [${path("Exact", "/robots.txt")}], filters: [${extension("DirectResponse", "robots")}] }`,
      toBackend("/both", ref("echo"), extension("DirectResponse", "robots")),
      toBackend("/fine", ref("echo")),
      toBackend(
        "/mirror",
        ref("echo"),
        "{ type: RequestMirror, requestMirror: { backendRef: { name: missing, port: 80 } } }",
      ),
      toBackend("/far", "{ name: far, namespace: other, port: 80 }"),
    ],
  })}---
apiVersion: v1
kind: Service
metadata: { name: external, namespace: demo }
spec: { type: ExternalName, externalName: example.org, ports: [{ name: http, port: 80 }] }
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: DirectResponse
metadata: { name: robots, namespace: demo }
spec: { status: 404, body: "User-agent: *\\nDisallow: /direct-response\\n" }
`,
  rows: [
    ...["/kind", "/missing", "/port", "/external", "/none", "/zero", "/filter", "/unknown"].map(
      (ask) => ({ ask, status: 500 }),
    ),
    { ask: "/both", status: 500 },
    { ask: "/empty", status: 503 },
    { ask: "/nothing", status: 404 },
    { ask: "/robots.txt", status: 404, body: "User-agent: *\nDisallow: /direct-response\n" },
    { ask: "/dangling", body: "echo GET /dangling" },
    { ask: "/fine", body: "echo GET /fine" },
    { ask: "/mirror", body: "echo GET /mirror" },
    { ask: "/far", body: "echo GET /far" },
  ],
};

const modifier = `set: [{ name: X-Set, value: one }], add: [{ name: X-Add, value: two }], remove: [X-Remove]`;

/** Section 3.1. */
const headers = {
  manifest: route("headers", {
    rules: [
      `{ filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { ${modifier} } }, { type: ResponseHeaderModifier, responseHeaderModifier: { ${modifier} } }], backendRefs: [{ name: headed, port: 80 }] }`,
    ],
  }),
};

/** Section 5: what an origin does is in the path. */
const resilience = {
  manifest: route("resilience", {
    rules: [
      `{ matches: [${path("PathPrefix", "/hang/request")}], timeouts: { request: 100ms }, backendRefs: [${ref("mood")}] }`,
      `{ matches: [${path("PathPrefix", "/hang/try")}], timeouts: { backendRequest: 100ms }, backendRefs: [${ref("mood")}] }`,
      `{ matches: [${path("PathPrefix", "/late")}], timeouts: { request: 0s }, backendRefs: [${ref("mood")}] }`,
      `{ matches: [${path("PathPrefix", "/503/always")}], retry: { codes: [503], attempts: 3, backoff: 1ms }, backendRefs: [${ref("mood")}] }`,
      `{ matches: [${path("PathPrefix", "/503/unlisted")}], retry: { codes: [500], attempts: 3 }, backendRefs: [${ref("mood")}] }`,
      `{ matches: [${path("PathPrefix", "/reset")}], retry: { attempts: 1, backoff: 1ms }, backendRefs: [${ref("mood")}] }`,
    ],
  }),
};

/** Sections 7.1, 7.2, 7.3, 7.5. */
const mesh = {
  manifest:
    route("self", { rules: [named("self", path("PathPrefix", "/"), "self")] }) +
    route("ported", {
      parent: '{ group: "", kind: Service, name: ported, port: 8080 }',
      rules: [named("ported", path("PathPrefix", "/only"))],
    }) +
    route("hosted", {
      spec: "\n  hostnames: [elsewhere.example]",
      rules: [named("hosted", path("PathPrefix", "/"))],
    }) +
    route("producer", { rules: [named("producer", path("PathPrefix", "/"))] }).replace(
      "namespace: demo",
      "namespace: other",
    ) +
    route("consumer", {
      parent: '{ group: "", kind: Service, name: producer, namespace: other }',
      rules: [named("consumer", path("PathPrefix", "/mine"))],
    }),
};

/** The origins. */
export const originNames: readonly string[] = "echo plain mood headed one two three".split(" ");

/** All of it; `portOf` an origin. */
export function manifests(portOf: (name: string) => number): readonly string[] {
  const echo = [portOf("echo")];
  const fronts = "match precedence ties redirect rewrite relocate cors status headers resilience";
  return [
    ...fronts.split(" ").map((name) => service(name, [])),
    ...["echo", "self", "hosted"].map((name) => service(name, echo)),
    ...["plain", "ported"].map((name) => service(name, [portOf("plain")])),
    service("empty", []),
    service("mood", [portOf("mood")]),
    service("headed", [portOf("headed")]),
    service("far", echo, "other"),
    service("producer", echo, "other"),
    service("session", ["one", "two", "three"].map(portOf)),
    route("session", {
      rules: [`{ sessionPersistence: { type: Cookie }, backendRefs: [${ref("session")}] }`],
    }),
    ...[matching, precedence, ties, redirects, rewrites, cors, statuses].map((one) => one.manifest),
    ...[headers, resilience, mesh].map((one) => one.manifest),
  ];
}
