/** Long lists of entries that share paths, names and values, some of which cannot be judged: what the indexes of a table find is what the specification says. */
import test from "ava";
import fc from "fast-check";
import { explainRoute } from "../../src/core/decide/explain-route.ts";
import { findRoute, loadHttpRoutes, unjudgedEntry } from "../../src/core/decide/find-route.ts";
import type {
  HostMatch,
  HttpMatch,
  PathMatch,
  RequestCondition,
  ValueMatch,
} from "../../src/core/model/match.ts";
import { defaultMeta } from "../../src/core/model/meta.ts";
import { compileHttpRoutes, type RouteSource } from "../../src/core/table/http-route.ts";
import { type RequestData, viewOf } from "../arbitrary/request.ts";
import { routesTaking } from "./oracle.ts";

/** One character more than a pattern is asked for. */
const long = "1".repeat(8_193);

const pathPatterns = [
  "/a.*",
  "/a/[ab]",
  "/a/b",
  "^/a/b/?$",
  "/[ab]/b",
  ".*/c",
  ".+/b/c",
  "(/a)?/b",
  "/(a|b)/c",
  "/[1]+",
  "(",
  "/a/[",
  "/a/{2,1}",
];
const valuePatterns = ["1", "1.*", ".*2", "[12]+", "1+", "(1|2)", "1\\.2", "1{2}", "12{2,1}", "("];
const values = ["1", "2", "11", "12", "1.2", ""];

const pathMatch: fc.Arbitrary<PathMatch> = fc.oneof(
  { arbitrary: fc.constant({ kind: "prefix", value: "/" } as const), weight: 4 },
  fc.record({
    kind: fc.constantFrom("exact" as const, "prefix" as const),
    value: fc.constantFrom("/a", "/a/", "/a/b", "/b"),
  }),
  {
    arbitrary: fc.record({
      kind: fc.constant("regex" as const),
      value: fc.constantFrom(...pathPatterns),
    }),
    weight: 3,
  },
);

function valueMatches(names: readonly string[]): fc.Arbitrary<readonly ValueMatch[]> {
  const one = fc.oneof(
    {
      arbitrary: fc.record({
        kind: fc.constant("exact" as const),
        value: fc.constantFrom(...values),
      }),
      weight: 3,
    },
    fc.record({ kind: fc.constant("regex" as const), value: fc.constantFrom(...valuePatterns) }),
  );
  return fc
    .array(fc.tuple(fc.constantFrom(...names), one), { maxLength: 2 })
    .map((list) => [...new Map(list)].map(([name, match]) => ({ name, ...match })));
}

const leaf: fc.Arbitrary<RequestCondition> = fc.oneof(
  fc.record({ kind: fc.constant("path" as const), pattern: fc.constantFrom(...pathPatterns) }),
  fc.record({ kind: fc.constant("method" as const), method: fc.constantFrom("GET", "POST") }),
);

const condition: fc.Arbitrary<RequestCondition> = fc.letrec<{ node: RequestCondition }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    leaf,
    fc.record({
      kind: fc.constantFrom("all" as const, "any" as const),
      of: fc.array(tie("node"), { maxLength: 3 }),
    }),
    fc.record({ kind: fc.constant("not" as const), of: tie("node") }),
  ),
})).node;

const match: fc.Arbitrary<HttpMatch> = fc
  .record({
    path: pathMatch,
    headers: valueMatches(["x-one", "x-two"]),
    queryParams: valueMatches(["q", "r"]),
    method: fc.constantFrom("", "", "GET", "POST"),
    condition: fc.option(condition, { nil: undefined, freq: 2 }),
    unreadable: fc.oneof({ arbitrary: fc.constant(undefined), weight: 60 }, fc.constant("why")),
  })
  .map(({ condition: asked, unreadable: reason, ...rest }) => ({
    ...rest,
    ...(asked === undefined ? {} : { condition: asked }),
    ...(reason === undefined ? {} : { unreadable: reason }),
  }));

const host: fc.Arbitrary<HostMatch> = fc.record({
  kind: fc.constantFrom("exact" as const, "exact" as const, "suffix" as const),
  value: fc.constantFrom("example.com", "a.example.com", "com"),
});

const route: fc.Arbitrary<RouteSource> = fc.record({
  meta: fc.constant(defaultMeta("oracle")),
  hosts: fc.oneof(
    { arbitrary: fc.constant([]), weight: 2 },
    fc.array(host, { minLength: 1, maxLength: 2 }),
  ),
  rules: fc.array(
    fc.record({ matches: fc.array(match, { minLength: 1, maxLength: 4, size: "max" }) }),
    { minLength: 1, maxLength: 6, size: "max" },
  ),
});

const headerValue = fc.oneof(
  { arbitrary: fc.constantFrom(...values), weight: 30 },
  fc.constant(long),
);

const request: fc.Arbitrary<RequestData> = fc.record({
  method: fc.constantFrom("GET", "POST", "PUT"),
  path: fc.oneof(
    {
      arbitrary: fc.constantFrom(
        "/",
        "/a",
        "/a/",
        "/a/b",
        "/a/b/c",
        "/b",
        "/b/b",
        "/b/c",
        "/c",
        "/11",
      ),
      weight: 30,
    },
    fc.constantFrom(`/${long}`, `/a/${long}`),
  ),
  query: fc.constantFrom("", "q=1", "q=2&q=1", "r=12&q=11", "q=1.2&r=", "%71=1", "q"),
  authority: fc.constantFrom("example.com", "A.example.com:8080", "b.a.example.com.", "com:", "x"),
  headers: fc.dictionary(fc.constantFrom("x-one", "x-two"), headerValue),
});

for (const order of ["precedence", "list"] as const) {
  test(`findRoute() of long lists in the order of ${order} finds and refuses what the specification says`, (t) => {
    const seen = { requests: 0, taken: 0, unjudged: 0, contested: 0 };
    fc.assert(
      fc.property(
        fc.array(route, { minLength: 2, maxLength: 5, size: "max" }),
        fc.array(request, { minLength: 12, maxLength: 12 }),
        (routes, requests) => {
          const loaded = loadHttpRoutes(compileHttpRoutes(routes, order));
          const { entries, rules } = loaded.table;
          for (const data of requests) {
            const [first, ...rest] = routesTaking(routes, data, order);
            const found = findRoute(loaded, viewOf(data));
            const unjudged = unjudgedEntry(found);
            const entry = entries[unjudged ?? found];
            const rule = rules[entry?.rule ?? -1];
            t.deepEqual(
              entry && { route: rule?.route, rule: rule?.index, match: entry.match },
              first?.place,
            );
            t.is(unjudged === undefined, first?.isJudged ?? true);
            seen.requests++;
            if (first !== undefined) seen.taken++;
            if (first?.isJudged === false) seen.unjudged++;
            if (rest.length > 0) seen.contested++;
          }
        },
      ),
      { numRuns: 400 },
    );
    t.true(seen.taken > seen.requests / 2, JSON.stringify(seen));
    t.true(seen.contested > seen.requests / 4, JSON.stringify(seen));
    t.true(seen.unjudged > seen.requests / 20, JSON.stringify(seen));
    t.true(seen.taken - seen.unjudged > seen.requests / 4, JSON.stringify(seen));
  });

  test(`explainRoute() of long lists in the order of ${order} names what findRoute() finds`, (t) => {
    fc.assert(
      fc.property(
        fc.array(route, { minLength: 2, maxLength: 4, size: "max" }),
        fc.array(request, { minLength: 4, maxLength: 4 }),
        (routes, requests) => {
          const loaded = loadHttpRoutes(compileHttpRoutes(routes, order));
          for (const data of requests) {
            const { winner, unjudged } = explainRoute(loaded, viewOf(data));
            const found = findRoute(loaded, viewOf(data));
            t.is(unjudged, unjudgedEntry(found));
            t.is(winner ?? -1, Math.max(found, -1) === -1 ? -1 : found);
          }
        },
      ),
      { numRuns: 200 },
    );
  });
}
