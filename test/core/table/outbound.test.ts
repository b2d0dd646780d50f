import test from "ava";
import fc from "fast-check";
import { type Backend, defaultLoad } from "../../../src/core/model/backend.ts";
import { failAlways } from "../../../src/core/model/filter.ts";
import { everyRequest } from "../../../src/core/model/match.ts";
import { defaultMeta } from "../../../src/core/model/meta.ts";
import type { OutboundPolicy } from "../../../src/core/model/outbound-policy.ts";
import { outboundTable } from "../../../src/core/table/outbound.ts";
import { anyOutboundPolicy } from "../../arbitrary/model.ts";

const backend = (authority: string): Backend => ({
  meta: defaultMeta(authority),
  dispatch: { kind: "balancer", authority, load: defaultLoad },
});

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
          requestTimeoutMs: 5_000,
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
          requestTimeoutMs: 0,
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
      rules: [
        { matches: [everyRequest], filters: [], requestTimeoutMs: 0, backends: { kind: "empty" } },
      ],
    },
  ],
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
  t.like(rules[0], { distribution: "random-available", totalWeight: 4, requestTimeoutMs: 5_000 });
  t.deepEqual(rules[0]?.choices[1]?.filters, [failAlways(500, "no")]);
  t.deepEqual(rules[1]?.filters, [failAlways(500, "broken")]);
  t.like(rules[2], { distribution: "empty", totalWeight: 0 });
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
