import { spawn } from "node:child_process";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { type ConnectionOptions, connect, createServer } from "node:tls";
import test from "ava";
import { parseTransportHeader, writeTransportHeader } from "../../src/codec/transport-header.ts";
import type { Filter } from "../../src/core/model/filter.ts";
import { contextOptions, transportProtocol } from "../../src/edge/net/mesh-tls.ts";
import type { IdentitySnapshot } from "../../src/thread/messages.ts";
import { Folder } from "../edge/x509/openssl.ts";
import { TestCa } from "../harness/certificates.ts";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import {
  admitting,
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
import { ShardInTest } from "../harness/shard-in-test.ts";

const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
const ca = new TestCa();
const frontend = ca.issue(["frontend.demo.id"]);
const web = ca.issue(["web.demo.id"]);
const appPort = 8080;

/** The sidecar of `web`: its mesh port, and a port in front of the application. */
function webSidecar(
  hostPort: number,
  options: { readonly identity?: IdentitySnapshot; readonly admits?: string } = {},
): Promise<ShardInTest> {
  const { identity = web, admits = "frontend.demo.id" } = options;
  const table = admitting(identities(admits));
  return withPort((frontPort) =>
    ShardInTest.start({
      listeners: [
        { kind: "inbound-mesh", host: "127.0.0.1", port: 0 },
        { kind: "inbound-port", host: "127.0.0.1", port: frontPort },
      ],
      forwards: [
        { port: appPort, host: "127.0.0.1", hostPort },
        { port: frontPort, host: "127.0.0.1", hostPort },
      ],
      snapshots: [identity, inboundSnapshot(appPort, table), inboundSnapshot(frontPort, table)],
    }),
  );
}

/** The sidecar of `frontend`, for which `web` is at one mesh port. */
function frontendSidecar(
  inboundPort: number,
  identities: readonly IdentitySnapshot[] = [frontend],
): Promise<ShardInTest> {
  const tls = { identity: "web.demo.id", serverName: "web.demo.id" };
  return ShardInTest.start({
    snapshots: [
      ...identities,
      endpointSnapshot("a", endpoint(appPort, { tls, inboundPort })),
      outboundSnapshot(routed(rule({ backends: to(backend("a")) }))),
    ],
  });
}

function tlsOptions(
  identity: IdentitySnapshot | undefined,
  parts: ConnectionOptions = {},
): ConnectionOptions {
  const credentials = identity === undefined ? { ca: ca.pem } : contextOptions(identity);
  return { ...credentials, servername: "web.demo.id", ...parts };
}

test("two sidecars carry a request over mutual TLS and name the client to the application", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using server = await webSidecar(origin.port);
  await using client = await frontendSidecar(server.port());
  using app = await RawClient.open(client.port());
  for (let i = 0; i < 3; i++) {
    const body = "x".repeat(i * 100_000);
    app.send(
      `POST /${i} HTTP/1.1\r\nHost: web\r\nl5d-client-id: me\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    t.is((await app.response()).body, `app POST /${i}`);
    t.is(origin.header("l5d-client-id"), "frontend.demo.id");
    t.is(origin.seen.at(-1)?.body, body);
  }
  t.is(server.count("tcp_open_total", { peer: "src", tls: "true" }), 1);
  t.is(client.count("tcp_open_total", { peer: "dst", tls: "true" }), 1);
});

test("two sidecars carry a copy of a request over mutual TLS", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using copied = await EchoOrigin.start("copied");
  await using server = await webSidecar(copied.port);
  await using client = await frontendSidecar(server.port());
  const filter: Filter = {
    kind: "mirror",
    mirror: { backend: backend("a").backend, numerator: 1, denominator: 1 },
  };
  client.take(
    endpointSnapshot("plain", endpoint(origin.port)),
    outboundSnapshot(routed(rule({ filters: [filter], backends: to(backend("plain")) }))),
  );
  using app = await RawClient.open(client.port());
  for (let i = 1; i <= 2; i++) {
    app.send(`POST /${i} HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\nhi`);
    t.is((await app.response()).body, `app POST /${i}`);
    await client.until(
      () => client.count("outbound_http_route_mirror_total", { result: "answered" }) === i,
    );
    t.is(copied.seen.at(-1)?.body, "hi");
    t.is(copied.header("l5d-client-id"), "frontend.demo.id");
  }
  t.is(client.count("tcp_open_total", { peer: "dst", tls: "true" }), 1);
});

test("a client's sidecar passes on why another sidecar refused", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using server = await webSidecar(origin.port, { admits: "admin.demo.id" });
  await using client = await frontendSidecar(server.port());
  using app = await RawClient.open(client.port());
  const response = await app.send(get).response();
  t.is(response.status, 403);
  t.is(
    response.headers.get("l5d-proxy-error"),
    "client frontend.demo.id (127.0.0.1) is not among the identities of AuthorizationPolicy demo/everyone",
  );
  t.is(origin.seen.length, 0);
});

test("dial() shows nothing of a request before the other end has proved its name", async (t) => {
  await using server = await RawOrigin.start(() => {});
  await using client = await frontendSidecar(server.port);
  using app = await RawClient.open(client.port());
  app.send(get);
  await server.until(() => server.received !== "");
  // What comes is a ClientHello: not a byte of the request is in it.
  t.is(server.received.charCodeAt(0), 0x16);
  t.false(server.received.includes("HTTP"));
});

const badServers = test.macro({
  exec: async (t, identity: IdentitySnapshot) => {
    await using origin = await EchoOrigin.start("app");
    await using server = await webSidecar(origin.port, { identity });
    await using client = await frontendSidecar(server.port());
    using app = await RawClient.open(client.port());
    const response = await app.send(get).response();
    t.is(response.status, 502);
    t.is(origin.seen.length, 0);
    t.is(client.count("outbound_http_errors_total", { error: "identity required" }), 1);
  },
  title: (name = "") => `dial() sends nothing to ${name}`,
});

test("a server with another name", badServers, ca.issue(["other.demo.id"]));
test(
  "a server with two names, one of them right",
  badServers,
  ca.issue(["web.demo.id", "other.demo.id"]),
);
test("a server with a wildcard name", badServers, ca.issue(["*.demo.id"]));
test("a server of another authority", badServers, new TestCa("other").issue(["web.demo.id"], ca));
test("a server whose certificate is over", badServers, ca.issue(["web.demo.id"], ca, -1_000));

test("dial() sends nothing to a server that takes no transport header", async (t) => {
  let received = 0;
  const server = createServer(contextOptions(web), (socket) => {
    socket.on("data", (bytes) => {
      received += bytes.length;
    });
    socket.on("error", () => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  await using client = await frontendSidecar((server.address() as AddressInfo).port);
  using app = await RawClient.open(client.port());
  const response = await app.send(get).response();
  t.is(response.status, 502);
  t.true(response.headers.get("l5d-proxy-error")?.includes("transport.l5d.io/v1"));
  t.is(received, 0);
  server.close();
});

test("dial() sends nothing in plain text when the server speaks no TLS", async (t) => {
  await using origin = await RawOrigin.start((socket) => {
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  await using client = await frontendSidecar(origin.port);
  using app = await RawClient.open(client.port());
  t.is((await app.send(get).response()).status, 502);
  t.false(origin.received.includes("Host"));
});

test("forward() answers 503 when no certificate comes in time to prove who we are", async (t) => {
  await using origin = await RawOrigin.start(() => {});
  await using client = await frontendSidecar(origin.port, []);
  using app = await RawClient.open(client.port());
  t.is((await app.send(get).response()).status, 503);
  t.is(origin.sockets.length, 0);
});

test("forward() waits for the first certificate to prove who we are", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using server = await webSidecar(origin.port);
  await using client = await frontendSidecar(server.port(), []);
  using app = await RawClient.open(client.port());
  app.send("POST /early HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbo");
  await client.until(() => client.count("tcp_open_connections", { peer: "src" }) === 1);
  client.take(frontend);
  app.send("dy");
  t.is((await app.response()).body, "app POST /early");
  t.is(origin.seen.at(-1)?.body, "body");
});

const badClients = test.macro({
  exec: async (
    t,
    identity: IdentitySnapshot | undefined,
    alpn: readonly string[],
    label: string,
  ) => {
    await using origin = await EchoOrigin.start("app");
    await using server = await webSidecar(origin.port);
    const header = writeTransportHeader({ port: appPort, name: "", protocol: "http1" });
    const socket = connect({
      host: "127.0.0.1",
      port: server.port(),
      ...tlsOptions(identity, { ALPNProtocols: [...alpn] }),
    });
    using client = new RawClient(socket);
    socket.on("secureConnect", () => client.send(header).send(get));
    await client.closed();
    t.is(client.text, "");
    t.is(origin.connections, 0);
    await server.until(() => server.count("inbound_tcp_errors_total", { error: label }) === 1);
  },
  title: (name = "") => `acceptInbound() refuses on the mesh port ${name}`,
});

const header = [transportProtocol];
test("a client without a certificate", badClients, undefined, header, "identity required");
test("a client without a transport header", badClients, frontend, [], "identity required");
test("a client with another protocol", badClients, frontend, ["h2"], "tls handshake");
test(
  "a client of another authority",
  badClients,
  new TestCa("other").issue(["frontend.demo.id"], ca),
  header,
  "tls handshake",
);
test(
  "a client with two names",
  badClients,
  ca.issue(["frontend.demo.id", "admin.demo.id"]),
  header,
  "tls handshake",
);
test(
  "a client whose certificate is over",
  badClients,
  ca.issue(["frontend.demo.id"], ca, -1_000),
  header,
  "tls handshake",
);

test("acceptInbound() refuses plain text on the mesh port", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using server = await webSidecar(origin.port);
  using client = await RawClient.open(server.port());
  client.send(get);
  await client.closed();
  t.is(origin.connections, 0);
  t.is(server.count("inbound_tcp_errors_total", { error: "tls handshake" }), 1);
});

const badHeaders = test.macro({
  exec: async (t, bytes: Buffer, label: string) => {
    await using origin = await EchoOrigin.start("app");
    await using server = await webSidecar(origin.port);
    using client = await RawClient.openTls(
      server.port(),
      tlsOptions(frontend, { ALPNProtocols: [transportProtocol] }),
    );
    client.send(bytes).send(get);
    await client.closed();
    t.is(client.text, "");
    t.is(origin.connections, 0);
    t.is(server.count("inbound_tcp_errors_total", { error: label }), 1);
  },
  title: (name = "") => `acceptInbound() refuses a transport header ${name}`,
});

const good = { port: appPort, name: "", protocol: "http1" } as const;
test(
  "for a port that is not ours",
  badHeaders,
  writeTransportHeader({ ...good, port: 1 }),
  "unknown port",
);
test(
  "for a gateway",
  badHeaders,
  writeTransportHeader({ ...good, name: "web.demo" }),
  "gateway domain invalid",
);
test("that is none", badHeaders, Buffer.from("GET / HTTP/1.1\r\n\r\n"), "bad transport header");

test("acceptInbound() reads the transport header the same, wherever it is split", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using server = await webSidecar(origin.port);
  const bytes = Buffer.concat([writeTransportHeader(good), Buffer.from(get)]);
  t.is(parseTransportHeader(bytes, 0, bytes.length).state, "header");
  const options = tlsOptions(frontend, { ALPNProtocols: [transportProtocol] });
  for (let at = 1; at < bytes.length; at += 3) {
    using client = await RawClient.openTls(server.port(), options);
    client.send(bytes.subarray(0, at));
    using marker = await RawClient.open(server.port(1));
    await marker.send(get).response();
    client.send(bytes.subarray(at));
    t.is((await client.response()).status, 200, `split at ${at}`);
  }
});

test("greetGuest() names a client of the application's port whose certificate is good", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using server = await webSidecar(origin.port);
  using client = await RawClient.openTls(server.port(1), tlsOptions(frontend));
  t.is((await client.send(get).response()).status, 200);
  t.is(origin.header("l5d-client-id"), "frontend.demo.id");
});

test("greetGuest() takes a client of the application's port without a certificate as nobody", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using server = await webSidecar(origin.port);
  using client = await RawClient.openTls(server.port(1), tlsOptions(undefined));
  const response = await client.send(get).response();
  t.is(response.status, 403);
  t.true(response.headers.get("l5d-proxy-error")?.includes("without a client certificate"));
  t.is(server.count("tcp_open_total", { tls: "no_identity" }), 1);
});

test("MeshServer speaks TLS 1.3 and nothing older", async (t) => {
  await using server = await webSidecar(deadPort);
  const old = { minVersion: "TLSv1.2", maxVersion: "TLSv1.2", ciphers: "DEFAULT" } as const;
  const socket = connect({
    host: "127.0.0.1",
    port: server.port(1),
    ...tlsOptions(frontend),
    ...old,
  });
  const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
  t.is(error.code, "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION");
});

test("MeshServer serves openssl s_client, and honours its certificate", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using server = await webSidecar(origin.port);
  using folder = new Folder();
  const child = spawn("openssl", [
    ...["s_client", "-connect", `127.0.0.1:${server.port(1)}`, "-servername", "web.demo.id"],
    ...["-tls1_3", "-verify_return_error", "-verify_hostname", "web.demo.id", "-quiet"],
    ...[
      "-CAfile",
      folder.write("ca", ca.pem),
      "-cert",
      folder.write("crt", frontend.certificateChain),
    ],
    ...["-key", folder.write("key", frontend.privateKey)],
  ]);
  child.stdin.write("GET /x HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n");
  t.true((await text(child.stdout)).endsWith("app GET /x"));
  t.is(origin.header("l5d-client-id"), "frontend.demo.id");
});

test("MeshServer lets nobody resume a session", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using server = await webSidecar(origin.port);
  const first = connect({ host: "127.0.0.1", port: server.port(1), ...tlsOptions(frontend) });
  const sessions: Buffer[] = [];
  first.on("session", (session: Buffer) => sessions.push(session));
  using client = new RawClient(first);
  await client.send(get).response();
  for (const session of sessions) {
    using again = await RawClient.openTls(server.port(1), tlsOptions(frontend, { session }));
    t.false((again.socket as typeof first).isSessionReused());
  }
  t.pass();
});

test("MeshServer shows a new certificate to new connections, and keeps the old ones", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using server = await webSidecar(origin.port);
  using old = await RawClient.openTls(server.port(1), tlsOptions(frontend));
  await old.send(get).response();
  const renewed = ca.issue(["web.demo.id"]);
  server.take({ ...renewed, revision: 2 });
  const socket = connect({ host: "127.0.0.1", port: server.port(1), ...tlsOptions(frontend) });
  using _new = new RawClient(socket);
  await once(socket, "secureConnect");
  t.is(socket.getPeerX509Certificate()?.toString().trim(), renewed.certificateChain.trim());
  t.is((await old.send(get).response()).status, 200);
  t.true(server.messages.some((message) => message.kind === "applied" && message.revision === 2));
});

test("acceptInbound() admits a client of the mesh port by the policy of the port that it names", async (t) => {
  await using origin = await EchoOrigin.start("app");
  await using server = await webSidecar(origin.port);
  await using client = await frontendSidecar(server.port());
  using app = await RawClient.open(client.port());
  t.is((await app.send(get).response()).status, 200);
  server.take(inboundSnapshot(appPort, admitting(identities("somebody.else"))));
  t.is((await app.send(get).response()).status, 403);
  server.take(inboundSnapshot(appPort, admitting(anybody)));
  t.is((await app.send(get).response()).status, 200);
});
