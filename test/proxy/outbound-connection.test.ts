import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { setImmediate } from "node:timers/promises";
import { createServer as createTlsServer, connect as tlsConnect } from "node:tls";
import test from "ava";
import { defaultMeta } from "../../src/core/model/meta.ts";
import type { OutboundPolicy } from "../../src/core/model/outbound-policy.ts";
import { outboundTable } from "../../src/core/table/outbound.ts";
import { contextOptions } from "../../src/edge/net/mesh-tls.ts";
import type { ToWorker } from "../../src/thread/messages.ts";
import { TestCa } from "../harness/certificates.ts";
import { HandClock } from "../harness/hand-clock.ts";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import {
  admitting,
  anybody,
  backend,
  demoTarget,
  endpoint,
  endpointSnapshot,
  inboundSnapshot,
  outboundSnapshot,
  routed,
  rule,
  to,
} from "../harness/policies.ts";
import { deadPort, withPort } from "../harness/port.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest, type ShardInTestOptions } from "../harness/shard-in-test.ts";

const original = { ip: "10.96.0.9", port: 80 };
const target = "10.96.0.9:80";
const get = "GET /path HTTP/1.1\r\nHost: nobody.demo\r\n\r\n";

/** Of a Service without routes of its own. */
function plainPolicy(parts: Partial<OutboundPolicy> = {}): ToWorker {
  const backends = { kind: "first-available", backends: [backend("web")] } as const;
  const route = { meta: defaultMeta("http"), hosts: [], rules: [rule({ backends })] };
  return outboundSnapshot(
    outboundTable({
      parent: defaultMeta("test"),
      protocol: "detect",
      httpRoutes: [route],
      accrual: undefined,
      opaque: { meta: defaultMeta("opaq"), refusal: "", backends },
      ...parts,
    }),
    target,
  );
}

/** All connections to it were going to `original`. */
function redirected(
  snapshots: readonly ToWorker[],
  options: ShardInTestOptions = {},
): Promise<ShardInTest> {
  return ShardInTest.start({ readOriginal: () => original, snapshots, ...options });
}

async function refused(shard: ShardInTest, client: RawClient, label: string): Promise<boolean> {
  await client.closed();
  await shard.until(() => shard.count("outbound_tcp_errors_total", { error: label }) === 1);
  return client.text === "";
}

test("acceptOutbound() sends requests of a redirected connection where it was going, whatever Host says", async (t) => {
  await using origin = await EchoOrigin.start("web");
  await using other = await EchoOrigin.start("other");
  await using shard = await redirected([
    plainPolicy(),
    endpointSnapshot("web", endpoint(origin.port)),
    outboundSnapshot(routed(rule({ backends: to(backend("other")) })), demoTarget),
    endpointSnapshot("other", endpoint(other.port)),
  ]);
  using client = await RawClient.open(shard.port());
  for (const host of ["web.demo", "nobody.demo", "10.0.0.1:1"]) {
    client.send(`GET /path HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    t.is((await client.response()).body, "web GET /path", host);
    t.is(origin.header("host"), host);
  }
  t.is(other.connections, 0);
});

test("acceptOutbound() leaves the absolute form to the forward proxy that a redirected client talks to", async (t) => {
  await using origin = await EchoOrigin.start("proxy");
  await using shard = await redirected([
    plainPolicy(),
    endpointSnapshot("web", endpoint(origin.port)),
  ]);
  using client = await RawClient.open(shard.port());
  client.send("GET http://example.com/path HTTP/1.1\r\nHost: example.com\r\n\r\n");
  t.is((await client.response()).body, "proxy GET http://example.com/path");
});

test("acceptOutbound() asks like a forward proxy on a connection that was opened to the listener itself", async (t) => {
  await using origin = await EchoOrigin.start("web");
  await using shard = await withPort((port) =>
    ShardInTest.start({
      listeners: [{ kind: "outbound", host: "127.0.0.1", port }],
      readOriginal: () => ({ ip: "127.0.0.1", port }),
      snapshots: [
        outboundSnapshot(routed(rule({ backends: to(backend("web")) })), demoTarget),
        endpointSnapshot("web", endpoint(origin.port)),
      ],
    }),
  );
  using client = await RawClient.open(shard.port());
  client.send("GET http://web.demo/path HTTP/1.1\r\nHost: web.demo\r\n\r\n");
  t.is((await client.response()).body, "web GET /path");
});

test("acceptOutbound() refuses what the kernel does not know, where redirect rules are a must", async (t) => {
  await using shard = await redirected([], { readOriginal: () => undefined });
  using client = await RawClient.open(shard.port());
  t.true(await refused(shard, client, "original destination unknown"));
});

for (const [where, ip, port] of [
  ["loopback", "127.0.0.1", 80],
  ["the sidecar's own inbound port", "10.244.0.7", 4143],
] as const) {
  test(`acceptOutbound() refuses a connection that was going to ${where}`, async (t) => {
    await using shard = await ShardInTest.start({
      listeners: [
        { kind: "outbound", host: "127.0.0.1", port: 0 },
        { kind: "inbound-mesh", host: "127.0.0.1", port: 0 },
      ],
      readOriginal: () => ({ ip, port: port === 4143 ? 0 : port }),
      settings: { redirect: { isRequired: true, podIps: ["10.244.0.7"] } },
    });
    using client = await RawClient.open(shard.port());
    t.true(await refused(shard, client, "loop"));
    t.is((await shard.message("notice")).event, "outbound_connection_refused");
    t.false(shard.messages.some(({ kind }) => kind === "discover"));
  });
}

test("acceptOutbound() asks for the policy of where a connection was going, and refuses it when none comes in time", async (t) => {
  const clock = new HandClock();
  await using shard = await redirected([], { clock });
  using client = await RawClient.open(shard.port());
  client.send(get);
  t.is((await shard.message("discover")).target, target);
  clock.pass(2_000);
  clock.pass(2_000);
  t.true(await refused(shard, client, "discovery timeout"));
});

test("acceptOutbound() goes on when the policy comes, with what was said meanwhile", async (t) => {
  await using origin = await EchoOrigin.start("web");
  await using shard = await redirected([]);
  using client = await RawClient.open(shard.port());
  client.send(get);
  await shard.message("discover");
  shard.take(endpointSnapshot("web", endpoint(origin.port)), plainPolicy());
  t.is((await client.response()).body, "web GET /path");
});

test("acceptOutbound() refuses a connection to what nobody knows", async (t) => {
  const unknown: ToWorker = {
    kind: "outbound",
    target,
    revision: 1,
    answer: { kind: "unknown", reason: "NOT_FOUND" },
  };
  await using shard = await redirected([unknown]);
  using client = new RawClient(connect(shard.port(), "127.0.0.1"));
  t.true(await refused(shard, client, "unknown destination"));
});

test("acceptOutbound() carries bytes that are no HTTP, and each end of them", async (t) => {
  await using origin = await RawOrigin.start((socket, soFar) => {
    if (soFar === "\0first") socket.write("answer");
  });
  await using shard = await redirected([
    plainPolicy(),
    endpointSnapshot("web", endpoint(origin.port)),
  ]);
  using client = await RawClient.open(shard.port());
  client.send("\0first");
  await client.until((text) => text === "answer");
  t.is(shard.count("outbound_tcp_route_open_total", { backend_name: "web" }), 1);
  client.socket.end("last");
  await client.closed();
  t.is(origin.received, "\0firstlast");
  await shard.until(() => shard.count("outbound_tcp_route_close_total") === 1);
  t.is(shard.count("tcp_open_connections"), 0);
});

test("acceptOutbound() lets a server speak first when its client says nothing for a while", async (t) => {
  const clock = new HandClock();
  await using origin = await RawOrigin.start(() => {});
  origin.server.on("connection", (socket) => socket.write("220 hello"));
  await using shard = await redirected(
    [plainPolicy(), endpointSnapshot("web", endpoint(origin.port))],
    { clock },
  );
  using client = await RawClient.open(shard.port());
  await shard.until(() => clock.isTicking);
  t.is(origin.sockets.length, 0);
  clock.pass(1_200);
  await client.until((text) => text === "220 hello");
  client.send("EHLO me");
  await origin.until(() => origin.received === "EHLO me");
  t.pass();
});

test("acceptOutbound() reads requests of a client that was silent for so long that its server was asked", async (t) => {
  const clock = new HandClock();
  await using origin = await EchoOrigin.start("web");
  await using shard = await redirected(
    [plainPolicy(), endpointSnapshot("web", endpoint(origin.port))],
    { clock },
  );
  using client = await RawClient.open(shard.port());
  await shard.until(() => clock.isTicking);
  clock.pass(1_200);
  await shard.until(() => origin.connections === 1);
  client.send(get);
  t.is((await client.response()).body, "web GET /path");
  t.is(shard.count("request_total", { direction: "outbound" }), 1);
  t.is(shard.count("outbound_tcp_route_open_total"), 0);
});

for (const [what, bytes] of [
  ["bytes that are no HTTP", "\0first"],
  ["TLS of the application", "\x16\x03\x01\0\0"],
] as const) {
  test(`acceptOutbound() refuses ${what} where somebody wrote routes for requests`, async (t) => {
    await using origin = await RawOrigin.start(() => {});
    await using shard = await redirected([
      outboundSnapshot(routed(rule({ backends: to(backend("web")) })), target),
      endpointSnapshot("web", endpoint(origin.port)),
    ]);
    using client = await RawClient.open(shard.port());
    client.send(bytes);
    const label = `unsupported protocol ${bytes.startsWith("\0") ? "opaque" : "tls"}`;
    t.true(await refused(shard, client, label));
    t.is(origin.sockets.length, 0);
  });
}

test("acceptOutbound() refuses a client that says nothing where somebody wrote routes for requests", async (t) => {
  const clock = new HandClock();
  await using shard = await redirected(
    [outboundSnapshot(routed(rule({ backends: to(backend("web")) })), target)],
    { clock },
  );
  using client = await RawClient.open(shard.port());
  await shard.until(() => clock.isTicking);
  clock.pass(11_000);
  t.true(await refused(shard, client, "detection timeout"));
});

test("acceptOutbound() refuses letters whose client waits where somebody wrote routes for requests", async (t) => {
  const clock = new HandClock();
  await using shard = await redirected(
    [outboundSnapshot(routed(rule({ backends: to(backend("web")) })), target)],
    { clock },
  );
  using client = await RawClient.open(shard.port());
  client.send("login");
  const isRefused = (): boolean =>
    shard.count("outbound_tcp_errors_total", { error: "detection timeout" }) === 1;
  while (!isRefused()) {
    clock.pass(100);
    await setImmediate();
  }
  t.true(await refused(shard, client, "detection timeout"));
});

for (const [when, silentMs] of [
  ["at once", 0],
  ["after a silence in which its server was asked", 1_200],
] as const) {
  test(`acceptOutbound() carries letters of a client that speaks ${when} and waits, and never as HTTP`, async (t) => {
    const clock = new HandClock();
    await using origin = await RawOrigin.start((socket, soFar) => socket.write(`echo ${soFar};`));
    await using shard = await redirected(
      [plainPolicy(), endpointSnapshot("web", endpoint(origin.port))],
      { clock },
    );
    using client = await RawClient.open(shard.port());
    await shard.until(() => clock.isTicking);
    clock.pass(silentMs);
    if (silentMs > 0) await origin.until(() => origin.sockets.length === 1);
    client.send("GE");
    while (client.text === "") {
      clock.pass(100);
      await setImmediate();
    }
    t.is(client.text, "echo GE;");
    client.send("T / HTTP/1.1\r\nHost: web\r\n\r\n");
    await client.closed();
    t.is(client.error?.code, "ECONNRESET");
    t.is(origin.received, "GE");
    t.is(shard.count("outbound_tcp_errors_total", { error: "late http" }), 1);
  });
}

const backendless = {
  kind: "random-available",
  backends: [backend("web", { weight: 0 })],
} as const;
const meta = defaultMeta("opaq");
for (const [what, label, opaque, ...snapshots] of [
  ["is forbidden", "route forbidden", { meta, refusal: "forbidden", backends: to() }],
  ["cannot be read", "route invalid", { meta, refusal: "invalid", backends: to() }],
  ["has no weight", "no backend", { meta, refusal: "", backends: backendless }],
  ["has no endpoint", "no endpoints", { meta, refusal: "", backends: to(backend("web")) }],
  [
    "cannot be reached",
    "endpoint unreachable",
    { meta, refusal: "", backends: to(backend("web")) },
    endpointSnapshot("web", endpoint(deadPort)),
  ],
  [
    "wants an identity that does not come",
    "no identity",
    { meta, refusal: "", backends: to(backend("web")) },
    endpointSnapshot("web", endpoint(deadPort, { tls: { identity: "a", serverName: "a" } })),
  ],
] as const) {
  test(`acceptOutbound() resets a connection whose opaque route ${what}`, async (t) => {
    await using shard = await redirected(
      [plainPolicy({ protocol: "opaque", opaque }), ...snapshots],
      { limits: { discoveryTimeoutMs: 100 } },
    );
    // The reset may come before the connection is known to stand.
    using client = new RawClient(connect(shard.port(), "127.0.0.1"));
    t.true(await refused(shard, client, label));
    t.is(client.error?.code, "ECONNRESET");
  });
}

test("acceptOutbound() has an opaque connection wait for the first certificate", async (t) => {
  const ca = new TestCa();
  const server = createTlsServer({ ...contextOptions(ca.issue(["web.id"])), requestCert: true });
  server.on("secureConnection", (socket) => socket.on("error", () => {}).end("answer"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const tls = { identity: "web.id", serverName: "web.id" };
  const clock = new HandClock();
  await using shard = await redirected(
    [plainPolicy({ protocol: "opaque" }), endpointSnapshot("web", endpoint(port, { tls }))],
    { clock },
  );
  using client = await RawClient.open(shard.port());
  client.send("\0first");
  await shard.until(() => clock.isTicking);
  for (let turns = 0; turns < 20; turns++) await setImmediate();
  clock.pass(1_000);
  t.is(shard.count("outbound_tcp_errors_total"), 0);
  shard.take(ca.issue(["frontend.id"]));
  clock.pass(100);
  await client.until((text) => text === "answer");
  client.socket.destroy();
  server.close();
  t.is(shard.count("outbound_tcp_errors_total"), 0);
});

test("acceptOutbound() goes on to another endpoint when one cannot be reached", async (t) => {
  await using origin = await RawOrigin.start((socket) => socket.write("answer"));
  await using shard = await redirected([
    plainPolicy(),
    endpointSnapshot("web", endpoint(deadPort), endpoint(origin.port)),
  ]);
  for (let at = 0; at < 8; at++) {
    using client = await RawClient.open(shard.port());
    client.send("\0first");
    await client.until((text) => text === "answer");
  }
  t.is(shard.count("outbound_tcp_errors_total"), 0);
});

test("acceptOutbound() spreads connections over backends by weight", async (t) => {
  await using first = await RawOrigin.start((socket) => socket.write("first"));
  await using second = await RawOrigin.start((socket) => socket.write("second"));
  const backends = to(backend("first", { weight: 9 }), backend("second", { weight: 1 }));
  await using shard = await redirected([
    plainPolicy({ protocol: "opaque", opaque: { meta, refusal: "", backends } }),
    endpointSnapshot("first", endpoint(first.port)),
    endpointSnapshot("second", endpoint(second.port)),
  ]);
  for (let at = 0; at < 60; at++) {
    using client = await RawClient.open(shard.port());
    client.send("\0");
    await client.until((text) => text !== "");
  }
  const opened = (name: string): number =>
    shard.count("outbound_tcp_route_open_total", { backend_name: name });
  t.is(opened("first") + opened("second"), 60);
  t.true(opened("second") > 0 && opened("second") < 20, String(opened("second")));
});

const ca = new TestCa();
const frontend = ca.issue(["frontend.demo.id"]);
const web = ca.issue(["web.demo.id"]);

test("acceptOutbound() carries bytes to a meshed endpoint by mutual TLS, marked as not to be read", async (t) => {
  await using origin = await RawOrigin.start((socket, soFar) => socket.write(`echo ${soFar}`));
  await using server = await ShardInTest.start({
    listeners: [{ kind: "inbound-mesh", host: "127.0.0.1", port: 0 }],
    forwards: [{ port: 8080, host: "127.0.0.1", hostPort: origin.port }],
    snapshots: [web, inboundSnapshot(8080, admitting(anybody))],
  });
  const tls = { identity: "web.demo.id", serverName: "web.demo.id" };
  const meshed = endpoint(8080, { tls, inboundPort: server.port() });
  await using shard = await redirected([frontend, plainPolicy(), endpointSnapshot("web", meshed)]);
  using client = await RawClient.open(shard.port());
  client.send("\0first");
  await client.until((text) => text === "echo \0first");
  const upstream = { direction: "outbound", peer: "dst", tls: "true" };
  t.is(shard.count("tcp_open_total", upstream), 1);
  t.is(server.count("inbound_tcp_authz_allow_total"), 1);
  t.is(server.count("tcp_open_total", { direction: "inbound", peer: "src", tls: "true" }), 1);
});

test("acceptOutbound() chooses the route of TLS by the name in the hello, and carries it as it is", async (t) => {
  await using first = await RawOrigin.start(() => {});
  await using second = await RawOrigin.start(() => {});
  const route = (name: string, sni: string) => ({
    meta: defaultMeta(name),
    refusal: "" as const,
    backends: to(backend(name)),
    snis: [{ kind: "exact" as const, value: sni }],
  });
  await using shard = await redirected([
    plainPolicy({
      protocol: "tls",
      httpRoutes: [],
      tlsRoutes: [route("first", "first.example.com"), route("second", "second.example.com")],
    }),
    endpointSnapshot("first", endpoint(first.port)),
    endpointSnapshot("second", endpoint(second.port)),
  ]);
  const hello = (servername: string) =>
    tlsConnect({ host: "127.0.0.1", port: shard.port(), servername }).on("error", () => {});
  const client = hello("second.example.com");
  await second.until(() => second.received.includes("second.example.com"));
  t.true(second.received.startsWith("\x16\x03"));
  client.destroy();
  const stranger = hello("third.example.com");
  await shard.until(() => shard.count("outbound_tcp_errors_total", { error: "no route" }) === 1);
  stranger.destroy();
  using plain = await RawClient.open(shard.port());
  plain.send(get);
  t.true(await refused(shard, plain, "not tls"));
  t.is(first.sockets.length, 0);
});

/** What Node.js has no word for: an RST without a FIN in front of it. */
function abort(socket: ReturnType<typeof connect>): void {
  const { _handle: handle } = socket as unknown as { _handle: { close: unknown; reset: unknown } };
  handle.close = handle.reset;
  socket.destroy();
}

for (const protocol of ["opaque", "detect"] as const) {
  test(`an abort of a client comes through two sidecars to a port of protocol ${protocol}, on its only connection`, async (t) => {
    const seen: string[] = [];
    const left = new EventTarget();
    const application = createServer((socket) => {
      socket.on("data", (bytes) => socket.write(bytes));
      socket.on("end", () => seen.push("end"));
      socket.on("error", (error: NodeJS.ErrnoException) => seen.push(String(error.code)));
      socket.on("close", () => left.dispatchEvent(new Event("left")));
    }).listen(0, "127.0.0.1");
    await once(application, "listening");
    const { port: hostPort } = application.address() as AddressInfo;
    await using server = await ShardInTest.start({
      listeners: [{ kind: "inbound-mesh", host: "127.0.0.1", port: 0 }],
      forwards: [{ port: 8080, host: "127.0.0.1", hostPort }],
      snapshots: [web, inboundSnapshot(8080, { ...admitting(anybody), protocol })],
    });
    const tls = { identity: "web.demo.id", serverName: "web.demo.id" };
    const meshed = endpoint(8080, { tls, inboundPort: server.port() });
    await using shard = await redirected([
      frontend,
      plainPolicy(),
      endpointSnapshot("web", meshed),
    ]);
    for (let i = 0; i < 5; i++) {
      const client = connect({ host: "127.0.0.1", port: shard.port() });
      const gone = once(left, "left");
      client.write("x\n");
      await once(client, "data");
      abort(client);
      await gone;
    }
    t.deepEqual(
      seen,
      Array.from({ length: 5 }, () => "ECONNRESET"),
    );
    application.close();
  });
}
