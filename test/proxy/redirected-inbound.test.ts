import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import test from "ava";
import { writeTransportHeader } from "../../src/codec/transport-header.ts";
import { contextOptions, transportProtocol } from "../../src/edge/net/mesh-tls.ts";
import { TestCa } from "../harness/certificates.ts";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import {
  admitting,
  anybody,
  identities,
  inboundSnapshot,
  serverTable,
} from "../harness/policies.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest, type ShardInTestOptions } from "../harness/shard-in-test.ts";

const get = "GET /path HTTP/1.1\r\nHost: web\r\n\r\n";
const ca = new TestCa();
const frontend = ca.issue(["frontend.demo.id"]);
const web = ca.issue(["web.demo.id"]);

/** A mesh port that connections to `port` of 127.0.0.1 are redirected to. */
function sidecarOf(port: number, options: ShardInTestOptions = {}): Promise<ShardInTest> {
  return ShardInTest.start({
    listeners: [{ kind: "inbound-mesh", host: "127.0.0.1", port: 0 }],
    readOriginal: () => ({ ip: "127.0.0.1", port }),
    ...options,
    snapshots: [web, ...(options.snapshots ?? [])],
  });
}

test("acceptInbound() asks for the policy of the port that a connection was going to, and goes on there", async (t) => {
  await using origin = await EchoOrigin.start("application");
  await using shard = await sidecarOf(origin.port);
  using client = await RawClient.open(shard.port());
  client.send(get);
  t.is((await shard.message("port-wanted")).port, origin.port);
  t.is(origin.connections, 0);
  shard.take(inboundSnapshot(origin.port, admitting(anybody)));
  t.is((await client.response()).body, "application GET /path");
  t.is(shard.messages.filter(({ kind }) => kind === "port-wanted").length, 1);
});

test("acceptInbound() asks again for a policy that was let go", async (t) => {
  await using origin = await EchoOrigin.start("application");
  await using shard = await sidecarOf(origin.port, {
    snapshots: [inboundSnapshot(origin.port, admitting(anybody))],
  });
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).status, 200);
  shard.take({ kind: "drop-inbound", port: origin.port });
  client.send(get);
  await shard.message("port-wanted");
  shard.take(inboundSnapshot(origin.port, admitting(identities("nobody"))));
  t.is((await client.response()).status, 403);
});

test("acceptInbound() refuses a connection that was going to an address that is not the pod's", async (t) => {
  await using origin = await EchoOrigin.start("application");
  await using shard = await sidecarOf(origin.port, {
    settings: { redirect: { isRequired: true, podIps: ["10.244.0.7"] } },
    snapshots: [inboundSnapshot(origin.port, admitting(anybody))],
  });
  using client = await RawClient.open(shard.port());
  await client.closed();
  t.is(client.text, "");
  t.is(shard.count("inbound_tcp_errors_total", { error: "unknown address" }), 1);
});

test("acceptInbound() carries bytes of a redirected connection that are no HTTP", async (t) => {
  await using origin = await RawOrigin.start((socket) => socket.write("answer"));
  await using shard = await sidecarOf(origin.port, {
    snapshots: [inboundSnapshot(origin.port, admitting(anybody))],
  });
  using client = await RawClient.open(shard.port());
  client.send("\0first");
  await client.until((text) => text === "answer");
  t.is(shard.count("inbound_tcp_authz_allow_total"), 1);
});

test("acceptInbound() ends TLS for this workload on a redirected connection, and knows the port still", async (t) => {
  await using origin = await EchoOrigin.start("application");
  await using shard = await sidecarOf(origin.port, {
    snapshots: [inboundSnapshot(origin.port, admitting(identities("frontend.demo.id")))],
  });
  using client = await RawClient.openTls(shard.port(), {
    ...contextOptions(frontend),
    servername: "web.demo.id",
  });
  t.is((await client.send(get).response()).body, "application GET /path");
  t.is(origin.header("l5d-client-id"), "frontend.demo.id");
});

test("acceptInbound() takes a peer at the mesh port to whatever port of the pod its header names, except the mesh port", async (t) => {
  const origin = await EchoOrigin.start("application");
  await using _ = origin;
  const server = createServer();
  server.listen({ host: "127.0.0.1", port: 0, reusePort: true });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await using shard = await sidecarOf(port, {
    listeners: [{ kind: "inbound-mesh", host: "127.0.0.1", port }],
    snapshots: [inboundSnapshot(origin.port, serverTable({ authorizations: [] }))],
  });
  server.close();
  const peer = async (named: number): Promise<RawClient> => {
    const client = await RawClient.openTls(port, {
      ...contextOptions(frontend),
      servername: "web.demo.id",
      ALPNProtocols: [transportProtocol],
    });
    return client.send(writeTransportHeader({ port: named, name: "", protocol: "http1" }));
  };
  using denied = await peer(origin.port);
  t.is((await denied.send(get).response()).status, 403);
  shard.take(inboundSnapshot(origin.port, admitting(identities("frontend.demo.id"))));
  using admitted = await peer(origin.port);
  t.is((await admitted.send(get).response()).body, "application GET /path");
  using looped = await peer(port);
  await looped.closed();
  t.is(shard.count("inbound_tcp_errors_total", { error: "loop" }), 1);
});
