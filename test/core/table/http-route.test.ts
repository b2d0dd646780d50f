import test from "ava";
import fc from "fast-check";
import type { HostMatch } from "../../../src/core/model/match.ts";
import {
  comparePrecedence,
  compileHttpRoutes,
  trimPrefix,
} from "../../../src/core/table/http-route.ts";
import { anyOutboundRoute } from "../../arbitrary/model.ts";
import { exact, like, match, prefix, regex, route } from "../decide/routes.ts";

test("compileHttpRoutes() has rules and routes in the order of its sources", (t) => {
  const { rules, routes } = compileHttpRoutes([
    route("a", [[match({})], [match({ path: exact("/a") })]]),
    route("b", [[match({ path: exact("/b") })]]),
  ]);
  t.deepEqual(rules, [
    { route: 0, index: 0 },
    { route: 0, index: 1 },
    { route: 1, index: 0 },
  ]);
  t.deepEqual(
    routes.map(({ meta }) => meta.name),
    ["a", "b"],
  );
});

test("compileHttpRoutes() has an entry for each match", (t) => {
  const table = compileHttpRoutes([
    route("a", [[match({}), match({ path: exact("/a") })], [match({ path: prefix("/b") })]]),
  ]);
  t.deepEqual(
    table.entries.map(({ rule, match: at }) => [rule, at]),
    [
      [0, 1],
      [1, 0],
      [0, 0],
    ],
  );
});

test("compileHttpRoutes() keeps each pattern once", (t) => {
  const one = match({ path: regex("a"), headers: [like("x", "b")], queryParams: [like("q", "a")] });
  const { patterns, entries } = compileHttpRoutes([route("a", [[one, one]])]);
  t.deepEqual(patterns, ["a", "b"]);
  t.like(entries[0], { pathPattern: 0, headers: [{ pattern: 1 }], queryParams: [{ pattern: 0 }] });
});

test("compileHttpRoutes() ranks a route with several hosts once for each rank", (t) => {
  const hosts: readonly HostMatch[] = [
    { kind: "suffix", value: "com" },
    { kind: "exact", value: "b.com" },
    { kind: "exact", value: "long.example.com" },
    { kind: "suffix", value: "org" },
    { kind: "suffix", value: "example.com" },
  ];
  const { entries } = compileHttpRoutes([route("a", [[match({})]], hosts)]);
  t.deepEqual(
    entries.map((entry) => entry.hosts.map(({ value }) => value)),
    [["b.com", "long.example.com"], ["example.com"], ["com", "org"]],
  );
});

test("compileHttpRoutes() ranks regular expressions alike, whatever their length", (t) => {
  const { entries } = compileHttpRoutes([
    route("a", [[match({ path: regex("/a") }), match({ path: regex("/a/b/c") })]]),
  ]);
  t.deepEqual(
    entries.map(({ match: at }) => at),
    [0, 1],
  );
});

test("compileHttpRoutes() is sorted by comparePrecedence() and survives a structured clone", (t) => {
  fc.assert(
    fc.property(fc.array(anyOutboundRoute, { maxLength: 5 }), (routes) => {
      const table = compileHttpRoutes(routes);
      for (const [at, entry] of table.entries.entries()) {
        const next = table.entries[at + 1];
        if (next === undefined) continue;
        const { order } = comparePrecedence(entry, next);
        t.true(order < 0 || (order === 0 && entry.rule <= next.rule));
      }
      t.deepEqual(structuredClone(table), table);
    }),
    { numRuns: 200 },
  );
});

test("trimPrefix() takes the slashes off the end", (t) => {
  t.deepEqual(["/", "/a", "/a/", "/a//", "", "a"].map(trimPrefix), ["", "/a", "/a", "/a", "", "a"]);
});

test("compileHttpRoutes() of a list keeps the order of routes, rules and matches", (t) => {
  const { order, entries } = compileHttpRoutes(
    [
      route("a", [[match({}), match({ path: exact("/a") })], [match({ path: exact("/b") })]]),
      route("b", [[match({ path: exact("/c"), unreadable: "why" })]]),
    ],
    "list",
  );
  t.is(order, "list");
  t.deepEqual(
    entries.map(({ rule, match: at }) => [rule, at]),
    [
      [0, 0],
      [0, 1],
      [1, 0],
      [2, 0],
    ],
  );
});

test("compileHttpRoutes() keeps the patterns of conditions with the others", (t) => {
  const { patterns, entries } = compileHttpRoutes([
    route("a", [
      [
        match({
          path: regex("/a"),
          condition: { kind: "not", of: { kind: "all", of: [{ kind: "path", pattern: "/a" }] } },
        }),
      ],
    ]),
  ]);
  t.deepEqual(patterns, ["/a"]);
  t.deepEqual(entries[0]?.condition, {
    kind: "not",
    of: { kind: "all", of: [{ kind: "path", pattern: 0 }] },
  });
});
