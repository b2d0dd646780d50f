import test from "ava";
import type { HttpRouteFilter } from "../../../src/core/resource/http-filter.ts";
import { parseHttpRoute } from "../../../src/core/resource/http-route.ts";
import { edit, gatewayRoute, type Manifest, parsed, policyRoute } from "./manifests.ts";

/** Without backends, as a redirect wants it. */
const route = edit(gatewayRoute, "spec.rules", [{}]);
const linkerdRoute = edit(policyRoute, "spec.rules", [{}]);

function read(filter: unknown): HttpRouteFilter | undefined {
  const [rule] = parsed(parseHttpRoute(edit(route, "spec.rules[0].filters", [filter]))).rules;
  if (rule?.state !== "valid") throw new Error(`Expected a valid rule: ${JSON.stringify(rule)}`);
  return rule.filters[0];
}

function faults(filters: readonly unknown[], manifest: Manifest = route): readonly string[] {
  const [rule] = parsed(parseHttpRoute(edit(manifest, "spec.rules[0].filters", filters))).rules;
  if (rule?.state !== "broken") return [];
  return rule.faults.map((one) => `${one.path}: ${one.reason}`);
}

const service = { group: "", kind: "Service", namespace: "demo", name: "copy", port: 80 };

const readable: readonly [string, unknown, HttpRouteFilter][] = [
  [
    "header modifiers, names in lower case",
    {
      type: "RequestHeaderModifier",
      requestHeaderModifier: {
        set: [
          { name: "X-A", value: "1" },
          { name: "x-a", value: "2" },
        ],
        add: [{ name: "X-B", value: "a, b\tc" }],
        remove: ["X-C", "x-c"],
      },
    },
    {
      type: "RequestHeaderModifier",
      requestHeaderModifier: {
        set: [{ name: "x-a", value: "1" }],
        add: [{ name: "x-b", value: "a, b\tc" }],
        remove: ["x-c"],
      },
    },
  ],
  [
    "an empty response header modifier",
    { type: "ResponseHeaderModifier", responseHeaderModifier: {} },
    { type: "ResponseHeaderModifier", responseHeaderModifier: { set: [], add: [], remove: [] } },
  ],
  [
    "a redirect that says nothing",
    { type: "RequestRedirect", requestRedirect: {} },
    {
      type: "RequestRedirect",
      requestRedirect: {
        scheme: undefined,
        hostname: undefined,
        path: undefined,
        port: undefined,
        statusCode: 302,
      },
    },
  ],
  [
    "a redirect in full",
    {
      type: "RequestRedirect",
      requestRedirect: {
        scheme: "https",
        hostname: "example.com",
        path: { type: "ReplaceFullPath", replaceFullPath: "/x" },
        port: 8443,
        statusCode: 308,
      },
    },
    {
      type: "RequestRedirect",
      requestRedirect: {
        scheme: "https",
        hostname: "example.com",
        path: { type: "ReplaceFullPath", replaceFullPath: "/x" },
        port: 8443,
        statusCode: 308,
      },
    },
  ],
  [
    "a rewrite by an empty prefix",
    {
      type: "URLRewrite",
      urlRewrite: { path: { type: "ReplacePrefixMatch", replacePrefixMatch: "" } },
    },
    {
      type: "URLRewrite",
      urlRewrite: {
        hostname: undefined,
        path: { type: "ReplacePrefixMatch", replacePrefixMatch: "" },
      },
    },
  ],
  [
    "a mirror of everything",
    { type: "RequestMirror", requestMirror: { backendRef: { name: "copy", port: 80 } } },
    {
      type: "RequestMirror",
      requestMirror: { backendRef: service, numerator: 100, denominator: 100 },
    },
  ],
  [
    "a mirror by percent",
    {
      type: "RequestMirror",
      requestMirror: { backendRef: { name: "copy", port: 80 }, percent: 0 },
    },
    {
      type: "RequestMirror",
      requestMirror: { backendRef: service, numerator: 0, denominator: 100 },
    },
  ],
  [
    "a mirror by fraction",
    {
      type: "RequestMirror",
      requestMirror: {
        backendRef: { name: "copy", port: 80 },
        fraction: { numerator: 1, denominator: 3 },
      },
    },
    { type: "RequestMirror", requestMirror: { backendRef: service, numerator: 1, denominator: 3 } },
  ],
  [
    "a mirror by fraction of a hundred",
    {
      type: "RequestMirror",
      requestMirror: { backendRef: { name: "copy", port: 80 }, fraction: { numerator: 7 } },
    },
    {
      type: "RequestMirror",
      requestMirror: { backendRef: service, numerator: 7, denominator: 100 },
    },
  ],
  [
    "CORS that says nothing",
    { type: "CORS", cors: {} },
    {
      type: "CORS",
      cors: {
        allowOrigins: [],
        allowCredentials: false,
        allowMethods: [],
        allowHeaders: [],
        exposeHeaders: [],
        maxAgeSeconds: 5,
      },
    },
  ],
  [
    "CORS in full",
    {
      type: "CORS",
      cors: {
        allowOrigins: ["https://*.example.com", "http://a:8080"],
        allowCredentials: true,
        allowMethods: ["*"],
        allowHeaders: ["X-A"],
        exposeHeaders: ["*"],
        maxAge: 60,
      },
    },
    {
      type: "CORS",
      cors: {
        allowOrigins: ["https://*.example.com", "http://a:8080"],
        allowCredentials: true,
        allowMethods: ["*"],
        allowHeaders: ["x-a"],
        exposeHeaders: ["*"],
        maxAgeSeconds: 60,
      },
    },
  ],
  [
    "external authorization by gRPC",
    {
      type: "ExternalAuth",
      externalAuth: {
        protocol: "GRPC",
        backendRef: { name: "copy", port: 80 },
        grpc: { allowedHeaders: ["X-A"] },
        forwardBody: { maxSize: 1024 },
      },
    },
    {
      type: "ExternalAuth",
      externalAuth: {
        protocol: "GRPC",
        backendRef: service,
        allowedHeaders: ["x-a"],
        forwardBodyMaxBytes: 1024,
      },
    },
  ],
  [
    "external authorization by HTTP",
    {
      type: "ExternalAuth",
      externalAuth: {
        protocol: "HTTP",
        backendRef: { name: "copy", port: 80 },
        http: { path: "/check", allowedResponseHeaders: ["X-User"] },
      },
    },
    {
      type: "ExternalAuth",
      externalAuth: {
        protocol: "HTTP",
        backendRef: service,
        path: "/check",
        allowedHeaders: [],
        allowedResponseHeaders: ["x-user"],
        forwardBodyMaxBytes: 0,
      },
    },
  ],
  [
    "a reference to a filter of another API",
    { type: "ExtensionRef", extensionRef: { group: "a.example", kind: "Limit", name: "x" } },
    { type: "ExtensionRef", extensionRef: { group: "a.example", kind: "Limit", name: "x" } },
  ],
];

for (const [name, json, filter] of readable) {
  test(`a filter can be ${name}`, (t) => {
    t.deepEqual(read(json), filter);
  });
}

const at = "spec.rules[0].filters[0]";

const modifier = (payload: unknown): unknown => ({
  type: "RequestHeaderModifier",
  requestHeaderModifier: payload,
});
const redirect = (payload: unknown): unknown => ({
  type: "RequestRedirect",
  requestRedirect: payload,
});
const mirror = (payload: object): unknown => ({
  type: "RequestMirror",
  requestMirror: { backendRef: { name: "a", port: 80 }, ...payload },
});
const cors = (payload: unknown): unknown => ({ type: "CORS", cors: payload });
const auth = (payload: object): unknown => ({
  type: "ExternalAuth",
  externalAuth: { backendRef: { name: "a", port: 80 }, ...payload },
});

const refused: readonly [unknown, string][] = [
  [{}, `${at}.type: is required`],
  [
    { type: "Redirect" },
    `${at}.type: must be "RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite", "RequestMirror", "CORS", "ExternalAuth" or "ExtensionRef", is "Redirect"`,
  ],
  [{ type: "CORS" }, `${at}.cors: is required for type "CORS"`],
  [{ type: "CORS", cors: {}, urlRewrite: {} }, `${at}.urlRewrite: must be absent for type "CORS"`],
  [
    modifier({ set: [{ name: "a b", value: "x" }] }),
    `${at}.requestHeaderModifier.set[0].name: must be a header name (RFC 9110 §5.6.2 token), is "a b"`,
  ],
  [
    modifier({ add: [{ name: "a", value: "x\r\nb: y" }] }),
    `${at}.requestHeaderModifier.add[0].value: must be visible ASCII with blanks only in between, is "x\\r\\nb: y"`,
  ],
  [
    modifier({ remove: [":path"] }),
    `${at}.requestHeaderModifier.remove[0]: must be a header name (RFC 9110 §5.6.2 token), is ":path"`,
  ],
  [
    redirect({ scheme: "ftp" }),
    `${at}.requestRedirect.scheme: must be "http" or "https", is "ftp"`,
  ],
  [
    redirect({ hostname: "*.a" }),
    `${at}.requestRedirect.hostname: must be a host name without wildcard, is "*.a"`,
  ],
  [
    redirect({ statusCode: 304 }),
    `${at}.requestRedirect.statusCode: must be 301, 302, 303, 307 or 308, is 304`,
  ],
  [
    redirect({ port: 0 }),
    `${at}.requestRedirect.port: must be a whole number from 1 to 65535, is 0`,
  ],
  [
    redirect({ path: { type: "ReplaceFullPath" } }),
    `${at}.requestRedirect.path.replaceFullPath: is required for type "ReplaceFullPath"`,
  ],
  [
    redirect({ path: { type: "ReplaceFullPath", replaceFullPath: "/", replacePrefixMatch: "/" } }),
    `${at}.requestRedirect.path.replacePrefixMatch: must be absent for type "ReplaceFullPath"`,
  ],
  [
    redirect({ path: { type: "ReplaceFullPath", replaceFullPath: "/a\r\nx: y" } }),
    `${at}.requestRedirect.path.replaceFullPath: must be visible ASCII without blanks, is "/a\\r\\nx: y"`,
  ],
  [
    mirror({ percent: 101 }),
    `${at}.requestMirror.percent: must be a whole number from 0 to 100, is 101`,
  ],
  [
    mirror({ percent: 1, fraction: { numerator: 1 } }),
    `${at}.requestMirror: must have at most one of percent and fraction`,
  ],
  [
    mirror({ fraction: { numerator: 3, denominator: 2 } }),
    `${at}.requestMirror.fraction.numerator: must be at most the denominator 2, is 3`,
  ],
  [
    mirror({ fraction: { numerator: 0, denominator: 0 } }),
    `${at}.requestMirror.fraction.denominator: must be a whole number from 1 to 2147483647, is 0`,
  ],
  [
    { type: "RequestMirror", requestMirror: { backendRef: { name: "a" } } },
    `${at}.requestMirror.backendRef.port: is required for a Service`,
  ],
  [{ type: "RequestMirror", requestMirror: {} }, `${at}.requestMirror.backendRef: is required`],
  [
    cors({ allowOrigins: ["*", "http://a"] }),
    `${at}.cors.allowOrigins: must hold "*" alone or no "*"`,
  ],
  [cors({ allowMethods: ["GET", "*"] }), `${at}.cors.allowMethods: must hold "*" alone or no "*"`],
  [cors({ allowHeaders: ["*", "a"] }), `${at}.cors.allowHeaders: must hold "*" alone or no "*"`],
  [cors({ maxAge: 0 }), `${at}.cors.maxAge: must be a whole number from 1 to 2147483647, is 0`],
  [
    {
      type: "URLRewrite",
      urlRewrite: { path: { type: "ReplaceFullPath", replaceFullPath: "/a?b=c" } },
    },
    `${at}.urlRewrite.path.replaceFullPath: must be a path without "?" and "#", is "/a?b=c"`,
  ],
  [auth({ grpc: {} }), `${at}.externalAuth.protocol: is required`],
  [auth({ protocol: "GRPC" }), `${at}.externalAuth.grpc: is required for protocol "GRPC"`],
  [
    auth({ protocol: "HTTP", http: {}, grpc: {} }),
    `${at}.externalAuth.grpc: must be absent for protocol "HTTP"`,
  ],
  [
    auth({ protocol: "HTTP", http: {}, forwardBody: { maxSize: -1 } }),
    `${at}.externalAuth.forwardBody.maxSize: must be a whole number from 0 to 2147483647, is -1`,
  ],
  [
    { type: "ExtensionRef", extensionRef: { group: "a", kind: "b" } },
    `${at}.extensionRef.name: is required`,
  ],
];

for (const [json, fault] of refused) {
  test(`a filter is refused: ${fault.slice(at.length)} (${JSON.stringify(json).slice(0, 60)})`, (t) => {
    t.true(faults([json]).includes(fault), faults([json]).join("\n"));
  });
}

for (const [type, field] of [
  ["RequestHeaderModifier", "requestHeaderModifier"],
  ["ResponseHeaderModifier", "responseHeaderModifier"],
  ["RequestRedirect", "requestRedirect"],
  ["URLRewrite", "urlRewrite"],
  ["CORS", "cors"],
] as const) {
  test(`a ${type} filter must not stand twice`, (t) => {
    const filter = { type, [field]: {} };
    t.deepEqual(faults([filter]), []);
    t.deepEqual(faults([filter, filter]), [
      `spec.rules[0].filters: must have at most one filter of type ${type}, has 2`,
    ]);
  });
}

test("RequestMirror and ExtensionRef filters may stand twice", (t) => {
  const extension = { type: "ExtensionRef", extensionRef: { group: "a", kind: "b", name: "c" } };
  t.deepEqual(faults([mirror({}), mirror({}), extension, extension]), []);
});

test("RequestRedirect and URLRewrite must not stand together", (t) => {
  t.deepEqual(faults([redirect({}), { type: "URLRewrite", urlRewrite: {} }]), [
    "spec.rules[0].filters: must not have both RequestRedirect and URLRewrite",
  ]);
});

test("Linkerd's group knows three filters", (t) => {
  for (const [type, field] of [
    ["RequestHeaderModifier", "requestHeaderModifier"],
    ["ResponseHeaderModifier", "responseHeaderModifier"],
    ["RequestRedirect", "requestRedirect"],
  ] as const) {
    t.deepEqual(faults([{ type, [field]: {} }], linkerdRoute), []);
  }
  t.deepEqual(faults([{ type: "URLRewrite", urlRewrite: {} }], linkerdRoute), [
    `${at}.type: must be "RequestHeaderModifier", "ResponseHeaderModifier" or "RequestRedirect", is "URLRewrite"`,
  ]);
});

test("Linkerd's group wants absolute paths in redirects, Gateway API does not", (t) => {
  const filter = redirect({ path: { type: "ReplaceFullPath", replaceFullPath: "x" } });
  t.deepEqual(faults([filter]), []);
  t.deepEqual(faults([filter], linkerdRoute), [
    `${at}.requestRedirect.path.replaceFullPath: must start with "/", is "x"`,
  ]);
});
