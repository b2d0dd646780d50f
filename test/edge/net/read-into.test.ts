import { once } from "node:events";
import { type AddressInfo, connect, createServer, Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import test from "ava";
import { BufferPool } from "../../../src/edge/net/buffer-pool.ts";
import { contextOptions, MeshServer, tlsServerWire } from "../../../src/edge/net/mesh-tls.ts";
import { readInto } from "../../../src/edge/net/read-into.ts";
import { TestCa } from "../../harness/certificates.ts";
import { patterned, Recorder, turns } from "./kernel-in-test.ts";

const identity = new TestCa().issue(["web.demo.id"]);
const { certificateChain, privateKey, trustAnchors } = identity;

/** A connection of TLS whose server reads as the mesh does. */
async function overTls() {
  const greeted = Promise.withResolvers<TLSSocket>();
  const mesh = new MeshServer({
    credentials: { certificateChain, privateKey, trustAnchors },
    handshakeTimeoutMs: 60_000,
    onPeer: greeted.resolve,
    onFailure: (code) => greeted.reject(new Error(code)),
  });
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  server.on("connection", (socket) => mesh.accept(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connectTls({
    socket: connect((server.address() as AddressInfo).port, "127.0.0.1"),
    ...contextOptions({ certificateChain, privateKey, trustAnchors }),
    servername: "web.demo.id",
  });
  client.on("error", () => {});
  const [socket] = await Promise.all([greeted.promise, once(client, "secureConnect")]);
  const owner = new Recorder();
  const wire = tlsServerWire(socket, owner.buffer, new BufferPool());
  wire.owner = owner;
  return {
    wire,
    owner,
    client,
    [Symbol.dispose]() {
      client.destroy();
      wire.destroy();
      server.close();
    },
  };
}

test("a TLS socket of a server can be read into a buffer of ours, which each new Node.js has to prove", async (t) => {
  using one = await overTls();
  t.false(one.wire.givesBuffers);
  const sent = patterned(700_000);
  one.client.write(sent);
  await one.owner.untilReceived(sent.length);
  t.true(one.owner.received.equals(sent));
  t.is(one.owner.count("bytes of a stranger"), 0);
});

/** Node.js goes on with what it has from one read of the connection (64 KiB), which may be several records of TLS, and with what was left of the read before. */
const decryptedAhead = 2 * 65_536;

test("a TLS socket of a server stops when its owner wants no more, but for what was read already, and goes on", async (t) => {
  using one = await overTls();
  const sent = patterned(2_000_000);
  one.owner.whenBytes = () => false;
  one.client.end(sent);
  for (let length = 0; length < sent.length; ) {
    await one.owner.untilReceived(length + 1);
    await turns(3);
    const more = one.owner.received.length - length;
    t.true(more <= decryptedAhead);
    length += more;
    one.wire.resume();
  }
  await one.owner.until(() => one.owner.count("end") === 1);
  t.true(one.owner.received.equals(sent));
});

test("a TLS socket of a server that was paused from elsewhere brings nothing, and goes on", async (t) => {
  using one = await overTls();
  one.wire.pause();
  one.client.end("later");
  await once(one.client, "finish");
  await turns(10);
  t.deepEqual(one.owner.events, []);
  one.wire.resume();
  await one.owner.until(() => one.owner.count("end") === 1);
  t.is(one.owner.text, "later");
});

test("a TLS socket of a server tells of both ends and then of the close", async (t) => {
  using one = await overTls();
  one.client.end("question");
  await one.owner.until(() => one.owner.count("end") === 1);
  one.wire.send(Buffer.from("answer"), 0, 6);
  one.wire.end();
  const [bytes] = (await once(one.client, "data")) as [Buffer];
  t.is(bytes.toString(), "answer");
  t.is(await one.owner.untilClosed(), "close:");
  t.deepEqual(one.owner.events, ["bytes", "end", "close:"]);
});

test("what is no socket as we know it is left as it was", (t) => {
  const options = { buffer: () => Buffer.alloc(1), callback: () => true };
  const plain = {};
  t.false(readInto(plain as Socket, options));
  t.deepEqual(Reflect.ownKeys(plain), []);
  // One that has no handle yet.
  const socket = new Socket();
  t.false(readInto(socket, options));
});
