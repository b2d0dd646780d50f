import test from "ava";
import {
  findRoute,
  loadHttpRoutes,
  noRoute,
  unjudgedEntry,
} from "../../../src/core/decide/find-route.ts";
import { compilePattern, maxTestedLength } from "../../../src/core/decide/pattern.ts";
import type { HostMatch, HttpMatch, RequestCondition } from "../../../src/core/model/match.ts";
import { ok } from "../../../src/core/std/result.ts";
import { compileHttpRoutes } from "../../../src/core/table/http-route.ts";
import {
  exact,
  is,
  like,
  load,
  match,
  prefix,
  type RequestParts,
  regex,
  request,
  route,
} from "./routes.ts";

type Asked = readonly [target: string, parts?: RequestParts];

const takes = test.macro({
  exec: (t, one: Partial<HttpMatch>, asked: Asked, answer: boolean) => {
    const found = findRoute(load(route("a", [[match(one)]])), request(...asked));
    t.is(found, answer ? 0 : noRoute);
  },
  title: (given, one: Partial<HttpMatch>, asked: Asked, answer: boolean) => {
    const what = `${JSON.stringify(asked)} by ${JSON.stringify(one)}`;
    return `findRoute() ${given}: ${answer ? "takes" : "leaves"} ${what}`;
  },
});

// Gateway API HTTPPathMatch.
const whole = "an Exact path is the whole path, with its case";
test(whole, takes, { path: exact("/abc") }, ["/abc"], true);
test(whole, takes, { path: exact("/abc") }, ["/abc?q=1"], true);
test(whole, takes, { path: exact("/abc") }, ["/abc/"], false);
test(whole, takes, { path: exact("/abc") }, ["/ABC"], false);
test(whole, takes, { path: exact("/abc") }, ["/%61bc"], false);
test(whole, takes, { path: exact("/abc/") }, ["/abc"], false);

const segments = "a PathPrefix is compared element by element, without the slash at its end";
test(segments, takes, { path: prefix("/abc") }, ["/abc"], true);
test(segments, takes, { path: prefix("/abc") }, ["/abc/"], true);
test(segments, takes, { path: prefix("/abc") }, ["/abc/def"], true);
test(segments, takes, { path: prefix("/abc") }, ["/abcd"], false);
test(segments, takes, { path: prefix("/abc") }, ["/Abc"], false);
test(segments, takes, { path: prefix("/abc") }, ["/ab"], false);
test(segments, takes, { path: prefix("/abc/") }, ["/abc"], true);
test(segments, takes, { path: prefix("/abc/") }, ["/abc/def"], true);
test(segments, takes, { path: prefix("/abc/") }, ["/abcd"], false);
test(segments, takes, { path: prefix("/") }, ["/"], true);
test(segments, takes, { path: prefix("/") }, ["/anything/at/all"], true);
test(segments, takes, { path: prefix("/") }, ["*"], true);

const spans = "a RegularExpression spans the whole path and not the query";
test(spans, takes, { path: regex("/a.c") }, ["/abc"], true);
test(spans, takes, { path: regex("/a.c") }, ["/abc?q=d"], true);
test(spans, takes, { path: regex("/a.c") }, ["/abcd"], false);
test(spans, takes, { path: regex("/a") }, ["/b/a"], false);
test(spans, takes, { path: regex("/a|/ab") }, ["/ab"], true);

// Gateway API HTTPHeaderMatch.
const header = "a header is compared whole, with the case of its value";
const one = { headers: [is("x-one", "a")] };
test(header, takes, one, ["/", { headers: { "x-one": "a" } }], true);
test(header, takes, one, ["/", { headers: { "x-one": "A" } }], false);
test(header, takes, one, ["/", { headers: { "x-one": "ab" } }], false);
test(header, takes, one, ["/", { headers: { "x-one": "a, b" } }], false);
test(header, takes, one, ["/"], false);
test(header, takes, { headers: [is("x-one", "")] }, ["/", { headers: { "x-one": "" } }], true);
test(header, takes, { headers: [is("x-one", "")] }, ["/"], false);

const pattern = "a pattern spans the value of a header, which may have any octet";
test(pattern, takes, { headers: [like("x", "a+")] }, ["/", { headers: { x: "aa" } }], true);
test(pattern, takes, { headers: [like("x", "a+")] }, ["/", { headers: { x: "aab" } }], false);
test(pattern, takes, { headers: [like("x", "a|ab")] }, ["/", { headers: { x: "ab" } }], true);
test(pattern, takes, { headers: [like("x", "a, b")] }, ["/", { headers: { x: "a, b" } }], true);
test(pattern, takes, { headers: [like("x", "a.")] }, ["/", { headers: { x: "a\u00ff" } }], true);
test(pattern, takes, { headers: [like("x", ".*")] }, ["/"], false);

const both = "every header of a match has to hold";
const two = { headers: [is("x-one", "a"), is("x-two", "b")] };
test(both, takes, two, ["/", { headers: { "x-one": "a", "x-two": "b" } }], true);
test(both, takes, two, ["/", { headers: { "x-one": "a" } }], false);
test(both, takes, two, ["/", { headers: { "x-two": "b" } }], false);

// Gateway API HTTPQueryParamMatch.
const query = "a query parameter is compared by name and value, with case";
const whale = { queryParams: [is("animal", "whale")] };
test(query, takes, whale, ["/?animal=whale"], true);
test(query, takes, whale, ["/?x=1&animal=whale"], true);
test(query, takes, whale, ["/?ANIMAL=whale"], false);
test(query, takes, whale, ["/?animal=Whale"], false);
test(query, takes, whale, ["/?animals=whale"], false);
test(query, takes, whale, ["/"], false);
test(query, takes, { queryParams: [like("animal", "wh.*")] }, ["/?animal=whale"], true);
test(query, takes, { queryParams: [like("animal", "wh")] }, ["/?animal=whale"], false);
const repeated = "of a repeated parameter the first counts";
test(repeated, takes, whale, ["/?animal=whale&animal=x"], true);
test(repeated, takes, whale, ["/?animal=x&animal=whale"], false);
test("a parameter is decoded", takes, whale, ["/?%61nimal=wh%61le"], true);

const method = "a method is compared with its case";
test(method, takes, { method: "GET" }, ["/"], true);
test(method, takes, { method: "GET" }, ["/", { method: "POST" }], false);
test(method, takes, { method: "GET" }, ["/", { method: "get" }], false);

const hostTest = test.macro({
  exec: (t, host: HostMatch, authority: string, answer: boolean) => {
    const routes = load(route("a", [[match({})]], [host]));
    t.is(findRoute(routes, request("/", { authority })), answer ? 0 : noRoute);
  },
  title: (_given, { kind, value }: HostMatch, authority: string, answer: boolean) =>
    `findRoute() host ${kind} ${value} ${answer ? "takes" : "leaves"} ${authority}`,
});
const exactHost: HostMatch = { kind: "exact", value: "example.com" };
const suffixHost: HostMatch = { kind: "suffix", value: "example.com" };
test(hostTest, exactHost, "example.com", true);
test(hostTest, exactHost, "EXAMPLE.com:8080", true);
test(hostTest, exactHost, "example.com.", true);
test(hostTest, exactHost, "a.example.com", false);
test(hostTest, suffixHost, "a.example.com", true);
test(hostTest, suffixHost, "a.b.example.com:80", true);
test(hostTest, suffixHost, "example.com", false);
test(hostTest, suffixHost, ".example.com", false);
test(hostTest, suffixHost, "notexample.com", false);

/** The second of two routes wins, although the first is older: the criterion has to be the reason. */
const beats = test.macro({
  exec: (t, better: Partial<HttpMatch>, worse: Partial<HttpMatch>) => {
    const routes = load(route("older", [[match(worse)]]), route("newer", [[match(better)]]));
    const asked = request("/a/b?q=1&r=1", { headers: { x: "1", y: "1" } });
    const { rules, entries } = routes.table;
    const winner = rules[entries[findRoute(routes, asked)]?.rule ?? -1];
    t.is(winner?.route, 1);
  },
  title: (given) => `findRoute() prefers ${given}`,
});
const oneHeader = [is("x", "1")];
const twoHeaders = [is("x", "1"), is("y", "1")];
const oneParam = [is("q", "1")];
const twoParams = [is("q", "1"), is("r", "1")];

test("an Exact path to a PathPrefix", beats, { path: exact("/a/b") }, { path: prefix("/a/b") });
test(
  "an Exact path to everything that comes later",
  beats,
  { path: exact("/a/b") },
  { path: prefix("/a/b"), method: "GET", headers: twoHeaders, queryParams: twoParams },
);
test("the longer PathPrefix", beats, { path: prefix("/a/b") }, { path: prefix("/a") });
test(
  "a longer PathPrefix without counting its last slash",
  beats,
  { path: prefix("/a/b") },
  { path: prefix("/a/") },
);
test(
  "a longer PathPrefix to everything that comes later",
  beats,
  { path: prefix("/a") },
  { path: prefix("/"), method: "GET", headers: twoHeaders, queryParams: twoParams },
);
test("a PathPrefix to a RegularExpression", beats, { path: prefix("/") }, { path: regex("/a/b") });
test("a match with a method", beats, { method: "GET" }, {});
test(
  "a method to headers and parameters",
  beats,
  { method: "GET" },
  { headers: twoHeaders, queryParams: twoParams },
);
test("more headers", beats, { headers: twoHeaders }, { headers: oneHeader });
test("more headers to more parameters", beats, { headers: oneHeader }, { queryParams: twoParams });
test("more parameters", beats, { queryParams: twoParams }, { queryParams: oneParam });

test("findRoute() of equal matches takes the older route, then the first rule, then the first match", (t) => {
  const twice = [match({}), match({})];
  const routes = load(route("older", [twice, twice]), route("newer", [twice]));
  const found = routes.table.entries[findRoute(routes, request("/"))];
  t.like(found, { rule: 0, match: 0 });
  t.like(routes.table.rules[0], { route: 0, index: 0 });
});

test("findRoute() of equal PathPrefixes takes the older, though the newer has a slash more", (t) => {
  const routes = load(
    route("older", [[match({ path: prefix("/a") })]]),
    route("newer", [[match({ path: prefix("/a/") })]]),
  );
  t.is(routes.table.entries[findRoute(routes, request("/a/b"))]?.rule, 0);
});

test("findRoute() ranks the two matches of one rule apart", (t) => {
  const routes = load(
    route("a", [[match({ path: prefix("/a") }), match({ path: exact("/a/b/c") })]]),
    route("b", [[match({ path: prefix("/a/b") })]]),
  );
  const ruleOf = (target: string): number | undefined =>
    routes.table.entries[findRoute(routes, request(target))]?.rule;
  t.deepEqual([ruleOf("/a"), ruleOf("/a/b"), ruleOf("/a/b/c")], [0, 1, 0]);
});

test("findRoute() prefers an exact host, then the longer suffix, to a route for every host", (t) => {
  const path = [[match({ path: exact("/") })]];
  const every = [[match({})]];
  const routes = load(
    route("any", path),
    route("short", path, [{ kind: "suffix", value: "com" }]),
    route("long", path, [{ kind: "suffix", value: "example.com" }]),
    route("exact", every, [{ kind: "exact", value: "a.example.com" }]),
  );
  const routeOf = (authority: string): number | undefined => {
    const found = findRoute(routes, request("/", { authority }));
    return routes.table.rules[routes.table.entries[found]?.rule ?? -1]?.route;
  };
  t.deepEqual(["a.example.com", "b.example.com", "b.com", "b.org"].map(routeOf), [3, 2, 1, 0]);
});

test("findRoute() answers noRoute for a table without entries", (t) => {
  t.is(findRoute(load(), request("/")), noRoute);
});

test("findRoute() refuses what a pattern that does not compile would have to judge", (t) => {
  const routes = load(route("a", [[match({ headers: [like("x", "(")] })], [match({})]]));
  const found = findRoute(routes, request("/", { headers: { x: "1" } }));
  t.true(found < noRoute);
  t.is(unjudgedEntry(found), 0);
  t.deepEqual(
    routes.faults.map(({ path }) => path),
    ["("],
  );
});

test("findRoute() passes over a broken pattern when another criterion fails", (t) => {
  const broken = match({ method: "POST", headers: [like("x", "(")], queryParams: [is("q", "1")] });
  const routes = load(route("a", [[broken], [match({})]]));
  const headers = { x: "1" };
  const ruleOf = (target: string, parts: RequestParts): number | undefined =>
    routes.table.entries[findRoute(routes, request(target, parts))]?.rule;
  t.is(ruleOf("/?q=1", { method: "GET", headers }), 1);
  t.is(ruleOf("/?q=2", { method: "POST", headers }), 1);
  t.is(ruleOf("/?q=1", { method: "POST" }), 1);
  t.is(ruleOf("/?q=1", { method: "POST", headers }), undefined);
});

test("findRoute() takes an entry that ranks above the broken one", (t) => {
  const routes = load(route("a", [[match({ path: regex("(") })], [match({})]]));
  t.is(routes.table.entries[findRoute(routes, request("/"))]?.rule, 1);
});

test("findRoute() refuses a value that is too long for a pattern", (t) => {
  const routes = load(route("a", [[match({ headers: [like("x", "a*")] })], [match({})]]));
  const ask = (length: number): number =>
    findRoute(routes, request("/", { headers: { x: "a".repeat(length) } }));
  t.is(ask(maxTestedLength), 0);
  t.is(unjudgedEntry(ask(maxTestedLength + 1)), 0);
});

test("findRoute() ranks a match that was not understood above all others", (t) => {
  const unreadable = match({ path: prefix("/a"), unreadable: "the header has no kind" });
  const routes = load(route("a", [[match({ path: exact("/a/b") })], [unreadable]]));
  t.is(unjudgedEntry(findRoute(routes, request("/a/b"))), 0);
  t.is(findRoute(routes, request("/b")), noRoute);
});

test("unjudgedEntry() is undefined for entries and for noRoute", (t) => {
  t.deepEqual(
    [unjudgedEntry(0), unjudgedEntry(noRoute), unjudgedEntry(-2)],
    [undefined, undefined, 0],
  );
});

test("loadHttpRoutes() compiles each pattern once, with the function that it is given", (t) => {
  const compiled: string[] = [];
  const same = match({
    path: regex("a"),
    headers: [like("x", "a")],
    queryParams: [like("q", "b")],
  });
  loadHttpRoutes(compileHttpRoutes([route("a", [[same, same]])]), (source) => {
    compiled.push(source);
    return ok({ test: () => true });
  });
  t.deepEqual(compiled, ["a", "b"]);
});

/** One rule for each number, each told apart by its number alone. */
function thousand(one: (at: number) => Partial<HttpMatch>): HttpMatch[][] {
  return Array.from({ length: 1_000 }, (_, at) => [match(one(at))]);
}

test("findRoute() looks a header up among 1,000 rules instead of judging each", (t) => {
  const rules = thousand((at) => ({ headers: [is("x-env", "a"), is("x", `value-${at}`)] }));
  const routes = load(route("a", [...rules, [match({})]]));
  const asked: string[] = [];
  const view = {
    ...request("/"),
    header: (name: string): string | undefined => {
      asked.push(name);
      return name === "x" ? "value-900" : "a";
    },
  };
  t.is(findRoute(routes, view), 900);
  t.deepEqual(asked, ["x", "x-env", "x"]);
});

test("findRoute() tests one pattern of 1,000 when they begin or end differently", (t) => {
  const rules = thousand((at) => ({
    path: regex(at % 2 === 0 ? `/api/v[0-9]+/thing-${at}` : `^/${at}/things/.*$`),
  }));
  const tested: string[] = [];
  const table = compileHttpRoutes([route("a", rules)]);
  const routes = loadHttpRoutes(table, (source) => {
    const pattern = compilePattern(source);
    if (!pattern.ok) return pattern;
    const test = (value: string): boolean => {
      tested.push(source);
      return pattern.value.test(value);
    };
    return ok({ test });
  });
  t.is(findRoute(routes, request("/api/v1/thing-500")), 500);
  t.is(findRoute(routes, request("/501/things/a")), 501);
  t.is(findRoute(routes, request("/501/thing")), noRoute);
  t.deepEqual(tested, ["/api/v[0-9]+/thing-500", "^/501/things/.*$"]);
});

test("findRoute() asks for a query parameter, a method or a host once for 1,000 rules", (t) => {
  const kinds = {
    query: thousand((at) => ({ queryParams: [is("q", `${at}`)] })),
    method: thousand((at) => ({ method: `M${at}` })),
  };
  const parts = { method: "M900" };
  for (const rules of Object.values(kinds)) {
    t.is(findRoute(load(route("a", rules)), request("/?q=900", parts)), 900);
    t.is(findRoute(load(route("a", rules)), request("/?q=x")), noRoute);
  }
  const hosts = Array.from({ length: 1_000 }, (_, at) =>
    route(`r${at}`, [[match({})]], [{ kind: "exact", value: `h${at}.demo` }]),
  );
  const found = findRoute(load(...hosts), request("/", { authority: "H900.demo.:80" }));
  t.is(found, 900);
});

const conditions = "a condition holds beside the other criteria";
const readsThings: RequestCondition = {
  kind: "all",
  of: [
    { kind: "path", pattern: "/a/[0-9]+" },
    { kind: "not", of: { kind: "method", method: "POST" } },
  ],
};
test(conditions, takes, { condition: readsThings }, ["/a/1"], true);
test(conditions, takes, { condition: readsThings }, ["/a/1", { method: "POST" }], false);
test(conditions, takes, { condition: readsThings }, ["/a/1/b"], false);
test(conditions, takes, { condition: readsThings, path: prefix("/b") }, ["/a/1"], false);
test(conditions, takes, { condition: { kind: "any", of: [readsThings] } }, ["/a/1"], true);
test(conditions, takes, { condition: { kind: "any", of: [] } }, ["/"], false);
test(conditions, takes, { condition: { kind: "all", of: [] } }, ["/"], true);

test("findRoute() refuses what a condition cannot judge, unless its other parts decide", (t) => {
  const broken: RequestCondition = { kind: "path", pattern: "(" };
  const post: RequestCondition = { kind: "method", method: "POST" };
  const ask = (condition: RequestCondition, method: string): number =>
    findRoute(load(route("a", [[match({ condition })], [match({})]])), request("/", { method }));
  t.is(unjudgedEntry(ask(broken, "GET")), 0);
  t.is(unjudgedEntry(ask({ kind: "not", of: broken }, "GET")), 0);
  t.is(ask({ kind: "all", of: [broken, post] }, "GET"), 1);
  t.is(unjudgedEntry(ask({ kind: "all", of: [broken, post] }, "POST")), 0);
  t.is(ask({ kind: "any", of: [broken, post] }, "POST"), 0);
  t.is(unjudgedEntry(ask({ kind: "any", of: [broken, post] }, "GET")), 0);
});

test("findRoute() of a list takes the first match, however general", (t) => {
  const rules = [[match({ path: prefix("/a") })], [match({ path: exact("/a/b") })]];
  const routes = loadHttpRoutes(compileHttpRoutes([route("a", rules)], "list"));
  t.is(routes.table.entries[findRoute(routes, request("/a/b"))]?.rule, 0);
});
