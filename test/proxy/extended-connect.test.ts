import { once } from "node:events";
import { createServer as createHttp1 } from "node:http";
import { connect, createServer as createHttp2, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import test from "ava";
import { admitting, anybody, inboundSnapshot } from "../harness/policies.ts";
import { withPort } from "../harness/port.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

/** A machine under load takes its time for a handshake, and none of these tests is about that. */
const patient = { connectTimeoutMs: 20_000, detectTimeoutMs: 20_000 };

type Speaks = { readonly http1: boolean; readonly http2: boolean; readonly connect: boolean };

/** An application that takes WebSockets over what it is said to speak, tells over what, and ends. */
async function application(speaks: Speaks): Promise<Server & AsyncDisposable> {
  const http1 = createHttp1().on("upgrade", (_request, socket: Socket) => {
    const head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade";
    socket.end(`${head}\r\n\r\nover HTTP/1.1`);
  });
  const http2 = createHttp2({ settings: { enableConnectProtocol: speaks.connect } });
  http2.on("stream", (stream: ServerHttp2Stream) => {
    stream.respond({ ":status": 200 });
    stream.end("over HTTP/2");
  });
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (bytes: Buffer) => {
      const isHttp2 = bytes.toString("latin1").startsWith("PRI ");
      if (!(isHttp2 ? speaks.http2 : speaks.http1)) {
        socket.destroy();
        return;
      }
      socket.pause();
      if (isHttp2) socket.unshift(bytes);
      (isHttp2 ? http2 : http1).emit("connection", socket);
      // A server of HTTP/1.1 sees what is put back only when it listens already.
      if (!isHttp2) socket.unshift(bytes);
      process.nextTick(() => socket.resume());
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

/** What a client of RFC 8441 is told through the sidecar of the application. */
async function told(port: number): Promise<string> {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  await once(session, "remoteSettings");
  const stream = session.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":authority": "web",
    ":path": "/chat",
  });
  let text = "";
  stream.on("response", (head) => {
    text = `${head[":status"]} `;
  });
  stream.on("data", (bytes: Buffer) => {
    text += bytes.toString();
  });
  stream.on("error", ({ message }) => {
    text += message;
  });
  stream.on("end", () => stream.end());
  await new Promise((resolve) => {
    stream.once("close", resolve);
  });
  session.destroy();
  return text;
}

const carried = test.macro({
  exec: async (t, speaks: Speaks, expected: string) => {
    await using server = await application(speaks);
    const { port: hostPort } = server.address() as AddressInfo;
    await using shard = await withPort((port) =>
      ShardInTest.start({
        limits: patient,
        listeners: [{ kind: "inbound-port", host: "127.0.0.1", port }],
        forwards: [{ port, host: "127.0.0.1", hostPort }],
        snapshots: [inboundSnapshot(port, admitting(anybody))],
      }),
    );
    // The second finds a connection, or what the first one has learnt.
    t.is(await told(shard.port()), expected);
    t.is(await told(shard.port()), expected);
  },
  title: (name = "") => `speaksHttp2() carries extended CONNECT of an inbound client to ${name}`,
});

const http1 = { http1: true, http2: false, connect: false };
const both = { http1: true, http2: true, connect: false };
const all = { http1: true, http2: true, connect: true };
test("an application of HTTP/1.1 as an upgrade", carried, http1, "200 over HTTP/1.1");
test("an application that does not take it as an upgrade", carried, both, "200 over HTTP/1.1");
test("an application that takes it as it is", carried, all, "200 over HTTP/2");
