import test from "ava";
import type { Retry } from "../../src/core/model/retry.ts";
import { shareOf } from "../../src/proxy/retries.ts";
import { HandClock } from "../harness/hand-clock.ts";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import {
  allTo,
  backend,
  endpoint,
  endpointSnapshot,
  outboundSnapshot,
  routed,
  rule,
  to,
} from "../harness/policies.ts";
import { deadPort } from "../harness/port.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** The shortest back-off that the clock of a shard can tell from none. */
const retry: Retry = {
  limit: 3,
  statuses: [{ start: 500, end: 500 }],
  perTryMs: 0,
  backoff: { minMs: 1, maxMs: 1, jitter: 0 },
  maxBodyBytes: 1_024,
  budget: { percent: 0, intervalMs: 10_000, minPerSecond: 100 },
};

function answer(status: number, body: string = "", headers: string = ""): string {
  return `HTTP/1.1 ${status} Status\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`;
}

/** Answers each request (of which the whole text is given) by the next of these; the last one stays. An empty one resets. */
function scripted(answers: readonly string[]): Promise<RawOrigin> {
  let at = 0;
  return RawOrigin.start((socket, soFar) => {
    if (!soFar.endsWith("\r\n\r\n")) return;
    const next = answers[Math.min(at++, answers.length - 1)] ?? "";
    if (next === "") socket.resetAndDestroy();
    else socket.write(next, "latin1");
  });
}

function requestsOf({ received }: RawOrigin): number {
  return received.split(" HTTP/1.1\r\n").length - 1;
}

const table: readonly {
  readonly title: string;
  readonly answers: readonly string[];
  readonly retry: Partial<Retry>;
  readonly status: number;
  readonly requests: number;
}[] = [
  {
    title: "a listed status is followed by another try",
    answers: [answer(500), answer(200)],
    retry: {},
    status: 200,
    requests: 2,
  },
  {
    title: "a status that is not listed is passed on at once",
    answers: [answer(503), answer(200)],
    retry: {},
    status: 503,
    requests: 1,
  },
  {
    title: "a limit of 3 means at most 4 requests, and the last status is passed on",
    answers: [answer(500)],
    retry: {},
    status: 500,
    requests: 4,
  },
  {
    title: "a reset is followed by another try without any listed status",
    answers: ["", answer(200)],
    retry: { statuses: [] },
    status: 200,
    requests: 2,
  },
  {
    title: "resets until the end are 503",
    answers: [""],
    retry: { statuses: [], limit: 1 },
    status: 503,
    requests: 2,
  },
  {
    title: "a response that asks for a long pause is passed on",
    answers: [answer(500, "", "Retry-After: 60\r\n"), answer(200)],
    retry: {},
    status: 500,
    requests: 1,
  },
  {
    title: "a malformed response is not asked for again",
    answers: ["HTTP/1.1 two hundred\r\n\r\n", answer(200)],
    retry: {},
    status: 502,
    requests: 1,
  },
];

for (const { title, answers, retry: parts, status, requests } of table) {
  test(title, async (t) => {
    await using origin = await scripted(answers);
    await using shard = await ShardInTest.start({
      snapshots: allTo(origin.port, { retry: { ...retry, ...parts } }),
    });
    using client = await RawClient.open(shard.port());
    t.is((await client.send(get).response()).status, status);
    t.is(requestsOf(origin), requests);
    // The connection goes on, and so does what is counted.
    const second = (await client.send(get).response()).status;
    t.is(second, answers.length === 1 ? status : 200);
  });
}

test("a response that is not passed on is invisible, and its connection is used again", async (t) => {
  await using origin = await scripted([
    answer(500, "secret", "X-Try: 1\r\n"),
    answer(200, "ok", "X-Try: 2\r\n"),
  ]);
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port, { retry }) });
  using client = await RawClient.open(shard.port());
  const { head, body } = await client.send(get).response();
  t.true(head.includes("X-Try: 2") && !head.includes("X-Try: 1"));
  t.is(body, "ok");
  t.is(origin.sockets.length, 1);
});

test("the connection of a long response that is not passed on is given up", async (t) => {
  await using origin = await scripted([answer(500, "x".repeat(200_000)), answer(200, "ok")]);
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port, { retry }) });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).body, "ok");
  t.is(origin.sockets.length, 2);
});

test("the connection of a response that never ends and is not passed on is given up", async (t) => {
  const clock = new HandClock();
  await using origin = await scripted([
    "HTTP/1.1 500 Status\r\nContent-Length: 10\r\n\r\n",
    answer(200, "ok"),
  ]);
  await using shard = await ShardInTest.start({ clock, snapshots: allTo(origin.port, { retry }) });
  using client = await RawClient.open(shard.port());
  client.send(get);
  await shard.until(() => shard.count("outbound_http_route_retry_requests_total") === 1);
  clock.pass(200);
  t.is((await client.response()).body, "ok");
  clock.pass(1_200);
  await origin.until(() => origin.openCount === 1);
  t.pass();
});

test("a request with a body is sent again as it came, also when the rest came after the first answer", async (t) => {
  await using origin = await RawOrigin.start((socket, soFar) => {
    if (origin.sockets.length === 1) socket.write(answer(500));
    else if (soFar.endsWith("0\r\n\r\n")) socket.write(ok);
  });
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port, { retry }) });
  using client = await RawClient.open(shard.port());
  client.send("POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  await shard.until(() => shard.count("outbound_http_route_retry_requests_total") === 1);
  client.send("3\r\ndef\r\n");
  await origin.until(() => origin.received.split("def").length === 2);
  client.send("0\r\n\r\n");
  t.is((await client.response()).body, "ok");
  t.true(origin.received.endsWith("\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"));
  t.is(requestsOf(origin), 2);
});

test("a body that came in several reads is sent again whole", async (t) => {
  await using origin = await RawOrigin.start((socket, soFar) => {
    if (soFar.endsWith("end"))
      socket.write(origin.received.split("end").length === 2 ? answer(500) : ok);
  });
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port, { retry }) });
  using client = await RawClient.open(shard.port());
  client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 9\r\n\r\nabc");
  await origin.until(() => origin.received.endsWith("abc"));
  client.send("def");
  await origin.until(() => origin.received.endsWith("def"));
  client.send("end");
  t.is((await client.response()).body, "ok");
  t.is(origin.received.split("\r\n\r\nabcdefend").length, 3);
});

test("a request that is parsed from a shared buffer is still whole for its second try", async (t) => {
  await using origin = await scripted([answer(500), answer(200, "ok")]);
  await using other = await EchoOrigin.start("other");
  await using shard = await ShardInTest.start({
    snapshots: [
      ...allTo(origin.port, { retry }),
      endpointSnapshot("other", endpoint(other.port)),
      outboundSnapshot(
        routed(rule({ backends: to(backend("other")) })),
        "o.demo.svc.cluster.local:80",
      ),
    ],
  });
  using client = await RawClient.open(shard.port());
  using noise = await RawClient.open(shard.port());
  client.send("GET /first HTTP/1.1\r\nHost: web\r\nX-Mark: first\r\n\r\n");
  await shard.until(() => shard.count("outbound_http_route_retry_requests_total") === 1);
  noise.send(`GET /noise HTTP/1.1\r\nHost: o\r\nX-Noise: ${"n".repeat(500)}\r\n\r\n`);
  await noise.response();
  t.is((await client.response()).body, "ok");
  const [, first, second] = origin.received.split("GET ");
  t.is(second, first);
});

test("a body that is longer than what is kept is not sent again, which is counted", async (t) => {
  await using origin = await RawOrigin.start((socket, soFar) => {
    if (soFar.endsWith("end")) socket.write(answer(500));
  });
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, { retry: { ...retry, maxBodyBytes: 100 } }),
  });
  using client = await RawClient.open(shard.port());
  client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 203\r\n\r\n");
  client.send("x".repeat(200));
  client.send("end");
  t.is((await client.response()).status, 500);
  t.is(requestsOf(origin), 1);
  const labels = { reason: "body-too-large" };
  t.is(shard.count("weft_http_route_retry_skipped_total", labels), 1);
});

test("a reset of a request that is too long to be kept says so", async (t) => {
  await using origin = await RawOrigin.start((socket, soFar) => {
    if (soFar.endsWith("end")) socket.resetAndDestroy();
  });
  await using shard = await ShardInTest.start({
    snapshots: allTo(origin.port, { retry: { ...retry, maxBodyBytes: 2 } }),
  });
  using client = await RawClient.open(shard.port());
  client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\n\r\nend");
  const response = await client.response();
  t.is(response.status, 503);
  t.regex(response.headers.get("l5d-proxy-error") ?? "", /not retried: the request is too long/);
});

test("another try goes to another endpoint when there is one", async (t) => {
  await using bad = await RawOrigin.answering(answer(500));
  await using good = await RawOrigin.answering(answer(200));
  await using shard = await ShardInTest.start({
    snapshots: [
      endpointSnapshot("a", endpoint(bad.port), endpoint(good.port)),
      outboundSnapshot(routed(rule({ backends: to(backend("a")), retry: { ...retry, limit: 1 } }))),
    ],
  });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 10; i++) t.is((await client.send(get).response()).status, 200);
});

test("another try may go to another backend, with that backend's filters", async (t) => {
  const clock = new HandClock();
  await using bad = await RawOrigin.answering(answer(500));
  await using good = await RawOrigin.answering(answer(200));
  const mark = (value: string) => ({
    kind: "request-headers" as const,
    modifier: { set: [], add: [{ name: "x-backend", value }], remove: [] },
  });
  const backends = to(
    backend("a", { filters: [mark("a")] }),
    backend("b", { filters: [mark("b")] }),
  );
  await using shard = await ShardInTest.start({
    clock,
    snapshots: [
      endpointSnapshot("a", endpoint(bad.port)),
      endpointSnapshot("b", endpoint(good.port)),
      outboundSnapshot(routed(rule({ backends, retry: { ...retry, limit: 20 } }))),
    ],
  });
  using client = await RawClient.open(shard.port());
  const turning = setInterval(() => clock.pass(10), 1);
  for (let i = 0; i < 10; i++) t.is((await client.send(get).response()).status, 200);
  clearInterval(turning);
  t.false(bad.received.includes("x-backend: b"));
  t.false(good.received.includes("x-backend: a"));
  t.true(good.received.includes("x-backend: b"));
});

test("nobody to be connected to is 503 in the end, and tried again before", async (t) => {
  const port = deadPort;
  await using shard = await ShardInTest.start({
    snapshots: allTo(port, { retry: { ...retry, limit: 2 } }),
  });
  using client = await RawClient.open(shard.port());
  const response = await client.send(get).response();
  t.is(response.status, 503);
  t.regex(
    response.headers.get("l5d-proxy-error") ?? "",
    /ECONNREFUSED; not retried: no try is left/,
  );
  t.is(shard.count("outbound_http_route_retry_requests_total"), 2);
});

test("a back-off and Retry-After are waited for", async (t) => {
  const clock = new HandClock();
  await using origin = await scripted([
    answer(500),
    answer(500, "", "Retry-After: 3\r\n"),
    answer(200),
  ]);
  const backoff = { minMs: 1_000, maxMs: 1_000, jitter: 0 };
  await using shard = await ShardInTest.start({
    clock,
    snapshots: allTo(origin.port, { retry: { ...retry, backoff } }),
  });
  using client = await RawClient.open(shard.port());
  client.send(get);
  for (const [at, waitMs] of [1_000, 3_000].entries()) {
    await shard.until(() => shard.count("outbound_http_route_retry_requests_total") === at + 1);
    clock.pass(waitMs);
    t.is(requestsOf(origin), at + 1);
    clock.pass(200);
    await origin.until(() => requestsOf(origin) === at + 2);
  }
  t.is((await client.response()).status, 200);
});

test("a client that goes during a back-off leaves nothing behind", async (t) => {
  const clock = new HandClock();
  await using origin = await scripted([answer(500)]);
  await using shard = await ShardInTest.start({ clock, snapshots: allTo(origin.port, { retry }) });
  const client = await RawClient.open(shard.port());
  client.send(get);
  await shard.until(() => shard.count("outbound_http_route_retry_requests_total") === 1);
  client.socket.destroy();
  await shard.until(() => shard.count("tcp_open_connections", { peer: "src" }) === 0);
  clock.pass(60_000);
  t.is(requestsOf(origin), 1);
});

test("a storm of retries is bounded by the budget, and whoever is over it gets 503", async (t) => {
  const clock = new HandClock();
  await using origin = await RawOrigin.answering(answer(500));
  const budget = { percent: 20, intervalMs: 10_000, minPerSecond: 0 };
  await using shard = await ShardInTest.start({
    clock,
    snapshots: allTo(origin.port, { retry: { ...retry, budget } }),
  });
  using client = await RawClient.open(shard.port());
  const turning = setInterval(() => clock.pass(10), 1);
  let refused = 0;
  for (let i = 0; i < 100; i++) {
    if ((await client.send(get).response()).status === 503) refused++;
  }
  clearInterval(turning);
  t.is(requestsOf(origin), 100 + shard.count("outbound_http_route_retry_requests_total"));
  t.true(requestsOf(origin) <= 120, `${requestsOf(origin)} requests`);
  t.true(requestsOf(origin) >= 115, `${requestsOf(origin)} requests`);
  t.true(refused > 80, `${refused} of 100`);
  t.true(shard.count("outbound_http_route_retry_overflow_total") > 80);
});

test("the workers share the part of a budget that is a number", (t) => {
  const budget = { percent: 20, intervalMs: 10_000, minPerSecond: 10 };
  t.deepEqual(shareOf(budget, 4), { ...budget, minPerSecond: 2.5 });
  t.deepEqual(shareOf(budget, 1), budget);
  // One in ten seconds is left for each, not less.
  t.deepEqual(shareOf({ ...budget, minPerSecond: 1 }, 64), { ...budget, minPerSecond: 0.1 });
  t.deepEqual(shareOf({ ...budget, minPerSecond: 0 }, 4), { ...budget, minPerSecond: 0 });
});

test("a budget goes on when the policy is replaced", async (t) => {
  await using origin = await RawOrigin.answering(answer(500));
  const budget = { percent: 0, intervalMs: 60_000, minPerSecond: 1 / 60 };
  const snapshots = (): ReturnType<typeof allTo> =>
    allTo(origin.port, { retry: { ...retry, budget } });
  await using shard = await ShardInTest.start({ snapshots: snapshots() });
  using client = await RawClient.open(shard.port());
  await client.send(get).response();
  t.is(requestsOf(origin), 2);
  shard.take(...snapshots());
  await client.send(get).response();
  t.is(requestsOf(origin), 3);
});
