import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { createServer as createTlsServer, connect as tlsConnect } from "node:tls";
import test from "ava";
import { writeTransportHeader } from "../../src/codec/transport-header.ts";
import { defaultMeta } from "../../src/core/model/meta.ts";
import type { InboundTable } from "../../src/core/table/inbound.ts";
import { contextOptions, transportProtocol } from "../../src/edge/net/mesh-tls.ts";
import { TestCa } from "../harness/certificates.ts";
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
import { deadPort, withPort } from "../harness/port.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest, type ShardInTestOptions } from "../harness/shard-in-test.ts";

const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const ca = new TestCa();
const frontend = ca.issue(["frontend.demo.id"]);
const web = ca.issue(["web.demo.id"]);
const appPort = 8080;

const everybody = [authorization("everyone", anybody)];
const opaque = serverTable({ protocol: "opaque", authorizations: everybody });
const routed = serverTable({
  authorizations: everybody,
  routes: [inboundRoute("all", withPath("/"), everybody)],
});

/** A mesh port, and a port in front of the application with the same policy. */
function sidecarOf(
  hostPort: number,
  table: InboundTable | undefined,
  options: ShardInTestOptions = {},
): Promise<ShardInTest> {
  return withPort((frontPort) =>
    ShardInTest.start({
      listeners: [
        { kind: "inbound-port", host: "127.0.0.1", port: frontPort },
        { kind: "inbound-mesh", host: "127.0.0.1", port: 0 },
      ],
      forwards: [
        { port: frontPort, host: "127.0.0.1", hostPort },
        { port: appPort, host: "127.0.0.1", hostPort },
      ],
      ...options,
      snapshots: [
        web,
        ...(table === undefined
          ? []
          : [inboundSnapshot(frontPort, table), inboundSnapshot(appPort, table)]),
      ],
    }),
  );
}

/** Sends back what comes, and ends when the other end does. */
function echo(): Promise<RawOrigin> {
  let sent = 0;
  return RawOrigin.start((socket, soFar) => {
    if (soFar.length < sent) sent = 0;
    socket.write(soFar.slice(sent), "latin1");
    sent = soFar.length;
  });
}

type Greeter = { readonly port: number; readonly server: Server } & AsyncDisposable;

async function greeter(greeting: string): Promise<Greeter> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.write(greeting);
    socket.on("data", (bytes: Buffer) => socket.write(`echo ${bytes.toString()}`));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    port,
    server,
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, "close");
    },
  };
}

function meshClient(port: number, header: Parameters<typeof writeTransportHeader>[0]) {
  return RawClient.openTls(port, {
    ...contextOptions(frontend),
    servername: "web.demo.id",
    ALPNProtocols: [transportProtocol],
  }).then((client) => client.send(writeTransportHeader(header)));
}

type Port = { readonly where: string; readonly table: InboundTable };

const forAnything: Port = { where: "for anything", table: admitting(anybody) };
const forHttp: Port = {
  where: "for HTTP/1",
  table: serverTable({ protocol: "http1", authorizations: everybody }),
};
const withRoutes: Port = { where: "with routes", table: routed };
const opaquePort: Port = { where: "that is opaque", table: opaque };
const forTls: Port = {
  where: "for TLS",
  table: serverTable({ protocol: "tls", authorizations: everybody }),
};

const refusedBytes = test.macro({
  exec: async (t, bytes: string, { table }: Port, label: string) => {
    await using origin = await RawOrigin.start(() => {});
    await using shard = await sidecarOf(origin.port, table);
    using client = await RawClient.open(shard.port());
    client.send(bytes);
    await client.closed();
    t.is(client.text, "");
    t.is(origin.sockets.length, 0);
    t.is(shard.count("inbound_tcp_errors_total", { error: label }), 1);
    const notice = await shard.message("notice");
    t.is(notice.event, "inbound_connection_refused");
    t.is(notice.fields["reason"], label);
    t.is(notice.fields["client"], "127.0.0.1");
  },
  title: (_given, bytes: string, { where }: Port) =>
    `acceptInbound() refuses ${JSON.stringify(bytes)} on a port ${where}`,
});

const hello = "\x16\x03\x01\0\0";
test(refusedBytes, "\0\0\0", forHttp, "unsupported protocol opaque");
test(refusedBytes, "EHLO mail\r\n", withRoutes, "unsupported protocol opaque");
test(refusedBytes, hello, withRoutes, "unsupported protocol tls");

const relayedBytes = test.macro({
  exec: async (t, bytes: string, { table }: Port) => {
    await using origin = await echo();
    await using shard = await sidecarOf(origin.port, table);
    using client = await RawClient.open(shard.port());
    client.send(bytes);
    await client.until((text) => text === bytes);
    t.is(origin.received, bytes);
    t.is(shard.count("inbound_tcp_authz_allow_total", { authz_name: "everyone" }), 1);
    t.is(shard.count("tcp_open_total", { direction: "inbound", peer: "src", tls: "disabled" }), 1);
  },
  title: (_given, bytes: string, { where }: Port) =>
    `acceptInbound() passes on ${JSON.stringify(bytes)} unread on a port ${where}`,
});

test(relayedBytes, "EHLO mail\r\n", forAnything);
test(relayedBytes, "\0\0\0", forAnything);
test(relayedBytes, hello, forAnything);
test(relayedBytes, get, opaquePort);
test(relayedBytes, preface, opaquePort);
test(relayedBytes, hello, forTls);

test("acceptInbound() passes TLS for another name through untouched", async (t) => {
  const own = new TestCa("app").issue(["app.example"]);
  const server = createTlsServer(
    { cert: own.certificateChain, key: own.privateKey },
    (socket) =>
      void socket.on("data", (bytes: Buffer) => socket.end(`app got ${bytes.toString()}`)),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  await using shard = await sidecarOf((server.address() as AddressInfo).port, admitting(anybody));
  const socket = tlsConnect({
    host: "127.0.0.1",
    port: shard.port(),
    servername: "app.example",
    ca: own.trustAnchors,
  });
  using client = new RawClient(socket);
  await once(socket, "secureConnect");
  t.is(socket.getPeerX509Certificate()?.subject, "CN=app.example");
  client.send("hi");
  await client.closed();
  t.is(client.text, "app got hi");
  server.close();
});

test("acceptInbound() ends TLS for its own name in any case of letters", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using shard = await sidecarOf(origin.port, admitting(identities("frontend.demo.id")));
  using client = await RawClient.openTls(shard.port(), {
    ...contextOptions(frontend),
    servername: "WEB.Demo.Id",
    checkServerIdentity: () => undefined,
  });
  t.is((await client.send(get).response()).status, 200);
});

for (const servername of ["web.demo.id.", "web.demo", "x.web.demo.id", ""]) {
  test(`acceptInbound() takes TLS for ${JSON.stringify(servername)} as the application's, and the client as nobody`, async (t) => {
    await using origin = await RawOrigin.start(() => {});
    await using shard = await sidecarOf(origin.port, admitting(identities("frontend.demo.id")));
    const socket = tlsConnect({
      ...contextOptions(frontend),
      host: "127.0.0.1",
      port: shard.port(),
      servername,
    });
    using client = new RawClient(socket);
    await client.closed();
    t.is(origin.sockets.length, 0);
    t.is(shard.count("inbound_tcp_authz_deny_total", { srv_name: "web" }), 1);
  });
}

test("acceptInbound() refuses a client that begins to speak and does not go on where somebody wrote routes", async (t) => {
  await using shard = await sidecarOf(deadPort, routed, { limits: { detectTimeoutMs: 100 } });
  using client = await RawClient.open(shard.port());
  client.send("GE");
  await client.closed();
  t.is(shard.count("inbound_tcp_errors_total", { error: "detection timeout" }), 1);
});

test("acceptInbound() takes a word and the end of the client's side for no HTTP", async (t) => {
  await using origin = await RawOrigin.start((socket, soFar) => socket.write(`${soFar}: imok`));
  await using shard = await sidecarOf(origin.port, admitting(anybody));
  using client = await RawClient.open(shard.port());
  client.socket.end("ruok");
  await client.closed();
  t.is(client.text, "ruok: imok");
});

test("acceptInbound() closes a silent client of a port with routes after the idle time, without an error", async (t) => {
  await using origin = await RawOrigin.start(() => {});
  await using shard = await sidecarOf(origin.port, routed, {
    limits: { idleTimeoutMs: 200, detectTimeoutMs: 100 },
  });
  using client = await RawClient.open(shard.port());
  await client.closed();
  t.is(shard.count("inbound_tcp_errors_total"), 0);
  t.is(origin.sockets.length, 0);
});

test("acceptInbound() lets a server speak first where there is no policy about requests", async (t) => {
  await using app = await greeter("220 ready\r\n");
  await using shard = await sidecarOf(app.port, admitting(anybody), {
    limits: { detectTimeoutMs: 100 },
  });
  using client = await RawClient.open(shard.port());
  await client.until((text) => text === "220 ready\r\n");
  // What the server began is no HTTP, whatever the client says.
  client.send(get);
  await client.until((text) => text.endsWith(`echo ${get}`));
  t.is(shard.count("inbound_http_authz_allow_total"), 0);
  t.is(shard.count("tcp_open_total", { direction: "inbound", peer: "dst" }), 1);
});

test("acceptInbound() reads the request of a client that was silent for longer than detection takes", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using shard = await sidecarOf(origin.port, admitting(anybody), {
    limits: { detectTimeoutMs: 100 },
  });
  using client = await RawClient.open(shard.port());
  await shard.until(() => origin.connections === 1);
  client.send("GET /late HTTP/1.1\r\nHost: web\r\nl5d-client-id: admin\r\n\r\n");
  t.is((await client.response()).body, "app GET /late");
  t.is(origin.header("l5d-client-id"), undefined);
});

test("acceptInbound() asks no server for a silent client that is not admitted", async (t) => {
  await using origin = await RawOrigin.start(() => {});
  await using shard = await sidecarOf(origin.port, admitting(identities("frontend.demo.id")), {
    limits: { detectTimeoutMs: 100 },
  });
  using client = await RawClient.open(shard.port());
  await client.closed();
  t.is(origin.sockets.length, 0);
  t.is(shard.count("inbound_tcp_authz_deny_total", { srv_name: "web" }), 1);
});

test("admitOpaque() closes a connection that no authorization admits, and says why", async (t) => {
  await using origin = await RawOrigin.start(() => {});
  await using shard = await sidecarOf(origin.port, admitting(identities("frontend.demo.id")));
  using client = await RawClient.open(shard.port());
  client.send("\0\0\0");
  await client.closed();
  t.is(origin.sockets.length, 0);
  t.is(shard.count("inbound_tcp_authz_deny_total", { srv_name: "web" }), 1);
  const notice = await shard.message("notice");
  t.is(notice.event, "inbound_connection_denied");
  t.regex(String(notice.fields["reason"]), /127\.0\.0\.1 without mutual TLS does not meet/);
});

test("admitOpaque() counts and tells whom audit mode alone admits", async (t) => {
  await using origin = await echo();
  const audit = { ...authorization("audit", anybody), meta: defaultMeta("audit") };
  const authorizations = [authorization("tried", identities("frontend.demo.id")), audit];
  await using shard = await sidecarOf(
    origin.port,
    serverTable({ protocol: "opaque", authorizations }),
  );
  using client = await RawClient.open(shard.port());
  client.send("one");
  await client.until((text) => text === "one");
  t.is(shard.count("inbound_tcp_authz_audit_total", { srv_name: "web" }), 1);
  t.is(shard.count("inbound_tcp_authz_deny_total"), 0);
  const notice = await shard.message("notice");
  t.is(notice.event, "inbound_connection_audited");
  t.regex(String(notice.fields["reason"]), /without mutual TLS does not meet .*tried/);
});

test("acceptInbound() holds opaque bytes until the policy of the port comes", async (t) => {
  await using origin = await echo();
  await using shard = await sidecarOf(origin.port, undefined);
  using client = await RawClient.open(shard.port());
  client.send("\0one");
  using silent = await RawClient.open(shard.port());
  await shard.until(() => shard.messages.some(({ kind }) => kind === "listening"));
  t.is(origin.sockets.length, 0);
  shard.take(inboundSnapshot(shard.port(), opaque));
  await client.until((text) => text === "\0one");
  silent.send("two");
  await silent.until((text) => text === "two");
});

test("acceptInbound() refuses opaque bytes when the policy of the port does not come", async (t) => {
  await using origin = await RawOrigin.start(() => {});
  await using shard = await sidecarOf(origin.port, undefined, {
    limits: { discoveryTimeoutMs: 100 },
  });
  using client = await RawClient.open(shard.port());
  client.send("\0");
  await client.closed();
  t.is(origin.sockets.length, 0);
  t.is(shard.count("inbound_tcp_errors_total", { error: "discovery timeout" }), 1);
});

test("acceptInbound() resets an opaque client whose application does not listen", async (t) => {
  await using shard = await sidecarOf(deadPort, opaque);
  using client = await RawClient.open(shard.port());
  await client.closed();
  t.is(shard.count("inbound_tcp_errors_total", { error: "application unreachable" }), 1);
});

test("greetGuest() carries an opaque connection of a mesh client", async (t) => {
  await using origin = await echo();
  const table = serverTable({
    protocol: "opaque",
    authorizations: [authorization("frontend", identities("frontend.demo.id"))],
  });
  await using shard = await sidecarOf(origin.port, table);
  const header = { port: appPort, name: "", protocol: "none" } as const;
  using client = await meshClient(shard.port(1), header);
  const text = "x".repeat(100_000);
  client.send(text);
  await client.until((back) => back.length === text.length);
  t.is(shard.count("tcp_open_total", { peer: "src", tls: "true" }), 1);
  t.is(shard.count("inbound_tcp_authz_allow_total", { authz_name: "frontend" }), 1);
});

test("greetGuest() lets a server speak first to a mesh client at once", async (t) => {
  await using app = await greeter("hello");
  await using shard = await sidecarOf(app.port, admitting(identities("frontend.demo.id")), {
    limits: { detectTimeoutMs: 60_000 },
  });
  const header = { port: appPort, name: "", protocol: "none" } as const;
  using client = await meshClient(shard.port(1), header);
  await client.until((text) => text === "hello");
  t.pass();
});

test("greetGuest() reads requests that a mesh client calls opaque", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using shard = await sidecarOf(origin.port, admitting(identities("frontend.demo.id")));
  const header = { port: appPort, name: "", protocol: "none" } as const;
  using client = await meshClient(shard.port(1), header);
  client.send("GET / HTTP/1.1\r\nHost: web\r\nl5d-client-id: admin\r\n\r\n");
  t.is((await client.response()).status, 200);
  t.is(origin.header("l5d-client-id"), "frontend.demo.id");
});

test("OpaqueConnection ends when a policy withdraws the permission, and stays when it does not", async (t) => {
  await using origin = await echo();
  await using shard = await sidecarOf(origin.port, opaque);
  using client = await RawClient.open(shard.port());
  client.send("one");
  await client.until((text) => text === "one");
  shard.take(inboundSnapshot(shard.port(), opaque));
  client.send("two");
  await client.until((text) => text === "onetwo");
  const closed = serverTable({ protocol: "opaque" });
  shard.take(inboundSnapshot(shard.port(), closed));
  await client.closed();
  await origin.until(() => origin.openCount === 0);
  t.is(shard.count("inbound_tcp_authz_terminate_total", { srv_name: "web" }), 1);
  t.is(shard.count("tcp_open_connections", { direction: "inbound" }), 0);
  t.is((await shard.message("notice")).event, "inbound_connection_terminated");
});

test("OpaqueConnection ends when its port becomes one for HTTP", async (t) => {
  await using origin = await echo();
  await using shard = await sidecarOf(origin.port, opaque);
  using client = await RawClient.open(shard.port());
  client.send("one");
  await client.until((text) => text === "one");
  shard.take(inboundSnapshot(shard.port(), routed));
  await client.closed();
  t.is(shard.count("inbound_tcp_authz_terminate_total"), 1);
});

test("OpaqueConnection has a grace where one is set, and keeps on when the permission comes back", async (t) => {
  await using origin = await echo();
  const clock = new HandClock();
  const limits = { revocationGraceMs: 300 };
  await using shard = await sidecarOf(origin.port, opaque, { limits, clock });
  using client = await RawClient.open(shard.port());
  client.send("one");
  await client.until((text) => text === "one");
  shard.take(inboundSnapshot(shard.port(), serverTable({ protocol: "opaque" })));
  shard.take(inboundSnapshot(shard.port(), opaque));
  client.send("two");
  await client.until((text) => text === "onetwo");
  shard.take(inboundSnapshot(shard.port(), serverTable({ protocol: "opaque" })));
  client.send("3");
  await client.until((text) => text === "onetwo3");
  clock.pass(1_000);
  await client.closed();
  t.is(shard.count("inbound_tcp_authz_terminate_total"), 2);
});

test("OpaqueConnection is waited for when the shard drains, and no longer than the grace", async (t) => {
  await using origin = await echo();
  const clock = new HandClock();
  const shard = await sidecarOf(origin.port, opaque, { clock });
  using client = await RawClient.open(shard.port());
  client.send("one");
  await client.until((text) => text === "one");
  shard.take({ kind: "drain", graceMs: 400 });
  client.send("two");
  await client.until((text) => text === "onetwo");
  clock.pass(1_000);
  await shard.drained();
  await client.closed();
  t.is((await shard.message("drained")).cutOff.opaque, 1);
});

test("acceptInbound() answers a client with a bare connection", async (t) => {
  await using shard = await sidecarOf(deadPort, admitting(anybody));
  const socket = connect({ host: "127.0.0.1", port: shard.port() });
  socket.end();
  await once(socket.resume(), "close");
  t.is(shard.count("inbound_tcp_errors_total"), 0);
});
