import test from "ava";
import { findTlsRoute } from "../../../src/core/decide/find-tls-route.ts";
import type { HostMatch } from "../../../src/core/model/match.ts";
import { defaultMeta, describeMeta } from "../../../src/core/model/meta.ts";
import type { OutboundPolicy } from "../../../src/core/model/outbound-policy.ts";
import { outboundTable } from "../../../src/core/table/outbound.ts";

const bytes = (name: string) =>
  ({ meta: defaultMeta(name), refusal: "", backends: { kind: "empty" } }) as const;

function find(routes: Readonly<Record<string, readonly HostMatch[]>>, name?: string): string {
  const policy: OutboundPolicy = {
    parent: defaultMeta("p"),
    protocol: "tls",
    httpRoutes: [],
    accrual: undefined,
    opaque: bytes("opaque"),
    tlsRoutes: Object.entries(routes).map(([route, snis]) => ({ ...bytes(route), snis })),
  };
  const found = findTlsRoute(outboundTable(policy).tls ?? [], name);
  return found === undefined ? "" : describeMeta(found.meta);
}

const routes: Readonly<Record<string, readonly HostMatch[]>> = {
  wide: [
    { kind: "suffix", value: "example.com" },
    { kind: "exact", value: "example.org" },
  ],
  narrow: [{ kind: "suffix", value: "api.example.com" }],
  one: [{ kind: "exact", value: "v1.api.example.com" }],
};

test("findTlsRoute() takes the exact name, then the longer suffix", (t) => {
  t.is(find(routes, "v1.api.example.com"), "default one");
  t.is(find(routes, "V2.api.Example.com"), "default narrow");
  t.is(find(routes, "api.example.com"), "default wide");
  t.is(find(routes, "example.org"), "default wide");
});

test("findTlsRoute() closes connections whose name no route has, or that name nobody", (t) => {
  t.is(find(routes, "example.com"), "");
  t.is(find(routes, undefined), "");
  t.is(find({ ...routes, rest: [] }, undefined), "default rest");
});

test("findTlsRoute() has one route for everything where the policy names no servers", (t) => {
  const policy = { protocol: "tls", httpRoutes: [], accrual: undefined } as const;
  const table = outboundTable({ ...policy, parent: defaultMeta("p"), opaque: bytes("all") });
  t.is(findTlsRoute(table.tls ?? [], undefined)?.refusal, "");
});
