import test from "ava";
import fc from "fast-check";
import { endpointStages, outboundStages } from "../../src/core/pipeline.ts";
import type { OutboundTable } from "../../src/core/table/outbound.ts";
import type { Explanation, Fate } from "../../src/explain/explanation.ts";
import type { World } from "../../src/explain/world.ts";
import type { ToWorker } from "../../src/thread/messages.ts";
import { anyRequest, type RequestData } from "../arbitrary/request.ts";
import { EchoOrigin } from "../harness/origin.ts";
import { outboundSnapshot } from "../harness/policies.ts";
import { RawClient, type RawResponse } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";
import { ask, backend, worldOf } from "./world-in-test.ts";

/** Requests in all: `policies` times `requestsEach`. */
const policies = 60;
const requestsEach = 100;

const target = "web.demo.svc.cluster.local:8080";
const names = ["a", "b", "c"] as const;

const path = fc.oneof(
  fc.record({
    type: fc.constantFrom("Exact", "PathPrefix"),
    value: fc.constantFrom("/", "/a", "/a/b", "/ab"),
  }),
  fc.record({
    type: fc.constant("RegularExpression"),
    value: fc.constantFrom("/a|/ab", "/a.*", "/[ab]/b", ".*"),
  }),
);

function values(of: readonly string[]): fc.Arbitrary<readonly unknown[]> {
  const one = fc.record({
    name: fc.constantFrom(...of),
    type: fc.constantFrom("Exact", "RegularExpression"),
    value: fc.constantFrom("1", "2", "12", "1, 2"),
  });
  return fc.oneof(
    { arbitrary: fc.constant([]), weight: 2 },
    fc.uniqueArray(one, { maxLength: 2, selector: ({ name }) => name }),
  );
}

const match = fc.record(
  {
    path,
    method: fc.constantFrom("GET", "POST"),
    headers: values(["x-one", "x-two"]),
    queryParams: values(["q", "Q", "r"]),
  },
  { requiredKeys: [] },
);

/** `empty` has no endpoints, and `nobody` is no Service. */
const backendRef = fc.record({
  name: fc.constantFrom(...names, ...names, "empty", "nobody"),
  port: fc.constant(8080),
  weight: fc.constantFrom(0, 1, 1, 3, 10),
});

const redirect = {
  type: "RequestRedirect",
  requestRedirect: { hostname: "example.com", statusCode: 302 },
};

const rule = fc.record({
  matches: fc.array(match, { minLength: 1, maxLength: 3 }),
  backendRefs: fc.array(backendRef, { maxLength: 3 }),
  isRedirect: fc.constantFrom(false, false, false, true),
});

const httpRoute = fc.record({
  rules: fc.array(rule, { minLength: 1, maxLength: 4 }),
  age: fc.nat(2),
});

type RouteData = typeof httpRoute extends fc.Arbitrary<infer T> ? T : never;

/** Each rule marks its responses with its name, so that they say which took the request. */
function manifestOf({ rules, age }: RouteData, at: number): string {
  const name = `r${at}`;
  return JSON.stringify({
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    metadata: {
      name,
      namespace: "demo",
      creationTimestamp: `2024-01-0${age + 1}T00:00:00Z`,
    },
    spec: {
      parentRefs: [{ group: "", kind: "Service", name: "web", port: 8080 }],
      rules: rules.map(({ matches, backendRefs, isRedirect }, index) => ({
        matches,
        filters: [
          {
            type: "ResponseHeaderModifier",
            responseHeaderModifier: { set: [{ name: "x-rule", value: `${name} ${index}` }] },
          },
          ...(isRedirect ? [redirect] : []),
        ],
        ...(isRedirect ? {} : { backendRefs }),
      })),
    },
  });
}

function emptyService(name: string): string {
  return `---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: demo }
spec: { ports: [{ port: 8080 }] }
`;
}

function tableOf({ store, settings }: World): OutboundTable {
  const stages = outboundStages(store, settings, {
    workload: { namespace: "demo", pod: "" },
    target: { kind: "authority", authority: target },
  });
  if ("unknown" in stages) throw new Error(stages.unknown);
  return stages.policy.table;
}

function snapshotsOf(world: World): readonly ToWorker[] {
  const authorities = [...names, "empty"].map((name) => `${name}.demo.svc.cluster.local:8080`);
  return [
    ...authorities.map((authority) => ({
      kind: "endpoints" as const,
      authority,
      revision: 1,
      table: endpointStages(world.store, world.settings, authority, {
        namespace: "demo",
        pod: "",
      }).table,
    })),
    outboundSnapshot(tableOf(world), target),
  ];
}

function targetOf({ path, query }: RequestData): string {
  return query === "" ? path : `${path}?${query}`;
}

/** The alphabet has a method in lower case, which the origins of these tests do not read. */
function methodOf({ method }: RequestData): string {
  return method === "get" ? "OPTIONS" : method;
}

function linesOf({ headers }: RequestData): readonly string[] {
  return Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
}

/** The fate that the answer of the proxy is an instance of. */
function fateOf(explanation: Explanation, response: RawResponse): Fate | undefined {
  const { status, headers } = response;
  const origin = headers.get("x-origin");
  const error = headers.get("l5d-proxy-error");
  return explanation.verdict.fates.find((fate) => {
    if (origin !== undefined) return fate.kind === "backend" && fate.by.includes(`/${origin}:`);
    if (fate.status !== status) return false;
    if (fate.kind === "answer") return fate.reason.endsWith(headers.get("location") ?? "nowhere");
    // What the policy itself says is said in the same words.
    return status !== 500 || error === fate.reason || fate.reason.startsWith("no backend");
  });
}

class Tally {
  requests = 0;
  readonly kinds: Map<string, number> = new Map<string, number>();
  /** Requests with one and the same set of fates, by that set. */
  readonly #draws = new Map<string, { readonly fates: readonly Fate[]; readonly got: number[] }>();

  take({ verdict: { fates } }: Explanation, fate: Fate): void {
    this.requests++;
    const kind = fate.kind === "refusal" ? `${fate.status}` : fate.kind;
    this.kinds.set(kind, (this.kinds.get(kind) ?? 0) + 1);
    if (fates.length === 1) return;
    const key = JSON.stringify(fates);
    const draw = this.#draws.get(key) ?? { fates, got: fates.map(() => 0) };
    this.#draws.set(key, draw);
    const at = fates.indexOf(fate);
    draw.got[at] = (draw.got[at] ?? 0) + 1;
  }

  /**
   * Pearson's X² of what fates got against the shares that were told, in standard deviations from its mean. Both moments are
   * those of the multinomial distribution, since many sets are drawn from a few times only.
   */
  deviation(): { readonly degrees: number; readonly deviation: number } {
    let sum = 0;
    let degrees = 0;
    let variance = 0;
    for (const { fates, got } of this.#draws.values()) {
      const count = got.reduce((left, right) => left + right, 0);
      const shares = fates.map(({ percent }) => percent / 100);
      for (const [at, share] of shares.entries()) {
        sum += ((got[at] ?? 0) - count * share) ** 2 / (count * share);
      }
      const kinds = shares.length;
      const inverse = shares.reduce((total, share) => total + 1 / share, 0);
      degrees += kinds - 1;
      variance += 2 * (kinds - 1) + (inverse - kinds ** 2 - 2 * kinds + 2) / count;
    }
    return { degrees, deviation: Math.abs(sum - degrees) / Math.sqrt(variance) };
  }
}

test("explain() says what a proxy does, for 6,000 random requests", async (t) => {
  await using a = await EchoOrigin.start("a");
  await using b = await EchoOrigin.start("b");
  await using c = await EchoOrigin.start("c");
  const services = [
    ...[a, b, c].map(({ name, port }) => backend(name, { ip: "127.0.0.1", port })),
    emptyService("empty"),
    emptyService("web"),
  ];
  const tally = new Tally();
  await fc.assert(
    fc.asyncProperty(
      fc.array(httpRoute, { minLength: 1, maxLength: 5, size: "max" }),
      fc.array(anyRequest, { minLength: requestsEach, maxLength: requestsEach }),
      async (routes, requests) => {
        const world = worldOf(...services, ...routes.map(manifestOf));
        await using shard = await ShardInTest.start({ snapshots: snapshotsOf(world) });
        using client = await RawClient.open(shard.port());
        for (const request of requests) {
          const method = methodOf(request);
          const headers = linesOf(request);
          const explanation = ask(world, `${method} ${targetOf(request)}`, {
            to: "web.demo:8080",
            headers,
          });
          client.send(
            `${[`${method} ${targetOf(request)} HTTP/1.1`, "Host: web.demo:8080", ...headers].join("\r\n")}\r\n\r\n`,
          );
          const response = await client.response();
          const fate = fateOf(explanation, response);
          const { winner } = explanation.outbound ?? { winner: null };
          const marked = response.headers.get("x-rule");
          if (fate === undefined) {
            t.deepEqual(response.head, JSON.stringify(explanation.verdict));
            return;
          }
          if (marked !== undefined) {
            t.is(`HTTPRoute demo/${marked}`, `${winner?.route} ${winner?.rule}`);
          }
          t.is(response.status === 404, winner === null);
          tally.take(explanation, fate);
        }
      },
    ),
    { numRuns: policies },
  );
  t.is(tally.requests, policies * requestsEach);
  for (const kind of ["backend", "answer", "404", "500", "503"]) {
    t.true((tally.kinds.get(kind) ?? 0) > 50, `${kind}: ${tally.kinds.get(kind)}`);
  }
  const { degrees, deviation } = tally.deviation();
  t.true(degrees > 20 && deviation < 6, `${deviation} deviations at ${degrees} degrees`);
});
