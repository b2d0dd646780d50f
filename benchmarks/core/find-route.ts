/**
 * Nanoseconds for one `findRoute` with 1 and with more rules, and milliseconds to compile and load 1,000. The worst request is the one that the last rule
 * takes. Run: `node benchmarks/core/find-route.ts`; `--no-write` leaves the results as they are.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  findRoute,
  type LoadedRoutes,
  loadHttpRoutes,
  type RequestView,
} from "../../src/core/decide/find-route.ts";
import { everyRequest, type HttpMatch } from "../../src/core/model/match.ts";
import { defaultMeta } from "../../src/core/model/meta.ts";
import { compileHttpRoutes } from "../../src/core/table/http-route.ts";
import { conditions } from "../codec/machine.ts";

const { values: options } = parseArgs({
  options: { write: { type: "boolean", default: true } },
  allowNegative: true,
});

const most = 1_000;
const sizes = [1, 10, 100, most];
const rounds = 9;
const roundMs = 30;
/** Between two looks at the clock, which cost more than some calls do. */
const batch = 10_000;

/** Rules of the kinds that occur, each told apart by its number. */
const kinds: Readonly<Record<string, (at: number) => Partial<HttpMatch>>> = {
  exact: (at) => ({ path: { kind: "exact", value: `/api/v1/thing-${at}` } }),
  prefix: (at) => ({ path: { kind: "prefix", value: `/api/v1/thing-${at}` } }),
  header: (at) => ({
    headers: [{ name: "x-tenant", kind: "exact", value: `tenant-${at}` }],
  }),
  "two headers": (at) => ({
    headers: [
      { name: "x-tenant", kind: "exact", value: `tenant-${at}` },
      { name: "x-region", kind: "exact", value: "west" },
    ],
  }),
  "header pattern": (at) => ({
    headers: [{ name: "x-tenant", kind: "regex", value: `tenant-${at}(-[a-z]+)?` }],
  }),
  query: (at) => ({
    queryParams: [{ name: "tenant", kind: "exact", value: `tenant-${at}` }],
  }),
  method: (at) => ({ method: `M${at}` }),
  "path pattern": (at) => ({ path: { kind: "regex", value: `/api/v[0-9]+/thing-${at}` } }),
  condition: (at) => ({
    condition: {
      kind: "all",
      of: [
        { kind: "method", method: `M${at}` },
        { kind: "path", pattern: `/api/v[0-9]+/thing-${at}` },
      ],
    },
  }),
};

type Kind = (at: number) => Partial<HttpMatch>;

function load(count: number, kind: Kind): LoadedRoutes {
  const rules = Array.from({ length: count }, (_, at) => ({
    matches: [{ ...everyRequest, ...kind(at) }],
  }));
  return loadHttpRoutes(compileHttpRoutes([{ meta: defaultMeta("benchmark"), hosts: [], rules }]));
}

/** What only the last rule takes, whichever kind it is of. */
function requestFor(count: number): RequestView {
  const last = count - 1;
  const headers = new Map([
    ["x-tenant", `tenant-${last}`],
    ["x-region", "west"],
  ]);
  return {
    method: `M${last}`,
    path: `/api/v1/thing-${last}`,
    query: `a=1&tenant=tenant-${last}`,
    authority: "web.demo:8080",
    header: (name) => headers.get(name),
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? 0;
}

/** Processor time of this thread: others that use the machine do not count. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

function oneRound(loaded: LoadedRoutes, request: RequestView): number {
  let calls = 0;
  let taken = 0;
  const start = cpuMs();
  do {
    for (let at = 0; at < batch; at++) taken += findRoute(loaded, request) >= 0 ? 1 : 0;
    calls += batch;
  } while (cpuMs() - start < roundMs);
  const ended = cpuMs();
  if (taken !== calls) throw new Error("No rule takes the request");
  return ((ended - start) * 1e6) / calls;
}

/** All sizes take turns, so that a busy moment of the machine hits each of them. */
function nanoseconds(kind: Kind): readonly number[] {
  const contenders = sizes.map((size) => ({
    loaded: load(size, kind),
    request: requestFor(size),
    taken: [] as number[],
  }));
  for (let round = 0; round < rounds; round++) {
    for (const { loaded, request, taken } of contenders) taken.push(oneRound(loaded, request));
  }
  return contenders.map(({ taken }) => median(taken));
}

/** The first run is the one that a worker has just started for; its code is not compiled yet either. */
function loadMs(kind: Kind): { readonly first: number; readonly median: number } {
  const taken = Array.from({ length: rounds }, () => {
    const start = cpuMs();
    load(most, kind);
    return cpuMs() - start;
  });
  return { first: taken[0] ?? 0, median: median(taken) };
}

const results = Object.entries(kinds).map(([kind, match]) => {
  const { first, median: usual } = loadMs(match);
  const times = nanoseconds(match);
  const texts = times.map((one, at) => `${sizes[at]}: ${one.toFixed(0)}`);
  const added = (times.at(-1) ?? 0) - (times[0] ?? 0);
  console.log(
    `${kind.padEnd(14)} ns by rules ${texts.join(", ")}; ${added.toFixed(0)} ns more for ${most}; loaded in ${first.toFixed(1)} ms, then ${usual.toFixed(1)} ms`,
  );
  return {
    kind,
    nanoseconds: Object.fromEntries(sizes.map((size, at) => [size, Math.round(times[at] ?? 0)])),
    loadMs: { first: Number(first.toFixed(1)), median: Number(usual.toFixed(1)) },
  };
});
if (options.write) {
  const target = fileURLToPath(new URL("../results/", import.meta.url));
  mkdirSync(target, { recursive: true });
  const report = { benchmark: "core/find-route", conditions: conditions(), results };
  writeFileSync(`${target}core-find-route.json`, `${JSON.stringify(report, null, 2)}\n`);
}
