/** Random policies for property tests: every shape that the model allows and the wire can carry, from alphabets so small that ties and near misses are common. */
import fc from "fast-check";
import type { Authentication, Authorization, Network } from "../../src/core/model/authorization.ts";
import type { Distribution, RouteBackend } from "../../src/core/model/backend.ts";
import type { Filter } from "../../src/core/model/filter.ts";
import type {
  InboundHttpRoute,
  InboundHttpRule,
  OutboundHttpRoute,
  OutboundHttpRule,
} from "../../src/core/model/http-route.ts";
import type { InboundPolicy } from "../../src/core/model/inbound-policy.ts";
import type { HostMatch, HttpMatch, PathMatch, ValueMatch } from "../../src/core/model/match.ts";
import type { OpaqueRoute, OutboundPolicy } from "../../src/core/model/outbound-policy.ts";
import type { RateLimit } from "../../src/core/model/rate-limit.ts";
import { noTimeouts } from "../../src/core/model/timeouts.ts";
import type { KeySource, TokenRule } from "../../src/core/model/token.ts";
import { defaultDetectTimeoutMs } from "../../src/core/wire/inbound.ts";
import { refusedOpaque } from "../../src/core/wire/outbound.ts";
import { anyBackend, anyCidr, anyDurationMs, anyMeta, anyName } from "./backend.ts";
import { anyFilter, anyInboundFilter } from "./filter.ts";
import { anyAccrual, anyRetry, anySession, anyTimeouts } from "./resilience.ts";

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
  timeouts: fc.oneof({ arbitrary: fc.constant(noTimeouts), weight: 2 }, anyTimeouts),
  retry: fc.option(anyRetry, { nil: undefined }),
  session: fc.option(anySession, { nil: undefined, freq: 2 }),
});

export const anyOutboundRoute: fc.Arbitrary<OutboundHttpRoute> = fc.record({
  meta: anyMeta,
  hosts,
  rules: fc.array(outboundRule, { minLength: 1, maxLength: 3 }),
});

const httpRoutes = fc.array(anyOutboundRoute, { maxLength: 4 });
const accrual = fc.option(anyAccrual, { nil: undefined });

/** Parts that a protocol has no use for are in the form in which they come back from the wire. gRPC comes back as HTTP/2 and is left out. */
export const anyOutboundPolicy: fc.Arbitrary<OutboundPolicy> = fc.oneof(
  fc.record({
    parent: anyMeta,
    protocol: fc.constant("detect" as const),
    httpRoutes,
    accrual,
    opaque: anyOpaqueRoute,
  }),
  fc
    .record({
      parent: anyMeta,
      protocol: fc.constantFrom("http1" as const, "http2" as const),
      httpRoutes,
      accrual,
    })
    .map((policy) => ({ ...policy, opaque: refusedOpaque(policy.parent) })),
  fc.record({
    parent: anyMeta,
    protocol: fc.constantFrom("opaque" as const, "tls" as const),
    httpRoutes: fc.constant([]),
    accrual: fc.constant(undefined),
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

const keySource: fc.Arbitrary<KeySource> = fc.oneof(
  fc.record({ from: fc.constant("inline" as const), jwks: fc.constantFrom("{}", '{"keys":[]}') }),
  fc.record({
    from: fc.constantFrom("file" as const, "url" as const),
    location: fc.constantFrom("/keys.json", "https://login.example/keys"),
    maxAgeMs: anyDurationMs,
  }),
);

export const anyToken: fc.Arbitrary<TokenRule> = fc.record({
  meta: anyMeta,
  issuer: anyName,
  audiences: fc.array(anyName, { minLength: 1, maxLength: 2 }),
  keys: keySource,
  claims: fc.array(
    fc.record({ name: anyName, values: fc.array(anyName, { minLength: 1, maxLength: 2 }) }),
    { maxLength: 2 },
  ),
  place: fc.record({
    in: fc.constantFrom("header" as const, "cookie" as const),
    name: fc.constantFrom("authorization", "x-token"),
  }),
  forward: fc.boolean(),
});

export const anyAuthorization: fc.Arbitrary<Authorization> = fc.record(
  {
    meta: anyMeta,
    networks: fc.array(network, { minLength: 1, maxLength: 2 }),
    authentication: anyAuthentication,
    tokens: fc.array(anyToken, { minLength: 1, maxLength: 2 }),
  },
  { requiredKeys: ["meta", "networks", "authentication"] },
);

const rate = fc.constantFrom(0, 1, 100, 4_294_967_295);

const anyRateLimit: fc.Arbitrary<RateLimit> = fc.record({
  meta: anyMeta,
  totalPerSecond: rate,
  identityPerSecond: rate,
  overrides: fc.array(
    fc.record({ perSecond: rate, identities: fc.array(anyName, { maxLength: 2 }) }),
    { maxLength: 2 },
  ),
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
    name: anyName,
  }),
  authorizations,
};

export const anyInboundPolicy: fc.Arbitrary<InboundPolicy> = fc.oneof(
  fc.record(
    {
      protocol: fc.constant("detect" as const),
      detectTimeoutMs: anyDurationMs,
      ...inboundBody,
      routes: fc.array(anyInboundRoute, { maxLength: 4 }),
      rateLimit: anyRateLimit,
    },
    { requiredKeys: ["protocol", "detectTimeoutMs", "server", "authorizations", "routes"] },
  ),
  fc.record(
    {
      protocol: fc.constantFrom("http1" as const, "http2" as const),
      detectTimeoutMs: fc.constant(defaultDetectTimeoutMs),
      ...inboundBody,
      routes: fc.array(anyInboundRoute, { maxLength: 4 }),
      rateLimit: anyRateLimit,
    },
    { requiredKeys: ["protocol", "detectTimeoutMs", "server", "authorizations", "routes"] },
  ),
  fc.record({
    protocol: fc.constantFrom("grpc" as const, "opaque" as const, "tls" as const),
    detectTimeoutMs: fc.constant(defaultDetectTimeoutMs),
    ...inboundBody,
    routes: fc.constant([]),
  }),
);
