import { inspect } from "node:util";
import test from "ava";
import {
  defaultAccrualBackoff,
  defaultAccrualDecayMs,
  defaultAccrualMinRequests,
  type FailureAccrual,
} from "../../src/core/model/accrual.ts";
import type { Authentication } from "../../src/core/model/authorization.ts";
import type { Backend } from "../../src/core/model/backend.ts";
import { type ExternalAuth, failAlways } from "../../src/core/model/filter.ts";
import type { OutboundHttpRule } from "../../src/core/model/http-route.ts";
import { everyRequest, type HttpMatch } from "../../src/core/model/match.ts";
import { defaultMeta, resourceMeta } from "../../src/core/model/meta.ts";
import type { OutboundPolicy } from "../../src/core/model/outbound-policy.ts";
import { defaultRetryBackoff, defaultRetryBudget, type Retry } from "../../src/core/model/retry.ts";
import type { SessionPersistence } from "../../src/core/model/session.ts";
import { noTimeouts } from "../../src/core/model/timeouts.ts";
import { type Cidr, parseCidr } from "../../src/core/std/ip.ts";
import { Secret } from "../../src/core/std/secret.ts";
import { inboundTable } from "../../src/core/table/inbound.ts";
import { outboundTable } from "../../src/core/table/outbound.ts";
import { describeInbound, describeOutbound } from "../../src/sidecar/describe-table.ts";
import { endpoint, inboundFor, policyWith } from "./policies.ts";

const matches = test.macro({
  exec: (t, match: Partial<HttpMatch>, when: string) => {
    const table = outboundTable(
      policyWith([{ match: { ...everyRequest, ...match }, authorities: [] }]),
    );
    t.is(describeOutbound(table).rules[0]?.when, when);
  },
  title: (_given, _match, when: string) => `describeOutbound() writes "${when}"`,
});
test(matches, {}, "every request");
test(matches, { path: { kind: "exact", value: "/a" } }, "path is /a");
test(matches, { path: { kind: "prefix", value: "/a/" } }, "path below /a/");
test(matches, { path: { kind: "regex", value: "/a+" } }, "path matches /a+");
test(matches, { method: "GET" }, "method is GET");
test(
  matches,
  {
    headers: [
      { name: "a", kind: "exact", value: "1" },
      { name: "b", kind: "regex", value: "2+" },
    ],
    queryParams: [{ name: "c", kind: "exact", value: "3" }],
  },
  "header a is 1, header b matches 2+, query c is 3",
);

test(
  matches,
  {
    condition: {
      kind: "any",
      of: [
        { kind: "path", pattern: "/a+" },
        { kind: "not", of: { kind: "method", method: "GET" } },
      ],
    },
  },
  "any of (path matches /a+, not (method is GET))",
);

test("describeOutbound() writes hosts", (t) => {
  const policy = policyWith([{ match: everyRequest, authorities: [] }]);
  const hosts = [
    { kind: "exact", value: "a.example" },
    { kind: "suffix", value: "b.example" },
  ] as const;
  const httpRoutes = policy.httpRoutes.map((route) => ({ ...route, hosts }));
  const { rules } = describeOutbound(outboundTable({ ...policy, httpRoutes }));
  t.is(rules.map(({ when }) => when).join(" or "), "host is a.example or host is below b.example");
});

test("describeOutbound() tells where each backend leads, and its filters", (t) => {
  const policy = policyWith([{ match: everyRequest, authorities: ["a.demo:80"] }]);
  const filters = [failAlways(500, "broken")];
  const backend = (dispatch: "forward" | "fail") => ({
    backend: {
      meta: resourceMeta({ group: "core", kind: "Service", namespace: "demo", name: dispatch }),
      dispatch:
        dispatch === "fail"
          ? ({ kind: "fail" } as const)
          : ({ kind: "forward", endpoint: endpoint(81, "10.0.0.1") } as const),
    },
    filters,
    weight: 2,
  });
  const httpRoutes = policy.httpRoutes.map((route) => ({
    ...route,
    rules: route.rules.map((rule) => ({
      ...rule,
      backends: {
        kind: "random-available" as const,
        backends: [backend("forward"), backend("fail")],
      },
    })),
  }));
  const [rule] = describeOutbound(outboundTable({ ...policy, httpRoutes })).rules;
  t.is(rule?.pick, "random-available");
  t.deepEqual(rule?.backends, [
    { backend: "Service demo/forward", weight: 2, to: "10.0.0.1 port 81", filters },
    { backend: "Service demo/fail", weight: 2, to: "nowhere", filters },
  ]);
});

test("describeOutbound() tells where connections go that are not read as requests, and which are refused", (t) => {
  const policy = policyWith([{ match: everyRequest, authorities: [] }]);
  const meta = resourceMeta({ group: "core", kind: "Service", namespace: "demo", name: "db" });
  const backend: Backend = {
    meta,
    dispatch: { kind: "forward", endpoint: endpoint(81, "10.0.0.1") },
  };
  const backends = {
    kind: "random-available" as const,
    backends: [{ backend, filters: [], weight: 3 }],
  };
  const route = { meta: defaultMeta("bytes"), refusal: "" as const, backends };
  const to = [{ backend: "Service demo/db", to: "10.0.0.1 port 81", weight: 3, filters: [] }];
  const told = {
    route: "default bytes",
    refusal: undefined,
    pick: "random-available",
    backends: to,
  };
  const opaque = { ...policy, protocol: "opaque" as const, httpRoutes: [], opaque: route };
  const bytes = describeOutbound(outboundTable(opaque));
  t.deepEqual(bytes.opaque, told);
  t.is(bytes.tls, undefined);
  const tls = describeOutbound(
    outboundTable({
      ...opaque,
      protocol: "tls",
      tlsRoutes: [
        { ...route, refusal: "invalid", snis: [] },
        { ...route, snis: [{ kind: "suffix", value: "example.com" }] },
      ],
    }),
  );
  t.is(tls.opaque, undefined);
  t.deepEqual(tls.tls, [
    { when: "server name is below example.com", ...told },
    { when: "every server name", ...told, refusal: "invalid" },
  ]);
});

function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(`Not a network: ${text}`);
  return parsed;
}

const clients = test.macro({
  exec: (t, authentication: Authentication, text: string) => {
    const networks = [{ net: cidr("10.0.0.0/8"), except: [cidr("10.1.0.0/16")] }];
    const policy = inboundFor({ meta: defaultMeta("probe"), networks, authentication });
    const [rule] = describeInbound(inboundTable(policy)).rules;
    t.deepEqual(rule?.admits, [`default probe: ${text} from 10.0.0.0/8 except 10.1.0.0/16`]);
  },
  title: (_given, _authentication, text: string) => `describeInbound() writes "${text}"`,
});
test(clients, { kind: "unauthenticated" }, "everybody");
test(clients, { kind: "tls" }, "every client with mutual TLS");
test(
  clients,
  { kind: "identities", identities: ["a.demo", "b.demo"], suffixes: [".c.demo", ""] },
  "a.demo or b.demo or *.c.demo or *",
);
test(clients, { kind: "identities", identities: [], suffixes: [] }, "nobody");

const keys = {
  accessKey: new Secret("AKIAFAKE"),
  secretKey: new Secret("very-secret"),
  sessionToken: new Secret("token-of-a-session"),
};

const lambda: Backend = {
  meta: resourceMeta({
    group: "gateway.kgateway.dev",
    kind: "Backend",
    namespace: "demo",
    name: "f",
  }),
  dispatch: {
    kind: "lambda",
    function: {
      region: "eu-central-1",
      accountId: "123456789012",
      name: "orders",
      qualifier: "live",
      mode: "async",
      payload: "envoy",
      endpointUrl: "http://user:very-secret@127.0.0.1:4566",
      ...keys,
    },
  },
};

const shown =
  "function orders:live of account 123456789012 in eu-central-1 at 127.0.0.1:4566 (async, payload envoy)";

function withRule(parts: Partial<OutboundHttpRule>): OutboundPolicy {
  const policy = policyWith([{ match: everyRequest, authorities: ["a.demo:80"] }]);
  const httpRoutes = policy.httpRoutes.map((route) => ({
    ...route,
    rules: route.rules.map((rule) => ({ ...rule, ...parts })),
  }));
  return { ...policy, httpRoutes };
}

test("describeOutbound() shows a function in backends, mirrors and authorizations, but none of its keys", (t) => {
  const auth: ExternalAuth = {
    protocol: "http",
    backend: lambda,
    pathPrefix: "",
    requestHeaders: [],
    responseHeaders: [],
    maxBodyBytes: 0,
  };
  const table = outboundTable(
    withRule({
      filters: [
        { kind: "mirror", mirror: { backend: lambda, numerator: 1, denominator: 2 } },
        { kind: "external-auth", auth },
      ],
      backends: {
        kind: "random-available",
        backends: [
          {
            backend: lambda,
            weight: 1,
            filters: [
              { kind: "mirror", mirror: { backend: lambda, numerator: 1, denominator: 1 } },
            ],
          },
        ],
      },
    }),
  );
  const readable = describeOutbound(table);
  const { backend: _backend, ...asked } = auth;
  const named = { backend: "Backend demo/f", to: shown };
  t.deepEqual(readable.rules[0]?.filters, [
    { kind: "mirror", mirror: { ...named, numerator: 1, denominator: 2 } },
    { kind: "external-auth", auth: { ...asked, ...named } },
  ]);
  t.deepEqual(readable.rules[0]?.backends, [
    {
      ...named,
      weight: 1,
      filters: [{ kind: "mirror", mirror: { ...named, numerator: 1, denominator: 1 } }],
    },
  ]);
  // The keys are there to be shown: the table has them in the clear.
  t.true(JSON.stringify(table).includes("very-secret"));
  const text = inspect(readable, { depth: 20, showHidden: true }) + JSON.stringify(readable);
  for (const key of Object.values(keys)) t.false(text.includes(key.reveal()));
});

test("describeOutbound() shows the hosts of a backend outside the mesh", (t) => {
  const hosts = [
    { host: "10.0.0.1", port: 80 },
    { host: "api.example.com", port: 8080 },
  ];
  const backend: Backend = { meta: lambda.meta, dispatch: { kind: "static", hosts } };
  const backends = {
    kind: "first-available",
    backends: [{ backend, weight: 1, filters: [] }],
  } as const;
  const [rule] = describeOutbound(outboundTable(withRule({ backends }))).rules;
  t.is(rule?.backends[0]?.to, "10.0.0.1 port 80 or api.example.com port 8080");
});

test("describeOutbound() shows timeouts, retries, sessions and when endpoints are taken out", (t) => {
  const retry: Retry = {
    limit: 2,
    statuses: [{ start: 500, end: 503 }],
    perTryMs: 100,
    backoff: defaultRetryBackoff,
    maxBodyBytes: 10,
    budget: defaultRetryBudget,
  };
  const session: SessionPersistence = {
    type: "cookie",
    name: "s",
    cookiePath: "/",
    lifetime: "session",
    absoluteMs: 0,
    idleMs: 0,
  };
  const accrual: FailureAccrual = {
    maxConsecutiveFailures: 7,
    successRateThreshold: 0,
    decayMs: defaultAccrualDecayMs,
    minRequests: defaultAccrualMinRequests,
    backoff: defaultAccrualBackoff,
  };
  const timeouts = { ...noTimeouts, requestMs: 1_000, idleMs: 300 };
  const policy = { ...withRule({ timeouts, retry, session }), accrual };
  const { rules, ...readable } = describeOutbound(outboundTable(policy));
  t.is(readable.accrual, accrual);
  t.deepEqual(rules[0]?.timeouts, { requestMs: 1_000, idleMs: 300 });
  t.is(rules[0]?.retry, retry);
  t.is(rules[0]?.session, session);
  const plain = describeOutbound(outboundTable(withRule({}))).rules[0];
  t.is(plain?.timeouts, undefined);
});
