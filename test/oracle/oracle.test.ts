import test from "ava";
import fc from "fast-check";
import { admitRequest } from "../../src/core/decide/admit.ts";
import { explainRoute } from "../../src/core/decide/explain-route.ts";
import { findRoute, type LoadedRoutes, loadHttpRoutes } from "../../src/core/decide/find-route.ts";
import type { InboundPolicy } from "../../src/core/model/inbound-policy.ts";
import { compileHttpRoutes } from "../../src/core/table/http-route.ts";
import { inboundTable } from "../../src/core/table/inbound.ts";
import { defaultDetectTimeoutMs } from "../../src/core/wire/inbound.ts";
import {
  anyAuthorization,
  anyInboundPolicy,
  anyInboundRoute,
  anyOutboundRoute,
} from "../arbitrary/model.ts";
import { anyPeer, anyRequest, type RequestData, viewOf } from "../arbitrary/request.ts";
import { type Client, isAuthorized, type Place, routesTaking } from "./oracle.ts";

function placeOf({ table }: LoadedRoutes, at: number | undefined): Place | undefined {
  const entry = table.entries[at ?? -1];
  const rule = table.rules[entry?.rule ?? -1];
  if (entry === undefined || rule === undefined) return undefined;
  return { route: rule.route, rule: rule.index, match: entry.match };
}

test("findRoute() finds what the specification says, for 24,000 random requests", (t) => {
  const seen = { requests: 0, taken: 0, contested: 0 };
  fc.assert(
    fc.property(
      fc.array(anyOutboundRoute, { minLength: 1, maxLength: 6, size: "max" }),
      fc.array(anyRequest, { minLength: 12, maxLength: 12 }),
      (routes, requests) => {
        const loaded = loadHttpRoutes(compileHttpRoutes(routes));
        for (const request of requests) {
          const expected = routesTaking(routes, request);
          const found = findRoute(loaded, viewOf(request));
          t.deepEqual(placeOf(loaded, found), expected[0]?.place);
          t.true(expected.length > 0 || found === -1);
          seen.requests++;
          if (expected.length > 0) seen.taken++;
          if (expected.length > 1) seen.contested++;
        }
      },
    ),
    { numRuns: 2_000 },
  );
  t.is(seen.requests, 24_000);
  t.true(seen.taken > 4_000 && seen.taken < 20_000, `${seen.taken} requests were taken`);
  t.true(seen.contested > 2_000, `${seen.contested} requests had more than one taker`);
});

test("explainRoute() names the winner of findRoute() and the runner-up of the specification", (t) => {
  let runnersUp = 0;
  fc.assert(
    fc.property(
      fc.array(anyOutboundRoute, { minLength: 1, maxLength: 4, size: "max" }),
      anyRequest,
      (routes, request) => {
        const loaded = loadHttpRoutes(compileHttpRoutes(routes));
        const explanation = explainRoute(loaded, viewOf(request));
        const found = findRoute(loaded, viewOf(request));
        t.is(explanation.winner, found < 0 ? undefined : found);
        // A route with hosts of several ranks stands in the table more than once, and may be its own runner-up.
        if (routes.some(({ hosts }) => hosts.length > 0)) return;
        const [, second] = routesTaking(routes, request);
        t.deepEqual(placeOf(loaded, explanation.runnerUp?.entry), second?.place);
        if (second !== undefined) runnersUp++;
      },
    ),
    { numRuns: 3_000 },
  );
  t.true(runnersUp > 100, `${runnersUp} requests had a runner-up`);
});

function expectedAuthorization(
  policy: InboundPolicy,
  request: RequestData,
  client: Client,
): ReturnType<typeof isAuthorized> | "no route" {
  const place = routesTaking(policy.routes, request)[0]?.place;
  if (place === undefined && policy.routes.length > 0) return "no route";
  const own = policy.routes[place?.route ?? -1]?.authorizations ?? [];
  return [...own, ...policy.authorizations].some((each) => isAuthorized(each, client));
}

test("admitRequest() admits whom the specification admits, for 20,000 random clients", (t) => {
  const seen = { clients: 0, admitted: 0, denied: 0 };
  const policy = fc.oneof(
    anyInboundPolicy,
    fc.record({
      protocol: fc.constant("http1" as const),
      detectTimeoutMs: fc.constant(defaultDetectTimeoutMs),
      server: fc.constant({ group: "policy.linkerd.io", kind: "server", name: "a" }),
      authorizations: fc.array(anyAuthorization, { maxLength: 2 }),
      routes: fc.array(anyInboundRoute, { minLength: 2, maxLength: 5, size: "max" }),
    }),
  );
  fc.assert(
    fc.property(
      policy,
      fc.array(fc.tuple(anyRequest, anyPeer, fc.boolean()), { minLength: 10, maxLength: 10 }),
      (inbound, clients) => {
        const table = inboundTable(inbound);
        const loaded = loadHttpRoutes(table.http);
        for (const [request, peer, hasTokens] of clients) {
          const found = findRoute(loaded, viewOf(request));
          const rule = table.http.entries[found]?.rule ?? -1;
          const route = table.http.rules[rule]?.route;
          const check = (): string | undefined => (hasTokens ? undefined : "there is none");
          const actual =
            route === undefined ? "no route" : admitRequest(table, route, peer, check) >= 0;
          t.is(actual, expectedAuthorization(inbound, request, { ...peer, hasTokens }));
          seen.clients++;
          if (actual === true) seen.admitted++;
          if (actual === false) seen.denied++;
        }
      },
    ),
    { numRuns: 2_000 },
  );
  t.is(seen.clients, 20_000);
  t.true(seen.admitted > 1_000 && seen.denied > 1_000, JSON.stringify(seen));
});
