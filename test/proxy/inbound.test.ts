import test from "ava";
import type { InboundTable } from "../../src/core/table/inbound.ts";
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
import { deadPort, withPort } from "../harness/port.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest, type ShardInTestOptions } from "../harness/shard-in-test.ts";

const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";

/** A shard whose one listener stands in front of an application. */
function inFrontOf(
  hostPort: number,
  table: InboundTable | undefined,
  options: ShardInTestOptions = {},
): Promise<ShardInTest> {
  return withPort((port) =>
    ShardInTest.start({
      listeners: [{ kind: "inbound-port", host: "127.0.0.1", port }],
      forwards: [{ port, host: "127.0.0.1", hostPort }],
      snapshots: table === undefined ? [] : [inboundSnapshot(port, table)],
      ...options,
    }),
  );
}

test("answerInbound() passes an admitted request on as it came", async (t) => {
  await using origin = await RawOrigin.answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  await using shard = await inFrontOf(origin.port, admitting(anybody));
  using client = await RawClient.open(shard.port());
  const request = "GET //a/../%2e?b=%20 HTTP/1.1\r\nhOST: Web\r\nB: 2\r\nA: 1\r\nB: 1\r\n\r\n";
  t.is((await client.send(request).response()).status, 200);
  t.is(origin.received, request);
  t.is(shard.count("inbound_http_authz_allow_total", { authz_name: "everyone" }), 1);
});

test("answerInbound() answers 403 with the reason, and keeps the connection", async (t) => {
  await using origin = await EchoOrigin.start("app");
  const table = admitting(identities("frontend"));
  await using shard = await inFrontOf(origin.port, table);
  using client = await RawClient.open(shard.port());
  const reason =
    "client 127.0.0.1 without mutual TLS does not meet AuthorizationPolicy demo/everyone, which requires mutual TLS";
  for (let i = 0; i < 2; i++) {
    const response = await client.send(get).response();
    t.is(response.status, 403);
    t.is(response.headers.get("l5d-proxy-error"), reason);
    t.is(response.body, `${reason}\n`);
  }
  t.is(origin.connections, 0);
  t.is(shard.count("inbound_http_authz_deny_total", { srv_name: "web" }), 2);
  t.is(shard.count("inbound_http_errors_total", { error: "unauthorized" }), 2);
});

test("answerInbound() judges each request by the policy of its moment", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using shard = await inFrontOf(origin.port, admitting(anybody));
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).status, 200);
  shard.take(inboundSnapshot(shard.port(), serverTable({})));
  const denied = await client.send(get).response();
  t.is(denied.status, 403);
  t.is(denied.headers.get("l5d-proxy-error"), "no authorization applies to Server web");
  shard.take(inboundSnapshot(shard.port(), admitting(anybody)));
  t.is((await client.send(get).response()).status, 200);
});

test("answerInbound() admits by route, and answers 404 where no route is", async (t) => {
  await using origin = await EchoOrigin.start("app");
  const table = serverTable({
    routes: [
      inboundRoute("open", withPath("/open"), [authorization("all", anybody)]),
      inboundRoute("closed", withPath("/closed"), []),
    ],
  });
  await using shard = await inFrontOf(origin.port, table);
  using client = await RawClient.open(shard.port());
  const ask = async (path: string): Promise<number> => {
    client.send(`GET ${path} HTTP/1.1\r\nHost: web\r\n\r\n`);
    return (await client.response()).status;
  };
  t.is(await ask("/open"), 200);
  t.is(await ask("/closed"), 403);
  t.is(await ask("/other"), 404);
  t.is(shard.count("inbound_http_route_not_found_total", { srv_name: "web" }), 1);
  t.is(shard.count("request_total", { direction: "inbound", route_name: "open" }), 1);
  t.is(shard.count("response_total", { route_name: "closed", status_code: "403" }), 1);
});

test("answerInbound() holds a request until the policy of the port comes", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using shard = await inFrontOf(origin.port, undefined);
  using client = await RawClient.open(shard.port());
  client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 100000\r\n\r\n");
  client.send("x".repeat(50_000));
  using other = await RawClient.open(shard.port());
  other.send(get);
  shard.take(inboundSnapshot(shard.port(), admitting(anybody)));
  client.send("x".repeat(50_000));
  t.is((await client.response()).status, 200);
  t.is((await other.response()).status, 200);
  t.is(origin.seen.find(({ method }) => method === "POST")?.body.length, 100_000);
});

test("answerInbound() answers 503 when the policy of the port does not come", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using shard = await inFrontOf(origin.port, undefined, {
    limits: { discoveryTimeoutMs: 100 },
  });
  using client = await RawClient.open(shard.port());
  const response = await client.send(get).response();
  t.is(response.status, 503);
  t.is(origin.connections, 0);
});

test("answerInbound() names the client to the application only when its certificate did", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using shard = await inFrontOf(origin.port, admitting(anybody));
  using client = await RawClient.open(shard.port());
  client.send(
    "GET / HTTP/1.1\r\nHost: web\r\nl5d-client-id: admin\r\nL5D_Client_Id: admin\r\nConnection: l5d-client-id\r\n\r\n",
  );
  t.is((await client.response()).status, 200);
  t.deepEqual(origin.seen[0]?.rawHeaders, ["Host", "web"]);
});

test("answerInbound() matches no route on what a peer pretends a proxy said", async (t) => {
  await using origin = await EchoOrigin.start("app");
  const match = {
    ...withPath("/"),
    headers: [{ name: "l5d-client-id", kind: "exact", value: "admin" }],
  } as const;
  const table = serverTable({
    routes: [inboundRoute("admin", match, [authorization("all", anybody)])],
  });
  await using shard = await inFrontOf(origin.port, table);
  using client = await RawClient.open(shard.port());
  client.send("GET / HTTP/1.1\r\nHost: web\r\nl5d-client-id: admin\r\n\r\n");
  t.is((await client.response()).status, 404);
});

test("failedInbound() answers 502 when the application does not listen", async (t) => {
  await using shard = await inFrontOf(deadPort, admitting(anybody));
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).status, 502);
});

test("failedInbound() sends a request again that met a connection which the application had closed", async (t) => {
  let requests = 0;
  await using origin = await RawOrigin.start((socket) => {
    requests++;
    if (requests === 2) socket.destroy();
    else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  await using shard = await inFrontOf(origin.port, admitting(anybody));
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).status, 200);
  t.is((await client.send(get).response()).status, 200);
  t.is(requests, 3);
});
