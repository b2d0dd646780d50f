import { connect } from "node:net";
import { setImmediate } from "node:timers/promises";
import test from "ava";
import { HandClock } from "../harness/hand-clock.ts";
import { RawOrigin } from "../harness/origin.ts";
import { admitting, allTo, anybody, inboundSnapshot } from "../harness/policies.ts";
import { withPort } from "../harness/port.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

const graceMs = 20_000;
/** When connections are left, and a moment more. */
const leavesMs = 19_200;
const nothing = { requests: 0, tunnels: 0, opaque: 0 };
const goingAway = "\x88\x02\x03\xe9";

const upgradeTo = (protocol: string): string =>
  `GET /ws HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`;
const switchTo = (protocol: string): string =>
  `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`;

/** A tunnel through a shard, whose server says `first` at once. */
async function tunnelOf(protocol: string, first: string = "") {
  const stack = new AsyncDisposableStack();
  const clock = new HandClock();
  const origin = stack.use(
    await RawOrigin.start((socket, soFar) => {
      if (soFar.endsWith("\r\n\r\n")) socket.write(`${switchTo(protocol)}${first}`, "latin1");
    }),
  );
  const shard = stack.use(await ShardInTest.start({ snapshots: allTo(origin.port), clock }));
  // A client that says its last words after it has been told to go.
  const socket = connect({ host: "127.0.0.1", port: shard.port(), allowHalfOpen: true });
  const client = stack.use(new RawClient(socket));
  await client.send(upgradeTo(protocol)).head();
  await client.until((text) => text === first);
  const [server] = origin.sockets;
  if (server === undefined) throw new Error("The server has no connection");
  return {
    client,
    server,
    origin,
    /** What the server has got since the head. */
    sent: (): string => origin.received.slice(origin.received.indexOf("\r\n\r\n") + 4),
    drain(): void {
      shard.take({ kind: "drain", graceMs });
      clock.pass(leavesMs);
    },
    async report() {
      // Whoever was just accepted is waited for.
      for (let turns = 0; turns < 20; turns++) await setImmediate();
      clock.pass(graceMs);
      await shard.drained();
      return shard.message("drained");
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** The payload of a short frame of a client (RFC 6455 §5.3). */
function unmasked(frame: string): number[] {
  const bytes = Buffer.from(frame, "latin1");
  const mask = bytes.subarray(2, 6);
  return [...bytes.subarray(6)].map((byte, at) => byte ^ (mask[at % 4] ?? 0));
}

test("a WebSocket that is left gets a close frame of its own to each side, and an end in order", async (t) => {
  await using tunnel = await tunnelOf("websocket", "\x81\x02hi");
  const { client, origin, sent } = tunnel;
  client.send("\x81\x81\0\0\0\0x");
  await origin.until(() => sent() !== "");
  tunnel.drain();
  await client.closed();
  t.is(client.error, undefined);
  t.is(client.text, `\x81\x02hi${goingAway}`);
  client.socket.end();
  await origin.until(() => origin.openCount === 0);
  const last = sent().slice("\x81\x81\0\0\0\0x".length);
  t.is(last.slice(0, 2), "\x88\x82");
  t.deepEqual(unmasked(last), [0x03, 0xe9]);
  t.like(await tunnel.report(), { closedPolitely: { ...nothing, tunnels: 1 }, cutOff: nothing });
});

test("a WebSocket in the middle of frames is left when they are complete, each way for itself", async (t) => {
  await using tunnel = await tunnelOf("websocket", "\x81\x04he");
  const { client, server, origin, sent } = tunnel;
  const begun = "\x81\x82\0\0";
  client.send(begun);
  await origin.until(() => sent() === begun);
  tunnel.drain();
  server.write("llo behind it", "latin1");
  await client.closed();
  t.is(client.text, `\x81\x04hell${goingAway}`);
  client.send("\0\0xybehind it");
  await origin.until(() => sent().length > begun.length);
  t.is(sent().slice(0, begun.length + 6), `${begun}\0\0xy\x88\x82`);
  client.socket.end();
  await origin.until(() => origin.openCount === 0);
  t.like(await tunnel.report(), { closedPolitely: { ...nothing, tunnels: 1 }, cutOff: nothing });
});

test("a WebSocket whose server has said goodbye is told nothing more", async (t) => {
  await using tunnel = await tunnelOf("websocket", "\x88\x02\x03\xe8");
  tunnel.drain();
  await tunnel.client.closed();
  t.is(tunnel.client.text, "\x88\x02\x03\xe8");
});

test("a WebSocket that does not finish its frame gets no other into the middle of it", async (t) => {
  await using tunnel = await tunnelOf("websocket", "\x81\x04he");
  tunnel.drain();
  await tunnel.client.closed();
  t.is(tunnel.client.text, "\x81\x04he");
});

test("a tunnel without frames gets an end in order when nothing goes through it", async (t) => {
  await using tunnel = await tunnelOf("x", "hello");
  tunnel.drain();
  await tunnel.client.closed();
  t.is(tunnel.client.error, undefined);
  t.is(tunnel.client.text, "hello");
  tunnel.client.socket.end();
  await tunnel.origin.until(() => tunnel.origin.openCount === 0);
  t.like(await tunnel.report(), { closedPolitely: { ...nothing, tunnels: 1 }, cutOff: nothing });
});

/** A connection that is not read, on which something has come so long before it is to be left. */
async function opaqueWith(pauseMs: number) {
  const stack = new AsyncDisposableStack();
  const clock = new HandClock();
  const origin = stack.use(await RawOrigin.start((socket) => socket.write("\0answer")));
  const shard = stack.use(
    await withPort((port) =>
      ShardInTest.start({
        listeners: [{ kind: "inbound-port", host: "127.0.0.1", port }],
        forwards: [{ port, host: "127.0.0.1", hostPort: origin.port }],
        snapshots: [inboundSnapshot(port, admitting(anybody))],
        clock,
      }),
    ),
  );
  const client = stack.use(await RawClient.open(shard.port()));
  client.send("\0first");
  await client.until((text) => text === "\0answer");
  shard.take({ kind: "drain", graceMs });
  clock.pass(leavesMs - pauseMs);
  client.send("\0second");
  await client.until((text) => text === "\0answer\0answer");
  clock.pass(pauseMs);
  return { client, origin, shard, clock, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test("a connection that is not read gets an end in order when nothing goes through it", async (t) => {
  await using opaque = await opaqueWith(5_000);
  const { client, origin, shard, clock } = opaque;
  await client.closed();
  t.is(client.error, undefined);
  await origin.until(() => origin.openCount === 0);
  for (let turns = 0; turns < 20; turns++) await setImmediate();
  clock.pass(graceMs);
  await shard.drained();
  const closedPolitely = { ...nothing, opaque: 1 };
  t.like(await shard.message("drained"), { closedPolitely, cutOff: nothing });
});

test("a connection that is not read is aborted with the grace period when it is in the middle of something", async (t) => {
  await using opaque = await opaqueWith(300);
  const { client, shard, clock } = opaque;
  clock.pass(graceMs);
  await shard.drained();
  await client.closed();
  t.is(client.error?.code, "ECONNRESET");
  const cutOff = { ...nothing, opaque: 1 };
  t.like(await shard.message("drained"), { closedPolitely: nothing, cutOff });
});
