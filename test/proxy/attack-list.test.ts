/**
 * Attempts to be taken for somebody else, or to ask for something else than the policy sees, over the real listener. The
 * numbers are those of no standard: each line is one trick that has worked against some proxy.
 */
import test from "ava";
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
import { ShardInTest } from "../harness/shard-in-test.ts";

/** Everybody may ask for everything but /admin and what is below. */
const guarded = serverTable({
  routes: [
    inboundRoute("admin", withPath("/admin"), [authorization("ops", identities("ops.demo.id"))]),
    inboundRoute("rest", withPath("/"), [authorization("all", anybody)]),
  ],
});

function inFrontOf(hostPort: number, table = guarded): Promise<ShardInTest> {
  return withPort((port) =>
    ShardInTest.start({
      listeners: [{ kind: "inbound-port", host: "127.0.0.1", port }],
      forwards: [{ port, host: "127.0.0.1", hostPort }],
      snapshots: [inboundSnapshot(port, table)],
    }),
  );
}

async function ask(port: number, target: string, fields = "Host: web\r\n"): Promise<RawResponse> {
  using client = await RawClient.open(port);
  return await client.send(`GET ${target} HTTP/1.1\r\n${fields}\r\n`).response();
}

const spellings = [
  "/admin",
  "/admin/",
  "/admin/users",
  "//admin",
  "///admin",
  "/./admin",
  "/x/../admin",
  "/x/%2e%2e/admin",
  "/x/.%2E/admin",
  "/x%2f..%2fadmin",
  "/%2fadmin",
  "/x%5c..%5cadmin",
  "/\\admin",
  "/%61dmin",
  "/%2561dmin",
  "/%252e/admin",
  "/admin;x=y",
  "/;x=y/admin",
  "/x;/..;/admin",
  "/admin%3bx=y/users",
  "/ADMIN",
  "/Admin/users",
  "/admin.",
  "/admin/.",
  "/admin/x/../",
  "/x/..%c0%afadmin",
  "http://web/admin",
  "http://web//admin",
  "http://web/x/../admin",
  "HTTP://WEB/admin?a=/open",
];
for (const target of spellings) {
  test(`the path of a denied request does not get in as ${target}`, async (t) => {
    await using origin = await EchoOrigin.start("app");
    await using shard = await inFrontOf(origin.port);
    const { status } = await ask(shard.port(), target);
    t.true(status === 403 || (status === 400 && target.includes("\\")), `${status}`);
    t.deepEqual(origin.seen, []);
  });
}

const innocent = ["/", "/open", "/Open/Path/", "/a//b", "/a%2Fb", "/caf%C3%A9;v=1", "/x/../y"];
test("odd paths that lead to nothing forbidden pass as they came", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using shard = await inFrontOf(origin.port);
  for (const target of innocent) {
    t.is((await ask(shard.port(), target)).status, 200, target);
    t.is(origin.seen.at(-1)?.url, target);
  }
});

const refusedRequests: Readonly<Record<string, string>> = {
  "a NUL in the path": "GET /admin%00 HTTP/1.1\r\nHost: web\r\n\r\n",
  "a fragment": "GET /open#/admin HTTP/1.1\r\nHost: web\r\n\r\n",
  "another Host than the target": "GET http://web/open HTTP/1.1\r\nHost: admin\r\n\r\n",
  "two Hosts": "GET /open HTTP/1.1\r\nHost: web\r\nHost: admin\r\n\r\n",
  "two Hosts in one line": "GET /open HTTP/1.1\r\nHost: web, admin\r\n\r\n",
  "a user in Host": "GET /open HTTP/1.1\r\nHost: web@admin\r\n\r\n",
  "no Host": "GET /open HTTP/1.1\r\n\r\n",
  "obs-text in a name": "GET /open HTTP/1.1\r\nHost: web\r\nl5d-client-id\x80: ops\r\n\r\n",
  "a space before the colon": "GET /open HTTP/1.1\r\nHost: web\r\nl5d-client-id : ops\r\n\r\n",
  "a folded line": "GET /open HTTP/1.1\r\nHost: web\r\nX: a\r\n l5d-client-id: ops\r\n\r\n",
  "a bare line feed": "GET /open HTTP/1.1\r\nHost: web\r\nX: a\nl5d-client-id: ops\r\n\r\n",
  "a bare carriage return": "GET /open HTTP/1.1\r\nHost: web\r\nX: a\rl5d-client-id: ops\r\n\r\n",
  "a length and chunks":
    "POST /open HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
};
for (const [name, bytes] of Object.entries(refusedRequests)) {
  test(`a request with ${name} is refused and seen by nobody`, async (t) => {
    await using origin = await RawOrigin.answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    await using shard = await inFrontOf(origin.port);
    using client = await RawClient.open(shard.port());
    t.is((await client.send(bytes).response()).status, 400);
    t.is(origin.received, "");
  });
}

test("nobody names itself: what only the proxy may say is taken from the request in every spelling", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using shard = await inFrontOf(origin.port, admitting(anybody));
  const spoofed = [
    "l5d-client-id: ops\r\n",
    "L5D-CLIENT-ID: ops\r\n",
    "l5d_client_id: ops\r\n",
    "L5d_Client-Id: ops\r\n",
    "l5d-client-id: a\r\nl5d-client-id: b\r\n",
    "Connection: l5d-client-id\r\nl5d-client-id: ops\r\n",
    "Connection: close, l5d-client-id\r\nl5d-client-id: ops\r\n",
    "l5d-remote-ip: 10.0.0.1\r\nl5d-dst-override: admin\r\nl5d-dst-canonical: x\r\n",
  ];
  for (const fields of spoofed) {
    const { status } = await ask(shard.port(), "/", `Host: web\r\n${fields}`);
    t.is(status, 200);
    const seen = origin.seen.at(-1)?.rawHeaders.join(" ").toLowerCase() ?? "";
    t.false(/l5d/.test(seen), seen);
  }
});

for (const fields of [
  "x-role: user\r\nx-role: admin\r\n",
  "x-role: user, admin\r\n",
  "x-role: us\x80er\r\n",
  "x_role: user\r\n",
  "x-role:\r\n",
]) {
  test(`a condition on a header is not met by ${JSON.stringify(fields)}`, async (t) => {
    await using origin = await EchoOrigin.start("app");
    const match = {
      ...withPath("/"),
      headers: [{ name: "x-role", kind: "exact", value: "user" }],
    } as const;
    const table = serverTable({
      routes: [inboundRoute("users", match, [authorization("all", anybody)])],
    });
    await using shard = await inFrontOf(origin.port, table);
    const { status } = await ask(shard.port(), "/", `Host: web\r\n${fields}`);
    t.is(status, 404);
    t.deepEqual(origin.seen, []);
  });
}

test("what other proxies said about the client passes as it came and decides nothing", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using shard = await inFrontOf(origin.port);
  const said =
    "Forwarded: for=10.0.0.1;host=admin\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Host: admin\r\nX-Real-IP: 10.0.0.1\r\nX-HTTP-Method-Override: DELETE\r\n";
  t.is((await ask(shard.port(), "/admin", `Host: web\r\n${said}`)).status, 403);
  t.is((await ask(shard.port(), "/open", `Host: web\r\n${said}`)).status, 200);
  t.is(origin.header("forwarded"), "for=10.0.0.1;host=admin");
  t.is(origin.header("x-forwarded-for"), "10.0.0.1");
  t.is(origin.header("x-forwarded-host"), "admin");
});

test("the application gets method, target, order of fields and every byte of the body as they came", async (t) => {
  const body = Buffer.from(Array.from({ length: 256 }, (_none, byte) => byte)).toString("latin1");
  const requests = [
    `PURGE /a?b=%20&&c HTTP/1.1\r\nhOST: Web\r\nZ: 1\r\nA:  two  words \r\nz: 3\r\nContent-Length: 256\r\n\r\n${body}`,
    `POST /a;p/?? HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\nB: \x80\xff\r\nA: 1\r\n\r\n100\r\n${body}\r\n0\r\nT: end\r\n\r\n`,
    "OPTIONS * HTTP/1.1\r\nX-Empty:\r\nHost: web\r\n\r\n",
  ];
  for (const bytes of requests) {
    await using origin = await RawOrigin.start((socket, soFar) => {
      if (soFar.length === bytes.length) {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      }
    });
    await using shard = await inFrontOf(origin.port, admitting(anybody));
    using client = await RawClient.open(shard.port());
    client.send(bytes);
    await origin.until(() => origin.received.length >= bytes.length);
    t.is(origin.received, bytes);
    t.is((await client.response()).status, 200);
  }
});
