import test from "ava";
import { noProfile, type Profile, type ProfileRoute } from "../../src/core/model/profile.ts";
import { profileAsPolicy } from "../../src/core/model/profile-policy.ts";
import type { RetryBudget } from "../../src/core/model/retry.ts";
import { type OutboundTable, outboundTable } from "../../src/core/table/outbound.ts";
import type { ToWorker } from "../../src/thread/messages.ts";
import { HandClock } from "../harness/hand-clock.ts";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import { endpoint, endpointSnapshot, outboundSnapshot } from "../harness/policies.ts";
import { RawClient, type RawResponse } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";
import { policyTo } from "../sidecar/policies.ts";

const name = "web.demo.svc.cluster.local";
const itself = `${name}:80`;
const other = "other.demo.svc.cluster.local:80";
const budget: RetryBudget = { percent: 100, intervalMs: 10_000, minPerSecond: 0 };
function route(routeName: string, parts: Partial<ProfileRoute> = {}): ProfileRoute {
  return {
    name: routeName,
    condition: { kind: "path", pattern: `/${routeName}` },
    unreadable: "",
    isRetryable: false,
    timeoutMs: 0,
    responseClasses: [],
    ...parts,
  };
}

function tableOf(parts: Partial<Profile>): OutboundTable {
  const profile = { ...noProfile, name, budget, ...parts };
  return outboundTable(profileAsPolicy(policyTo("gone.demo.svc.cluster.local:80"), profile, 80));
}

function snapshots(table: OutboundTable, port: number, otherPort = port): readonly ToWorker[] {
  return [
    endpointSnapshot(itself, endpoint(port)),
    endpointSnapshot(other, endpoint(otherPort)),
    outboundSnapshot(table),
  ];
}

async function get(client: RawClient, path: string, headers = ""): Promise<RawResponse> {
  return client.send(`GET ${path} HTTP/1.1\r\nHost: web\r\n${headers}\r\n`).response();
}

/** Answers 503 to so many requests, then 200. */
function failing(times: number): Promise<RawOrigin> {
  let left = times;
  return RawOrigin.start((socket, soFar) => {
    if (!soFar.endsWith("\r\n\r\n")) return;
    const status = left-- > 0 ? "503 No" : "200 OK";
    socket.write(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`);
  });
}

function requestsOf({ received }: RawOrigin): number {
  return received.split(" HTTP/1.1\r\n").length - 1;
}

test("a profile takes requests to its routes and all others to the Service, and names it in a header", async (t) => {
  await using origin = await EchoOrigin.start("web");
  const table = tableOf({ routes: [route("a")] });
  await using shard = await ShardInTest.start({ snapshots: snapshots(table, origin.port) });
  using client = await RawClient.open(shard.port());
  for (const path of ["/a", "/unknown"]) {
    t.is((await get(client, path, "l5d-dst-canonical: forged\r\n")).status, 200);
    const names = origin.seen.at(-1)?.rawHeaders.filter((text) => /^l5d-dst/.test(text));
    t.deepEqual(names, ["l5d-dst-canonical"]);
    t.is(origin.header("l5d-dst-canonical"), itself);
  }
});

test("of the routes of a profile the first in the list takes a request, however exact the others are", async (t) => {
  const clock = new HandClock();
  await using origin = await RawOrigin.start(() => {});
  const wide = { kind: "path", pattern: "/.*" } as const;
  const routes = [
    route("wide", { condition: { kind: "not", of: { kind: "not", of: wide } }, timeoutMs: 500 }),
    route("a", { timeoutMs: 60_000 }),
  ];
  const table = tableOf({ routes });
  await using shard = await ShardInTest.start({ clock, snapshots: snapshots(table, origin.port) });
  using client = await RawClient.open(shard.port());
  const response = get(client, "/a");
  await origin.until(() => requestsOf(origin) === 1);
  clock.pass(1_000);
  t.is((await response).status, 504);
});

test("a retryable route of a profile sends a failed request again, another route does not", async (t) => {
  await using origin = await failing(2);
  const table = tableOf({
    routes: [route("again", { isRetryable: true }), route("once")],
    budget: { ...budget, minPerSecond: 10 },
  });
  await using shard = await ShardInTest.start({ snapshots: snapshots(table, origin.port) });
  using client = await RawClient.open(shard.port());
  t.is((await get(client, "/once")).status, 503);
  t.is(requestsOf(origin), 1);
  t.is((await get(client, "/again")).status, 200);
  t.is(requestsOf(origin), 3);
});

test("the routes of a profile share one budget, and past it the response goes to the client", async (t) => {
  await using origin = await failing(100);
  const routes = [route("a", { isRetryable: true }), route("b", { isRetryable: true })];
  const table = tableOf({ routes, budget: { ...budget, percent: 50 } });
  await using shard = await ShardInTest.start({ snapshots: snapshots(table, origin.port) });
  using client = await RawClient.open(shard.port());
  // Two requests pay for one retry; a budget of its own would leave each route with half of one.
  for (const [path, requests] of [
    ["/a", 1],
    ["/b", 3],
  ] as const) {
    const { status, headers } = await get(client, path);
    t.deepEqual([status, headers.get("l5d-proxy-error")], [503, undefined]);
    t.is(requestsOf(origin), requests);
  }
});

test("a response class makes a status a failure, and another none", async (t) => {
  await using origin = await failing(1);
  const spares503 = {
    condition: { kind: "status", min: 503, max: 503 },
    isFailure: false,
  } as const;
  const routes = [route("a", { isRetryable: true, responseClasses: [spares503] })];
  const table = tableOf({ routes });
  await using shard = await ShardInTest.start({ snapshots: snapshots(table, origin.port) });
  using client = await RawClient.open(shard.port());
  t.is((await get(client, "/a")).status, 503);
  t.is(requestsOf(origin), 1);
});

test("a profile splits its traffic by weight", async (t) => {
  await using web = await EchoOrigin.start("web");
  await using canary = await EchoOrigin.start("canary");
  const overrides = [
    { authority: itself, weight: 1, backend: undefined },
    { authority: other, weight: 1, backend: undefined },
  ];
  await using shard = await ShardInTest.start({
    snapshots: snapshots(tableOf({ overrides }), web.port, canary.port),
  });
  using client = await RawClient.open(shard.port());
  // By chance alone one of them gets nothing once in 2^63 runs.
  for (let at = 0; at < 64; at++) t.is((await get(client, "/")).status, 200);
  t.true(web.seen.length > 0 && canary.seen.length > 0);
});
