import { once } from "node:events";
import { connect } from "node:net";
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from "node:tls";
import test from "ava";
import { openKernelSockets } from "../../../src/edge/net/kernel-sockets.ts";
import { contextOptions } from "../../../src/edge/net/mesh-tls.ts";
import { TestCa } from "../../harness/certificates.ts";
import {
  CountedDescriptors,
  KernelInTest,
  openFileCount,
  patterned,
  Recorder,
  turns,
  turnsUntil,
} from "./kernel-in-test.ts";

const ca = new TestCa();
const identity = ca.issue(["web.demo.id"]);

test.serial("200 connections leave no descriptor behind, here or in the count", async (t) => {
  using kernel = await KernelInTest.start();
  await passThrough(kernel, 1);
  const before = openFileCount();
  const kept = kernel.descriptors.open.size;
  for (let round = 0; round < 10; round++) await passThrough(kernel, 20);
  t.is(openFileCount(), before);
  t.is(kernel.descriptors.open.size, kept);
  t.is(kernel.descriptors.added, 1 + 1 + 200);
  t.deepEqual(kernel.descriptors.faults, []);
});

/** Each in another way. */
async function passThrough(kernel: KernelInTest, count: number): Promise<void> {
  const all = [];
  for (let at = 0; at < count; at++) all.push(await kernel.adopted());
  await Promise.all(
    all.map(async ({ wire, owner, far }, at) => {
      const gone = far.untilClosed();
      far.read();
      if (at % 4 === 0) far.socket.resetAndDestroy();
      else far.socket.end("x");
      if (at % 4 === 1) wire.reset();
      else if (at % 4 === 2)
        owner.whenBytes = () => {
          wire.destroy();
          return true;
        };
      else wire.end();
      await owner.untilClosed();
      await gone;
    }),
  );
}

test.serial("opening and closing leaves no descriptor behind", async (t) => {
  const descriptors = new CountedDescriptors();
  openKernelSockets(descriptors)?.close();
  await turns(2);
  const before = openFileCount();
  for (let round = 0; round < 20; round++) {
    openKernelSockets(descriptors)?.close();
    await turns(2);
  }
  t.is(openFileCount(), before);
  t.is(descriptors.added, 21);
  t.is(descriptors.open.size, 0);
  t.deepEqual(descriptors.faults, []);
});

test.serial("connections that are always ready let others have their turn", async (t) => {
  using kernel = await KernelInTest.start();
  const most = 20_000;
  let messages = 0;
  let isOver = false;
  for (let pair = 0; pair < 3; pair++) {
    const { near, far } = await kernel.pair();
    const wires = [kernel.adopt(near), kernel.adopt(far.socket)];
    for (const wire of wires) {
      const owner = new Recorder();
      owner.whenBytes = (bytes) => {
        messages++;
        return isOver || messages > most || wire.send(bytes, 0, bytes.length);
      };
      wire.owner = owner;
    }
    wires[0]?.send(Buffer.from("ball"), 0, 4);
  }
  await turnsUntil(() => messages > 6);
  await turns(2);
  isOver = true;
  t.true(messages < 200, `${messages} messages in a few turns`);
});

test.serial("where there is no room for descriptors, none is kept open", (t) => {
  const before = openFileCount();
  const descriptors = new CountedDescriptors();
  descriptors.isFull = true;
  t.is(openKernelSockets(descriptors), undefined);
  t.is(openFileCount(), before);
});

test.serial("a connection whose number is too high stays with Node.js, whole", async (t) => {
  using kernel = await KernelInTest.start();
  const { near, far } = await kernel.pair();
  kernel.descriptors.isFull = true;
  const before = openFileCount();
  const firstBuffer = Buffer.alloc(1);
  t.is(kernel.sockets.adopt(near, { firstBuffer, pool: kernel.pool }), "EMFILE");
  t.is(openFileCount(), before);
  far.read().socket.end("to Node");
  const [bytes] = (await once(near.resume(), "data")) as [Buffer];
  near.end("from Node");
  t.is(await far.ending, "end");
  t.is(bytes.toString(), "to Node");
  t.is(far.received.toString(), "from Node");
  t.deepEqual(kernel.descriptors.faults, []);
});

test("a socket that is gone is not taken", async (t) => {
  using kernel = await KernelInTest.start();
  const { near } = await kernel.pair();
  near.destroy();
  const options = { firstBuffer: Buffer.alloc(1), pool: kernel.pool };
  t.is(kernel.sockets.adopt(near, options), "ENOTCONN");
  t.is(kernel.descriptors.open.size, 1);
});

test("the connection lives on when Node's socket is closed, and is told of when it is gone", async (t) => {
  using kernel = await KernelInTest.start();
  const { near, far } = await kernel.pair();
  const heirs: unknown[] = [];
  const wire = kernel.adopt(near, { onGone: (heir) => heirs.push(heir) });
  await once(near, "close");
  far.read();
  wire.send(Buffer.from("alive"), 0, 5);
  await far.untilReceived(5);
  t.true(kernel.descriptors.open.has(wire.fd));
  t.deepEqual(heirs, []);
  wire.destroy();
  t.deepEqual(heirs, [undefined]);
  t.is(kernel.descriptors.open.size, 1);
  t.is(wire.fd, -1);
});

test("what came before a connection was taken over is read", async (t) => {
  using kernel = await KernelInTest.start();
  const { near, far } = await kernel.pair();
  const sent = patterned(40_000);
  far.socket.end(sent);
  await once(far.socket, "finish");
  await turns(3);
  const wire = kernel.adopt(near);
  const chunks: Buffer[] = [];
  const ended = Promise.withResolvers<void>();
  wire.owner = {
    ...wire.owner,
    onBytes: (bytes, length) => chunks.push(Buffer.from(bytes.subarray(0, length))) > 0,
    onEnd: ended.resolve,
  };
  await ended.promise;
  t.true(Buffer.concat(chunks).equals(sent));
});

test("nothing is read further for a wire without an owner", async (t) => {
  using kernel = await KernelInTest.start();
  const { near, far } = await kernel.pair();
  const wire = kernel.adopt(near);
  far.socket.end("xyz");
  await once(far.socket, "finish");
  await turns(5);
  t.not(wire.fd, -1);
  wire.destroy();
});

test("more connections than are served in one turn are all served", async (t) => {
  using kernel = await KernelInTest.start();
  const all = [];
  for (let at = 0; at < 300; at++) all.push(await kernel.adopted());
  for (const [at, { far }] of all.entries()) far.socket.write(String(at));
  for (const [at, { owner }] of all.entries()) {
    await owner.untilReceived(String(at).length);
    t.is(owner.text, String(at));
  }
});

test("TLS works on what a wire released, from the first byte that was read", async (t) => {
  using kernel = await KernelInTest.start();
  const server = createTlsServer({ ...contextOptions(identity), ALPNProtocols: ["x"] });
  const coming = kernel.accept();
  const client = connectTls({
    socket: connect(kernel.port, "127.0.0.1"),
    ca: identity.trustAnchors,
    servername: "web.demo.id",
  });
  t.teardown(() => client.destroy());
  const heirs: unknown[] = [];
  const wire = kernel.adopt(await coming, { onGone: (heir) => heirs.push(heir) });
  const greeted = once(server, "secureConnection");
  const events: string[] = [];
  wire.owner = {
    ...wire.owner,
    // Less than all that is there: the rest is for Node to read.
    readBuffer: () => Buffer.alloc(11),
    onBytes: (bytes, length) => {
      events.push("bytes");
      const socket = wire.release(Buffer.from(bytes.subarray(0, length)));
      t.deepEqual(heirs, [socket]);
      server.emit("connection", socket);
      return false;
    },
    onEnd: () => events.push("end"),
    onClose: () => events.push("close"),
  };
  const [[far]] = (await Promise.all([greeted, once(client, "secureConnect")])) as [
    [TLSSocket],
    unknown,
  ];
  t.is(far.remoteAddress, "127.0.0.1");
  far.end("hello");
  const [bytes] = (await once(client, "data")) as [Buffer];
  client.destroy();
  await once(far, "close");
  t.is(bytes.toString(), "hello");
  t.deepEqual(events, ["bytes"]);
  t.is(wire.fd, -1);
  t.is(kernel.descriptors.open.size, 1);
  t.deepEqual(kernel.descriptors.faults, []);
});

test("what is released reads on behind what was unread, in order, and a released wire is dead", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  const sent = patterned(500_000);
  far.socket.write(sent);
  owner.whenBytes = () => false;
  await owner.untilReceived(1);
  const socket = wire.release(owner.received);
  t.teardown(() => socket.destroy());
  far.read().socket.end();
  const chunks: Buffer[] = [];
  socket.on("data", (bytes: Buffer) => chunks.push(bytes)).resume();
  await once(socket, "end");
  t.true(Buffer.concat(chunks).equals(sent));
  wire.destroy();
  wire.reset();
  wire.end();
  t.true(wire.send(sent, 0, 5));
  socket.end("still here");
  t.is(await far.ending, "end");
  t.is(far.received.toString(), "still here");
  t.deepEqual(owner.events, ["bytes"]);
});

test("a paused connection that was reset meanwhile can be released", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire, owner, far } = await kernel.adopted();
  wire.pause();
  far.socket.resetAndDestroy();
  await far.untilClosed();
  await turns(5);
  const socket = wire.release(Buffer.from("unread"));
  const codes: unknown[] = [];
  socket.on("error", ({ code }: NodeJS.ErrnoException) => codes.push(code)).resume();
  await new Promise((resolve) => {
    socket.once("close", resolve);
  });
  t.deepEqual(codes, ["ECONNRESET"]);
  t.deepEqual(owner.events, []);
});

test("close() closes what is left, and its owners are told", async (t) => {
  using kernel = await KernelInTest.start();
  const all = [];
  for (let at = 0; at < 5; at++) all.push(await kernel.adopted());
  all[2]?.wire.destroy();
  const descriptors = new CountedDescriptors();
  const sockets = openKernelSockets(descriptors);
  const { near, far } = await kernel.pair();
  const other = sockets?.adopt(near, { firstBuffer: Buffer.alloc(1), pool: kernel.pool });
  t.is(typeof other, "object");
  sockets?.close();
  t.is(await far.read().ending, "end");
  t.is(descriptors.open.size, 0);
  t.deepEqual(descriptors.faults, []);
  // Those who live elsewhere go on.
  all[0]?.far.socket.write("on");
  await all[0]?.owner.untilReceived(2);
  t.is(all[0]?.owner.text, "on");
});

test("close() from within onBytes ends the turn for everybody", async (t) => {
  using kernel = await KernelInTest.start();
  const descriptors = new CountedDescriptors();
  const sockets = openKernelSockets(descriptors);
  const events: string[] = [];
  const pairs = [await kernel.pair(), await kernel.pair()];
  for (const { near, far } of pairs) {
    const wire = sockets?.adopt(near, { firstBuffer: Buffer.alloc(9), pool: kernel.pool });
    if (typeof wire !== "object") throw new Error(wire);
    wire.owner = {
      ...wire.owner,
      onBytes: () => {
        events.push("bytes");
        sockets?.close();
        return true;
      },
      onClose: () => events.push("close"),
    };
    far.socket.write("x");
  }
  while (events.length < 3) await turns(1);
  await turns(5);
  t.deepEqual(events, ["bytes", "close", "close"]);
  t.is(descriptors.open.size, 0);
});

test.serial("after close() nothing is taken over, whoever has got its descriptor", async (t) => {
  using kernel = await KernelInTest.start();
  const { near, far } = await kernel.pair();
  const closed = openKernelSockets(new CountedDescriptors());
  closed?.close();
  const next = openKernelSockets(new CountedDescriptors());
  t.teardown(() => next?.close());
  const options = { firstBuffer: Buffer.alloc(1), pool: kernel.pool };
  const wire = closed?.adopt(near, options);
  if (typeof wire === "object") wire.destroy();
  t.is(typeof wire, "string");
  far.read().socket.end();
  await once(near.resume(), "end");
});

test("close() twice closes nothing of others", async (t) => {
  const descriptors = new CountedDescriptors();
  const sockets = openKernelSockets(descriptors);
  sockets?.close();
  sockets?.close();
  await turns(1);
  t.deepEqual(descriptors.faults, []);
});

test("a wire that is closed releases a socket that is closed, and no place twice", async (t) => {
  using kernel = await KernelInTest.start();
  const { wire } = await kernel.adopted();
  wire.destroy();
  t.notThrows(() => t.true(wire.release(Buffer.from("unread")).destroyed));
  t.deepEqual(kernel.descriptors.faults, []);
  const [one, other] = [await kernel.adopted(), await kernel.adopted()];
  t.not(one.wire.slot, other.wire.slot);
});
