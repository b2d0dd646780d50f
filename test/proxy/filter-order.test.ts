import test from "ava";
import type { Filter, HeaderModifier } from "../../src/core/model/filter.ts";
import { defaultRetryBudget } from "../../src/core/model/retry.ts";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import { allTo, backend, endpoint, endpointSnapshot, to, withPath } from "../harness/policies.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

function change(
  kind: "request-headers" | "response-headers",
  modifier: Partial<HeaderModifier>,
): Filter {
  return { kind, modifier: { set: [], add: [], remove: [], ...modifier } };
}

function one(name: string, value: string): Pick<HeaderModifier, "set"> {
  return { set: [{ name, value }] };
}

const get = "GET /foo/x HTTP/1.1\r\nHost: web\r\nOrigin: https://foo.com\r\n\r\n";

const cors: Filter = {
  kind: "cors",
  cors: {
    origins: ["https://foo.com"],
    credentials: false,
    methods: ["GET"],
    headers: [],
    exposed: [],
    maxAgeSeconds: 5,
  },
};

test("passFilters() carries out all filters of one rule and its backend in their order", async (t) => {
  await using a = await EchoOrigin.start("a");
  await using m = await EchoOrigin.start("m");
  const filters: readonly Filter[] = [
    change("request-headers", { add: [{ name: "X-Way", value: "1" }], remove: ["X-Gone"] }),
    change("response-headers", one("access-control-allow-origin", "before")),
    cors,
    { kind: "delay", delay: { delayMs: 1, numerator: 1, denominator: 1 } },
    { kind: "mirror", mirror: { backend: backend("m").backend, numerator: 1, denominator: 1 } },
    { kind: "url-rewrite", rewrite: { host: "b.org", path: { kind: "prefix", value: "/bar" } } },
    { kind: "failure", failure: { status: 500, message: "no", numerator: 0, denominator: 1 } },
    change("request-headers", { add: [{ name: "X-Way", value: "2" }] }),
    change("response-headers", { add: [{ name: "X-Back", value: "rule" }] }),
  ];
  const ofBackend: readonly Filter[] = [
    change("request-headers", { add: [{ name: "X-Way", value: "3" }] }),
    change("response-headers", {
      add: [{ name: "X-Back", value: "backend" }],
      remove: ["X-Origin"],
    }),
  ];
  await using shard = await ShardInTest.start({
    snapshots: [
      endpointSnapshot("m", endpoint(m.port)),
      ...allTo(a.port, {
        matches: [withPath("/foo")],
        filters,
        backends: to(backend("a", { filters: ofBackend })),
      }),
    ],
  });
  using kept = await RawClient.open(shard.port());
  using fresh = await RawClient.open(shard.port());
  for (const client of [kept, kept, fresh]) {
    client.send(
      "POST /foo/x?q HTTP/1.1\r\nHost: web\r\nOrigin: https://foo.com\r\nX-Gone: 1\r\nContent-Length: 2\r\n\r\nhi",
    );
    const { head, body } = await client.response();
    t.is(body, "a POST /bar/x?q");
    const lines = head.toLowerCase().split("\r\n");
    t.deepEqual(
      lines.filter((line) => /^(access-control-allow-origin|x-back|x-origin|vary)/.test(line)),
      [
        "access-control-allow-origin: https://foo.com",
        "vary: origin",
        "x-back: rule",
        "x-back: backend",
      ],
    );
    t.deepEqual(ways(a), ["1", "2", "3"]);
    t.is(a.header("host"), "b.org");
    t.is(a.header("x-gone"), undefined);
    await shard.until(() => m.seen.length === a.seen.length);
    t.deepEqual(ways(m), ["1"]);
    t.is(m.header("host"), "web");
    t.is(m.seen.at(-1)?.url, "/foo/x?q");
  }
});

test("passFilters() lets nothing behind a redirect change it", async (t) => {
  await using a = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    snapshots: allTo(a.port, {
      filters: [
        change("request-headers", one("host", "early.org")),
        change("response-headers", one("x-early", "1")),
        cors,
        {
          kind: "redirect",
          redirect: { scheme: "", host: "", port: 0, path: undefined, status: 307 },
        },
        change("response-headers", one("location", "http://late.org/")),
        change("response-headers", one("x-late", "1")),
        { kind: "direct-response", response: { status: 200, body: "late", contentType: "" } },
      ],
    }),
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 2; i++) {
    const { status, headers } = await client.send(get).response();
    t.is(status, 307);
    t.is(headers.get("location"), "http://web/foo/x");
    t.is(headers.get("x-early"), "1");
    t.is(headers.get("x-late"), undefined);
    t.is(headers.get("access-control-allow-origin"), "https://foo.com");
  }
  t.is(a.seen.length, 0);
});

test("passFilters() leaves the answers of the proxy to failures as they are", async (t) => {
  await using shard = await ShardInTest.start({
    snapshots: allTo(1, {
      filters: [change("response-headers", one("x-set", "1"))],
      backends: to(
        backend("none", { filters: [change("response-headers", one("x-set", "1")), cors] }),
      ),
    }),
  });
  using client = await RawClient.open(shard.port());
  const { status, headers } = await client.send(get).response();
  t.is(status, 503);
  t.deepEqual([...headers.keys()].toSorted(), [
    "content-length",
    "content-type",
    "l5d-decision-id",
    "l5d-proxy-error",
  ]);
});

test("an exchange forgets the filters of the request before", async (t) => {
  await using a = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    snapshots: allTo(a.port, {
      filters: [change("response-headers", { add: [{ name: "x-added", value: "1" }] }), cors],
    }),
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 3; i++) {
    const { head } = await client.send(get).response();
    t.is(head.match(/x-added/g)?.length, 1);
    t.is(head.match(/vary/g)?.length, 1);
  }
  shard.take(...allTo(a.port));
  const { headers } = await client.send(get).response();
  t.is(headers.get("x-added"), undefined);
  t.is(headers.get("vary"), undefined);
});

test("passFilters() takes each try through the filters of its backend, and copies a request once", async (t) => {
  let tries = 0;
  await using a = await RawOrigin.start((socket) => {
    tries++;
    const status = tries === 3 ? "200 OK" : "503 Service Unavailable";
    socket.write(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`);
  });
  await using m = await EchoOrigin.start("m");
  const copy: Filter = {
    kind: "mirror",
    mirror: { backend: backend("m").backend, numerator: 1, denominator: 1 },
  };
  const ofBackend: readonly Filter[] = [
    copy,
    change("request-headers", { add: [{ name: "X-Way", value: "backend" }] }),
    change("response-headers", { add: [{ name: "X-Back", value: "backend" }] }),
    { kind: "url-rewrite", rewrite: { host: "b.org", path: { kind: "full", value: "/bar" } } },
  ];
  await using shard = await ShardInTest.start({
    snapshots: [
      endpointSnapshot("m", endpoint(m.port)),
      ...allTo(a.port, {
        filters: [
          copy,
          change("request-headers", { add: [{ name: "X-Way", value: "rule" }] }),
          change("response-headers", { add: [{ name: "X-Back", value: "rule" }] }),
        ],
        backends: to(backend("a", { filters: ofBackend })),
        retry: {
          limit: 2,
          statuses: [{ start: 503, end: 503 }],
          perTryMs: 0,
          backoff: { minMs: 1, maxMs: 1, jitter: 0 },
          maxBodyBytes: 1_000,
          budget: defaultRetryBudget,
        },
      }),
    ],
  });
  using client = await RawClient.open(shard.port());
  client.send("POST /foo HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\nhi");
  const { status, head } = await client.response();
  t.is(status, 200);
  t.deepEqual(head.match(/x-back: .*/g), ["x-back: rule", "x-back: backend"]);
  const requests = a.received.split("POST ").slice(1);
  t.is(requests.length, 3);
  for (const request of requests) {
    t.true(request.startsWith("/bar HTTP/1.1\r\n"));
    t.deepEqual(request.match(/(?:x-way|host): .*/gi), [
      "x-way: rule",
      "x-way: backend",
      "host: b.org",
    ]);
  }
  await shard.until(
    () => shard.count("outbound_http_route_mirror_total", { result: "answered" }) === 2,
  );
  t.deepEqual(
    m.seen.map(({ url, body }) => `${url} ${body}`),
    ["/foo hi", "/foo hi"],
  );
});

function ways(origin: EchoOrigin): readonly string[] {
  const { rawHeaders = [] } = origin.seen.at(-1) ?? {};
  return rawHeaders.filter((_text, at) => rawHeaders[at - 1]?.toLowerCase() === "x-way");
}
