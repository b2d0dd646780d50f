import test from "ava";
import type { Retry } from "../../src/core/model/retry.ts";
import {
  maxBatchesUnderWay,
  maxBatchSpans,
  type SpanBatch,
  SpanNumber,
  SpanReader,
} from "../../src/thread/spans.ts";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import {
  admitting,
  allTo,
  anybody,
  backend,
  endpoint,
  endpointSnapshot,
  identities,
  inboundSnapshot,
  outboundSnapshot,
  routed,
  rule,
  to,
} from "../harness/policies.ts";
import { deadPort, withPort } from "../harness/port.ts";
import { RawClient } from "../harness/raw-client.ts";
import { RpcClient, RpcServer } from "../harness/rpc.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const trace = "0af7651916cd43dd8448eb211c80319c";
const caller = "b7ad6b7169203331";
const sampled = `traceparent: 00-${trace}-${caller}-01`;
const unsampled = `traceparent: 00-${trace}-${caller}-00`;

function request(...lines: readonly string[]): string {
  return `${["GET /a?secret=1 HTTP/1.1", "Host: web", ...lines].join("\r\n")}\r\n\r\n`;
}

function tracing(traceSampleRatio: number): { readonly traceSampleRatio: number } {
  return { traceSampleRatio };
}

function batchesOf(shard: ShardInTest): readonly SpanBatch[] {
  return shard.messages.flatMap((message) => (message.kind === "spans" ? [message.batch] : []));
}

/** The spans that a shard has sent by its end. */
async function spansAtEnd(shard: ShardInTest): Promise<readonly SpanReader[]> {
  shard.take({ kind: "drain", graceMs: 0 });
  await shard.drained();
  return batchesOf(shard).flatMap((batch) =>
    Array.from({ length: batch.count }, (_, at) => new SpanReader(batch, at)),
  );
}

function idOf(span: SpanReader | undefined, place: number): string {
  const words = [0, 1].map((at) => span?.number(place + at) ?? 0);
  return words.map((word) => word.toString(16).padStart(8, "0")).join("");
}

/** `traceparent` of a request with these lines, as the application gets it. */
async function passedOn(ratio: number, ...lines: readonly string[]): Promise<EchoOrigin> {
  await using origin = await EchoOrigin.start("web");
  await using shard = await ShardInTest.start({
    settings: tracing(ratio),
    snapshots: allTo(origin.port),
  });
  using client = await RawClient.open(shard.port());
  client.send(request(...lines));
  await client.response();
  return origin;
}

test("what a request carries of its trace passes through untouched where nothing is traced", async (t) => {
  await using origin = await EchoOrigin.start("web");
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  const b3 = `${trace}-${caller}-1`;
  client.send(request(sampled, "tracestate: a=1,b=2", `b3: ${b3}`, "baggage: user=1"));
  await client.response();
  t.is(`traceparent: ${origin.header("traceparent")}`, sampled);
  t.is(origin.header("tracestate"), "a=1,b=2");
  t.is(origin.header("b3"), b3);
  t.is(origin.header("baggage"), "user=1");
  t.deepEqual(await spansAtEnd(shard), []);
});

test("a sampled request goes on under the span of its try, and its state and baggage as they came", async (t) => {
  await using origin = await EchoOrigin.start("web");
  await using shard = await ShardInTest.start({
    settings: tracing(0),
    snapshots: allTo(origin.port),
  });
  using client = await RawClient.open(shard.port());
  client.send(request(sampled, "tracestate: a=1,b=2", "baggage: user=1"));
  await client.response();
  const passed = origin.header("traceparent") ?? "";
  t.is(origin.header("tracestate"), "a=1,b=2");
  t.is(origin.header("baggage"), "user=1");
  const [server, attempt] = await spansAtEnd(shard);
  t.is(passed, `00-${trace}-${idOf(attempt, SpanNumber.spanId)}-01`);
  t.is(idOf(attempt, SpanNumber.parentId), idOf(server, SpanNumber.spanId));
  t.is(idOf(server, SpanNumber.parentId), caller);
  t.is(server?.text("path"), "/a");
});

test("a trace that its caller does not sample goes on untouched and is not recorded", async (t) => {
  const origin = await passedOn(1, unsampled);
  t.is(`traceparent: ${origin.header("traceparent")}`, unsampled);
});

test("without a ratio no trace begins here", async (t) => {
  const origin = await passedOn(0);
  t.is(origin.header("traceparent"), undefined);
});

test("a trace that begins here and is not sampled is said to be so to those behind", async (t) => {
  const origin = await passedOn(1e-9);
  t.regex(origin.header("traceparent") ?? "", /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
});

test("a new trace takes the place of one that cannot be read, and of its state", async (t) => {
  const origin = await passedOn(1, "traceparent: 00-nonsense", "tracestate: a=1");
  t.regex(origin.header("traceparent") ?? "", /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  t.is(origin.header("tracestate"), undefined);
});

test("no trace begins where B3 says that there shall be none", async (t) => {
  for (const line of ["b3: 0", "X-B3-Sampled: 0"]) {
    const origin = await passedOn(1, line);
    t.is(origin.header("traceparent"), undefined, line);
  }
});

test("B3 goes on in the format that came", async (t) => {
  const single = await passedOn(0, `b3: ${trace}-${caller}-1`);
  t.regex(single.header("b3") ?? "", new RegExp(`^${trace}-(?!${caller})[0-9a-f]{16}-1-`));
  t.is(single.header("traceparent"), undefined);
  const multi = await passedOn(
    0,
    `X-B3-TraceId: ${trace}`,
    `X-B3-SpanId: ${caller}`,
    "X-B3-Sampled: 1",
  );
  t.is(multi.header("x-b3-traceid"), trace);
  t.not(multi.header("x-b3-spanid"), caller);
  t.is(multi.header("b3"), undefined);
});

test("of requests that bring no trace as many are sampled as the ratio says", async (t) => {
  const requests = 2_000;
  await using origin = await EchoOrigin.start("web");
  await using shard = await ShardInTest.start({
    settings: tracing(0.25),
    snapshots: allTo(origin.port),
  });
  using client = await RawClient.open(shard.port());
  for (let sent = 0; sent < requests; sent += 100) {
    client.send(request().repeat(100));
    for (let at = 0; at < 100; at++) await client.response();
  }
  const chosen = origin.seen.filter(({ rawHeaders }) => rawHeaders.at(-1)?.endsWith("-01"));
  // Five standard deviations are 97.
  t.true(Math.abs(chosen.length - requests / 4) < 97, `${chosen.length} were sampled`);
  t.is((await spansAtEnd(shard)).length, 2 * chosen.length);
});

const retry: Retry = {
  limit: 3,
  statuses: [{ start: 500, end: 500 }],
  perTryMs: 0,
  backoff: { minMs: 1, maxMs: 1, jitter: 0 },
  maxBodyBytes: 1_024,
  budget: { percent: 0, intervalMs: 10_000, minPerSecond: 100 },
};

test("each try has a span of its own, which the endpoint is told", async (t) => {
  let at = 0;
  await using origin = await RawOrigin.start((socket, soFar) => {
    if (!soFar.endsWith("\r\n\r\n")) return;
    const status = at++ < 2 ? 500 : 200;
    socket.write(`HTTP/1.1 ${status} Status\r\nContent-Length: 0\r\n\r\n`);
  });
  await using shard = await ShardInTest.start({
    settings: tracing(0),
    snapshots: allTo((origin.server.address() as { port: number }).port, { retry }),
  });
  using client = await RawClient.open(shard.port());
  client.send(request(sampled));
  t.is((await client.response()).status, 200);
  const [server, ...tries] = await spansAtEnd(shard);
  t.is(server?.number(SpanNumber.status), 200);
  t.deepEqual(
    tries.map((span) => [span.number(SpanNumber.status), span.number(SpanNumber.resends)]),
    [
      [500, 0],
      [500, 1],
      [200, 2],
    ],
  );
  const told = Array.from(
    origin.received.matchAll(/traceparent: 00-.{32}-(.{16})-01/g),
    (match) => match[1],
  );
  t.deepEqual(
    told,
    tries.map((span) => idOf(span, SpanNumber.spanId)),
  );
  for (const span of tries) t.is(idOf(span, SpanNumber.parentId), idOf(server, SpanNumber.spanId));
});

test("a response that is over the retry budget stays that of its try, and the refusal that of the request", async (t) => {
  await using origin = await RawOrigin.answering(
    "HTTP/1.1 500 Status\r\nContent-Length: 0\r\n\r\n",
  );
  const budget = { percent: 0, intervalMs: 10_000, minPerSecond: 0 };
  await using shard = await ShardInTest.start({
    settings: tracing(0),
    snapshots: allTo((origin.server.address() as { port: number }).port, {
      retry: { ...retry, budget },
    }),
  });
  using client = await RawClient.open(shard.port());
  client.send(request(sampled));
  t.is((await client.response()).status, 503);
  const spans = await spansAtEnd(shard);
  t.deepEqual(
    spans.map((span) => [span.number(SpanNumber.status), span.text("error")]),
    [
      [503, "retry-budget"],
      [500, ""],
    ],
  );
});

test("a copy of a request is asked for by the request, not by a try", async (t) => {
  await using origin = await EchoOrigin.start("web");
  await using copied = await EchoOrigin.start("copy");
  const { backend: of } = backend("copy");
  await using shard = await ShardInTest.start({
    settings: tracing(0),
    snapshots: [
      endpointSnapshot("copy", endpoint(copied.port)),
      ...allTo(origin.port, {
        filters: [{ kind: "mirror", mirror: { backend: of, numerator: 1, denominator: 1 } }],
      }),
    ],
  });
  using client = await RawClient.open(shard.port());
  client.send(request(sampled));
  await client.response();
  await shard.until(() => copied.seen.length === 1);
  const [server] = await spansAtEnd(shard);
  const own = idOf(server, SpanNumber.spanId);
  t.is(copied.header("traceparent"), `00-${trace}-${own}-01`);
});

test("an endpoint that cannot be connected to has a span that says so", async (t) => {
  await using origin = await EchoOrigin.start("web");
  await using shard = await ShardInTest.start({
    settings: tracing(0),
    snapshots: [
      endpointSnapshot("a", endpoint(deadPort), endpoint(origin.port)),
      outboundSnapshot(routed(rule({ backends: to(backend("a")) }))),
    ],
  });
  using client = await RawClient.open(shard.port());
  for (let sent = 0; sent < 20; sent++) {
    client.send(request(sampled));
    await client.response();
  }
  const tries = (await spansAtEnd(shard)).filter((span) => span.number(SpanNumber.isServer) === 0);
  const failed = tries.filter((span) => span.text("error") === "connect-failed");
  t.true(failed.length > 0);
  t.is(tries.length - failed.length, 20);
  t.is(failed[0]?.number(SpanNumber.peerPort), deadPort);
  t.is(failed[0]?.number(SpanNumber.connectMs), -1);
});

test("a request that is sent again over another connection is one try", async (t) => {
  let connections = 0;
  await using origin = await RawOrigin.start((socket, soFar) => {
    if (!soFar.endsWith("\r\n\r\n")) return;
    const requests = soFar.split("GET ").length - 1;
    if (requests === 1) {
      connections++;
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    } else {
      socket.resetAndDestroy();
    }
  });
  await using shard = await ShardInTest.start({
    settings: tracing(0),
    snapshots: allTo((origin.server.address() as { port: number }).port),
  });
  using client = await RawClient.open(shard.port());
  for (let sent = 0; sent < 2; sent++) {
    client.send(request(sampled));
    t.is((await client.response()).status, 200);
  }
  t.is(connections, 2);
  const spans = await spansAtEnd(shard);
  t.is(spans.length, 4);
  t.deepEqual(
    spans.map((span) => span.text("error")),
    ["", "", "", ""],
  );
});

test("a denied request has a span with its verdict and none of a try", async (t) => {
  await using origin = await EchoOrigin.start("web");
  await using shard = await withPort((port) =>
    ShardInTest.start({
      settings: tracing(0),
      listeners: [{ kind: "inbound-port", host: "127.0.0.1", port }],
      forwards: [{ port, host: "127.0.0.1", hostPort: origin.port }],
      snapshots: [inboundSnapshot(port, admitting(identities("web.demo.id")))],
    }),
  );
  using client = await RawClient.open(shard.port());
  client.send(request(sampled));
  t.is((await client.response()).status, 403);
  const [server, ...tries] = await spansAtEnd(shard);
  t.is(tries.length, 0);
  t.is(server?.number(SpanNumber.status), 403);
  t.is(server?.text("verdict"), "deny");
  t.is(server?.text("error"), "unauthorized");
  t.regex(server?.text("reason") ?? "", /web|identity|tls/i);
  t.not(server?.text("decisionId"), "");
});

test("an admitted request has the authorization in its span", async (t) => {
  await using origin = await EchoOrigin.start("web");
  await using shard = await withPort((port) =>
    ShardInTest.start({
      settings: tracing(0),
      listeners: [{ kind: "inbound-port", host: "127.0.0.1", port }],
      forwards: [{ port, host: "127.0.0.1", hostPort: origin.port }],
      snapshots: [inboundSnapshot(port, admitting(anybody))],
    }),
  );
  using client = await RawClient.open(shard.port());
  client.send(request(sampled));
  await client.response();
  const [server] = await spansAtEnd(shard);
  t.is(server?.text("verdict"), "allow");
  t.not(server?.text("authorization"), "");
});

test("a request that is refused before it has a route is recorded as well", async (t) => {
  await using shard = await ShardInTest.start({ settings: tracing(1), snapshots: allTo(deadPort) });
  using client = await RawClient.open(shard.port());
  client.send("GET https://web/ HTTP/1.1\r\nHost: web\r\n\r\n");
  t.is((await client.response()).status, 501);
  const [server, ...tries] = await spansAtEnd(shard);
  t.is(server?.number(SpanNumber.status), 501);
  t.is(server?.text("error"), "foreign-scheme");
  t.is(server?.text("route"), "");
  t.is(tries.length, 0);
});

test("a call of gRPC is traced by its own status, of the server and of the try", async (t) => {
  await using server = await RpcServer.start();
  await using shard = await ShardInTest.start({
    limits: { connectTimeoutMs: 20_000, detectTimeoutMs: 20_000 },
    settings: tracing(0),
    snapshots: allTo(server.port),
  });
  using client = new RpcClient(shard.port());
  const traceparent = `00-${trace}-${caller}-01`;
  const word = Buffer.from("hello");
  t.is((await client.call("unary", [word], { metadata: { traceparent } })).code, 0);
  const told = server.metadata.at(-1)?.get("traceparent")[0];
  t.is((await client.call("unary", [word], { metadata: { traceparent, fail: "5" } })).code, 5);
  shard.take(endpointSnapshot("a"));
  t.is((await client.call("unary", [word], { metadata: { traceparent } })).code, 14);
  const spans = await spansAtEnd(shard);
  t.deepEqual(
    spans.map((span) => [
      span.number(SpanNumber.isServer) === 1 ? "server" : "try",
      span.number(SpanNumber.grpcStatus),
      span.number(SpanNumber.isStream),
    ]),
    [
      ["server", 0, 1],
      ["try", 0, 1],
      ["server", 5, 1],
      ["try", 5, 1],
      ["server", 14, 1],
    ],
  );
  t.is(told, `00-${trace}-${idOf(spans[1], SpanNumber.spanId)}-01`);
  t.is(spans[4]?.text("error"), "no-endpoints");
});

test("spans that the main thread does not take are given up and counted, and no request waits", async (t) => {
  const requests = (maxBatchesUnderWay + 2) * (maxBatchSpans / 2);
  await using origin = await EchoOrigin.start("web");
  await using shard = await ShardInTest.start({
    settings: tracing(1),
    snapshots: allTo(origin.port),
  });
  using client = await RawClient.open(shard.port());
  for (let sent = 0; sent < requests; sent += 128) {
    client.send(request().repeat(128));
    for (let at = 0; at < 128; at++) t.is((await client.response()).status, 200);
  }
  t.is(batchesOf(shard).length, maxBatchesUnderWay);
  // One message frees the way for the rest, which tells what was lost.
  shard.take({ kind: "spans-taken" });
  await spansAtEnd(shard);
  const batches = batchesOf(shard);
  const arrived = batches.reduce((sum, { count }) => sum + count, 0);
  const dropped = batches.reduce((sum, batch) => sum + batch.dropped, 0);
  t.is(arrived + dropped, 2 * requests);
  t.true(dropped > 0);
});
