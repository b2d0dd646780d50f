import test from "ava";
import {
  describeEntries,
  describeRoute,
  explainRoute,
  maxRouteText,
} from "../../../src/core/decide/explain-route.ts";
import {
  type LoadedRoutes,
  loadHttpRoutes,
  type RequestView,
} from "../../../src/core/decide/find-route.ts";
import { compileHttpRoutes } from "../../../src/core/table/http-route.ts";
import { exact, is, like, load, match, prefix, regex, request, route } from "./routes.ts";

function line(loaded: LoadedRoutes, asked: RequestView): string {
  return describeRoute(loaded, explainRoute(loaded, asked));
}

const canary = load(
  route("main", [[match({})]]),
  route("canary", [[match({ headers: [is("x-canary", "yes")] })]]),
);

test("explainRoute() tells the first criterion that fails, for every entry in order", (t) => {
  const loaded = load(
    route("a", [
      [match({ path: exact("/b") })],
      [match({ path: prefix("/a"), method: "POST" })],
      [match({ headers: [is("x", "1"), is("y", "2")] })],
      [match({ queryParams: [is("q", "1")] })],
      [match({})],
    ]),
    route("b", [[match({})]], [{ kind: "exact", value: "example.com" }]),
  );
  const { entries, winner } = explainRoute(loaded, request("/a?q=2", { headers: { x: "1" } }));
  t.deepEqual(entries, [
    { outcome: "host", name: "" },
    { outcome: "path", name: "" },
    { outcome: "method", name: "" },
    { outcome: "header", name: "y" },
    { outcome: "query", name: "q" },
    { outcome: "match" },
  ]);
  t.is(winner, 5);
});

test("explainRoute() tells which criterion put the runner-up behind the winner", (t) => {
  const asked = request("/a/b?q=1", { headers: { x: "1" } });
  const better = [
    [match({ path: exact("/a/b") }), "path-kind"],
    [match({ path: prefix("/a") }), "path-length"],
    [match({ method: "GET" }), "method"],
    [match({ headers: [is("x", "1")] }), "headers"],
    [match({ queryParams: [is("q", "1")] }), "query"],
    [match({}), "order"],
  ] as const;
  for (const [one, criterion] of better) {
    const loaded = load(route("a", [[one]]), route("b", [[match({})]]));
    t.deepEqual(explainRoute(loaded, asked).runnerUp, { entry: 1, lostBy: criterion });
  }
});

test("explainRoute() tells that a closer host decided", (t) => {
  const host = { kind: "exact", value: "a.demo" } as const;
  const loaded = load(route("a", [[match({})]]), route("b", [[match({})]], [host]));
  t.is(explainRoute(loaded, request("/")).runnerUp?.lostBy, "host");
});

test("describeRoute() names the rule, and the one that it was preferred to", (t) => {
  t.is(line(canary, request("/")), "HTTPRoute demo/main rule 0 match 0");
  t.is(
    line(canary, request("/", { headers: { "x-canary": "yes" } })),
    "HTTPRoute demo/canary rule 0 match 0, before HTTPRoute demo/main rule 0 match 0 (more header matches)",
  );
});

test("describeRoute() names the nearest entry when no route matches", (t) => {
  const loaded = load(
    route("a", [[match({ path: prefix("/a") })]]),
    route("b", [[match({ headers: [is("x", "1")] })]]),
  );
  t.is(
    line(loaded, request("/")),
    "no route of 2 matches; the nearest is HTTPRoute demo/b rule 0 match 0: the header x is missing or differs",
  );
  t.is(line(load(), request("/")), "no route: the destination has none");
});

test("describeRoute() tells why an entry cannot be judged", (t) => {
  const broken = load(route("a", [[match({ path: regex("(") })]]));
  t.regex(
    line(broken, request("/")),
    /^HTTPRoute demo\/a rule 0 match 0 cannot be judged: the pattern "\(" is not a regular expression/,
  );
  const long = load(route("a", [[match({ headers: [like("x", "a*")] })]]));
  t.regex(line(long, request("/", { headers: { x: "a".repeat(9_000) } })), /is too long/);
  const unreadable = load(route("a", [[match({ unreadable: "path: has no kind" })]]));
  t.regex(line(unreadable, request("/")), /cannot be judged: path: has no kind$/);
});

test("describeRoute() fits into a header", (t) => {
  const loaded = load(route("é\n".repeat(400), [[match({})]]));
  const text = line(loaded, request("/"));
  t.is(text.length, maxRouteText);
  t.regex(text, /^[ -~]*$/);
});

test("describeEntries() has a line for each entry", (t) => {
  const loaded = load(
    route("a", [[match({ path: exact("/b") })], [match({ path: prefix("/c"), method: "PUT" })]]),
    route("b", [[match({ path: regex("/d") })], [match({ method: "POST" })], [match({})]]),
  );
  t.deepEqual(describeEntries(loaded, explainRoute(loaded, request("/x"))), [
    "HTTPRoute demo/a rule 0 match 0: the path is not /b",
    "HTTPRoute demo/a rule 1 match 0: the path is not below /c",
    "HTTPRoute demo/b rule 1 match 0: the method is not POST",
    "HTTPRoute demo/b rule 2 match 0: matches",
    "HTTPRoute demo/b rule 0 match 0: the path is not matched by /d",
  ]);
});

const reads = match({
  condition: {
    kind: "all",
    of: [
      { kind: "path", pattern: "/a.*" },
      { kind: "any", of: [{ kind: "method", method: "GET" }] },
      { kind: "not", of: { kind: "path", pattern: "(" } },
    ],
  },
});

test("describeRoute() tells which condition does not hold, or cannot be judged", (t) => {
  const loaded = load(route("a", [[reads]]));
  t.is(
    line(loaded, request("/b")),
    "no route of 1 matches; the nearest is HTTPRoute demo/a rule 0 match 0: the condition does not hold: all of (path matches /a.*, any of (method is GET), not (path matches ())",
  );
  t.regex(line(loaded, request("/a")), /cannot be judged: the pattern "\(" is not a regular/);
});

test("describeRoute() tells that the place in the list decided", (t) => {
  const rules = [[match({})], [match({ path: exact("/") })]];
  const loaded = loadHttpRoutes(compileHttpRoutes([route("a", rules)], "list"));
  t.is(
    line(loaded, request("/")),
    "HTTPRoute demo/a rule 0 match 0, before HTTPRoute demo/a rule 1 match 0 (earlier in the list)",
  );
});
