import { create, toJson } from "@bufbuild/protobuf";
import test from "ava";
import type { InboundPolicy } from "../../../src/core/model/inbound-policy.ts";
import { everyRequest } from "../../../src/core/model/match.ts";
import { defaultMeta, resourceMeta } from "../../../src/core/model/meta.ts";
import { parseCidr } from "../../../src/core/std/ip.ts";
import type { Decoded } from "../../../src/core/wire/decode.ts";
import {
  PortSpecSchema,
  type ProxyProtocolSchema,
  ServerSchema,
} from "../../../src/core/wire/gen/linkerd/inbound_pb.ts";
import {
  fromWireInbound,
  fromWirePortSpec,
  toWireInbound,
} from "../../../src/core/wire/inbound.ts";
import type { Init } from "./init.ts";

const anywhere = parseCidr("0.0.0.0/0");
if (anywhere === undefined) throw new Error("Could not read the network");

const policy: InboundPolicy = {
  protocol: "detect",
  detectTimeoutMs: 10_000,
  server: { group: "policy.linkerd.io", kind: "server", name: "web" },
  authorizations: [
    {
      meta: resourceMeta({
        group: "policy.linkerd.io",
        kind: "AuthorizationPolicy",
        namespace: "demo",
        name: "a",
      }),
      networks: [{ net: anywhere, except: [] }],
      authentication: { kind: "identities", identities: ["x.demo"], suffixes: [".demo.svc", ""] },
    },
  ],
  routes: [],
};

const permitAll = {
  networks: [{ net: { ip: { ip: { case: "ipv4" as const, value: 0 } } } }],
  authentication: { permit: { case: "unauthenticated" as const, value: {} } },
  metadata: { kind: { case: "default" as const, value: "all" } },
};

function withProtocol(kind: Init<typeof ProxyProtocolSchema>["kind"]): Decoded<InboundPolicy> {
  return fromWireInbound(
    create(ServerSchema, {
      authorizations: [permitAll],
      protocol: { kind: kind ?? ({} as never) },
    }),
  );
}

test("toWireInbound() is what Linkerd's controller sends for a Server", (t) => {
  t.deepEqual(toJson(ServerSchema, toWireInbound(policy)), {
    protocol: { detect: { timeout: "10s" } },
    labels: { group: "policy.linkerd.io", kind: "server", name: "web" },
    authorizations: [
      {
        networks: [{ net: { ip: { ipv4: 0 } } }],
        authentication: {
          meshTLS: {
            identities: {
              identities: [{ name: "x.demo" }],
              suffixes: [{ parts: ["demo", "svc"] }, {}],
            },
          },
        },
        labels: { group: "policy.linkerd.io", kind: "authorizationpolicy", name: "a" },
        metadata: {
          resource: {
            group: "policy.linkerd.io",
            kind: "AuthorizationPolicy",
            namespace: "demo",
            name: "a",
          },
        },
      },
    ],
  });
});

test("toWireInbound() sends no authorization without networks, which admits nobody", (t) => {
  const authorizations = policy.authorizations.map((each) => ({ ...each, networks: [] }));
  t.deepEqual(toWireInbound({ ...policy, authorizations }).authorizations, []);
});

test("toWireInbound() sends a gRPC server with HTTP routes as HTTP/2", (t) => {
  const meta =
    policy.authorizations[0]?.meta ??
    resourceMeta({ group: "", kind: "", namespace: "", name: "" });
  const route = {
    meta,
    hosts: [],
    authorizations: [],
    rules: [{ matches: [everyRequest], filters: [] }],
  };
  const kindOf = (routes: InboundPolicy["routes"]): string | undefined =>
    toWireInbound({ ...policy, protocol: "grpc", routes }).protocol?.kind.case;
  t.is(kindOf([]), "grpc");
  t.is(kindOf([route]), "http2");
});

test("fromWireInbound() admits nobody when the protocol is not known", (t) => {
  const { value, faults } = withProtocol({ case: undefined });
  t.deepEqual(value.authorizations, []);
  t.deepEqual(value.routes, []);
  t.deepEqual(faults, [{ path: "protocol", reason: "is of no known kind; nobody is admitted" }]);
});

test("fromWireInbound() refuses the calls of a gRPC route whose match names none", (t) => {
  const value = {
    routes: [
      { metadata: { kind: { case: "default" as const, value: "r" } }, rules: [{ matches: [{}] }] },
    ],
  };
  const { value: read, faults } = withProtocol({ case: "grpc", value });
  t.deepEqual(faults, [
    { path: "protocol.grpc.routes[0].rules[0].matches[0].rpc", reason: "is missing" },
  ]);
  t.regex(read.routes[0]?.rules[0]?.matches[0]?.unreadable ?? "", /is missing/);
});

test("fromWireInbound() waits 10 s where no usable time is given", (t) => {
  for (const timeout of [undefined, { seconds: -1n }]) {
    const value = timeout === undefined ? {} : { timeout };
    const read = withProtocol({ case: "detect", value });
    t.is(read.value.detectTimeoutMs, 10_000);
    t.deepEqual(
      read.faults.map(({ path }) => path),
      ["protocol.detect.timeout"],
    );
  }
});

test("fromWireInbound() reads a rate limit of Linkerd's, where a limit that is missing or 0 is none", (t) => {
  const overrides = [{ limit: { requestsPerSecond: 7 }, clients: { identities: [{ name: "a" }] } }];
  const value = { localRateLimit: { total: { requestsPerSecond: 0 }, overrides } };
  t.like(withProtocol({ case: "http1", value }).value.rateLimit, {
    totalPerSecond: 0,
    identityPerSecond: 0,
    overrides: [{ perSecond: 7, identities: ["a"] }],
  });
});

test("toWireInbound() sends a gRPC server with a rate limit as HTTP/2, where limits hold", (t) => {
  const rateLimit = {
    meta: defaultMeta("limit"),
    totalPerSecond: 5,
    identityPerSecond: 0,
    overrides: [],
  };
  const { value } = fromWireInbound(toWireInbound({ ...closedGrpc, rateLimit }));
  t.is(value.protocol, "http2");
  t.deepEqual(value.rateLimit, rateLimit);
});

const closedGrpc: InboundPolicy = {
  protocol: "grpc",
  detectTimeoutMs: 10_000,
  server: { group: "policy.linkerd.io", kind: "server", name: "web" },
  authorizations: [],
  routes: [],
};

test("fromWireInbound() takes a Server of Linkerd's when labels are missing", (t) => {
  t.deepEqual(withProtocol({ case: "opaque", value: {} }).value.server, {
    group: "policy.linkerd.io",
    kind: "server",
    name: "",
  });
});

test("fromWirePortSpec() reads the workload and the port", (t) => {
  const read = (workload: string, port: number): unknown =>
    fromWirePortSpec(create(PortSpecSchema, { workload, port }));
  const workload = { namespace: "demo", pod: "web-1" };
  t.deepEqual(read("demo:web-1", 8080), { ok: true, value: { workload, port: 8080 } });
  t.like(read("web-1", 8080), { ok: false, faults: [{ path: "workload" }] });
  for (const port of [0, 65_536]) {
    t.like(read("demo:web-1", port), { ok: false, faults: [{ path: "port" }] });
  }
});
