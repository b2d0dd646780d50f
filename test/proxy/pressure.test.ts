import { once } from "node:events";
import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import test from "ava";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import { allTo } from "../harness/policies.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const get = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
const mib = 1024 * 1024;

/** What a stream may hold in the proxy: a buffer each way and what Node keeps around it, with room for the noise of the test itself. */
const maxGrowth = 8 * mib;

function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  if (typeof collect !== "function")
    throw new Error("This Node.js does not let us collect garbage");
  collect();
}

function outsideHeap(): number {
  const { external, arrayBuffers } = process.memoryUsage();
  return external + arrayBuffers;
}

/** Writes until the other end takes no more, and answers how much it took. */
async function fill(client: RawClient, total: number): Promise<number> {
  const chunk = Buffer.alloc(mib / 4, "x");
  let sent = 0;
  while (sent < total) {
    sent += chunk.length;
    if (client.socket.write(chunk)) continue;
    // A kernel that takes nothing for so many turns of the loop is full.
    for (let i = 0; i < 200 && client.socket.writableNeedDrain; i++) await setImmediate();
    if (client.socket.writableNeedDrain) break;
  }
  return sent;
}

test.serial("Downstream holds little of 64 MiB that the origin does not read", async (t) => {
  await using origin = await RawOrigin.start(() => {}, { readsNothing: true });
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.send(`POST / HTTP/1.1\r\nHost: web\r\nContent-Length: ${64 * mib}\r\n\r\n`);
  await origin.until(() => origin.sockets.length === 1);
  const before = outsideHeap();
  const sent = await fill(client, 64 * mib);
  t.true(sent < 64 * mib, "the client was to be held back");
  t.true(outsideHeap() - before < maxGrowth, `grew by ${outsideHeap() - before}`);
  // And it all arrives when the origin reads.
  let received = 0;
  const [socket] = origin.sockets;
  socket?.on("data", (bytes: Buffer) => {
    received += bytes.length;
  });
  const rest = Buffer.alloc(64 * mib - sent, "x");
  client.send(rest);
  await shard.until(() => received >= 64 * mib);
  socket?.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  t.is((await client.response()).status, 200);
});

test.serial("Upstream holds little of 64 MiB that the client does not read", async (t) => {
  const chunk = Buffer.alloc(mib, "x");
  let taken = 0;
  await using origin = await RawOrigin.start((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${64 * mib}\r\n\r\n`);
    const more = (): void => {
      while (taken < 64 * mib) {
        taken += mib;
        if (!socket.write(chunk)) return;
      }
    };
    socket.on("drain", more);
    more();
  });
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.socket.removeAllListeners("data");
  const before = outsideHeap();
  client.send(get);
  client.socket.pause();
  await origin.until(() => taken > 0);
  for (let i = 0, last = 0; i < 200; i++) {
    if (taken !== last) i = 0;
    last = taken;
    await setImmediate();
  }
  t.true(taken < 64 * mib, "the origin was to be held back");
  t.true(outsideHeap() - before < maxGrowth + mib, `grew by ${outsideHeap() - before}`);
  let received = 0;
  client.socket.setEncoding("latin1");
  client.socket.on("data", (text: string) => {
    received += text.length;
  });
  client.socket.resume();
  await shard.until(() => received > 64 * mib);
  t.pass();
});

test.serial("Downstream stops reading from a client that takes no answers", async (t) => {
  const body = "x".repeat(100_000);
  await using origin = await RawOrigin.answering(
    `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  using client = await RawClient.open(shard.port());
  client.socket.pause();
  const before = outsideHeap();
  const sent = await fill(client, 0);
  t.is(sent, 0);
  const requests = get.repeat(10_000);
  client.send(requests);
  let asked = -1;
  for (let i = 0; i < 200; i++) {
    if (asked !== origin.received.length) i = 0;
    asked = origin.received.length;
    await setImmediate();
  }
  t.true(origin.received.length < requests.length / 2, "most requests were to be held back");
  t.true(outsideHeap() - before < maxGrowth, `grew by ${outsideHeap() - before}`);
});

test.serial("a client that is gone at any moment leaves nothing behind", async (t) => {
  const body = "x".repeat(300_000);
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  const request = `POST / HTTP/1.1\r\nHost: web\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  for (const end of [1, 10, 30, 60, 70, 1_000, 20_000, 150_000, request.length]) {
    for (const reset of [false, true]) {
      using client = await RawClient.open(shard.port());
      client.send(request.slice(0, end));
      await setImmediate();
      if (reset) client.socket.resetAndDestroy();
      else client.socket.destroy();
      await once(client.socket, "close");
    }
  }
  await shard.until(() => shard.count("tcp_open_connections", { peer: "src" }) === 0);
  using client = await RawClient.open(shard.port());
  t.is((await client.send(get).response()).status, 200);
  await shard.until(() => shard.count("tcp_open_connections", { peer: "dst" }) === 1);
  t.pass();
});

test.serial("an origin that is gone at any moment leaves nothing behind", async (t) => {
  const response = `HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n${"x".repeat(200_000)}`;
  let at = 0;
  let reset = false;
  await using origin = await RawOrigin.start((socket) => {
    socket.write(response.slice(0, at), () => {
      if (reset) socket.resetAndDestroy();
      else socket.destroy();
    });
  });
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  for (at of [0, 1, 10, 20, 45, 1_000, 100_000]) {
    for (reset of [false, true]) {
      using client = await RawClient.open(shard.port());
      client.send(get);
      if (at < 40) t.is((await client.response()).status, 502);
      else await client.closed();
    }
  }
  await shard.until(() => shard.count("tcp_open_connections") === 0);
  t.pass();
});

test.serial("connections that are over keep no memory", async (t) => {
  await using origin = await RawOrigin.answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  const visit = async (): Promise<void> => {
    for (let i = 0; i < 1_000; i++) {
      using client = await RawClient.open(shard.port());
      t.is((await client.send(get).response()).status, 200);
    }
    await shard.until(() => shard.count("tcp_open_connections", { peer: "src" }) === 0);
    collectGarbage();
  };
  await visit();
  const before = process.memoryUsage().arrayBuffers;
  await visit();
  // A connection has some 5 KiB of buffers. What is garbage now may take a few turns of the event loop to be given back.
  await shard.until(() => {
    collectGarbage();
    return process.memoryUsage().arrayBuffers - before < mib;
  });
  t.true(process.memoryUsage().arrayBuffers - before < mib);
});

test.serial("bodies of many streams at once arrive whole", async (t) => {
  await using origin = await RawOrigin.start((socket, soFar) => {
    const head = /POST \/(\d+) [\s\S]*?\r\n\r\n/.exec(soFar);
    const length = Number(head?.[1]);
    if (soFar.length === (head?.[0].length ?? 0) + length) {
      const body = soFar.slice(-length);
      socket.write(
        `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n${body}`,
        "latin1",
      );
    }
  });
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  await Promise.all(
    Array.from({ length: 20 }, async (_none, i) => {
      using client = await RawClient.open(shard.port());
      const length = 200_000 + i * 50_001;
      const body = Array.from({ length: Math.ceil(length / 8) }, (_void, at) =>
        String(i * 1e6 + at).padStart(8, "0"),
      )
        .join("")
        .slice(0, length);
      client.send(
        `POST /${length} HTTP/1.1\r\nHost: web\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n${body}`,
      );
      const response = await client.response();
      t.true(response.body === body, `stream ${i}`);
    }),
  );
});

test.serial("what a client has not taken yet is not overwritten by what others get", async (t) => {
  const answer = (path: string): string => path.padEnd(15_000, path);
  await using origin = await RawOrigin.start((socket, soFar) => {
    const path = /GET \/(\S+) HTTP\/1.1\r\n[^/]*$/.exec(soFar)?.[1] ?? "";
    if (soFar.endsWith("\r\n\r\n")) {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 15000\r\n\r\n${answer(path)}`, "latin1");
    }
  });
  await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
  const ask = (path: string): string => `GET /${path} HTTP/1.1\r\nHost: web\r\n\r\n`;
  const slow: RawClient[] = [];
  for (let i = 0; i < 4; i++) {
    const client = await RawClient.open(shard.port());
    client.socket.pause();
    client.send(Array.from({ length: 2_000 }, (_none, at) => ask(`slow-${i}-${at}`)).join(""));
    slow.push(client);
  }
  // All four are held back when the origin is asked nothing more.
  let asked = -1;
  for (let i = 0; i < 200; i++) {
    if (asked !== origin.received.length) i = 0;
    asked = origin.received.length;
    await setImmediate();
  }
  using quick = await RawClient.open(shard.port());
  for (let i = 0; i < 50; i++) {
    t.is((await quick.send(ask(`quick-${i}`)).response()).body, answer(`quick-${i}`));
  }
  for (const [i, client] of slow.entries()) {
    client.socket.resume();
    for (let at = 0; at < 2_000; at++) {
      const { body } = await client.response();
      if (body !== answer(`slow-${i}-${at}`)) t.fail(`answer ${at} of client ${i} is not its own`);
    }
    client[Symbol.dispose]();
  }
  t.pass();
});

test.serial(
  "what an origin has not taken yet is not overwritten by what others send",
  async (t) => {
    const received = new Map<number, string[]>();
    await using origin = await RawOrigin.start(() => {}, { readsNothing: true });
    await using shard = await ShardInTest.start({ snapshots: allTo(origin.port) });
    const length = 12 * mib;
    const body = (i: number): Buffer => Buffer.alloc(length, `${i} of four; `);
    const clients: RawClient[] = [];
    for (let i = 0; i < 4; i++) {
      const client = await RawClient.open(shard.port());
      client.send(`POST /${i} HTTP/1.1\r\nHost: web\r\nContent-Length: ${length}\r\n\r\n`);
      client.send(body(i));
      clients.push(client);
    }
    await origin.until(() => origin.sockets.length === 4);
    for (let i = 0; i < 200; i++) await setImmediate();
    for (const [at, socket] of origin.sockets.entries()) {
      received.set(at, []);
      socket.setEncoding("latin1").on("data", (text: string) => received.get(at)?.push(text));
    }
    const total = (at: number): number =>
      (received.get(at) ?? []).reduce((sum, text) => sum + text.length, 0);
    await shard.until(() => [0, 1, 2, 3].every((at) => total(at) > length));
    for (const at of [0, 1, 2, 3]) {
      const text = received.get(at)?.join("") ?? "";
      const i = Number(/POST \/(\d)/.exec(text)?.[1]);
      t.true(text.endsWith(`\r\n\r\n${body(i).toString("latin1")}`), `body ${i} is its own`);
    }
    for (const client of clients) client[Symbol.dispose]();
  },
);
