/** Audit, rate limits and tokens where they count: on the connections of clients. */
import test from "ava";
import { tokenLeewaySeconds } from "../../src/core/decide/token.ts";
import { defaultMeta, resourceMeta } from "../../src/core/model/meta.ts";
import type { RateLimit } from "../../src/core/model/rate-limit.ts";
import { keySourceName, type TokenRule } from "../../src/core/model/token.ts";
import type { InboundTable } from "../../src/core/table/inbound.ts";
import { rateLimitBytes } from "../../src/thread/rate-limits.ts";
import { HandClock } from "../harness/hand-clock.ts";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import {
  admitting,
  anybody,
  authorization,
  identities,
  inboundRoute,
  inboundSnapshot,
  serverTable,
  withPath,
} from "../harness/policies.ts";
import { withPort } from "../harness/port.ts";
import { RawClient, type RawResponse } from "../harness/raw-client.ts";
import { ShardInTest, type ShardInTestOptions } from "../harness/shard-in-test.ts";
import { keySet, makeSigner, makeToken } from "../harness/tokens.ts";

/** A shard whose one listener stands in front of an application. */
function inFrontOf(
  hostPort: number,
  table: InboundTable,
  options: ShardInTestOptions = {},
): Promise<ShardInTest> {
  return withPort((own) =>
    ShardInTest.start({
      listeners: [{ kind: "inbound-port", host: "127.0.0.1", port: own }],
      forwards: [{ port: own, host: "127.0.0.1", hostPort }],
      snapshots: [inboundSnapshot(own, table)],
      ...options,
    }),
  );
}

async function ask(client: RawClient, path: string = "/", more: string = ""): Promise<RawResponse> {
  return client.send(`GET ${path} HTTP/1.1\r\nHost: web\r\n${more}\r\n`).response();
}

test("answerInbound() lets through and counts what audit alone admits", async (t) => {
  await using origin = await EchoOrigin.start("app");
  const audit = { ...authorization("audit", anybody), meta: defaultMeta("audit") };
  const tried = authorization("tried", identities("frontend"));
  const table = serverTable({
    routes: [
      inboundRoute("audited", withPath("/audited"), [tried, audit]),
      inboundRoute("open", withPath("/open"), [authorization("all", anybody), audit]),
    ],
  });
  await using shard = await inFrontOf(origin.port, table);
  using client = await RawClient.open(shard.port());
  t.is((await ask(client, "/audited")).status, 200);
  t.is((await ask(client, "/open")).status, 200);
  t.is(shard.count("inbound_http_authz_audit_total", { route_name: "audited" }), 1);
  t.is(shard.count("inbound_http_authz_audit_total", { route_name: "open" }), 0);
  t.is(shard.count("inbound_http_authz_allow_total", { authz_name: "audit" }), 1);
  t.is(shard.count("inbound_http_authz_deny_total"), 0);
  const notice = shard.messages.find(({ kind }) => kind === "notice");
  t.like(notice, { event: "inbound_request_audited" });
  t.regex(JSON.stringify(notice), /does not meet AuthorizationPolicy demo\/tried/);
});

const limitMeta = resourceMeta({
  group: "policy.linkerd.io",
  kind: "HTTPLocalRateLimitPolicy",
  namespace: "demo",
  name: "limit",
});

function limited(parts: Partial<RateLimit>): InboundTable {
  const limit = { totalPerSecond: 0, identityPerSecond: 0, overrides: [], ...parts };
  return { ...admitting(anybody), rateLimit: { meta: limitMeta, ...limit } };
}

test("answerInbound() answers 429 with Retry-After above the rate, and 200 again when it is due", async (t) => {
  await using origin = await EchoOrigin.start("app");
  const clock = new HandClock();
  await using shard = await inFrontOf(origin.port, limited({ totalPerSecond: 2 }), { clock });
  using client = await RawClient.open(shard.port());
  t.is((await ask(client)).status, 200);
  t.is((await ask(client)).status, 200);
  const refused = await ask(client);
  t.is(refused.status, 429);
  t.is(refused.headers.get("retry-after"), "1");
  t.is(refused.headers.get("l5d-proxy-error"), "total rate limit exceeded: 2rps");
  clock.pass(499);
  t.is((await ask(client)).status, 429);
  clock.pass(1);
  t.is((await ask(client)).status, 200);
  t.is((await ask(client)).status, 429);
  t.is(
    shard.count("inbound_http_local_ratelimit_total", { scope: "total", ratelimit_name: "limit" }),
    3,
  );
  t.is(origin.seen.length, 3);
});

test("answerInbound() keeps a rate across workers, their restarts and new policies", async (t) => {
  await using origin = await EchoOrigin.start("app");
  const rateLimits = new SharedArrayBuffer(rateLimitBytes);
  const clock = new HandClock();
  const table = limited({ totalPerSecond: 5 });
  const startAt = (own: number): Promise<ShardInTest> =>
    ShardInTest.start({
      listeners: [{ kind: "inbound-port", host: "127.0.0.1", port: own }],
      forwards: [{ port: own, host: "127.0.0.1", hostPort: origin.port }],
      snapshots: [inboundSnapshot(own, table)],
      rateLimits,
      clock,
    });
  // This one holds the port. Which of those that share it gets a connection is for the kernel to say, and makes no difference.
  await using first = await withPort(startAt);
  const own = first.port();
  const admitted = async (): Promise<number> => {
    const statuses: number[] = [];
    for (let i = 0; i < 3; i++) {
      using client = await RawClient.open(own);
      statuses.push((await ask(client)).status);
    }
    return statuses.filter((status) => status === 200).length;
  };
  {
    await using second = await startAt(own);
    t.is(await admitted(), 3);
    second.take(inboundSnapshot(own, limited({ totalPerSecond: 5 })));
  }
  await using _third = await startAt(own);
  first.take(inboundSnapshot(own, limited({ totalPerSecond: 5 })));
  t.is(await admitted(), 2);
  t.is(await admitted(), 0);
});

test("answerInbound() limits clients without an identity as one", async (t) => {
  await using origin = await EchoOrigin.start("app");
  const clock = new HandClock();
  const table = limited({ totalPerSecond: 100, identityPerSecond: 1 });
  await using shard = await inFrontOf(origin.port, table, { clock });
  using one = await RawClient.open(shard.port());
  using other = await RawClient.open(shard.port());
  t.is((await ask(one)).status, 200);
  const refused = await ask(other);
  t.is(refused.status, 429);
  t.is(refused.headers.get("l5d-proxy-error"), "per-identity rate limit exceeded: 1rps");
  t.is(shard.count("inbound_http_local_ratelimit_total", { scope: "identity" }), 1);
});

test("answerInbound() does not count probes, and counts nothing that is denied", async (t) => {
  await using origin = await EchoOrigin.start("app");
  const clock = new HandClock();
  const probe = {
    ...inboundRoute("probe", withPath("/healthz"), [authorization("all", anybody)]),
    meta: defaultMeta("probe"),
  };
  const table = serverTable({
    routes: [
      probe,
      inboundRoute("open", withPath("/open"), [authorization("all", anybody)]),
      inboundRoute("closed", withPath("/closed"), []),
    ],
  });
  const rateLimit = { meta: limitMeta, totalPerSecond: 1, identityPerSecond: 0, overrides: [] };
  await using shard = await inFrontOf(origin.port, { ...table, rateLimit }, { clock });
  using client = await RawClient.open(shard.port());
  for (let i = 0; i < 3; i++) t.is((await ask(client, "/closed")).status, 403);
  for (let i = 0; i < 3; i++) t.is((await ask(client, "/healthz")).status, 200);
  t.is((await ask(client, "/open")).status, 200);
  t.is((await ask(client, "/open")).status, 429);
  t.is((await ask(client, "/healthz")).status, 200);
});

const signer = makeSigner();
const clock = new HandClock();
const nowSeconds = clock.wallMs() / 1_000;
const claims = { iss: "login", aud: "web", exp: nowSeconds + 600, groups: ["ops"] };
const tokenMeta = resourceMeta({
  group: "weft.dev",
  kind: "JWTAuthentication",
  namespace: "demo",
  name: "people",
});

function asking(parts: Partial<TokenRule> = {}): InboundTable {
  const rule: TokenRule = {
    meta: tokenMeta,
    issuer: "login",
    audiences: ["web"],
    keys: { from: "inline", jwks: keySet(signer) },
    claims: [{ name: "groups", values: ["ops"] }],
    place: { in: "header", name: "authorization" },
    forward: true,
    ...parts,
  };
  return serverTable({ authorizations: [{ ...authorization("web", anybody), tokens: [rule] }] });
}

const required =
  "client 127.0.0.1 without mutual TLS does not meet AuthorizationPolicy demo/web, which requires a token of JWTAuthentication demo/people";
const token = makeToken(signer, claims);

test("answerInbound() admits a request with the token that is required", async (t) => {
  await using origin = await RawOrigin.answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  await using shard = await inFrontOf(origin.port, asking(), { clock: new HandClock() });
  using client = await RawClient.open(shard.port());
  for (const scheme of ["Bearer", "bearer", "BEARER "]) {
    const response = await ask(client, "/", `Authorization: ${scheme} ${token}\r\n`);
    t.is(response.status, 200, scheme);
  }
  t.true(origin.received.includes(`Authorization: Bearer ${token}\r\n`));
});

for (const [title, more, reason] of [
  ["without a token", "", "no token was sent"],
  ["with another scheme", `Authorization: Basic ${token}\r\n`, "no token was sent"],
  [
    "with two tokens",
    `Authorization: Bearer ${token}\r\n`.repeat(2),
    "more than one token was sent",
  ],
  [
    "with a token of a stranger",
    `Authorization: Bearer ${makeToken(makeSigner(), claims)}\r\n`,
    "the signature of the token does not hold",
  ],
  [
    "with an expired token",
    `Authorization: Bearer ${makeToken(signer, { ...claims, exp: 1 })}\r\n`,
    "the token has expired",
  ],
  [
    "with a claim of another value",
    `Authorization: Bearer ${makeToken(signer, { ...claims, groups: [] })}\r\n`,
    "claim groups has none of the required values",
  ],
] as const) {
  test(`answerInbound() answers 403 to a request ${title}, and never prints the token`, async (t) => {
    await using origin = await EchoOrigin.start("app");
    await using shard = await inFrontOf(origin.port, asking(), { clock: new HandClock() });
    using client = await RawClient.open(shard.port());
    const response = await ask(client, "/", more);
    t.is(response.status, 403);
    t.is(response.headers.get("l5d-proxy-error"), `${required} (${reason})`);
    t.is(origin.connections, 0);
  });
}

test("answerInbound() judges a token anew with each request, by the time of its moment", async (t) => {
  await using origin = await EchoOrigin.start("app");
  const hand = new HandClock();
  await using shard = await inFrontOf(origin.port, asking(), { clock: hand });
  using client = await RawClient.open(shard.port());
  const ending = makeToken(signer, { ...claims, exp: nowSeconds - tokenLeewaySeconds + 5 });
  const header = `Authorization: Bearer ${ending}\r\n`;
  t.is((await ask(client, "/", header)).status, 200);
  hand.pass(5_000);
  t.is((await ask(client, "/", header)).status, 403);
});

test("answerInbound() keeps the token from an application that must not see it", async (t) => {
  await using origin = await RawOrigin.answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  const table = asking({ forward: false, place: { in: "header", name: "x-token" } });
  await using shard = await inFrontOf(origin.port, table, { clock: new HandClock() });
  using client = await RawClient.open(shard.port());
  const response = await ask(client, "/", `X-Token: ${token}\r\nAuthorization: Bearer own\r\n`);
  t.is(response.status, 200);
  t.is(origin.received, "GET / HTTP/1.1\r\nHost: web\r\nAuthorization: Bearer own\r\n\r\n");
});

test("answerInbound() reads a token in a cookie, and refuses two of the name", async (t) => {
  await using origin = await EchoOrigin.start("app");
  const table = asking({ place: { in: "cookie", name: "session" } });
  await using shard = await inFrontOf(origin.port, table, { clock: new HandClock() });
  using client = await RawClient.open(shard.port());
  t.is((await ask(client, "/", `Cookie: a=b; session=${token}; c=d\r\n`)).status, 200);
  t.is((await ask(client, "/", `Cookie: session=${token}\r\nCookie: session=x\r\n`)).status, 403);
  t.is((await ask(client, "/", `Cookie: xsession=${token}\r\n`)).status, 403);
});

test("answerInbound() admits nobody by keys that are not known, too old, or gone", async (t) => {
  await using origin = await EchoOrigin.start("app");
  const hand = new HandClock();
  const keys = { from: "url", location: "https://login.example/keys", maxAgeMs: 60_000 } as const;
  await using shard = await inFrontOf(origin.port, asking({ keys }), { clock: hand });
  using client = await RawClient.open(shard.port());
  const reasonOf = async (text: string): Promise<string> => {
    const { status, headers } = await ask(client, "/", `Authorization: Bearer ${text}\r\n`);
    return status === 200 ? "" : (headers.get("l5d-proxy-error")?.replace(required, "") ?? "");
  };
  t.is(await reasonOf(token), " (its keys are not known yet)");
  const source = keySourceName(keys);
  const staleAtMs = hand.wallMs() + 60_000;
  const snapshot = { kind: "keys", source, revision: 1, jwks: keySet(signer), staleAtMs } as const;
  shard.take(snapshot);
  t.like(await shard.message("applied"), { scope: `inbound ${shard.port()}` });
  t.is(await reasonOf(token), "");
  hand.pass(59_999);
  t.is(await reasonOf(token), "");
  hand.pass(1);
  t.is(await reasonOf(token), " (its keys are too old)");
  // A token that was good by the keys of before is looked at again by those of now.
  const next = makeSigner("ES256", "next");
  const later = { revision: 2, jwks: keySet(next), staleAtMs: staleAtMs + 60_000 };
  shard.take({ ...snapshot, ...later });
  t.is(await reasonOf(token), " (the token is signed by a key that is not known)");
  t.deepEqual(await shard.message("keys-wanted"), { kind: "keys-wanted", source });
  t.is(await reasonOf(makeToken(next, claims)), "");
});
