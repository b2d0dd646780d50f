import test from "ava";
import type { DecisionReport } from "../../src/core/decide/explain-decision.ts";
import { type Filter, failAlways } from "../../src/core/model/filter.ts";
import { decisionCapacity } from "../../src/proxy/decisions.ts";
import { EchoOrigin } from "../harness/origin.ts";
import {
  allTo,
  authorization,
  backend,
  endpoint,
  endpointSnapshot,
  identities,
  inboundSnapshot,
  outboundSnapshot,
  routed,
  rule,
  serverTable,
  to,
  withHeader,
  withPath,
} from "../harness/policies.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const get = "GET /a?q=1 HTTP/1.1\r\nHost: web\r\n\r\n";

let asks = 0;

/** What the shard says about its decision number `sequence`. */
async function answerOf(shard: ShardInTest, sequence: number): Promise<unknown> {
  const ask = ++asks;
  shard.take({ kind: "ask-decision", ask, sequence });
  const found = shard.messages.find(
    (message) => message.kind === "decision" && message.ask === ask,
  );
  return found?.kind === "decision" ? found.answer : undefined;
}

async function reportOf(shard: ShardInTest, sequence: number): Promise<DecisionReport> {
  const answer = await answerOf(shard, sequence);
  // What crosses threads is cloned.
  const { state, report } = structuredClone(answer) as { state: string; report: DecisionReport };
  if (state !== "found") throw new Error(`Decision ${sequence} is ${state}`);
  return report;
}

test("Decisions tells which rule took a request, what it beat, and where it was sent", async (t) => {
  await using origin = await EchoOrigin.start("a");
  const table = routed(
    rule({ backends: to(backend("a")) }),
    rule({
      matches: [withHeader("x-one", "1")],
      filters: [
        {
          kind: "request-headers",
          modifier: { set: [{ name: "x", value: "y" }], add: [], remove: [] },
        },
      ],
      backends: to(backend("b", { weight: 0 }), backend("a")),
    }),
  );
  await using shard = await ShardInTest.start({
    snapshots: [endpointSnapshot("a", endpoint(origin.port)), outboundSnapshot(table)],
  });
  using client = await RawClient.open(shard.port());
  const sent = await client.send("GET /a?q=1 HTTP/1.1\r\nHost: web\r\nx-one: 1\r\n\r\n").response();
  t.is(sent.status, 200);
  t.is(sent.headers.get("l5d-decision-id"), undefined);
  const report = await reportOf(shard, 1);
  t.like(report, {
    id: "test-1",
    direction: "outbound",
    request: { method: "GET", authority: "web", path: "/a", query: "q=1" },
    policy: { scope: "outbound web.demo.svc.cluster.local:80", name: "Service demo/web" },
    filters: [{ kind: "request-headers", text: "request: sets x: y" }],
    backend: { name: "Service demo/a", filters: [] },
    endpoint: { address: `127.0.0.1:${origin.port}`, identity: "" },
    tries: 1,
    answer: { status: 200, by: "endpoint", code: "", reason: "" },
    notes: [],
  });
  t.is(
    report.route?.text,
    "HTTPRoute demo/web rule 1 match 0, before HTTPRoute demo/web rule 0 match 0 (more header matches)",
  );
  t.is(report.route?.considered.length, 2);
  t.true((report.answeredAfterMs ?? -1) >= 0);
});

test("Decisions keeps the value of each header that routes look at, of every request", async (t) => {
  await using origin = await EchoOrigin.start("a");
  const names = ["x-one", "x-two", "x-three", "x-four"];
  const backends = to(backend("a"));
  const table = routed(
    ...names.map((name) => rule({ matches: [withHeader(name, "yes")], backends })),
    rule({ backends }),
  );
  await using shard = await ShardInTest.start({
    snapshots: [endpointSnapshot("a", endpoint(origin.port)), outboundSnapshot(table)],
  });
  using client = await RawClient.open(shard.port());
  for (const name of names) {
    const fields = names.map((one) => `${one}: ${one === name ? "yes" : "no"}\r\n`);
    const head = `GET / HTTP/1.1\r\nHost: web\r\n${fields.join("")}\r\n`;
    t.is((await client.send(head).response()).status, 200);
  }
  for (const at of names.keys()) {
    const { route, notes } = await reportOf(shard, at + 1);
    t.true(route?.text.startsWith(`HTTPRoute demo/web rule ${at} match 0`), route?.text);
    const matching = route?.considered.filter((text) => text.endsWith(": matches"));
    const rules = [at, names.length].map(
      (one) => `HTTPRoute demo/web rule ${one} match 0: matches`,
    );
    t.deepEqual(matching, rules);
    t.deepEqual(notes, []);
  }
});

test("rescue() names the decision in the header of its answer, and Decisions tells the reason", async (t) => {
  const filters: readonly Filter[] = [failAlways(503, "closed for today")];
  await using shard = await ShardInTest.start({
    snapshots: [outboundSnapshot(routed(rule({ matches: [withPath("/a")], filters })))],
  });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).headers.get("l5d-decision-id"), "test-1");
  t.like(await reportOf(shard, 1), {
    endpoint: null,
    backend: null,
    answer: { status: 503, by: "proxy", code: "injected", reason: "closed for today" },
    filters: [{ kind: "failure", text: "answers every request with 503: closed for today" }],
  });
  const lost = await client.send(get.replace("/a", "/b")).response();
  t.is(lost.headers.get("l5d-decision-id"), "test-2");
  t.regex((await reportOf(shard, 2)).route?.text ?? "", /^no route of 1 matches/);
});

test("Decisions tells which authorizations were tried for a denied request", async (t) => {
  const table = serverTable({
    authorizations: [
      authorization("meshed", { kind: "tls" }),
      authorization("web", identities("web.demo.example")),
    ],
  });
  const listener = { kind: "inbound-port", host: "127.0.0.1", port: 0 } as const;
  await using shard = await ShardInTest.start({
    listeners: [listener],
    forwards: [{ port: 0, host: "127.0.0.1", hostPort: 9 }],
    snapshots: [inboundSnapshot(0, table)],
  });
  using client = await RawClient.open(shard.port());
  const denied = await client.send(get).response();
  t.is(denied.status, 403);
  // A client without an identity is not told.
  t.is(denied.headers.get("l5d-decision-id"), undefined);
  const report = await reportOf(shard, 1);
  t.deepEqual(report.authorizations, [
    {
      authorization: "AuthorizationPolicy demo/meshed",
      obstacle: "tls",
      isAudit: false,
      text: "does not meet AuthorizationPolicy demo/meshed, which requires mutual TLS",
    },
    {
      authorization: "AuthorizationPolicy demo/web",
      obstacle: "tls",
      isAudit: false,
      text: "does not meet AuthorizationPolicy demo/web, which requires mutual TLS",
    },
  ]);
  t.like(report.answer, { status: 403, by: "proxy", code: "unauthorized" });
  t.is(report.client.ip, "127.0.0.1");
});

test("Decisions explains by the policy that decided, and says when that is gone", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  await client.send(get).response();
  const refusing = outboundSnapshot(routed(rule({ matches: [withPath("/other")] })));
  shard.take(refusing);
  t.is((await reportOf(shard, 1)).route?.text, "HTTPRoute demo/web rule 0 match 0");
  for (let replaced = 0; replaced < 16; replaced++) shard.take(refusing);
  const { route, policy, notes, answer, request } = await reportOf(shard, 1);
  t.is(route, null);
  t.is(policy?.scope, "outbound web.demo.svc.cluster.local:80");
  t.regex(notes[0] ?? "", /replaced too often/);
  t.is(answer.status, 200);
  t.is(request?.path, "/a");
});

test("Decisions keeps the beginning of a long path, and says so", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  await client.send(`GET /${"a".repeat(5_000)} HTTP/1.1\r\nHost: web\r\n\r\n`).response();
  const { request, route, notes } = await reportOf(shard, 1);
  t.is(request?.path.length, 2_049);
  t.is(route?.text, "HTTPRoute demo/web rule 0 match 0");
  t.regex(notes[0] ?? "", /too long to be kept/);
});

test("Decisions remembers as many requests as it says", async (t) => {
  await using shard = await ShardInTest.start({
    snapshots: [outboundSnapshot(routed(rule({ filters: [failAlways(418, "no")] })))],
  });
  using client = await RawClient.open(shard.port());
  const batch = 64;
  for (let sent = 0; sent < decisionCapacity + batch; sent += batch) {
    client.send(get.repeat(batch));
    for (let at = 0; at < batch; at++) await client.response();
  }
  t.deepEqual(await answerOf(shard, batch), { state: "overwritten", kept: decisionCapacity });
  t.is((await reportOf(shard, batch + 1)).id, `test-${(batch + 1).toString(36)}`);
  t.is((await reportOf(shard, decisionCapacity + batch)).answer.status, 418);
  t.deepEqual(await answerOf(shard, decisionCapacity + batch + 1), { state: "unknown" });
  t.deepEqual(await answerOf(shard, 0), { state: "unknown" });
});

test("tellsDecision() puts the id on every answer, or on none, when the settings say so", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using always = await ShardInTest.start({
    snapshots: allTo(origin.port),
    settings: { decisionHeader: "always" },
  });
  using client = await RawClient.open(always.port());
  t.is((await client.send(get).response()).headers.get("l5d-decision-id"), "test-1");
  await using off = await ShardInTest.start({
    snapshots: [outboundSnapshot(routed(rule({ filters: [failAlways(418, "no")] })))],
    settings: { decisionHeader: "off" },
  });
  using other = await RawClient.open(off.port());
  const refused = await other.send(get).response();
  t.is(refused.status, 418);
  t.false(refused.headers.has("l5d-decision-id"));
});
