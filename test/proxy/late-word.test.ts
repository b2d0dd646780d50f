/** Letters that may be the beginning of a request, on ports without a policy about requests. */
import { setImmediate } from "node:timers/promises";
import test from "ava";
import { writeTransportHeader } from "../../src/codec/transport-header.ts";
import type { InboundTable } from "../../src/core/table/inbound.ts";
import { contextOptions, transportProtocol } from "../../src/edge/net/mesh-tls.ts";
import { TestCa } from "../harness/certificates.ts";
import { HandClock } from "../harness/hand-clock.ts";
import { RawOrigin } from "../harness/origin.ts";
import { admitting, anybody, identities, inboundSnapshot } from "../harness/policies.ts";
import { withPort } from "../harness/port.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest, type ShardInTestOptions } from "../harness/shard-in-test.ts";

const ca = new TestCa();
const frontend = ca.issue(["frontend.demo.id"]);
const web = ca.issue(["web.demo.id"]);
const appPort = 8080;

/** A port in front of the application, and a mesh port, with the same policy. */
function sidecarOf(
  hostPort: number,
  table: InboundTable | undefined,
  options: ShardInTestOptions = {},
): Promise<ShardInTest> {
  return withPort((port) => {
    const policies = [port, appPort].flatMap((one) =>
      table === undefined ? [] : [inboundSnapshot(one, table)],
    );
    return ShardInTest.start({
      listeners: [
        { kind: "inbound-port", host: "127.0.0.1", port },
        { kind: "inbound-mesh", host: "127.0.0.1", port: 0 },
      ],
      forwards: [port, appPort].map((one) => ({ port: one, host: "127.0.0.1", hostPort })),
      ...options,
      snapshots: [web, ...policies],
    });
  });
}

/** Sends back what comes. */
function echo(): Promise<RawOrigin> {
  let sent = 0;
  return RawOrigin.start((socket, soFar) => {
    socket.write(soFar.slice(sent), "latin1");
    sent = soFar.length;
  });
}

test("acceptInbound() carries letters whose client waits where nobody wrote a policy about requests", async (t) => {
  await using origin = await echo();
  await using shard = await sidecarOf(origin.port, admitting(anybody), {
    limits: { detectTimeoutMs: 100 },
  });
  using client = await RawClient.open(shard.port());
  client.send("login");
  await client.until((text) => text === "login");
  client.send(": me\n");
  await client.until((text) => text === "login: me\n");
  t.is(shard.count("inbound_tcp_authz_allow_total"), 1);
  t.is(shard.count("inbound_tcp_errors_total"), 0);
});

test("acceptInbound() carries letters to no client that is not admitted", async (t) => {
  await using origin = await echo();
  await using shard = await sidecarOf(origin.port, admitting(identities("frontend.demo.id")), {
    limits: { detectTimeoutMs: 100 },
  });
  using client = await RawClient.open(shard.port());
  client.send("login");
  await client.closed();
  t.is(origin.sockets.length, 0);
  t.is(shard.count("inbound_tcp_authz_deny_total"), 1);
});

for (const [first, ...rest] of [
  ["GE", "T /admin HTTP/1.1\r\nHost: web\r\nl5d-client-id: admin\r\n\r\n"],
  ["GET ", "/admin HTTP/1.1\r\nHost: web\r\n\r\n"],
  ["\r\n", "G", "E", "T", " ", "/ HTTP/1.1\r\nHost: web\r\n\r\n"],
  ["GET http:/", "/web/ HTTP/1.1\r\nHost: web\r\n\r\n"],
  ["PRI * HTTP/2.0\r\n\r\n", "SM\r\n\r\n"],
] as const) {
  test(`acceptInbound() lets nobody pass HTTP through unread by waiting after ${JSON.stringify(first)}`, async (t) => {
    await using origin = await echo();
    await using shard = await sidecarOf(origin.port, admitting(anybody), {
      limits: { detectTimeoutMs: 50 },
    });
    using client = await RawClient.open(shard.port());
    client.send(first);
    let said: string = first;
    for (const part of rest.slice(0, -1)) {
      await client.until((text) => text === said);
      client.send(part);
      said += part;
    }
    await client.until((text) => text === said);
    client.send(rest.at(-1) ?? "");
    await client.closed();
    t.is(client.error?.code, "ECONNRESET");
    t.is(origin.received, said);
    t.is(shard.count("inbound_tcp_errors_total", { error: "late http" }), 1);
  });
}

test("acceptInbound() waits for the policy of the port with the letters of a client that waits", async (t) => {
  const clock = new HandClock();
  await using origin = await echo();
  await using shard = await sidecarOf(origin.port, undefined, { clock });
  using client = await RawClient.open(shard.port());
  client.send("login");
  // Longer than a word is waited for, shorter than a policy.
  for (let waited = 0; waited < 4_000; waited += 100) {
    clock.pass(100);
    await setImmediate();
  }
  t.is(origin.sockets.length, 0);
  shard.take(inboundSnapshot(shard.port(), admitting(anybody)));
  while (client.text === "") {
    clock.pass(100);
    await setImmediate();
  }
  t.is(client.text, "login");
});

test("greetGuest() carries letters that a mesh client calls opaque at once, and never as HTTP", async (t) => {
  await using origin = await echo();
  await using shard = await sidecarOf(origin.port, admitting(identities("frontend.demo.id")), {
    limits: { detectTimeoutMs: 60_000 },
  });
  const header = { port: appPort, name: "", protocol: "none" } as const;
  using client = await RawClient.openTls(shard.port(1), {
    ...contextOptions(frontend),
    servername: "web.demo.id",
    ALPNProtocols: [transportProtocol],
  });
  client.send(writeTransportHeader(header));
  client.send("GE");
  await client.until((text) => text === "GE");
  client.send("T / HTTP/1.1\r\nHost: web\r\nl5d-client-id: admin\r\n\r\n");
  await client.closed();
  t.is(client.error?.code, "ECONNRESET");
  t.is(origin.received, "GE");
});
