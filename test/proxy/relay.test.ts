import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  type AddressInfo,
  connect,
  createServer,
  type Socket,
  type TcpNetConnectOpts,
} from "node:net";
import { type ConnectionOptions, connect as tlsConnect } from "node:tls";
import test from "ava";
import { writeTransportHeader } from "../../src/codec/transport-header.ts";
import { contextOptions, transportProtocol } from "../../src/edge/net/mesh-tls.ts";
import { TestCa } from "../harness/certificates.ts";
import { HandClock } from "../harness/hand-clock.ts";
import { anybody, authorization, inboundSnapshot, serverTable } from "../harness/policies.ts";
import { ShardInTest, type ShardInTestOptions } from "../harness/shard-in-test.ts";

const ca = new TestCa();
const frontend = ca.issue(["frontend.demo.id"]);
const appPort = 8080;

/** One connection through a sidecar on an opaque port: the client's end and the application's. */
class Pair implements AsyncDisposable {
  readonly client: Socket;
  readonly app: Socket;
  readonly shard: ShardInTest;
  readonly #close: () => void;

  private constructor(client: Socket, app: Socket, shard: ShardInTest, close: () => void) {
    this.client = client;
    this.app = app;
    this.shard = shard;
    this.#close = close;
  }

  static async open(options: ShardInTestOptions = {}): Promise<Pair> {
    const server = createServer({ allowHalfOpen: true });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port: hostPort } = server.address() as AddressInfo;
    const table = serverTable({
      protocol: "opaque",
      authorizations: [authorization("everyone", anybody)],
    });
    const shard = await ShardInTest.start({
      listeners: [{ kind: "inbound-mesh", host: "127.0.0.1", port: 0 }],
      forwards: [{ port: appPort, host: "127.0.0.1", hostPort }],
      snapshots: [ca.issue(["web.demo.id"]), inboundSnapshot(appPort, table)],
      ...options,
    });
    const tls: ConnectionOptions & Pick<TcpNetConnectOpts, "allowHalfOpen" | "host" | "port"> = {
      ...contextOptions(frontend),
      host: "127.0.0.1",
      port: shard.port(),
      servername: "web.demo.id",
      ALPNProtocols: [transportProtocol],
      allowHalfOpen: true,
    };
    const client = tlsConnect(tls);
    client.on("error", () => {});
    client.write(writeTransportHeader({ port: appPort, name: "", protocol: "none" }));
    client.write("x");
    const [app] = (await once(server, "connection")) as [Socket];
    app.on("error", () => {});
    await once(app, "readable");
    app.read();
    return new Pair(client, app, shard, () => server.close());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.destroy();
    this.app.destroy();
    this.#close();
    await this.shard[Symbol.asyncDispose]();
  }
}

/** All that comes until the end of the other side; this side stays open. */
async function collect(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on("data", (bytes: Buffer) => chunks.push(bytes));
  await once(socket, "end");
  return Buffer.concat(chunks);
}

/** An abort is told apart from an end, by TLS as well. */
async function failure(socket: Socket): Promise<string | undefined> {
  const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
  return error.code;
}

function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

test("Relay carries bytes both ways at once, and an end of one side as an end of the other", async (t) => {
  await using pair = await Pair.open();
  const up = randomBytes(3_000_000);
  const down = randomBytes(3_000_000);
  const atApp = collect(pair.app);
  const atClient = collect(pair.client);
  pair.client.write(up);
  pair.app.end(down);
  t.is(digest(await atClient), digest(down));
  // The server has said everything, the client has not.
  pair.client.end("last words");
  t.is(digest(await atApp), digest(Buffer.concat([up, Buffer.from("last words")])));
  await pair.shard.until(
    () => pair.shard.count("tcp_open_connections", { direction: "inbound" }) === 0,
  );
  t.is(pair.shard.count("tcp_close_total", { direction: "inbound" }), 2);
});

test("Relay reads no faster than the other side takes", async (t) => {
  await using pair = await Pair.open();
  const chunk = Buffer.alloc(64 * 1024);
  let sent = 0;
  // Until everything between the two ends is full, and then a little while longer.
  for (let idle = 0; idle < 50; ) {
    if (pair.client.writableLength < chunk.length) {
      pair.client.write(chunk);
      sent += chunk.length;
      idle = 0;
    } else {
      idle++;
    }
    t.true(sent < 100_000_000, "there is no end to what is taken");
    const { promise, resolve } = Promise.withResolvers<void>();
    setImmediate(resolve);
    await promise;
  }
  let received = 0;
  pair.app.on("data", (bytes: Buffer) => {
    received += bytes.length;
  });
  pair.client.end();
  await once(pair.app, "end");
  t.is(received, sent);
});

test("Relay passes an abort of the server on", async (t) => {
  await using pair = await Pair.open();
  const failed = failure(pair.client.resume());
  pair.app.resetAndDestroy();
  t.is(await failed, "ECONNRESET");
  await pair.shard.until(
    () => pair.shard.count("tcp_open_connections", { direction: "inbound" }) === 0,
  );
});

test("Relay gives up a connection that is silent for longer than the limit, and no other", async (t) => {
  const clock = new HandClock();
  await using pair = await Pair.open({ limits: { tunnelIdleTimeoutMs: 60_000 }, clock });
  for (let i = 0; i < 3; i++) {
    clock.pass(40_000);
    pair.client.write("still here");
    await once(pair.app, "readable");
    pair.app.read();
  }
  t.is(pair.shard.count("tcp_open_connections", { direction: "inbound" }), 2);
  const failed = failure(pair.client.resume());
  clock.pass(61_000);
  t.is(await failed, "ECONNRESET");
  await pair.shard.until(
    () => pair.shard.count("tcp_open_connections", { direction: "inbound" }) === 0,
  );
});

test("Relay passes an abort of a client without TLS on", async (t) => {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port: hostPort } = server.address() as AddressInfo;
  const table = serverTable({
    protocol: "opaque",
    authorizations: [authorization("everyone", anybody)],
  });
  await using shard = await ShardInTest.start({
    listeners: [{ kind: "inbound-port", host: "127.0.0.1", port: 0 }],
    forwards: [{ port: 0, host: "127.0.0.1", hostPort }],
    snapshots: [inboundSnapshot(0, table)],
  });
  const client = connect({ host: "127.0.0.1", port: shard.port() });
  const [app] = (await once(server, "connection")) as [Socket];
  const failed = once(app, "error") as Promise<[NodeJS.ErrnoException]>;
  app.write("hello");
  await once(client, "data");
  client.resetAndDestroy();
  t.is((await failed)[0].code, "ECONNRESET");
  server.close();
});
