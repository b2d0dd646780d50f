import test from "ava";
import fc from "fast-check";
import type { Authorization } from "../../../src/core/model/authorization.ts";
import { failAlways } from "../../../src/core/model/filter.ts";
import type { InboundHttpRoute } from "../../../src/core/model/http-route.ts";
import type { InboundPolicy } from "../../../src/core/model/inbound-policy.ts";
import { everyRequest } from "../../../src/core/model/match.ts";
import { defaultMeta } from "../../../src/core/model/meta.ts";
import { inboundTable } from "../../../src/core/table/inbound.ts";
import { anyInboundPolicy } from "../../arbitrary/model.ts";

function authorization(name: string): Authorization {
  return { meta: defaultMeta(name), networks: [], authentication: { kind: "tls" } };
}

function route(name: string, authorizations: readonly Authorization[]): InboundHttpRoute {
  const rules = [{ matches: [everyRequest], filters: [failAlways(500, name)] }];
  return { meta: defaultMeta(name), hosts: [], authorizations, rules };
}

const policy: InboundPolicy = {
  protocol: "detect",
  detectTimeoutMs: 10_000,
  server: { group: "policy.linkerd.io", kind: "server", name: "a" },
  authorizations: [authorization("server-1"), authorization("server-2")],
  routes: [],
};

test("inboundTable() admits by the route's own authorizations, then by those of the server", (t) => {
  const routes = [route("a", []), route("b", [authorization("own-1"), authorization("own-2")])];
  const { authorizations, admits, admitsConnection } = inboundTable({ ...policy, routes });
  const names = (list: readonly number[] | undefined): unknown =>
    list?.map((at) => authorizations[at]?.meta.name);
  t.deepEqual(names(admits[0]), ["server-1", "server-2"]);
  t.deepEqual(names(admits[1]), ["own-1", "own-2", "server-1", "server-2"]);
  t.deepEqual(names(admitsConnection), ["server-1", "server-2"]);
});

test("inboundTable() has the filters of each rule beside it", (t) => {
  const { filters } = inboundTable({ ...policy, routes: [route("a", []), route("b", [])] });
  t.deepEqual(filters, [[failAlways(500, "a")], [failAlways(500, "b")]]);
});

test("inboundTable() without routes has one that takes every request", (t) => {
  const { http, admits, filters } = inboundTable(policy);
  t.deepEqual(
    http.routes.map(({ meta }) => meta),
    [defaultMeta("default")],
  );
  t.is(http.entries.length, 1);
  t.deepEqual(admits, [[0, 1]]);
  t.deepEqual(filters, [[]]);
});

test("inboundTable() survives a structured clone", (t) => {
  fc.assert(
    fc.property(anyInboundPolicy, (random) => {
      const table = inboundTable(random);
      t.deepEqual(structuredClone(table), table);
    }),
    { numRuns: 100 },
  );
});
