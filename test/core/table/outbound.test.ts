import test from "ava";
import fc from "fast-check";
import { type Backend, defaultLoad } from "../../../src/core/model/backend.ts";
import { failAlways } from "../../../src/core/model/filter.ts";
import type { OutboundHttpRule } from "../../../src/core/model/http-route.ts";
import { everyRequest } from "../../../src/core/model/match.ts";
import { defaultMeta } from "../../../src/core/model/meta.ts";
import type { OutboundPolicy } from "../../../src/core/model/outbound-policy.ts";
import {
  defaultRetryBackoff,
  defaultRetryBodyBytes,
  defaultRetryBudget,
} from "../../../src/core/model/retry.ts";
import { noTimeouts } from "../../../src/core/model/timeouts.ts";
import { Secret } from "../../../src/core/std/secret.ts";
import { outboundTable } from "../../../src/core/table/outbound.ts";
import { anyOutboundPolicy } from "../../arbitrary/model.ts";

const backend = (authority: string): Backend => ({
  meta: defaultMeta(authority),
  dispatch: { kind: "balancer", authority, load: defaultLoad },
});

const unlimited = { timeouts: noTimeouts, retry: undefined, session: undefined };

const policy: OutboundPolicy = {
  parent: defaultMeta("parent"),
  protocol: "http1",
  httpRoutes: [
    {
      meta: defaultMeta("a"),
      hosts: [],
      rules: [
        {
          matches: [everyRequest],
          filters: [],
          ...unlimited,
          timeouts: { ...noTimeouts, requestMs: 5_000 },
          backends: {
            kind: "random-available",
            backends: [
              { backend: backend("a:80"), filters: [], weight: 1 },
              { backend: backend("b:80"), filters: [failAlways(500, "no")], weight: 3 },
            ],
          },
        },
        {
          matches: [everyRequest],
          filters: [failAlways(500, "broken")],
          ...unlimited,
          backends: {
            kind: "first-available",
            backends: [{ backend: backend("b:80"), filters: [], weight: 1 }],
          },
        },
      ],
    },
    {
      meta: defaultMeta("b"),
      hosts: [],
      rules: [{ matches: [everyRequest], filters: [], ...unlimited, backends: { kind: "empty" } }],
    },
  ],
  accrual: undefined,
  opaque: {
    meta: defaultMeta("opaque"),
    refusal: "",
    backends: {
      kind: "first-available",
      backends: [{ backend: backend("c:80"), filters: [], weight: 1 }],
    },
  },
};

test("outboundTable() names each backend once, however many rules send to it", (t) => {
  const { backends, rules } = outboundTable(policy);
  t.deepEqual(backends, [
    {
      meta: defaultMeta("a:80"),
      dispatch: { kind: "balancer", authority: "a:80", ...defaultLoad },
    },
    {
      meta: defaultMeta("b:80"),
      dispatch: { kind: "balancer", authority: "b:80", ...defaultLoad },
    },
  ]);
  t.deepEqual(
    rules.map(({ choices }) => choices.map((choice) => choice.backend)),
    [[0, 1], [1], []],
  );
});

test("outboundTable() has the parts of each rule beside it", (t) => {
  const { rules, http } = outboundTable(policy);
  t.is(rules.length, http.rules.length);
  t.like(rules[0], {
    distribution: "random-available",
    totalWeight: 4,
    timeouts: { requestMs: 5_000 },
  });
  t.deepEqual(rules[0]?.choices[1]?.filters, [failAlways(500, "no")]);
  t.deepEqual(rules[1]?.filters, [failAlways(500, "broken")]);
  t.like(rules[2], { distribution: "empty", totalWeight: 0 });
});

/** The policy with these filters and backends in its only rule. */
function withRule(rule: Partial<OutboundHttpRule>): OutboundPolicy {
  const { filters = [], backends = { kind: "empty" }, ...rest } = rule;
  const only = { matches: [everyRequest], ...unlimited, ...rest, filters, backends };
  return { ...policy, httpRoutes: [{ meta: defaultMeta("a"), hosts: [], rules: [only] }] };
}

test("outboundTable() names the backends of mirrors and of external authorization by their place", (t) => {
  const mirror = { backend: backend("b:80"), numerator: 1, denominator: 2 };
  const auth = {
    protocol: "http",
    backend: backend("c:80"),
    pathPrefix: "",
    requestHeaders: [],
    responseHeaders: [],
    maxBodyBytes: 0,
  } as const;
  const to = {
    backend: backend("b:80"),
    weight: 1,
    filters: [{ kind: "mirror", mirror } as const],
  };
  const { rules, backends } = outboundTable(
    withRule({
      filters: [
        { kind: "mirror", mirror },
        { kind: "external-auth", auth },
      ],
      backends: { kind: "first-available", backends: [to] },
    }),
  );
  t.deepEqual(
    backends.map(({ meta }) => meta),
    [defaultMeta("b:80"), defaultMeta("c:80")],
  );
  t.deepEqual(rules[0]?.filters, [
    { kind: "mirror", mirror: { ...mirror, backend: 0 } },
    { kind: "external-auth", auth: { ...auth, backend: 1 } },
  ]);
  t.like(rules[0]?.choices[0], { backend: 0 });
  t.deepEqual(rules[0]?.choices[0]?.filters, [
    { kind: "mirror", mirror: { ...mirror, backend: 0 } },
  ]);
});

function lambda(secretKey: string): Backend {
  return {
    meta: defaultMeta("function"),
    dispatch: {
      kind: "lambda",
      function: {
        region: "us-east-1",
        accountId: "",
        name: "hello",
        qualifier: "",
        mode: "sync",
        payload: "envoy",
        endpointUrl: "",
        accessKey: new Secret("access"),
        secretKey: new Secret(secretKey),
        sessionToken: new Secret(""),
      },
    },
  };
}

test("outboundTable() has the keys of functions as text, and tells functions apart by them", (t) => {
  const shares = ["one", "two", "one"].map((key) => ({
    backend: lambda(key),
    weight: 1,
    filters: [],
  }));
  const { rules, backends } = outboundTable(
    withRule({ backends: { kind: "random-available", backends: shares } }),
  );
  t.deepEqual(
    rules[0]?.choices.map((choice) => choice.backend),
    [0, 1, 0],
  );
  t.like(structuredClone(backends[1]?.dispatch), {
    kind: "lambda",
    function: { accessKey: "access", secretKey: "two", sessionToken: "" },
  });
});

test("outboundTable() estimates the load of static hosts by the defaults, and penalties as they are told", (t) => {
  const hosts = [{ host: "example.com", port: 443 }];
  const penalty = { penaltyMs: 1, maxRetryAfterMs: 2, decayMs: 3 };
  const dispatches: readonly Backend["dispatch"][] = [
    { kind: "static", hosts },
    { kind: "balancer", authority: "a:80", load: { ...defaultLoad, penalty } },
  ];
  const shares = dispatches.map((dispatch) => ({
    backend: { meta: defaultMeta("a"), dispatch },
    weight: 1,
    filters: [],
  }));
  const { backends } = outboundTable(
    withRule({ backends: { kind: "random-available", backends: shares } }),
  );
  t.deepEqual(
    backends.map(({ dispatch }) => dispatch),
    [
      { kind: "static", hosts, ...defaultLoad },
      { kind: "balancer", authority: "a:80", ...defaultLoad, penalty },
    ],
  );
});

test("outboundTable() keeps retries, sessions and the breaker", (t) => {
  const retry = {
    limit: 2,
    statuses: [{ start: 500, end: 599 }],
    perTryMs: 100,
    backoff: defaultRetryBackoff,
    maxBodyBytes: defaultRetryBodyBytes,
    budget: defaultRetryBudget,
  };
  const session = {
    type: "cookie",
    name: "session",
    cookiePath: "/",
    lifetime: "session",
    absoluteMs: 0,
    idleMs: 0,
  } as const;
  const accrual = {
    maxConsecutiveFailures: 7,
    successRateThreshold: 0,
    decayMs: 10_000,
    minRequests: 5,
    backoff: defaultRetryBackoff,
  };
  const table = outboundTable({ ...withRule({ retry, session }), accrual });
  t.deepEqual(table.rules[0]?.retry, retry);
  t.deepEqual(table.rules[0]?.session, session);
  t.deepEqual(table.accrual, accrual);
});

test("outboundTable() sends everything for an opaque destination where its bytes go", (t) => {
  for (const protocol of ["opaque", "tls"] as const) {
    const { http, rules, backends } = outboundTable({ ...policy, protocol });
    t.deepEqual(
      http.routes.map(({ meta }) => meta),
      [defaultMeta("opaque")],
    );
    t.deepEqual(
      rules.map(({ choices }) => choices.length),
      [1],
    );
    t.is(backends[0]?.meta.name, "c:80");
  }
});

test("outboundTable() refuses everything for a destination whose bytes are refused", (t) => {
  const refused = (refusal: "forbidden" | "invalid"): unknown => {
    const opaque = { ...policy.opaque, refusal };
    return outboundTable({ ...policy, protocol: "opaque", opaque }).rules[0]?.filters[0];
  };
  t.like(refused("forbidden"), { kind: "failure", failure: { status: 403 } });
  t.like(refused("invalid"), { kind: "failure", failure: { status: 500 } });
});

test("outboundTable() survives a structured clone", (t) => {
  fc.assert(
    fc.property(anyOutboundPolicy, (random) => {
      const table = outboundTable(random);
      t.deepEqual(structuredClone(table), table);
    }),
    { numRuns: 100 },
  );
});

test("outboundTable() keeps the order of a list, and sorts by precedence without", (t) => {
  t.is(outboundTable({ ...policy, routeOrder: "list" }).http.order, "list");
  t.is(outboundTable(policy).http.order, "precedence");
});
