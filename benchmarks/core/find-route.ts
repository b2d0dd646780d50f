/** Nanoseconds for one `findRoute`, by the number of rules. The worst request is the one that the last rule takes. Run: `node benchmarks/core/find-route.ts`. */
import {
  findRoute,
  type LoadedRoutes,
  loadHttpRoutes,
  type RequestView,
} from "../../src/core/decide/find-route.ts";
import { everyRequest, type HttpMatch } from "../../src/core/model/match.ts";
import { defaultMeta } from "../../src/core/model/meta.ts";
import { compileHttpRoutes } from "../../src/core/table/http-route.ts";

const sizes = [1, 10, 100, 1_000];
const rounds = 7;
const roundMs = 100;

/** Rules of the kinds that occur, each told apart by its number. */
const kinds: Readonly<Record<string, (at: number) => HttpMatch>> = {
  exact: (at) => ({ ...everyRequest, path: { kind: "exact", value: `/api/v1/thing-${at}` } }),
  prefix: (at) => ({ ...everyRequest, path: { kind: "prefix", value: `/api/v1/thing-${at}` } }),
  header: (at) => ({
    ...everyRequest,
    headers: [{ name: "x-tenant", kind: "exact", value: `tenant-${at}` }],
  }),
  query: (at) => ({
    ...everyRequest,
    queryParams: [{ name: "tenant", kind: "exact", value: `tenant-${at}` }],
  }),
  regex: (at) => ({ ...everyRequest, path: { kind: "regex", value: `/api/v[0-9]+/thing-${at}` } }),
};

function load(count: number, match: (at: number) => HttpMatch): LoadedRoutes {
  const rules = Array.from({ length: count }, (_, at) => ({ matches: [match(at)] }));
  return loadHttpRoutes(compileHttpRoutes([{ meta: defaultMeta("benchmark"), hosts: [], rules }]));
}

/** What only the last rule takes, whichever kind it is of. */
function requestFor(count: number): RequestView {
  const last = count - 1;
  const headers = new Map([["x-tenant", `tenant-${last}`]]);
  return {
    method: "GET",
    path: `/api/v1/thing-${last}`,
    query: `a=1&tenant=tenant-${last}`,
    authority: "web.demo:8080",
    header: (name) => headers.get(name),
  };
}

/** The median of some rounds. */
function nanoseconds(loaded: LoadedRoutes, request: RequestView): number {
  const results = Array.from({ length: rounds }, () => {
    let calls = 0;
    let taken = 0;
    const start = performance.now();
    do {
      for (let at = 0; at < 100; at++) taken += findRoute(loaded, request) >= 0 ? 1 : 0;
      calls += 100;
    } while (performance.now() - start < roundMs);
    if (taken !== calls) throw new Error("No rule takes the request");
    return ((performance.now() - start) * 1e6) / calls;
  });
  return results.sort((left, right) => left - right)[Math.floor(rounds / 2)] ?? 0;
}

for (const [kind, match] of Object.entries(kinds)) {
  for (const size of sizes) {
    const result = nanoseconds(load(size, match), requestFor(size));
    console.log(
      `${kind.padEnd(7)} ${String(size).padStart(5)} rules ${result.toFixed(0).padStart(9)} ns`,
    );
  }
}
