import { create, toJson } from "@bufbuild/protobuf";
import test from "ava";
import { type Backend, defaultLoad } from "../../../src/core/model/backend.ts";
import { failAlways } from "../../../src/core/model/filter.ts";
import { everyRequest } from "../../../src/core/model/match.ts";
import { defaultMeta, resourceMeta } from "../../../src/core/model/meta.ts";
import type { OutboundPolicy } from "../../../src/core/model/outbound-policy.ts";
import { noTimeouts } from "../../../src/core/model/timeouts.ts";
import type { Decoded } from "../../../src/core/wire/decode.ts";
import {
  type HttpRoute_RuleSchema,
  OutboundPolicySchema,
  type TlsRouteSchema,
  TrafficSpecSchema,
} from "../../../src/core/wire/gen/linkerd/outbound_pb.ts";
import {
  fromWireOutbound,
  fromWireTrafficSpec,
  refusedOpaque,
  toWireOutbound,
} from "../../../src/core/wire/outbound.ts";
import type { Init } from "./init.ts";

const service = resourceMeta({
  group: "core",
  kind: "Service",
  namespace: "demo",
  name: "web",
  port: 80,
});

const backend: Backend = {
  meta: service,
  dispatch: { kind: "balancer", authority: "web.demo.svc.cluster.local:80", load: defaultLoad },
};

const policy: OutboundPolicy = {
  parent: service,
  protocol: "detect",
  httpRoutes: [
    {
      meta: defaultMeta("http"),
      hosts: [],
      rules: [
        {
          matches: [everyRequest],
          filters: [],
          backends: {
            kind: "first-available",
            backends: [{ backend, filters: [], weight: 1 }],
          },
          timeouts: { ...noTimeouts, requestMs: 1_500 },
          retry: undefined,
          session: undefined,
        },
      ],
    },
  ],
  accrual: undefined,
  opaque: {
    meta: defaultMeta("opaq"),
    refusal: "",
    backends: { kind: "first-available", backends: [{ backend, filters: [], weight: 1 }] },
  },
};

const metadata = { kind: { case: "default" as const, value: "a" } };

/** A policy of HTTP/1 with one route and one rule, as another control plane might send it. */
function withRule(rule: Init<typeof HttpRoute_RuleSchema>): Decoded<OutboundPolicy> {
  return fromWireOutbound(
    create(OutboundPolicySchema, {
      metadata,
      protocol: { kind: { case: "http1", value: { routes: [{ metadata, rules: [rule] }] } } },
    }),
  );
}

const empty = { kind: { case: "empty" as const, value: {} } };

function paths({ faults }: Decoded<unknown>): readonly string[] {
  return faults.map(({ path }) => path);
}

test("toWireOutbound() is what Linkerd's controller sends for a Service without routes", (t) => {
  const meta = {
    resource: { group: "core", kind: "Service", name: "web", namespace: "demo", port: 80 },
  };
  const queue = { capacity: 100, failfastTimeout: "3s" };
  const balancer = {
    discovery: { dst: { path: "web.demo.svc.cluster.local:80" } },
    peakEwma: { defaultRtt: "0.030s", decay: "10s" },
  };
  const backends = {
    firstAvailable: { backends: [{ backend: { metadata: meta, queue, balancer } }] },
  };
  const routes = [
    {
      metadata: { default: "http" },
      rules: [
        {
          matches: [{ path: { prefix: "/" } }],
          backends,
          requestTimeout: "1.500s",
          timeouts: { request: "1.500s" },
        },
      ],
    },
  ];
  t.deepEqual(toJson(OutboundPolicySchema, toWireOutbound(policy, { extensions: true })), {
    metadata: meta,
    protocol: {
      detect: {
        timeout: "10s",
        opaque: { routes: [{ metadata: { default: "opaq" }, rules: [{ backends }] }] },
        http1: { routes },
        http2: { routes },
      },
    },
  });
});

test("toWireOutbound() sends a gRPC policy as HTTP/2", (t) => {
  t.is(
    toWireOutbound({ ...policy, protocol: "grpc" }, { extensions: true }).protocol?.kind.case,
    "http2",
  );
});

test("toWireOutbound() sends no timeout where there is none", (t) => {
  const [route] = policy.httpRoutes;
  const [rule] = route?.rules ?? [];
  if (route === undefined || rule === undefined) throw new Error("The policy has no rule");
  const httpRoutes = [{ ...route, rules: [{ ...rule, timeouts: noTimeouts }] }];
  const { kind } =
    toWireOutbound({ ...policy, protocol: "http1", httpRoutes }, { extensions: true }).protocol ??
    {};
  const sent = kind?.case === "http1" ? kind.value.routes[0]?.rules[0] : undefined;
  t.truthy(sent);
  t.is(sent?.timeouts, undefined);
  t.is(sent?.requestTimeout, undefined);
});

test("fromWireOutbound() answers 500 for everything when the protocol is not known", (t) => {
  const { value, faults } = fromWireOutbound(create(OutboundPolicySchema, { metadata }));
  const parent = defaultMeta("a");
  t.deepEqual(faults, [{ path: "protocol", reason: "is of no known kind" }]);
  t.deepEqual(value, {
    parent,
    protocol: "detect",
    httpRoutes: [
      {
        meta: parent,
        hosts: [],
        rules: [
          {
            matches: [everyRequest],
            filters: [failAlways(500, "protocol: is of no known kind")],
            backends: { kind: "empty" },
            timeouts: noTimeouts,
            retry: undefined,
            session: undefined,
          },
        ],
      },
    ],
    accrual: undefined,
    opaque: refusedOpaque(parent),
  });
});

test("fromWireOutbound() answers 500 for detection without HTTP", (t) => {
  const protocol = { kind: { case: "detect" as const, value: {} } };
  const { value, faults } = fromWireOutbound(create(OutboundPolicySchema, { metadata, protocol }));
  t.is(faults.length, 1);
  t.like(value.httpRoutes[0]?.rules[0]?.filters[0], { kind: "failure" });
  t.is(value.opaque.refusal, "invalid");
});

test("fromWireOutbound() fails a rule without backends, and keeps its matches", (t) => {
  const read = withRule({ matches: [{ path: { kind: { case: "exact", value: "/a" } } }] });
  const [rule] = read.value.httpRoutes[0]?.rules ?? [];
  t.deepEqual(paths(read), ["protocol.http1.routes[0].rules[0].backends"]);
  t.deepEqual(rule?.matches, [{ ...everyRequest, path: { kind: "exact", value: "/a" } }]);
  t.like(rule?.filters[0], { kind: "failure", failure: { status: 500 } });
  t.deepEqual(rule?.backends, { kind: "empty" });
});

test("fromWireOutbound() fails a rule with a negative timeout, and reads the older field", (t) => {
  for (const field of ["request", "backendRequest", "response", "idle"]) {
    const negative = withRule({ backends: empty, timeouts: { [field]: { seconds: -1n } } });
    t.deepEqual(paths(negative), ["protocol.http1.routes[0].rules[0].timeouts"]);
    t.is(negative.value.httpRoutes[0]?.rules[0]?.filters.length, 1);
  }
  const older = withRule({ backends: empty, requestTimeout: { seconds: 2n } });
  t.is(older.value.httpRoutes[0]?.rules[0]?.timeouts.requestMs, 2_000);
});

test("fromWireOutbound() says what it does not support", (t) => {
  const read = withRule({ backends: empty, allowL5dRequestHeaders: true });
  t.deepEqual(paths(read), ["protocol.http1.routes[0].rules[0].allowL5dRequestHeaders"]);
  t.deepEqual(read.value.httpRoutes[0]?.rules[0]?.filters, []);
});

test("fromWireOutbound() fails a rule whose session cannot be kept", (t) => {
  const read = withRule({ backends: empty, sessionPersistence: {} });
  t.deepEqual(paths(read), ["protocol.http1.routes[0].rules[0].sessionPersistence"]);
  t.like(read.value.httpRoutes[0]?.rules[0]?.filters[0], { failure: { status: 500 } });
});

test("fromWireOutbound() takes the breaker of HTTP/1 where the protocol is detected", (t) => {
  const failureAccrual = {
    kind: { case: "consecutiveFailures" as const, value: { maxFailures: 3, backoff: {} } },
  };
  const read = fromWireOutbound(
    create(OutboundPolicySchema, {
      metadata,
      protocol: { kind: { case: "detect", value: { http1: { failureAccrual }, opaque: {} } } },
    }),
  );
  t.is(read.value.accrual?.maxConsecutiveFailures, 3);
});

test("fromWireOutbound() leaves the rules beside a broken one as they are", (t) => {
  const { value } = fromWireOutbound(
    create(OutboundPolicySchema, {
      metadata,
      protocol: {
        kind: {
          case: "http1",
          value: { routes: [{ metadata, rules: [{}, { backends: empty }] }] },
        },
      },
    }),
  );
  t.deepEqual(
    value.httpRoutes[0]?.rules.map(({ filters }) => filters.length),
    [1, 0],
  );
});

test("fromWireOutbound() refuses bytes without exactly one route and rule for them", (t) => {
  const rule = { backends: empty };
  const route = { metadata, rules: [rule] };
  const read = (routes: readonly unknown[]): Decoded<OutboundPolicy> =>
    fromWireOutbound(
      create(OutboundPolicySchema, {
        metadata,
        protocol: { kind: { case: "opaque", value: { routes: routes as [] } } },
      }),
    );
  t.is(read([route]).value.opaque.refusal, "");
  for (const routes of [
    [],
    [route, route],
    [{ metadata, rules: [] }],
    [{ metadata, rules: [rule, rule] }],
  ]) {
    t.is(read(routes).value.opaque.refusal, "invalid");
  }
  t.is(
    read([{ metadata, rules: [{ filters: [{}], backends: empty }] }]).value.opaque.refusal,
    "invalid",
  );
});

test("fromWireOutbound() reads TLS routes by server name, and refuses one whose name it cannot read", (t) => {
  const named = (match: { case: "exact"; value: string }): Init<typeof TlsRouteSchema> => ({
    metadata,
    snis: [{ match }],
    rules: [{ backends: empty }],
  });
  const routes = [
    named({ case: "exact", value: "A.example" }),
    named({ case: "exact", value: "" }),
  ];
  const { value, faults } = fromWireOutbound(
    create(OutboundPolicySchema, {
      metadata,
      protocol: { kind: { case: "tls", value: { routes } } },
    }),
  );
  t.deepEqual(
    value.tlsRoutes?.map(({ snis, refusal }) => ({ snis, refusal })),
    [
      { snis: [{ kind: "exact", value: "a.example" }], refusal: "" },
      { snis: [], refusal: "invalid" },
    ],
  );
  t.is(value.opaque.refusal, "invalid");
  t.deepEqual(faults, [
    { path: "protocol.tls.routes[1].snis[0]", reason: "is neither a name nor a suffix" },
  ]);
});

const workload = '{"ns":"demo","pod":"web-1"}';
const from = { namespace: "demo", pod: "web-1" };

test("fromWireTrafficSpec() reads addresses and names in their one spelling", (t) => {
  const spec = (authority: string): unknown =>
    fromWireTrafficSpec(
      create(TrafficSpecSchema, {
        sourceWorkload: workload,
        target: { case: "authority", value: authority },
      }),
      "cluster.local",
    );
  const named = { kind: "authority", authority: "web.demo.svc.cluster.local:80" };
  t.deepEqual(spec("WEB"), { ok: true, value: { workload: from, target: named } });
  const address = { kind: "address", ip: "10.0.0.1", port: 80 };
  t.deepEqual(spec("10.0.0.1"), { ok: true, value: { workload: from, target: address } });
  t.like(spec("we b"), { ok: false });
  t.deepEqual(
    fromWireTrafficSpec(
      create(TrafficSpecSchema, {
        sourceWorkload: workload,
        target: {
          case: "addr",
          value: { ip: { ip: { case: "ipv4", value: 0x0a000001 } }, port: 80 },
        },
      }),
      "cluster.local",
    ),
    { ok: true, value: { workload: from, target: { kind: "address", ip: "10.0.0.1", port: 80 } } },
  );
});

test("fromWireTrafficSpec() names the field that is wrong", (t) => {
  const fields = (spec: Init<typeof TrafficSpecSchema>): readonly string[] => {
    const read = fromWireTrafficSpec(create(TrafficSpecSchema, spec), "cluster.local");
    return read.ok ? [] : read.faults.map(({ path }) => path);
  };
  t.deepEqual(fields({ sourceWorkload: "x" }), ["source_workload"]);
  t.deepEqual(fields({ sourceWorkload: workload }), ["target"]);
  t.deepEqual(fields({ sourceWorkload: workload, target: { case: "addr", value: { port: 80 } } }), [
    "addr",
  ]);
  t.deepEqual(fields({ sourceWorkload: workload, target: { case: "authority", value: ":80" } }), [
    "authority",
  ]);
});

test("toWireOutbound() does not drop the order of a list, which no message can carry", (t) => {
  t.throws(() => toWireOutbound({ ...policy, routeOrder: "list" }, { extensions: true }), {
    message: /has no message/,
  });
});
