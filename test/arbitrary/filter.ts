/** Random filters, in the form in which they come back from the wire. */
import fc from "fast-check";
import type { Filter, HeaderValue } from "../../src/core/model/filter.ts";
import { anyBackend } from "./backend.ts";

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

const path = fc.option(
  fc.record({
    kind: fc.constantFrom("full" as const, "prefix" as const),
    value: fc.constantFrom("/", "/x", "/x/"),
  }),
  { nil: undefined },
);

/** What inbound routes can carry. */
export const anyInboundFilter: fc.Arbitrary<Filter> = fc.oneof(
  fc.record({ kind: fc.constant("request-headers" as const), modifier }),
  fc.record({
    kind: fc.constant("redirect" as const),
    redirect: fc.record({
      scheme: fc.constantFrom("", "http", "https", "ws"),
      host: fc.constantFrom("", "example.com"),
      port: fc.constantFrom(0, 80, 8443),
      path,
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

/** What Linkerd's contract can carry. */
const plainFilter: fc.Arbitrary<Filter> = fc.oneof(
  anyInboundFilter,
  fc.record({ kind: fc.constant("response-headers" as const), modifier }),
);

const ratio = {
  numerator: fc.constantFrom(0, 1, 100),
  denominator: fc.constantFrom(1, 100),
};

const lowerNames = fc.subarray(["x-one", "authorization"]);

const extensionFilter: fc.Arbitrary<Filter> = fc.oneof(
  fc.record({
    kind: fc.constant("url-rewrite" as const),
    rewrite: fc.record({ host: fc.constantFrom("", "example.com", "a.example.com:8080"), path }),
  }),
  fc.record({
    kind: fc.constant("mirror" as const),
    mirror: fc.record({ backend: anyBackend, ...ratio }),
  }),
  fc.record({
    kind: fc.constant("cors" as const),
    cors: fc.record({
      origins: fc.subarray(["*", "https://example.com", "http://*.example.com:8080"]),
      credentials: fc.boolean(),
      methods: fc.subarray(["GET", "PUT", "*"]),
      headers: lowerNames,
      exposed: fc.subarray(["X-One", "*"]),
      maxAgeSeconds: fc.constantFrom(0, 5, 4_294_967_295),
    }),
  }),
  fc.record({
    kind: fc.constant("external-auth" as const),
    auth: fc.record({
      protocol: fc.constantFrom("http" as const, "grpc" as const),
      backend: anyBackend,
      pathPrefix: fc.constantFrom("", "/check"),
      requestHeaders: lowerNames,
      responseHeaders: lowerNames,
      maxBodyBytes: fc.constantFrom(0, 8_192),
    }),
  }),
  fc.record({
    kind: fc.constant("direct-response" as const),
    response: fc.record({
      status: fc.constantFrom(200, 404, 599),
      body: fc.constantFrom("", "User-agent: *\nDisallow: /\n"),
      contentType: fc.constantFrom("", "text/plain"),
    }),
  }),
  fc.record({
    kind: fc.constant("delay" as const),
    delay: fc.record({ delayMs: fc.constantFrom(0, 1, 30_000), ...ratio }),
  }),
);

export const anyFilter: fc.Arbitrary<Filter> = fc.oneof(
  { arbitrary: plainFilter, weight: 3 },
  { arbitrary: extensionFilter, weight: 2 },
);
