import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import test from "ava";
import { grpcCode } from "../../../src/core/model/grpc-status.ts";
import type { OutboundHttpRule } from "../../../src/core/model/http-route.ts";
import { everyRequest, type RpcName } from "../../../src/core/model/match.ts";
import { defaultMeta } from "../../../src/core/model/meta.ts";
import type { OutboundPolicy } from "../../../src/core/model/outbound-policy.ts";
import {
  defaultRetryBackoff,
  defaultRetryBodyBytes,
  type Retry,
} from "../../../src/core/model/retry.ts";
import { matchOfRpc } from "../../../src/core/model/rpc-match.ts";
import { noTimeouts } from "../../../src/core/model/timeouts.ts";
import { ServerSchema } from "../../../src/core/wire/gen/linkerd/inbound_pb.ts";
import { OutboundPolicySchema } from "../../../src/core/wire/gen/linkerd/outbound_pb.ts";
import { fromWireInbound, toWireInbound } from "../../../src/core/wire/inbound.ts";
import {
  fromWireOutbound,
  refusedOpaque,
  toWireOutbound,
} from "../../../src/core/wire/outbound.ts";
import {
  inboundWithoutExtensions,
  withoutExtensions,
} from "../../../src/core/wire/without-extensions.ts";

const meta = defaultMeta("a");
const any: RpcName = { kind: "any", value: "" };
const named = (value: string): RpcName => ({ kind: "exact", value });
const like = (value: string): RpcName => ({ kind: "regex", value });

const retry: Retry = {
  limit: 2,
  statuses: [],
  grpcCodes: [grpcCode.internal, grpcCode.unavailable],
  perTryMs: 50,
  backoff: defaultRetryBackoff,
  maxBodyBytes: defaultRetryBodyBytes,
  budget: { percent: 30, intervalMs: 5_000, minPerSecond: 1 },
};

const failing: OutboundHttpRule = {
  matches: [matchOfRpc({ service: named("shop.Cart"), method: any }, [])],
  filters: [
    {
      kind: "failure",
      failure: { status: 503, message: "no", numerator: 1, denominator: 2, grpcStatus: 14 },
    },
    { kind: "response-headers", modifier: { set: [], add: [], remove: ["x"] } },
  ],
  backends: { kind: "empty" },
  timeouts: { ...noTimeouts, requestMs: 100 },
  retry,
  session: {
    type: "cookie",
    name: "s",
    cookiePath: "/",
    lifetime: "session",
    absoluteMs: 0,
    idleMs: 0,
  },
};

const patterned: OutboundHttpRule = {
  ...failing,
  matches: [
    matchOfRpc({ service: like("a|b"), method: named("Get") }, [
      { name: "x", kind: "exact", value: "1" },
    ]),
  ],
  filters: [],
  session: undefined,
};

const policy: OutboundPolicy = {
  parent: meta,
  protocol: "grpc",
  httpRoutes: [{ meta, hosts: [{ kind: "suffix", value: "a.b" }], rules: [failing, patterned] }],
  accrual: undefined,
  opaque: refusedOpaque(meta),
};

test("fromWireOutbound() reads gRPC routes as toWireOutbound() writes them", (t) => {
  const message = toWireOutbound(policy, { extensions: true });
  t.is(message.protocol?.kind.case, "grpc");
  const bytes = toBinary(OutboundPolicySchema, message);
  const { value, faults } = fromWireOutbound(fromBinary(OutboundPolicySchema, bytes));
  t.deepEqual(faults, []);
  t.deepEqual(value, policy);
});

test("withoutExtensions() fails gRPC rules that need a pattern or a response header", (t) => {
  const [route] = withoutExtensions(policy).httpRoutes;
  const messages = route?.rules.map(({ filters }) =>
    filters.map((filter) => (filter.kind === "failure" ? filter.failure.message : filter.kind)),
  );
  t.deepEqual(messages, [
    ["ResponseHeaderModifier needs a Weft sidecar"],
    ["a regular expression of a service or method needs a Weft sidecar"],
  ]);
});

const inbound = {
  protocol: "grpc",
  detectTimeoutMs: 10_000,
  server: { group: "policy.linkerd.io", kind: "server", name: "s" },
  authorizations: [],
  routes: [
    {
      meta,
      hosts: [],
      authorizations: [],
      rules: patterned.matches.map((match) => ({ matches: [match], filters: [] })),
    },
  ],
} as const;

test("fromWireInbound() reads gRPC routes of every protocol that has requests", (t) => {
  for (const protocol of ["grpc", "http2", "detect"] as const) {
    const message = toWireInbound({ ...inbound, protocol });
    t.is(message.protocol?.kind.case, protocol);
    const read = fromWireInbound(fromBinary(ServerSchema, toBinary(ServerSchema, message)));
    t.deepEqual(read.faults, []);
    t.deepEqual(read.value, { ...inbound, protocol });
  }
});

test("toWireInbound() sends a gRPC server with a route of HTTP as HTTP/2", (t) => {
  const [route] = inbound.routes;
  const matches = [{ ...everyRequest, method: "GET" }];
  const rules = [...route.rules, { matches, filters: [] }];
  const message = toWireInbound({ ...inbound, routes: [{ ...route, rules }] });
  t.is(message.protocol?.kind.case, "http2");
});

test("inboundWithoutExtensions() fails a rule with a pattern, which would take other calls too", (t) => {
  const [route] = inboundWithoutExtensions(inbound).routes;
  t.like(route?.rules[0]?.filters[0], { kind: "failure" });
});

test("fromWireOutbound() reads a code that gRPC does not have as UNKNOWN", (t) => {
  const metadata = { kind: { case: "default" as const, value: "a" } };
  const failureInjector = { kind: { case: "failureInjector" as const, value: { code: 500 } } };
  const empty = { kind: { case: "empty" as const, value: {} } };
  const rules = [{ filters: [failureInjector], backends: empty }];
  const { value } = fromWireOutbound(
    create(OutboundPolicySchema, {
      metadata,
      protocol: { kind: { case: "grpc", value: { routes: [{ metadata, rules }] } } },
    }),
  );
  t.like(value.httpRoutes[0]?.rules[0]?.filters[0], { failure: { grpcStatus: 2, status: 500 } });
});
