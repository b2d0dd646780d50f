import test from "ava";
import type { HttpRouteMatch } from "../../../src/core/resource/http-match.ts";
import {
  faultsOfRules,
  type HttpRouteRule,
  parseHttpRoute,
} from "../../../src/core/resource/http-route.ts";
import {
  edit,
  faultsOf,
  gatewayRoute,
  type Manifest,
  parsed,
  policyRoute,
  type Refusal,
  titleOf,
} from "./manifests.ts";

function ruleOf(manifest: Manifest, index = 0): HttpRouteRule {
  const rule = parsed(parseHttpRoute(manifest)).rules[index];
  if (rule === undefined) throw new Error(`Expected a rule ${index}`);
  return rule;
}

function ruleFaults(manifest: Manifest): readonly string[] {
  const { rules } = parsed(parseHttpRoute(manifest));
  return faultsOfRules(rules).map(({ path, reason }) => `${path}: ${reason}`);
}

test("parseHttpRoute() reads a route of Gateway API", (t) => {
  const { meta, ...route } = parsed(parseHttpRoute(gatewayRoute));
  t.is(meta.name, "split");
  t.deepEqual(route, {
    kind: "HTTPRoute",
    group: "gateway.networking.k8s.io",
    parentRefs: [
      {
        group: "",
        kind: "Service",
        namespace: "demo",
        name: "web",
        sectionName: undefined,
        port: 80,
      },
    ],
    hostnames: [],
    useDefaultGateways: undefined,
    rules: [
      {
        state: "valid",
        name: "",
        matches: [
          {
            path: { type: "PathPrefix", value: "/" },
            headers: [],
            queryParams: [],
            method: undefined,
          },
        ],
        filters: [],
        backendRefs: [
          {
            group: "",
            kind: "Service",
            namespace: "demo",
            name: "web-a",
            port: 80,
            weight: 1,
            filters: [],
          },
        ],
        timeouts: { requestMs: undefined, backendRequestMs: undefined },
        retry: undefined,
        sessionPersistence: undefined,
      },
    ],
  });
});

test("parseHttpRoute() reads a route of Linkerd's group, with the group core", (t) => {
  const route = parsed(parseHttpRoute(policyRoute));
  t.is(route.group, "policy.linkerd.io");
  t.is(route.parentRefs[0]?.group, "");
  t.is(route.rules.length, 2);
});

test("parseHttpRoute() gives a parent the defaults of its group", (t) => {
  const bare = [{ name: "a", namespace: "other", sectionName: "http" }];
  const ref = {
    kind: "Gateway",
    namespace: "other",
    name: "a",
    sectionName: "http",
    port: undefined,
  };
  t.deepEqual(parsed(parseHttpRoute(edit(gatewayRoute, "spec.parentRefs", bare))).parentRefs, [
    { ...ref, group: "gateway.networking.k8s.io" },
  ]);
  t.deepEqual(parsed(parseHttpRoute(edit(policyRoute, "spec.parentRefs", bare))).parentRefs, [
    { ...ref, group: "policy.linkerd.io" },
  ]);
});

test("parseHttpRoute() takes a route without rules for one rule that takes everything", (t) => {
  const route = parsed(parseHttpRoute(edit(gatewayRoute, "spec.rules", undefined)));
  t.is(route.rules.length, 1);
  const [rule] = route.rules;
  t.is(rule?.state, "valid");
  t.deepEqual(rule?.matches?.[0]?.path, { type: "PathPrefix", value: "/" });
});

test("parseHttpRoute() reads every field of a rule", (t) => {
  const rule = {
    name: "main",
    matches: [{ path: { value: "/a" } }, { method: "GET" }],
    filters: [{ type: "RequestHeaderModifier", requestHeaderModifier: {} }],
    backendRefs: [
      {
        group: "core",
        name: "a",
        namespace: "other",
        port: 81,
        weight: 0,
        filters: [{ type: "URLRewrite", urlRewrite: { hostname: "b" } }],
      },
      { group: "x.example", kind: "Thing", name: "b", weight: 1_000_000 },
    ],
    timeouts: { request: "1m30s", backendRequest: "500ms" },
    retry: { codes: [500, 503, 500], attempts: 3, backoff: "100ms" },
    sessionPersistence: {},
  };
  const value = ruleOf(edit(gatewayRoute, "spec.rules[0]", rule));
  if (value.state !== "valid") return t.fail(JSON.stringify(value));
  t.is(value.name, "main");
  t.is(value.matches.length, 2);
  t.is(value.filters.length, 1);
  t.deepEqual(value.backendRefs, [
    {
      group: "",
      kind: "Service",
      namespace: "other",
      name: "a",
      port: 81,
      weight: 0,
      filters: [{ type: "URLRewrite", urlRewrite: { hostname: "b", path: undefined } }],
    },
    {
      group: "x.example",
      kind: "Thing",
      namespace: "demo",
      name: "b",
      port: undefined,
      weight: 1_000_000,
      filters: [],
    },
  ]);
  t.deepEqual(value.timeouts, { requestMs: 90_000, backendRequestMs: 500 });
  t.deepEqual(value.retry, { codes: [500, 503], attempts: 3, backoffMs: 100 });
  t.is(value.sessionPersistence?.type, "Cookie");
});

test("parseHttpRoute() tells a timeout of zero from none", (t) => {
  const value = ruleOf(
    edit(gatewayRoute, "spec.rules[0].timeouts", { request: "0s", backendRequest: "5s" }),
  );
  t.deepEqual(value.state === "valid" && value.timeouts, { requestMs: 0, backendRequestMs: 5000 });
});

test("parseHttpRoute() reads host names, exact and with a wildcard", (t) => {
  const hostnames = ["a.example", "*.example"];
  t.deepEqual(
    parsed(parseHttpRoute(edit(gatewayRoute, "spec.hostnames", hostnames))).hostnames,
    hostnames,
  );
});

const web = { group: "", kind: "Service", name: "web" };
const refused: readonly Refusal[] = [
  ["spec", undefined, "spec: is required"],
  ["spec.parentRefs", {}, "spec.parentRefs: must be a list, is an object"],
  ["spec.parentRefs[0].name", undefined, "spec.parentRefs[0].name: is required"],
  [
    "spec.parentRefs[0].port",
    "80",
    'spec.parentRefs[0].port: must be a whole number from 1 to 65535, is "80"',
  ],
  [
    "spec.parentRefs",
    [web, { ...web, group: "core" }],
    "spec.parentRefs: must name each parent once, Service demo/web stands twice with the same port and sectionName",
  ],
  [
    "spec.parentRefs",
    [web, { ...web, port: 80 }],
    "spec.parentRefs: must give port and sectionName alike for each entry of Service demo/web",
  ],
  [
    "spec.parentRefs",
    [
      { ...web, sectionName: "a" },
      { ...web, port: 80 },
    ],
    "spec.parentRefs: must give port and sectionName alike for each entry of Service demo/web",
  ],
  [
    "spec.hostnames",
    ["10.0.0.1:80"],
    'spec.hostnames[0]: must be a host name, or "*." and a host name, is "10.0.0.1:80"',
  ],
  [
    "spec.hostnames",
    ["a.*"],
    'spec.hostnames[0]: must be a host name, or "*." and a host name, is "a.*"',
  ],
  [
    "spec.useDefaultGateways",
    "Some",
    'spec.useDefaultGateways: must be "All" or "None", is "Some"',
  ],
  ["spec.rules", {}, "spec.rules: must be a list, is an object"],
];

for (const refusal of refused) {
  const [path, value, fault] = refusal;
  test(`parseHttpRoute() ${titleOf(refusal)}`, (t) => {
    t.deepEqual(faultsOf(parseHttpRoute(edit(gatewayRoute, path, value))), [fault]);
  });
}

test("parseHttpRoute() takes a parent again with another port, or another section, or both", (t) => {
  for (const parentRefs of [
    [
      { ...web, port: 80 },
      { ...web, port: 81 },
    ],
    [
      { ...web, sectionName: "a" },
      { ...web, sectionName: "b" },
    ],
    [
      { ...web, sectionName: "a", port: 80 },
      { ...web, sectionName: "a", port: 81 },
    ],
    [web, { ...web, namespace: "other" }],
  ]) {
    t.is(
      parsed(parseHttpRoute(edit(gatewayRoute, "spec.parentRefs", parentRefs))).parentRefs.length,
      2,
    );
  }
});

test("parseHttpRoute() allows 128 matches over all rules and no more", (t) => {
  const rule = { matches: Array.from({ length: 64 }, () => ({})) };
  t.is(parsed(parseHttpRoute(edit(gatewayRoute, "spec.rules", [rule, rule]))).rules.length, 2);
  t.deepEqual(faultsOf(parseHttpRoute(edit(gatewayRoute, "spec.rules", [rule, rule, {}]))), [
    "spec.rules: must have at most 128 matches over all rules, has 129",
  ]);
});

const prefix = { type: "ReplacePrefixMatch", replacePrefixMatch: "/b" };
const rewrite = { type: "URLRewrite", urlRewrite: { path: prefix } };
const redirect = { type: "RequestRedirect", requestRedirect: { path: prefix } };
const backend = { name: "a", port: 80 };
const onePrefix =
  "must be used in a rule with exactly one match, of path type PathPrefix: ReplacePrefixMatch replaces what that matched";
const duration =
  'must be a duration like "500ms", "10s" or "1h30m" (GEP-2257: whole numbers with h, m, s or ms)';

const brokenRules: readonly [string, unknown, readonly string[]][] = [
  ["that is no object", "x", ['spec.rules[0]: must be an object, is "x"']],
  [
    "with a backend without a port",
    { backendRefs: [{ name: "a" }] },
    ["spec.rules[0].backendRefs[0].port: is required for a Service"],
  ],
  [
    "with a negative weight",
    { backendRefs: [{ ...backend, weight: -1 }] },
    ["spec.rules[0].backendRefs[0].weight: must be a whole number from 0 to 1000000, is -1"],
  ],
  [
    "with a redirect and backends",
    { filters: [{ type: "RequestRedirect", requestRedirect: {} }], backendRefs: [backend] },
    ["spec.rules[0].backendRefs: must be absent in a rule with a RequestRedirect filter"],
  ],
  [
    "with a prefix rewrite and two matches",
    { matches: [{}, {}], filters: [rewrite] },
    [`spec.rules[0].filters: ${onePrefix}`],
  ],
  [
    "with a prefix redirect and an exact match",
    { matches: [{ path: { type: "Exact", value: "/a" } }], filters: [redirect] },
    [`spec.rules[0].filters: ${onePrefix}`],
  ],
  [
    "with a prefix rewrite of a backend and an exact match",
    {
      matches: [{ path: { type: "Exact", value: "/a" } }],
      backendRefs: [backend, { ...backend, filters: [rewrite] }],
    },
    [`spec.rules[0].backendRefs[1].filters: ${onePrefix}`],
  ],
  [
    "with a bad filter of a backend",
    { backendRefs: [{ ...backend, filters: [{ type: "CORS" }] }] },
    ['spec.rules[0].backendRefs[0].filters[0].cors: is required for type "CORS"'],
  ],
  [
    "with a bad duration",
    { timeouts: { request: "1.5s" } },
    [`spec.rules[0].timeouts.request: ${duration}, is "1.5s"`],
  ],
  [
    "with a try longer than the request",
    { timeouts: { request: "1s", backendRequest: "2s" } },
    ['spec.rules[0].timeouts.backendRequest: must be at most the request timeout "1s", is "2s"'],
  ],
  [
    "with a retry of successes",
    { retry: { codes: [200] } },
    ["spec.rules[0].retry.codes[0]: must be a whole number from 400 to 599, is 200"],
  ],
  [
    "with a negative number of attempts",
    { retry: { attempts: -1 } },
    ["spec.rules[0].retry.attempts: must be a whole number of at least 0, is -1"],
  ],
];

for (const [name, rule, faults] of brokenRules) {
  test(`parseHttpRoute() breaks a rule ${name}, and no other`, (t) => {
    const good = { name: "good", backendRefs: [backend] };
    const manifest = edit(gatewayRoute, "spec.rules", [rule, good]);
    t.deepEqual(ruleFaults(manifest), faults);
    t.is(ruleOf(manifest, 0).state, "broken");
    t.is(ruleOf(manifest, 1).state, "valid");
  });
}

for (const [name, rule] of [
  ["a prefix rewrite and no match", { filters: [rewrite] }],
  [
    "a prefix redirect and one prefix",
    { matches: [{ path: { value: "/a" } }], filters: [redirect] },
  ],
  ["a redirect of a backend", { backendRefs: [{ ...backend, filters: [redirect] }] }],
  ["a try as long as the request", { timeouts: { request: "1s", backendRequest: "1000ms" } }],
] as const) {
  test(`parseHttpRoute() takes a rule with ${name}`, (t) => {
    t.deepEqual(ruleFaults(edit(gatewayRoute, "spec.rules", [rule])), []);
  });
}

test("parseHttpRoute() keeps the matches of a broken rule when they are readable", (t) => {
  const rule = { name: "a", matches: [{ path: { value: "/a" } }], backendRefs: [{ name: "a" }] };
  const value = ruleOf(edit(gatewayRoute, "spec.rules", [rule]));
  t.is(value.state, "broken");
  t.is(value.name, "a");
  t.is(value.matches?.[0]?.path.value, "/a");
});

test("parseHttpRoute() has no matches for a broken rule when one of them is unreadable", (t) => {
  const matches = [{ path: { value: "/a" } }, { method: "get" }];
  t.is(ruleOf(edit(gatewayRoute, "spec.rules", [{ matches }])).matches, undefined);
  t.is(ruleOf(edit(gatewayRoute, "spec.rules", ["x"])).matches, undefined);
});

const anyPath = { type: "PathPrefix", value: "/" } as const;
const coverOf = test.macro({
  exec: (t, match: unknown, cover: Partial<HttpRouteMatch>) => {
    const value = ruleOf(edit(gatewayRoute, "spec.rules", [{ matches: [match] }]));
    const plain = { path: anyPath, headers: [], queryParams: [], method: undefined };
    t.deepEqual(value.state === "broken" && value.cover, [{ ...plain, ...cover }]);
  },
  title: (_given, match: unknown) =>
    `coverMatches() keeps what is readable of ${JSON.stringify(match)}`,
});
test(
  coverOf,
  { path: { value: "/x" }, queryParams: [{ name: "q", value: 2 }], method: "GET" },
  {
    path: { type: "PathPrefix", value: "/x" },
    queryParams: [{ type: "RegularExpression", name: "q", value: "(?s).*" }],
    method: "GET",
  },
);
test(
  coverOf,
  { path: { type: "Glob", value: "/x" }, headers: [{ name: "A", value: "b" }, { value: "c" }] },
  { headers: [{ type: "Exact", name: "a", value: "b" }] },
);
test(coverOf, { path: { value: "x" }, method: "get" }, {});
test(coverOf, "x", {});

test("parseHttpRoute() breaks the second rule of a name", (t) => {
  const manifest = edit(gatewayRoute, "spec.rules", [
    { name: "a" },
    { name: "b" },
    { name: "a" },
    {},
    {},
  ]);
  t.deepEqual(ruleFaults(manifest), [
    'spec.rules[2].name: must be unique in the route, "a" stands twice',
  ]);
});

test("parseHttpRoute() leaves faults that a schema found inside a rule with that rule", (t) => {
  const rules = Array.from({ length: 12 }, () => ({}));
  const known = [
    { path: "spec.rules[2].matches[0].x", reason: "is not a known field" },
    { path: "spec.rules[11].y", reason: "is not a known field" },
  ];
  const route = parsed(parseHttpRoute(edit(gatewayRoute, "spec.rules", rules), known));
  t.deepEqual(
    route.rules.flatMap((rule, index) => (rule.state === "broken" ? [index] : [])),
    [2, 11],
  );
  t.is(route.rules[2]?.matches, undefined);
  t.is(route.rules[11]?.matches?.length, 1);
});

test("parseHttpRoute() refuses the route for a fault that a schema found outside its rules", (t) => {
  const known = [{ path: "spec.hostname", reason: "is not a known field" }];
  const spoilt = edit(gatewayRoute, "spec.rules[0].retry", { attempts: -1 });
  t.deepEqual(faultsOf(parseHttpRoute(spoilt, known)), [
    "spec.hostname: is not a known field",
    "spec.rules[0].retry.attempts: must be a whole number of at least 0, is -1",
  ]);
});

test("parseHttpRoute() stays fast and brief with lists of any length", (t) => {
  const parentRefs = Array.from({ length: 100_000 }, () => web);
  const hostnames = Array.from({ length: 100_000 }, () => 1);
  const prefixed = { ...backend, filters: [rewrite] };
  const backendRefs = Array.from({ length: 20_000 }, () => prefixed);
  const spec = { parentRefs, hostnames, rules: [{ matches: [{}, {}], backendRefs }] };
  const startMs = performance.now();
  t.is(faultsOf(parseHttpRoute({ ...gatewayRoute, spec })).length, 200);
  // Seconds away from the hours that comparing each with each would take.
  t.true(performance.now() - startMs < 10_000);
});
