import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import test from "ava";
import { BufferPool } from "../../../src/edge/net/buffer-pool.ts";
import { type DialOptions, dial } from "../../../src/edge/net/dial.ts";
import { openKernelSockets } from "../../../src/edge/net/kernel-sockets.ts";
import type { Wire } from "../../../src/edge/net/wire.ts";
import { deadPort } from "../../harness/port.ts";
import { CountedDescriptors, Recorder, turns } from "./kernel-in-test.ts";

/** A server that speaks first, and a place for the connections to it. */
async function greeting() {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => {}).write("220 hello");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const descriptors = new CountedDescriptors();
  const sockets = openKernelSockets(descriptors);
  if (sockets === undefined) throw new Error("no sockets");
  return {
    server,
    sockets,
    descriptors,
    port: (server.address() as AddressInfo).port,
    [Symbol.dispose]() {
      sockets.close();
      server.close();
    },
  };
}

function optionsOf(port: number, sockets: DialOptions["sockets"]) {
  return {
    target: { host: "127.0.0.1", port, tls: undefined },
    pool: new BufferPool(),
    firstBuffer: Buffer.alloc(1),
    sockets,
  };
}

test("the first words of a server that speaks at once reach the owner, each time", async (t) => {
  using one = await greeting();
  for (let time = 0; time < 50; time++) {
    const owner = new Recorder();
    const opened = Promise.withResolvers<Wire>();
    dial({
      ...optionsOf(one.port, one.sockets),
      onOpen: (wire) => {
        wire.owner = owner;
        opened.resolve(wire);
      },
      onFailure: ({ reason }) => opened.reject(new Error(reason)),
    });
    const wire = await opened.promise;
    await owner.untilReceived(9);
    t.is(owner.text, "220 hello");
    wire.destroy();
    await owner.untilClosed();
  }
  t.is(one.descriptors.open.size, 1);
});

test("an address where nobody listens is a failure, once", async (t) => {
  using one = await greeting();
  const failures: string[] = [];
  const failed = Promise.withResolvers<void>();
  dial({
    ...optionsOf(deadPort, one.sockets),
    onOpen: () => t.fail(),
    onFailure: ({ kind, code, reason }) => {
      failures.push(kind, code, reason);
      failed.resolve();
    },
  });
  t.deepEqual(failures, []);
  await failed.promise;
  await turns(5);
  t.deepEqual(failures, ["connect", "ECONNREFUSED", "connecting failed: ECONNREFUSED"]);
});

test("where there is no room for a connection that stands, it fails and is closed", async (t) => {
  using one = await greeting();
  one.descriptors.isFull = true;
  const accepted = once(one.server, "connection") as Promise<[Socket]>;
  const codes: string[] = [];
  const failed = Promise.withResolvers<void>();
  dial({
    ...optionsOf(one.port, one.sockets),
    onOpen: () => t.fail(),
    onFailure: ({ kind, code }) => {
      codes.push(kind, code);
      failed.resolve();
    },
  });
  const [socket] = await accepted;
  await failed.promise;
  if (!socket.closed) {
    await new Promise((resolve) => {
      socket.resume().once("close", resolve);
    });
  }
  t.deepEqual(codes, ["connect", "EMFILE"]);
});

test("an attempt that is cancelled says nothing more, whatever comes of it", async (t) => {
  using one = await greeting();
  const calls: string[] = [];
  for (const port of [one.port, deadPort]) {
    const dialing = dial({
      ...optionsOf(port, one.sockets),
      onOpen: () => calls.push("open"),
      onFailure: () => calls.push("failure"),
    });
    dialing.cancel();
    dialing.cancel();
  }
  // What comes after it would come after those.
  const opened = Promise.withResolvers<Wire>();
  dial({
    ...optionsOf(one.port, one.sockets),
    onOpen: opened.resolve,
    onFailure: ({ reason }) => opened.reject(new Error(reason)),
  });
  (await opened.promise).destroy();
  await turns(10);
  t.deepEqual(calls, []);
  t.is(one.descriptors.open.size, 1);
});
