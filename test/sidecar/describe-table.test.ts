import test from "ava";
import type { Authentication } from "../../src/core/model/authorization.ts";
import { failAlways } from "../../src/core/model/filter.ts";
import { everyRequest, type HttpMatch } from "../../src/core/model/match.ts";
import { defaultMeta, resourceMeta } from "../../src/core/model/meta.ts";
import { type Cidr, parseCidr } from "../../src/core/std/ip.ts";
import { inboundTable } from "../../src/core/table/inbound.ts";
import { outboundTable } from "../../src/core/table/outbound.ts";
import { describeInbound, describeOutbound } from "../../src/sidecar/describe-table.ts";
import { endpoint, inboundFor, policyWith } from "./policies.ts";

const matches = test.macro({
  exec: (t, match: Partial<HttpMatch>, when: string) => {
    const table = outboundTable(
      policyWith([{ match: { ...everyRequest, ...match }, authorities: [] }]),
    );
    t.is(describeOutbound(table).rules[0]?.when, when);
  },
  title: (_given, _match, when: string) => `describeOutbound() writes "${when}"`,
});
test(matches, {}, "every request");
test(matches, { path: { kind: "exact", value: "/a" } }, "path is /a");
test(matches, { path: { kind: "prefix", value: "/a/" } }, "path below /a/");
test(matches, { path: { kind: "regex", value: "/a+" } }, "path matches /a+");
test(matches, { method: "GET" }, "method is GET");
test(
  matches,
  {
    headers: [
      { name: "a", kind: "exact", value: "1" },
      { name: "b", kind: "regex", value: "2+" },
    ],
    queryParams: [{ name: "c", kind: "exact", value: "3" }],
  },
  "header a is 1, header b matches 2+, query c is 3",
);

test("describeOutbound() writes hosts", (t) => {
  const policy = policyWith([{ match: everyRequest, authorities: [] }]);
  const hosts = [
    { kind: "exact", value: "a.example" },
    { kind: "suffix", value: "b.example" },
  ] as const;
  const httpRoutes = policy.httpRoutes.map((route) => ({ ...route, hosts }));
  const { rules } = describeOutbound(outboundTable({ ...policy, httpRoutes }));
  t.is(rules.map(({ when }) => when).join(" or "), "host is a.example or host is below b.example");
});

test("describeOutbound() tells where each backend leads, and its filters", (t) => {
  const policy = policyWith([{ match: everyRequest, authorities: ["a.demo:80"] }]);
  const filters = [failAlways(500, "broken")];
  const backend = (dispatch: "forward" | "fail") => ({
    backend: {
      meta: resourceMeta({ group: "core", kind: "Service", namespace: "demo", name: dispatch }),
      dispatch:
        dispatch === "fail"
          ? ({ kind: "fail" } as const)
          : ({ kind: "forward", endpoint: endpoint(81, "10.0.0.1") } as const),
    },
    filters,
    weight: 2,
  });
  const httpRoutes = policy.httpRoutes.map((route) => ({
    ...route,
    rules: route.rules.map((rule) => ({
      ...rule,
      backends: {
        kind: "random-available" as const,
        backends: [backend("forward"), backend("fail")],
      },
    })),
  }));
  const [rule] = describeOutbound(outboundTable({ ...policy, httpRoutes })).rules;
  t.is(rule?.pick, "random-available");
  t.deepEqual(rule?.backends, [
    { backend: "Service demo/forward", weight: 2, to: "10.0.0.1 port 81", filters },
    { backend: "Service demo/fail", weight: 2, to: "nowhere", filters },
  ]);
});

function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(`Not a network: ${text}`);
  return parsed;
}

const clients = test.macro({
  exec: (t, authentication: Authentication, text: string) => {
    const networks = [{ net: cidr("10.0.0.0/8"), except: [cidr("10.1.0.0/16")] }];
    const policy = inboundFor({ meta: defaultMeta("probe"), networks, authentication });
    const [rule] = describeInbound(inboundTable(policy)).rules;
    t.deepEqual(rule?.admits, [`default probe: ${text} from 10.0.0.0/8 except 10.1.0.0/16`]);
  },
  title: (_given, _authentication, text: string) => `describeInbound() writes "${text}"`,
});
test(clients, { kind: "unauthenticated" }, "everybody");
test(clients, { kind: "tls" }, "every client with mutual TLS");
test(
  clients,
  { kind: "identities", identities: ["a.demo", "b.demo"], suffixes: [".c.demo", ""] },
  "a.demo or b.demo or *.c.demo or *",
);
test(clients, { kind: "identities", identities: [], suffixes: [] }, "nobody");
