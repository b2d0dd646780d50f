import { setImmediate } from "node:timers/promises";
import { connect } from "node:tls";
import test from "ava";
import { writeTransportHeader } from "../../src/codec/transport-header.ts";
import { contextOptions, transportProtocol } from "../../src/edge/net/mesh-tls.ts";
import {
  certificateCrowd,
  certificateLate,
  maxAwaitingCertificate,
} from "../../src/proxy/mesh-door.ts";
import { TestCa } from "../harness/certificates.ts";
import { HandClock } from "../harness/hand-clock.ts";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import { admitting, anybody, identities, inboundSnapshot } from "../harness/policies.ts";
import { deadPort, withPort } from "../harness/port.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest, type ShardInTestOptions } from "../harness/shard-in-test.ts";

const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
const hello = "\x16\x03\x01\0\0";
const ca = new TestCa();
const frontend = ca.issue(["frontend.demo.id"]);
const web = ca.issue(["web.demo.id"]);
const appPort = 8080;
const discoveryTimeoutMs = 3_000;

/** Without a certificate: a mesh port, and a port in front of the application. */
function uncertified(hostPort: number, options: ShardInTestOptions = {}): Promise<ShardInTest> {
  const table = admitting(identities("frontend.demo.id"));
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
      limits: { discoveryTimeoutMs },
      snapshots: [inboundSnapshot(appPort, table), inboundSnapshot(frontPort, table)],
      ...options,
    }),
  );
}

/** Bytes that are on their way have been read. */
async function settle(): Promise<void> {
  for (let turns = 0; turns < 20; turns++) await setImmediate();
}

const served = test.macro({
  exec: async (t, at: number, withTransportHeader: boolean) => {
    const clock = new HandClock();
    await using origin = await EchoOrigin.start("app");
    await using shard = await uncertified(origin.port, { clock });
    const coming = RawClient.openTls(shard.port(at), {
      ...contextOptions(frontend),
      servername: "web.demo.id",
      ...(withTransportHeader ? { ALPNProtocols: [transportProtocol] } : {}),
    });
    await shard.until(() => clock.isTicking);
    await settle();
    clock.pass(discoveryTimeoutMs - 500);
    shard.take(web);
    using client = await coming;
    if (withTransportHeader) {
      client.send(writeTransportHeader({ port: appPort, name: "", protocol: "http1" }));
    }
    t.is((await client.send(get).response()).body, "app GET /");
    t.is(origin.header("l5d-client-id"), "frontend.demo.id");
    t.is(shard.count("inbound_tcp_errors_total"), 0);
  },
  title: (where) => `TLS ${where} waits for the first certificate, and is served then`,
});
test("at the mesh port, for this workload,", served, 0, true);
test("at a port of the application, for this workload,", served, 1, false);

const late = test.macro({
  exec: async (t, at: number) => {
    const clock = new HandClock();
    await using shard = await uncertified(deadPort, { clock });
    using client = await RawClient.open(shard.port(at));
    client.send(hello);
    await shard.until(() => clock.isTicking);
    await settle();
    clock.pass(discoveryTimeoutMs - 500);
    t.is(shard.count("inbound_tcp_errors_total"), 0);
    while (!client.isEnded) {
      clock.pass(500);
      await settle();
    }
    t.is(shard.count("inbound_tcp_errors_total", { error: "no identity" }), 1);
    const { event, fields } = await shard.message("notice");
    t.is(event, "inbound_connection_refused");
    t.is(fields["detail"], certificateLate);
  },
  title: (where) => `TLS ${where} is refused, and the log told, when the certificate does not come`,
});
test("at the mesh port", late, 0);
test("at a port of the application", late, 1);

test("TLS at a port of the application that is for another name goes on to the application when the certificate has come", async (t) => {
  const clock = new HandClock();
  await using origin = await RawOrigin.start((socket) => socket.write("from the application"));
  await using shard = await uncertified(origin.port, { clock });
  const stranger = connect({
    host: "127.0.0.1",
    port: shard.port(1),
    servername: "other.example",
    ca: ca.pem,
  });
  stranger.on("error", () => {});
  await shard.until(() => clock.isTicking);
  await settle();
  t.is(origin.sockets.length, 0);
  // Nobody has to prove who he is to the application's own TLS.
  shard.take(inboundSnapshot(shard.port(1), admitting(anybody)), web);
  await origin.until(() => origin.received.includes("other.example"));
  stranger.destroy();
  t.pass();
});

test("no more than a bounded number of connections wait for the certificate", async (t) => {
  await using shard = await uncertified(deadPort, { limits: { discoveryTimeoutMs: 60_000 } });
  const clients = await Promise.all(
    Array.from({ length: maxAwaitingCertificate + 1 }, () => RawClient.open(shard.port())),
  );
  await shard.until(() => clients.some(({ isEnded }) => isEnded));
  t.is(clients.filter(({ isEnded }) => isEnded).length, 1);
  t.is((await shard.message("notice")).fields["detail"], certificateCrowd);
  for (const client of clients) client[Symbol.dispose]();
});
