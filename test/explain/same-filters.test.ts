/** Filters of all kinds, sound and broken, as the proxy carries them out and as `weft explain` tells them. */
import test from "ava";
import fc from "fast-check";
import type { RouteBackend } from "../../src/core/model/backend.ts";
import type { Filter } from "../../src/core/model/filter.ts";
import { toFieldText } from "../../src/core/std/field.ts";
import type { TravellingRequest } from "../../src/explain/travelling-request.ts";
import { type Walk, walkFilters } from "../../src/explain/walk-filters.ts";
import { EchoOrigin, type SeenRequest } from "../harness/origin.ts";
import {
  backend,
  endpoint,
  endpointSnapshot,
  outboundSnapshot,
  routed,
  rule,
  to,
  withPath,
} from "../harness/policies.ts";
import { RawClient, type RawResponse } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const policies = 80;
const requestsEach = 10;

/** Every request, none of them, or every other one. */
const ratio = {
  numerator: fc.constantFrom(0, 1, 1, 2),
  denominator: fc.constantFrom(0, 1, 2),
};

const headerValue = fc.record({
  name: fc.constantFrom("x-one", "X-Two", "x-one", "X-Two", "host", "host", "l5d-client-id"),
  value: fc.constantFrom("1", "two words", "ä", "example.com", "1", "2", "a\u0000b"),
});

/** Mostly sound; Host, a private name and a bad value are there to be refused. */
const modifier = fc.record({
  set: fc.array(headerValue, { maxLength: 1 }),
  add: fc.array(
    headerValue.filter(({ name }) => name.startsWith("x-")),
    { maxLength: 1 },
  ),
  remove: fc.subarray(["x-one", "X-Two", "x-three", "x-four", "Content-Length"], { maxLength: 1 }),
});

const path = fc.option(
  fc.record({
    kind: fc.constantFrom("full" as const, "prefix" as const),
    value: fc.constantFrom("/", "/x", "/x/", "y", "/y", "", "/with blank", "/q?a=b"),
  }),
  { nil: undefined },
);

function backendOf(name: string): RouteBackend["backend"] {
  return backend(name).backend;
}

const filter: fc.Arbitrary<Filter> = fc.oneof(
  {
    arbitrary: fc.record({ kind: fc.constant("request-headers" as const), modifier }),
    weight: 4,
  },
  fc.record({ kind: fc.constant("response-headers" as const), modifier }),
  fc.record({
    kind: fc.constant("redirect" as const),
    redirect: fc.record({
      scheme: fc.constantFrom("", "https"),
      host: fc.constantFrom("", "example.com"),
      port: fc.constantFrom(0, 8443),
      path: fc.option(
        fc.record({
          kind: fc.constantFrom("full" as const, "prefix" as const),
          value: fc.constantFrom("/", "/x", "/x/"),
        }),
        { nil: undefined },
      ),
      status: fc.constantFrom(301, 302, 307),
    }),
  }),
  fc.record({
    kind: fc.constant("failure" as const),
    failure: fc.record({
      status: fc.constantFrom(418, 503, 42),
      message: fc.constantFrom("closed", "zu spät"),
      ...ratio,
    }),
  }),
  {
    arbitrary: fc.record({
      kind: fc.constant("url-rewrite" as const),
      rewrite: fc.record({ host: fc.constantFrom("", "new.example:80", "no host"), path }),
    }),
    weight: 3,
  },
  fc.record({
    kind: fc.constant("mirror" as const),
    mirror: fc.record({ backend: fc.constant(backendOf("mirror")), ...ratio }),
  }),
  {
    arbitrary: fc.record({
      kind: fc.constant("cors" as const),
      cors: fc.record({
        origins: fc.constantFrom(["*"], ["https://app.example"], ["https://*.example"]),
        credentials: fc.boolean(),
        methods: fc.constantFrom(["PUT"], ["*"], ["PUT"], ["GET"], ["bad method"]),
        headers: fc.constantFrom([], ["x-one"], ["*"]),
        exposed: fc.constantFrom([], ["x-origin"]),
        maxAgeSeconds: fc.constantFrom(0, 5, 60, 600, 0.5),
      }),
    }),
    weight: 3,
  },
  {
    arbitrary: fc.record({
      kind: fc.constant("external-auth" as const),
      auth: fc.record({
        protocol: fc.constant("http" as const),
        backend: fc.constant(backendOf("allows")),
        pathPrefix: fc.constantFrom("", "/check", "/check?"),
        requestHeaders: fc.constant([]),
        // Nothing of what the service says goes on.
        responseHeaders: fc.constant(["x-nothing"]),
        maxBodyBytes: fc.constant(0),
      }),
    }),
    weight: 2,
  },
  fc.record({
    kind: fc.constant("direct-response" as const),
    response: fc.record({
      status: fc.constantFrom(200, 205, 299, 404, 99),
      body: fc.constantFrom("", "hello", "ä".repeat(20_000)),
      contentType: fc.constantFrom("", "text/plain"),
    }),
  }),
  fc.record({
    kind: fc.constant("delay" as const),
    delay: fc.record({ delayMs: fc.constant(0), ...ratio }),
  }),
);

const asked: fc.Arbitrary<TravellingRequest> = fc.record({
  method: fc.constantFrom("GET", "OPTIONS"),
  path: fc.constantFrom("/a", "/a/", "/a/b", "/a/%2F"),
  query: fc.constantFrom("", "q=1"),
  authority: fc.constant("web"),
  headers: fc
    .record(
      {
        "x-one": fc.constant("0"),
        origin: fc.constantFrom("https://app.example", "https://evil.test"),
        "access-control-request-method": fc.constant("PUT"),
      },
      { requiredKeys: [] },
    )
    .map((headers) => new Map([["host", "web"], ...Object.entries(headers)])),
});

function bytesOf({ method, path: at, query, headers }: TravellingRequest): string {
  const target = query === "" ? at : `${at}?${query}`;
  const fields = Array.from(headers, ([name, value]) => `${name}: ${value}\r\n`).join("");
  return `${method} ${target} HTTP/1.1\r\n${fields}\r\n`;
}

/** Undefined: the walk has told of this answer. */
function disagreement(walk: Walk, response: RawResponse): string | undefined {
  const error = response.headers.get("l5d-proxy-error");
  const location = response.headers.get("location");
  const isTold = walk.answers.some(
    ({ status, reason, share }) =>
      share > 0 &&
      status === response.status &&
      (error === undefined || error === toFieldText(reason, 1_024)) &&
      (location === undefined || reason === `redirects to ${location}`),
  );
  return isTold ? undefined : `${response.head} is not in ${JSON.stringify(walk.answers)}`;
}

/** What the backend saw, in the terms of the walk. */
function sight({ method, url, rawHeaders }: SeenRequest): object {
  const names = rawHeaders.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
  const valuesOf = (name: string): string =>
    rawHeaders.filter((_, at) => at % 2 === 1 && names[(at - 1) / 2] === name).join(", ");
  return { method, url, host: valuesOf("host"), one: valuesOf("x-one"), two: valuesOf("x-two") };
}

function expected({ method, path: at, query, authority, headers }: TravellingRequest): object {
  const url = query === "" ? at : `${at}?${query}`;
  const [one = "", two = ""] = [headers.get("x-one"), headers.get("x-two")];
  return { method, url, host: authority, one, two };
}

test("walkFilters() says what a proxy does, for 800 random requests through filters of every kind", async (t) => {
  await using web = await EchoOrigin.start("web");
  await using allows = await EchoOrigin.start("allows");
  await using mirror = await EchoOrigin.start("mirror");
  const kinds = new Map<string, number>();
  const tally = (kind: string): void => {
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  };
  const endpoints = [web, allows, mirror].map(({ name, port }) =>
    endpointSnapshot(name, endpoint(port)),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(filter, { minLength: 1, maxLength: 4 }),
      fc.array(asked, { minLength: requestsEach, maxLength: requestsEach }),
      async (filters, requests) => {
        const backends = to(backend("web"));
        const table = routed(rule({ matches: [withPath("/a")], filters, backends }));
        await using shard = await ShardInTest.start({
          snapshots: [...endpoints, outboundSnapshot(table)],
        });
        for (const request of requests) {
          const walk = walkFilters(table.rules[0]?.filters ?? [], request, {
            asMatched: request,
            matchedPrefix: "/a",
            listenerPort: 80,
            nameOf: () => "",
          });
          using client = await RawClient.open(shard.port());
          const response = await client.send(bytesOf(request)).response();
          const seen = web.seen.at(-1);
          if (response.headers.has("x-origin") && seen !== undefined) {
            t.true(walk.onward > 0, response.head);
            t.deepEqual(sight(seen), expected(walk.request), JSON.stringify(filters));
            tally("onward");
          } else {
            const wrong = disagreement(walk, response);
            if (wrong !== undefined) throw new Error(wrong);
            tally(response.headers.has("l5d-proxy-error") ? "refused" : `${response.status}`);
          }
        }
      },
    ),
    { numRuns: policies },
  );
  for (const kind of ["onward", "refused", "204", "302"]) {
    t.true((kinds.get(kind) ?? 0) > 0, `${kind}: ${JSON.stringify([...kinds])}`);
  }
});
