/** Random policies for property tests: every shape that the model allows and the wire can carry, from alphabets so small that ties and near misses are common. */
import fc from "fast-check";
import type { Authentication, Authorization, Network } from "../../src/core/model/authorization.ts";
import type { Backend, Distribution, RouteBackend } from "../../src/core/model/backend.ts";
import type { Endpoint, EndpointSet } from "../../src/core/model/endpoint.ts";
import type { Filter, HeaderValue } from "../../src/core/model/filter.ts";
import type {
  InboundHttpRoute,
  InboundHttpRule,
  OutboundHttpRoute,
  OutboundHttpRule,
} from "../../src/core/model/http-route.ts";
import type { InboundPolicy } from "../../src/core/model/inbound-policy.ts";
import type { HostMatch, HttpMatch, PathMatch, ValueMatch } from "../../src/core/model/match.ts";
import { defaultMeta, type Meta, resourceMeta } from "../../src/core/model/meta.ts";
import type { OpaqueRoute, OutboundPolicy } from "../../src/core/model/outbound-policy.ts";
import { type Cidr, formatIp, type Ip, parseIp } from "../../src/core/std/ip.ts";
import { defaultDetectTimeoutMs } from "../../src/core/wire/inbound.ts";
import { refusedOpaque } from "../../src/core/wire/outbound.ts";

const name = fc.constantFrom("a", "b", "backend-a", "web");

const durationMs = fc.oneof(
  fc.constantFrom(1, 999, 1_000, 30_000, 2_147_483_647),
  fc.nat(2_147_483_647),
);

export const anyMeta: fc.Arbitrary<Meta> = fc.oneof(
  name.map(defaultMeta),
  fc
    .record({
      group: fc.constantFrom("core", "policy.linkerd.io", "gateway.networking.k8s.io"),
      kind: fc.constantFrom("Service", "HTTPRoute", "AuthorizationPolicy"),
      namespace: fc.constantFrom("demo", "other"),
      name,
      section: fc.constantFrom("", "rule-1"),
      port: fc.constantFrom(0, 80, 65_535),
    })
    .map(resourceMeta),
);

/** Few enough for random peers to be inside of random networks. */
export const anyIp: fc.Arbitrary<Ip> = fc
  .oneof(
    fc.constantFrom("10.0.0.1", "10.0.0.2", "10.1.0.1", "127.0.0.1", "255.255.255.255", "0.0.0.0"),
    fc.constantFrom("::1", "2001:db8::1", "2001:db8:0:1::1", "fe80::ffff:ffff:ffff:ffff"),
  )
  .map((text) => parseIp(text) as Ip);

export const anyCidr: fc.Arbitrary<Cidr> = anyIp.chain((ip) =>
  fc
    .oneof(fc.constantFrom(0, 8, 31, 32), fc.integer({ min: 0, max: ip.family === 4 ? 32 : 128 }))
    .map((prefix) => ({ ip, prefix })),
);

export const anyPathMatch: fc.Arbitrary<PathMatch> = fc.oneof(
  fc.record({
    kind: fc.constant("exact" as const),
    value: fc.constantFrom("/", "/a", "/a/", "/a/b", "/ab"),
  }),
  fc.record({
    kind: fc.constant("prefix" as const),
    value: fc.constantFrom("/", "/a", "/a/", "/a/b", "/a/b/c", "/ab"),
  }),
  fc.record({
    kind: fc.constant("regex" as const),
    value: fc.constantFrom("/a|/ab", "/a.*", "/[ab]/b", "/", ".*"),
  }),
);

function valueMatches(names: readonly string[]): fc.Arbitrary<readonly ValueMatch[]> {
  const one = fc.record({
    name: fc.constantFrom(...names),
    kind: fc.constantFrom("exact" as const, "regex" as const),
    value: fc.constantFrom("1", "2", "12", "1, 2"),
  });
  return fc.oneof(
    { arbitrary: fc.constant([]), weight: 2 },
    fc.uniqueArray(one, { maxLength: 2, selector: ({ name }) => name }),
  );
}

export const anyMatch: fc.Arbitrary<HttpMatch> = fc.record({
  path: anyPathMatch,
  headers: valueMatches(["x-one", "x-two"]),
  queryParams: valueMatches(["q", "Q", "r"]),
  method: fc.constantFrom("", "", "", "GET", "POST", "DELETE", "PURGE"),
});

export const anyHost: fc.Arbitrary<HostMatch> = fc.record({
  kind: fc.constantFrom("exact" as const, "suffix" as const),
  value: fc.constantFrom("example.com", "a.example.com", "com", "b.a.example.com"),
});

const headerValues: fc.Arbitrary<readonly HeaderValue[]> = fc.array(
  fc.record({
    name: fc.constantFrom("x-one", "X-Two"),
    value: fc.constantFrom("", "1", "two words"),
  }),
  { maxLength: 2 },
);

const modifier = fc.record({
  set: headerValues,
  add: headerValues,
  remove: fc.subarray(["x-one", "x-three"]),
});

/** What inbound routes can carry. */
export const anyInboundFilter: fc.Arbitrary<Filter> = fc.oneof(
  fc.record({ kind: fc.constant("request-headers" as const), modifier }),
  fc.record({
    kind: fc.constant("redirect" as const),
    redirect: fc.record({
      scheme: fc.constantFrom("", "http", "https", "ws"),
      host: fc.constantFrom("", "example.com"),
      port: fc.constantFrom(0, 80, 8443),
      path: fc.option(
        fc.record({
          kind: fc.constantFrom("full" as const, "prefix" as const),
          value: fc.constantFrom("/", "/x", "/x/"),
        }),
        { nil: undefined },
      ),
      status: fc.constantFrom(301, 302, 303, 307, 308),
    }),
  }),
  fc.record({
    kind: fc.constant("failure" as const),
    failure: fc.record({
      status: fc.constantFrom(200, 403, 500, 599),
      message: fc.constantFrom("", "Service not found b"),
      numerator: fc.constantFrom(0, 1, 100),
      denominator: fc.constantFrom(1, 100),
    }),
  }),
);

export const anyFilter: fc.Arbitrary<Filter> = fc.oneof(
  anyInboundFilter,
  fc.record({ kind: fc.constant("response-headers" as const), modifier }),
);

export const anyEndpoint: fc.Arbitrary<Endpoint> = fc.record({
  ip: anyIp.map(formatIp),
  port: fc.constantFrom(80, 8080),
  weight: fc.constantFrom(0, 1, 10_000),
  tls: fc.option(
    fc.record({
      identity: fc.constantFrom("a.demo.serviceaccount.identity.mesh.local", "spiffe://mesh/a"),
      serverName: fc.constantFrom("a.demo", "b.demo"),
    }),
    { nil: undefined },
  ),
  inboundPort: fc.constantFrom(0, 4143),
  hint: fc.constantFrom("none" as const, "h2" as const, "opaque" as const),
  labels: fc.dictionary(fc.constantFrom("pod", "zone"), name),
});

/** Addresses are unique in a set, as the Destination contract has it. */
export const anyEndpointSet: fc.Arbitrary<EndpointSet> = fc.oneof(
  fc.constant({ exists: false, endpoints: [] }),
  fc.record({
    exists: fc.constant(true),
    endpoints: fc.uniqueArray(anyEndpoint, {
      maxLength: 5,
      selector: ({ ip, port }) => `${ip} ${port}`,
    }),
  }),
);

export const anyBackend: fc.Arbitrary<Backend> = fc.record({
  meta: anyMeta,
  dispatch: fc.oneof(
    fc.record({
      kind: fc.constant("balancer" as const),
      authority: fc.constantFrom("a.demo.svc.cluster.local:80", "b.demo.svc.cluster.local:8080"),
      load: fc.record({
        defaultRttMs: fc.integer({ min: 1, max: 1_000 }),
        decayMs: fc.integer({ min: 1, max: 60_000 }),
      }),
    }),
    fc.record({ kind: fc.constant("forward" as const), endpoint: anyEndpoint }),
    fc.constant({ kind: "fail" as const }),
  ),
});

function routeBackend(filter: fc.Arbitrary<Filter>): fc.Arbitrary<RouteBackend> {
  return fc.record({
    backend: anyBackend,
    filters: fc.array(filter, { maxLength: 2 }),
    weight: fc.constantFrom(0, 1, 3, 1_000_000),
  });
}

/** Without those that give traffic to nobody, which the wire has one form for (`empty`). */
function distribution(filter: fc.Arbitrary<Filter>): fc.Arbitrary<Distribution> {
  const backends = fc.array(routeBackend(filter), { minLength: 1, maxLength: 3 });
  return fc.oneof(
    fc.constant({ kind: "empty" as const }),
    backends.map((all) => ({
      kind: "first-available" as const,
      backends: all.map((each) => ({ ...each, weight: 1 })),
    })),
    backends
      .filter((all) => all.some(({ weight }) => weight > 0))
      .map((all) => ({ kind: "random-available" as const, backends: all })),
  );
}

export const anyDistribution: fc.Arbitrary<Distribution> = distribution(anyFilter);

const refusalOfBytes: fc.Arbitrary<Filter> = fc
  .constantFrom(
    { status: 403, message: "traffic not allowed", numerator: 1, denominator: 1 },
    { status: 500, message: "Service not found b", numerator: 1, denominator: 1 },
  )
  .map((failure) => ({ kind: "failure", failure }));

export const anyOpaqueRoute: fc.Arbitrary<OpaqueRoute> = fc.record({
  meta: anyMeta,
  refusal: fc.constantFrom("" as const, "forbidden" as const, "invalid" as const),
  backends: distribution(refusalOfBytes),
});

const matches = fc.array(anyMatch, { minLength: 1, maxLength: 3 });
const hosts = fc.oneof(
  { arbitrary: fc.constant([]), weight: 2 },
  fc.array(anyHost, { maxLength: 3 }),
);

const outboundRule: fc.Arbitrary<OutboundHttpRule> = fc.record({
  matches,
  filters: fc.array(anyFilter, { maxLength: 2 }),
  backends: anyDistribution,
  requestTimeoutMs: fc.oneof(fc.constant(0), durationMs),
});

export const anyOutboundRoute: fc.Arbitrary<OutboundHttpRoute> = fc.record({
  meta: anyMeta,
  hosts,
  rules: fc.array(outboundRule, { minLength: 1, maxLength: 3 }),
});

const httpRoutes = fc.array(anyOutboundRoute, { maxLength: 4 });

/** Parts that a protocol has no use for are in the form in which they come back from the wire. gRPC comes back as HTTP/2 and is left out. */
export const anyOutboundPolicy: fc.Arbitrary<OutboundPolicy> = fc.oneof(
  fc.record({
    parent: anyMeta,
    protocol: fc.constant("detect" as const),
    httpRoutes,
    opaque: anyOpaqueRoute,
  }),
  fc
    .record({
      parent: anyMeta,
      protocol: fc.constantFrom("http1" as const, "http2" as const),
      httpRoutes,
    })
    .map((policy) => ({ ...policy, opaque: refusedOpaque(policy.parent) })),
  fc.record({
    parent: anyMeta,
    protocol: fc.constantFrom("opaque" as const, "tls" as const),
    httpRoutes: fc.constant([]),
    opaque: anyOpaqueRoute,
  }),
);

/** The first is in the namespace `demo`; the second is not below it. */
export const identities: readonly string[] = [
  "a.demo.serviceaccount.identity.mesh.local",
  "a.other.serviceaccount.identity.mesh.local",
  "spiffe://mesh/a.demo.serviceaccount.identity.mesh.local",
];

export const anyAuthentication: fc.Arbitrary<Authentication> = fc.oneof(
  fc.constant({ kind: "unauthenticated" as const }),
  fc.constant({ kind: "tls" as const }),
  fc.record({
    kind: fc.constant("identities" as const),
    identities: fc.subarray([...identities]),
    suffixes: fc.subarray(["", ".demo.serviceaccount.identity.mesh.local", ".mesh.local"], {
      maxLength: 1,
    }),
  }),
);

const network: fc.Arbitrary<Network> = fc.record({
  net: anyCidr,
  except: fc.array(anyCidr, { maxLength: 2 }),
});

export const anyAuthorization: fc.Arbitrary<Authorization> = fc.record({
  meta: anyMeta,
  networks: fc.array(network, { minLength: 1, maxLength: 2 }),
  authentication: anyAuthentication,
});

const authorizations = fc.array(anyAuthorization, { maxLength: 3 });

const inboundRule: fc.Arbitrary<InboundHttpRule> = fc.record({
  matches,
  filters: fc.array(anyInboundFilter, { maxLength: 1 }),
});

export const anyInboundRoute: fc.Arbitrary<InboundHttpRoute> = fc.record({
  meta: anyMeta,
  hosts,
  authorizations,
  rules: fc.array(inboundRule, { minLength: 1, maxLength: 3 }),
});

const inboundBody = {
  server: fc.record({
    group: fc.constantFrom("policy.linkerd.io", ""),
    kind: fc.constantFrom("server", "default"),
    name,
  }),
  authorizations,
};

export const anyInboundPolicy: fc.Arbitrary<InboundPolicy> = fc.oneof(
  fc.record({
    protocol: fc.constant("detect" as const),
    detectTimeoutMs: durationMs,
    ...inboundBody,
    routes: fc.array(anyInboundRoute, { maxLength: 4 }),
  }),
  fc.record({
    protocol: fc.constantFrom("http1" as const, "http2" as const),
    detectTimeoutMs: fc.constant(defaultDetectTimeoutMs),
    ...inboundBody,
    routes: fc.array(anyInboundRoute, { maxLength: 4 }),
  }),
  fc.record({
    protocol: fc.constantFrom("grpc" as const, "opaque" as const, "tls" as const),
    detectTimeoutMs: fc.constant(defaultDetectTimeoutMs),
    ...inboundBody,
    routes: fc.constant([]),
  }),
);
