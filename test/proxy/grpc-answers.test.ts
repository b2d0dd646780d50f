/** What the proxy tells a client of gRPC in place of a server: one row for each way in which it answers. */
import { once } from "node:events";
import type { OutgoingHttpHeaders } from "node:http2";
import test, { type ExecutionContext } from "ava";
import type { FailureAccrual } from "../../src/core/model/accrual.ts";
import { type Filter, failAlways } from "../../src/core/model/filter.ts";
import type { OutboundHttpRule } from "../../src/core/model/http-route.ts";
import { everyRequest } from "../../src/core/model/match.ts";
import { defaultMeta } from "../../src/core/model/meta.ts";
import type { Retry } from "../../src/core/model/retry.ts";
import { noTimeouts } from "../../src/core/model/timeouts.ts";
import type { InboundTable } from "../../src/core/table/inbound.ts";
import type { ToWorker } from "../../src/thread/messages.ts";
import { authBy, startAsking } from "../harness/asking.ts";
import { HttpAuthorizer } from "../harness/authorizer.ts";
import { HandClock } from "../harness/hand-clock.ts";
import { type Fields, H2Origin, Peer } from "../harness/http2-peers.ts";
import { EchoOrigin } from "../harness/origin.ts";
import {
  admitting,
  allTo,
  anybody,
  authorization,
  backend,
  endpoint,
  endpointSnapshot,
  identities,
  inboundRoute,
  inboundSnapshot,
  outboundSnapshot,
  routed,
  rule,
  serverTable,
  to,
  withPath,
} from "../harness/policies.ts";
import { deadPort, withPort } from "../harness/port.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const patient = { connectTimeoutMs: 20_000, detectTimeoutMs: 20_000 };

const call = {
  ":method": "POST",
  ":path": "/demo.Echo/Unary",
  "content-type": "application/grpc",
  te: "trailers",
};

async function ask(port: number, headers: Record<string, string> = {}): Promise<Fields> {
  using peer = new Peer(port);
  const { head, body } = await peer.ask({ ...call, ...headers }, "");
  return { ...head, body };
}

type Expected = { readonly code: number; readonly says: string };

function told(t: ExecutionContext, head: Fields, { code, says }: Expected): void {
  t.like(head, {
    ":status": 200,
    "content-type": "application/grpc",
    "grpc-status": String(code),
    body: "",
  });
  const message = decodeURIComponent(String(head["grpc-message"]));
  t.true(message.includes(says), message);
}

const outbound = test.macro({
  exec: async (t, setup: () => readonly ToWorker[], expected: Expected) => {
    await using shard = await ShardInTest.start({
      limits: { ...patient, discoveryTimeoutMs: 50 },
      snapshots: setup(),
    });
    told(t, await ask(shard.port()), expected);
    const { code } = expected;
    const isRouted = shard.count("request_total", { direction: "outbound" }) === 1;
    t.is(shard.count("response_total", { grpc_status: String(code) }), isRouted ? 1 : 0);
  },
  title: (name = "") => `an answer in place of a server, outbound: ${name}`,
});

function answering(filter: Filter, parts: Partial<OutboundHttpRule> = {}): readonly ToWorker[] {
  return [outboundSnapshot(routed(rule({ filters: [filter], ...parts })))];
}

function direct(status: number, body: string, contentType: string = "text/plain"): Filter {
  return { kind: "direct-response", response: { status, body, contentType } };
}

const path = { kind: "full" as const, value: "/y" };
const toElsewhere: Filter = {
  kind: "redirect",
  redirect: { scheme: "", host: "b.example", port: 0, path, status: 302 },
};

test("no route", outbound, () => [outboundSnapshot(routed(rule({ matches: [withPath("/x")] })))], {
  code: 12,
  says: "no route of",
});
test("a redirect", outbound, () => answering(toElsewhere), {
  code: 5,
  says: "redirects to http://b.example/y",
});
test("a direct response", outbound, () => answering(direct(403, "nicht für dich")), {
  code: 7,
  says: "nicht für dich",
});
test("a direct response without a body", outbound, () => answering(direct(503, "")), {
  code: 14,
  says: "answers 503 in place of a backend",
});
test("a direct response that is no failure", outbound, () => answering(direct(200, "fine")), {
  code: 2,
  says: "fine",
});
test("a failure of HTTP", outbound, () => answering(failAlways(500, "broken")), {
  code: 9,
  says: "broken",
});
test(
  "a failure of gRPC",
  outbound,
  () =>
    answering({
      kind: "failure",
      failure: { status: 503, message: "gone", numerator: 1, denominator: 1, grpcStatus: 14 },
    }),
  { code: 14, says: "gone" },
);
test(
  "no endpoints",
  outbound,
  () => [endpointSnapshot("a"), outboundSnapshot(routed(rule({ backends: to(backend("a")) })))],
  { code: 14, says: "no endpoints" },
);
test("no connection", outbound, () => allTo(deadPort), {
  code: 14,
  says: "ECONNREFUSED",
});
test("no policy in time", outbound, () => [], { code: 4, says: "did not answer in time" });
test(
  "backends without weight",
  outbound,
  () => [outboundSnapshot(routed(rule({ backends: to(backend("a", { weight: 0 })) })))],
  { code: 13, says: "no backend of the rule takes traffic" },
);

test("an answer in place of a server, outbound: a direct response of gRPC is left as it is", async (t) => {
  await using shard = await ShardInTest.start({
    snapshots: answering(direct(200, "bytes", "application/grpc+proto")),
  });
  t.like(await ask(shard.port()), {
    "content-type": "application/grpc+proto",
    "grpc-status": undefined,
    body: "bytes",
  });
});

test("asksGrpc() takes neither gRPC-Web nor a preflight for a call of gRPC", async (t) => {
  const cors: Filter = {
    kind: "cors",
    cors: {
      origins: ["*"],
      credentials: false,
      methods: ["POST"],
      headers: ["x-a"],
      exposed: [],
      maxAgeSeconds: 5,
    },
  };
  await using shard = await ShardInTest.start({ snapshots: answering(cors) });
  const web = await ask(shard.port(), { "content-type": "application/grpc-web+proto" });
  t.is(web[":status"], 503);
  const preflight = await ask(shard.port(), {
    ":method": "OPTIONS",
    origin: "https://a.b",
    "access-control-request-method": "POST",
  });
  t.is(preflight[":status"], 204);
  t.is(preflight["grpc-status"], undefined);
  t.like(await ask(shard.port(), { "content-type": "application/grpc;q=1" }), {
    "grpc-status": "14",
  });
});

test("an answer in place of a server: the no of an authorization service", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using authorizer = await HttpAuthorizer.start();
  authorizer.answer = (response) =>
    response.writeHead(401, { "www-authenticate": "Basic" }).end("who are you?");
  await using shard = await startAsking(origin, authorizer, authBy());
  const head = await ask(shard.port());
  told(t, head, { code: 16, says: "who are you?" });
  t.is(head["www-authenticate"], "Basic");
  t.is(origin.seen.length, 0);
});

const late = test.macro({
  exec: async (t, parts: Partial<OutboundHttpRule>, headers: Record<string, string>) => {
    const clock = new HandClock();
    await using origin = await H2Origin.start(() => {});
    await using shard = await ShardInTest.start({ clock, snapshots: allTo(origin.port, parts) });
    const asked = ask(shard.port(), headers);
    await shard.until(() => origin.seen.length === 1);
    clock.pass(400);
    told(t, await asked, { code: 4, says: "longer than" });
  },
  title: (name = "") => `an answer in place of a server, outbound: ${name}`,
});
test("a call that takes too long", late, { timeouts: { ...noTimeouts, requestMs: 200 } }, {});
test("a try that takes too long", late, { timeouts: { ...noTimeouts, backendRequestMs: 200 } }, {});
test("a call that takes longer than its client waits", late, {}, { "grpc-timeout": "200m" });
test("a call that is silent", late, { timeouts: { ...noTimeouts, idleMs: 200 } }, {});

function inFrontOf(hostPort: number, table: InboundTable): Promise<ShardInTest> {
  return withPort((own) =>
    ShardInTest.start({
      listeners: [{ kind: "inbound-port", host: "127.0.0.1", port: own }],
      forwards: [{ port: own, host: "127.0.0.1", hostPort }],
      snapshots: [inboundSnapshot(own, table)],
      limits: patient,
    }),
  );
}

const inbound = test.macro({
  exec: async (t, table: InboundTable, expected: Expected) => {
    await using shard = await inFrontOf(deadPort, table);
    told(t, await ask(shard.port()), expected);
    const { code } = expected;
    const asked = shard.count("request_total", { direction: "inbound" });
    t.is(shard.count("response_total", { grpc_status: String(code) }), asked);
  },
  title: (name = "") => `an answer in place of a server, inbound: ${name}`,
});

const everybody = authorization("everyone", anybody);
const limit = {
  meta: defaultMeta("limit"),
  totalPerSecond: 1,
  identityPerSecond: 0,
  overrides: [],
};

test("nobody is admitted", inbound, admitting(identities("nobody")), {
  code: 7,
  says: "does not meet",
});
test(
  "no route is its own",
  inbound,
  serverTable({
    authorizations: [everybody],
    routes: [inboundRoute("x", withPath("/x"), [everybody])],
  }),
  { code: 12, says: "no route of server web" },
);
test(
  "a redirect away",
  inbound,
  serverTable({ routes: [inboundRoute("x", everyRequest, [everybody], [toElsewhere])] }),
  { code: 5, says: "redirects to http://b.example:" },
);
test("an application that is not there", inbound, admitting(anybody), {
  code: 14,
  says: "ECONNREFUSED",
});

test("an answer in place of a server, inbound: a rate is exceeded", async (t) => {
  await using origin = await H2Origin.start((stream) => {
    stream.respond({ ":status": 200, "grpc-status": "0" }, { endStream: true });
  });
  const table = { ...admitting(anybody), rateLimit: limit };
  await using shard = await inFrontOf(origin.port, table);
  t.is((await ask(shard.port()))["grpc-status"], "0");
  const head = await ask(shard.port());
  told(t, head, { code: 8, says: "total rate limit exceeded" });
  t.is(head["retry-after"], "1");
});

/** Answers calls by the next of these heads and trailers. */
function scripted(...answers: readonly (readonly [Fields, Fields?])[]): Promise<H2Origin> {
  let at = 0;
  return H2Origin.start((stream) => {
    const [fields = {}, trailers] = answers[Math.min(at++, answers.length - 1)] ?? [];
    const head = { ":status": 200, "content-type": "application/grpc", ...fields };
    if (trailers === undefined) {
      stream.respond(head as OutgoingHttpHeaders, { endStream: true });
      return;
    }
    stream.respond(head as OutgoingHttpHeaders, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers(trailers as OutgoingHttpHeaders));
    stream.end();
  });
}

const accrual: FailureAccrual = {
  maxConsecutiveFailures: 2,
  successRateThreshold: 0,
  decayMs: 10_000,
  minRequests: 5,
  backoff: { minMs: 1_000, maxMs: 1_000, jitter: 0 },
};

const breaks = test.macro({
  exec: async (t, answer: readonly [Fields, Fields?], isFailure: boolean) => {
    const clock = new HandClock();
    await using origin = await scripted(answer);
    const table = routed(rule({ backends: to(backend("a")) }));
    await using shard = await ShardInTest.start({
      clock,
      limits: { failFastTimeoutMs: 0 },
      snapshots: [
        endpointSnapshot("a", endpoint(origin.port)),
        outboundSnapshot({ ...table, accrual }),
      ],
    });
    for (let i = 0; i < 2; i++) await ask(shard.port());
    const third = await ask(shard.port());
    t.is(origin.seen.length, isFailure ? 2 : 3);
    if (isFailure) told(t, third, { code: 14, says: "every endpoint of the backend is out" });
    const classification = isFailure ? "failure" : "success";
    t.is(shard.count("response_total", { classification }), 3);
  },
  title: (name = "") => `a breaker and the metrics take ${name}`,
});
test("UNAVAILABLE in the trailers for a failure", breaks, [{}, { "grpc-status": "14" }], true);
test("INTERNAL in the head for a failure", breaks, [{ "grpc-status": "13" }], true);
test("trailers without a status for a failure", breaks, [{}, { "x-a": "1" }], true);
test("NOT_FOUND for a success", breaks, [{}, { "grpc-status": "5" }], false);
test("RESOURCE_EXHAUSTED for a success", breaks, [{ "grpc-status": "8" }], false);

const retry: Retry = {
  limit: 2,
  statuses: [],
  grpcCodes: [14],
  perTryMs: 0,
  backoff: { minMs: 1, maxMs: 1, jitter: 0 },
  maxBodyBytes: 1_024,
  budget: { percent: 0, intervalMs: 10_000, minPerSecond: 100 },
};

test("pauseAsked() waits as long as grpc-retry-pushback-ms says, and no less", async (t) => {
  const clock = new HandClock();
  const unavailable = { "grpc-status": "14", "grpc-retry-pushback-ms": "300" };
  await using origin = await scripted([unavailable], [{}, { "grpc-status": "0" }]);
  await using shard = await ShardInTest.start({
    clock,
    snapshots: allTo(origin.port, {
      retry: { ...retry, backoff: { minMs: 1, maxMs: 1_000, jitter: 0 } },
    }),
  });
  const asked = ask(shard.port());
  const retried = "outbound_http_route_retry_requests_total";
  await shard.until(() => shard.count(retried) === 1);
  clock.pass(250);
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  t.is(origin.seen.length, 1);
  clock.pass(150);
  t.is((await asked)[":status"], 200);
  t.is(origin.seen.length, 2);
  t.is(shard.count("outbound_http_route_retry_successes_total"), 1);
});

test("grpcTimeoutMs() counts the time of all tries, and is passed on", async (t) => {
  const clock = new HandClock();
  await using origin = await scripted([{ "grpc-status": "14" }]);
  await using shard = await ShardInTest.start({
    clock,
    snapshots: allTo(origin.port, {
      retry: { ...retry, backoff: { minMs: 1_000, maxMs: 1_000, jitter: 0 } },
    }),
  });
  const asked = ask(shard.port(), { "grpc-timeout": "500m" });
  await shard.until(() => shard.count("outbound_http_route_retry_requests_total") === 1);
  clock.pass(600);
  told(t, await asked, { code: 4, says: "longer than" });
  t.is(origin.seen[0]?.["grpc-timeout"], "500m");
  t.is(origin.seen.length, 1);
});

test("rescue() tells by trailers what went wrong behind a head that is out", async (t) => {
  const clock = new HandClock();
  await using origin = await H2Origin.start((stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    stream.write("x");
  });
  const timeouts = { ...noTimeouts, idleMs: 200 };
  await using shard = await ShardInTest.start({
    clock,
    snapshots: allTo(origin.port, { timeouts }),
  });
  using peer = new Peer(shard.port());
  const asked = peer.ask(call, "");
  // The other stream of the connection is answered behind the first.
  await once(peer.open(call, true), "data");
  clock.pass(400);
  const { head, trailers, body } = await asked;
  t.is(head["grpc-status"], undefined);
  t.is(body, "x");
  t.is(trailers["grpc-status"], "4");
});
