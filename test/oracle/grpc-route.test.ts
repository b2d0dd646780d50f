/**
 * gRPC routing against a slow reading of the words of Gateway API (GRPCRouteMatch, GRPCRouteRule), over the whole way of a route: document, model, message,
 * model again, table.
 */
import test from "ava";
import fc from "fast-check";
import { findRoute, loadHttpRoutes } from "../../src/core/decide/find-route.ts";
import { outboundStages } from "../../src/core/pipeline.ts";
import { buildStore } from "../../src/core/resolve/store.ts";
import { parseResource, type Resource } from "../../src/core/resource/resource.ts";
import { describeFaults } from "../../src/core/std/result.ts";
import { documentsOf, service, settings } from "../core/resolve/world.ts";

type Match = {
  readonly type: "Exact" | "RegularExpression";
  readonly service: string;
  readonly method: string;
  readonly headers: readonly string[];
};

type Call = { readonly path: string; readonly method: string; readonly headers: readonly string[] };

type Rule = readonly Match[];

/** `*` stands for any run of letters and dots in a pattern, so that the oracle needs no engine. */
const names = { service: ["", "a", "a.B", "a.BB"], method: ["", "Get", "GetAll"] } as const;
const patterns = { service: ["", "a.*", ".*"], method: ["", "Get.*", ".*All"] } as const;

const anyHeaders = fc.subarray(["x-a", "x-b"]);

const anyMatch: fc.Arbitrary<Match> = fc
  .constantFrom<Match["type"]>("Exact", "RegularExpression")
  .chain((type) => {
    const from = type === "Exact" ? names : patterns;
    return fc.record({
      type: fc.constant(type),
      service: fc.constantFrom<string>(...from.service),
      method: fc.constantFrom<string>(...from.method),
      headers: anyHeaders,
    });
  });

const anyRoutes = fc.array(
  fc.array(fc.array(anyMatch, { maxLength: 3 }), { minLength: 1, maxLength: 3 }),
  { minLength: 1, maxLength: 3 },
);

const anyCall: fc.Arbitrary<Call> = fc.record({
  path: fc.oneof(
    fc
      .tuple(fc.constantFrom("a", "a.B", "a.BB", "c"), fc.constantFrom("Get", "GetAll", "Put"))
      .map(([of, name]) => `/${of}/${name}`),
    fc.constantFrom("/", "/a", "/a/", "//Get", "/a/Get/b"),
  ),
  method: fc.constantFrom("POST", "POST", "POST", "GET"),
  headers: anyHeaders,
});

function documentOf(name: string, at: number, rules: readonly Rule[]): unknown {
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "GRPCRoute",
    metadata: { name, namespace: "demo", creationTimestamp: `20${10 + at}-01-01T00:00:00Z` },
    spec: {
      parentRefs: [{ group: "", kind: "Service", name: "a", port: 8080 }],
      rules: rules.map((matches) => ({
        matches: matches.map(({ type, service: of, method, headers }) => ({
          ...(of === "" && method === "" ? {} : { method: { type, service: of, method } }),
          headers: headers.map((header) => ({ name: header, value: "1" })),
        })),
        backendRefs: [{ name: "a", port: 8080 }],
      })),
    },
  };
}

function nameTakes(type: Match["type"], wanted: string, name: string): boolean {
  if (wanted === "") return true;
  if (type === "Exact") return wanted === name;
  const [start = "", end = ""] = wanted.split(".*");
  return name.startsWith(start) && name.endsWith(end) && name.length >= start.length + end.length;
}

function takes(match: Match, call: Call): boolean {
  const [first, of = "", name = "", ...more] = call.path.split("/");
  const isCall = first === "" && of !== "" && name !== "" && more.length === 0;
  return (
    isCall &&
    call.method === "POST" &&
    nameTakes(match.type, match.service, of) &&
    nameTakes(match.type, match.method, name) &&
    match.headers.every((header) => call.headers.includes(header))
  );
}

/** Characters in a matching service, in a matching method, headers; a pattern counts more than nothing and less than a name. */
function rankOf({ type, service: of, method, headers }: Match): readonly number[] {
  const characters = (name: string): number => {
    if (name === "") return 0;
    return type === "Exact" ? name.length : 0.5;
  };
  return [characters(of), characters(method), headers.length];
}

function compare(left: readonly number[], right: readonly number[]): number {
  const at = left.findIndex((value, place) => value !== right[place]);
  return at < 0 ? 0 : (right[at] ?? 0) - (left[at] ?? 0);
}

const everyCall: Match = { type: "Exact", service: "", method: "", headers: [] };

/** `route/rule` of the first in order; empty: none takes the call. */
function oracle(routes: readonly (readonly Rule[])[], call: Call): string {
  const takers = routes.flatMap((rules, route) =>
    rules.flatMap((matches, rule) =>
      (matches.length === 0 ? [everyCall] : matches)
        .filter((match) => takes(match, call))
        .map((match) => ({ place: `${route}/${rule}`, rank: rankOf(match) })),
    ),
  );
  return takers.toSorted((left, right) => compare(left.rank, right.rank))[0]?.place ?? "";
}

function readAll(documents: readonly unknown[]): readonly Resource[] {
  return documents.map((json) => {
    const parsed = parseResource(json);
    if (!parsed.ok) throw new Error(describeFaults(parsed.faults));
    return parsed.value;
  });
}

test("findRoute() sends each call where the words of GRPCRoute say", (t) => {
  let taken = 0;
  fc.assert(
    fc.property(anyRoutes, fc.array(anyCall, { minLength: 20, maxLength: 20 }), (routes, calls) => {
      const documents = routes.map((rules, at) => documentOf(`r${at}`, at, rules));
      const resources = readAll([...documentsOf(service("a")), ...documents]);
      const store = buildStore({ resources, broken: [], unreadableAtStart: false });
      const target = { kind: "authority", authority: "a.demo.svc.cluster.local:8080" } as const;
      const workload = { namespace: "demo", pod: "client" };
      const stages = outboundStages(store, settings, { workload, target });
      if ("unknown" in stages) throw new Error(stages.unknown);
      t.deepEqual(stages.policy.faults, []);
      t.is(stages.policy.table.protocol, "grpc");
      const { http } = stages.policy.table;
      const loaded = loadHttpRoutes(http);
      for (const { path, method, headers } of calls) {
        const header = (name: string): string | undefined =>
          headers.includes(name) ? "1" : undefined;
        const at = findRoute(loaded, { method, path, query: "", authority: "a", header });
        const rule = http.rules[http.entries[at]?.rule ?? -1];
        const found = rule === undefined ? "" : `${rule.route}/${rule.index}`;
        t.is(found, oracle(routes, { path, method, headers }), `${method} ${path}`);
        if (found !== "") taken++;
      }
    }),
    { numRuns: 300 },
  );
  t.true(taken > 500, `${taken} calls were taken`);
});
