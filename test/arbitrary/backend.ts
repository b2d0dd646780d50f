/** Random backends, and the parts that all policies are made of. */
import fc from "fast-check";
import type { Backend, LoadPenalty, PeakEwma } from "../../src/core/model/backend.ts";
import type { Endpoint, EndpointSet } from "../../src/core/model/endpoint.ts";
import { defaultMeta, type Meta, resourceMeta } from "../../src/core/model/meta.ts";
import { type Cidr, formatIp, type Ip, parseIp } from "../../src/core/std/ip.ts";
import { Secret } from "../../src/core/std/secret.ts";

export const anyName: fc.Arbitrary<string> = fc.constantFrom("a", "b", "backend-a", "web");

export const anyDurationMs: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(1, 999, 1_000, 30_000, 2_147_483_647),
  fc.nat(2_147_483_647),
);

export const anyMeta: fc.Arbitrary<Meta> = fc.oneof(
  anyName.map(defaultMeta),
  fc
    .record({
      group: fc.constantFrom("core", "policy.linkerd.io", "gateway.networking.k8s.io"),
      kind: fc.constantFrom("Service", "HTTPRoute", "AuthorizationPolicy"),
      namespace: fc.constantFrom("demo", "other"),
      name: anyName,
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
  labels: fc.dictionary(fc.constantFrom("pod", "zone"), anyName),
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

const load: fc.Arbitrary<PeakEwma> = fc
  .record({
    defaultRttMs: fc.integer({ min: 1, max: 1_000 }),
    decayMs: fc.integer({ min: 1, max: 60_000 }),
    penalty: fc.option(
      fc.record<LoadPenalty>({
        penaltyMs: fc.constantFrom(0, 5_000, 60_000),
        maxRetryAfterMs: fc.constantFrom(0, 300_000),
        decayMs: fc.constantFrom(1, 10_000),
      }),
      { nil: undefined },
    ),
  })
  .map(({ penalty, ...rest }) => (penalty === undefined ? rest : { ...rest, penalty }));

const secret = fc.constantFrom("AKIDEXAMPLE", "key/two+").map((text) => new Secret(text));

const lambda = fc.record({
  region: fc.constantFrom("us-east-1", "eu-central-1"),
  accountId: fc.constantFrom("", "123456789012"),
  name: fc.constantFrom("hello", "Hello_2"),
  qualifier: fc.constantFrom("", "$LATEST", "7"),
  mode: fc.constantFrom("sync" as const, "async" as const),
  payload: fc.constantFrom("envoy" as const, "none" as const),
  endpointUrl: fc.constantFrom("", "http://localhost:4566"),
  accessKey: secret,
  secretKey: secret,
  sessionToken: fc.oneof(fc.constant(new Secret("")), secret),
});

const staticHost = fc.record({
  host: fc.constantFrom("example.com", "10.0.0.1", "2001:db8::1"),
  port: fc.constantFrom(1, 443, 65_535),
});

/** What Linkerd's contract can carry. */
const plainBackend: fc.Arbitrary<Backend> = fc.record({
  meta: anyMeta,
  dispatch: fc.oneof(
    fc.record({
      kind: fc.constant("balancer" as const),
      authority: fc.constantFrom("a.demo.svc.cluster.local:80", "b.demo.svc.cluster.local:8080"),
      load,
    }),
    fc.record({ kind: fc.constant("forward" as const), endpoint: anyEndpoint }),
    fc.constant({ kind: "fail" as const }),
  ),
});

const backendKind: fc.Arbitrary<Backend> = fc.oneof(
  { arbitrary: plainBackend, weight: 3 },
  fc.record({
    meta: anyMeta,
    dispatch: fc.oneof(
      fc.record({
        kind: fc.constant("static" as const),
        hosts: fc.array(staticHost, { minLength: 1, maxLength: 2 }),
      }),
      fc.record({ kind: fc.constant("lambda" as const), function: lambda }),
    ),
  }),
);

const anyProtocol = fc.constantFrom(
  undefined,
  "detect" as const,
  "http1" as const,
  "http2" as const,
);

export const anyBackend: fc.Arbitrary<Backend> = fc
  .tuple(backendKind, anyProtocol)
  .map(([backend, protocol]) => (protocol === undefined ? backend : { ...backend, protocol }));
