import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { connectivityState } from "@grpc/grpc-js";
import test from "ava";
import { grpcCode } from "../../../src/core/model/grpc-status.ts";
import { InboundServerPolicies } from "../../../src/core/wire/gen/linkerd/inbound_pb.ts";
import {
  callUnary,
  type GrpcChannel,
  keepalive,
  openChannel,
} from "../../../src/edge/grpc/client.ts";
import { bindService, startGrpcServer } from "../../../src/edge/grpc/server.ts";
import { Gate } from "../../sidecar/gate.ts";
import { getPort, nameOf, policy, portSpec, servePorts } from "./ports-service.ts";

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

test("callUnary() gives up at its deadline", async (t) => {
  const { channel } = await servePorts(t, { getPort: () => new Promise(() => undefined) });
  const answer = await callUnary(channel, getPort, portSpec(80), { deadlineMs: 50 });
  t.is(answer.ok ? undefined : answer.failure.code, grpcCode.deadlineExceeded);
});

test("callUnary() waits for a server that comes up later", async (t) => {
  const port = await freePort();
  const channel = openChannel(`127.0.0.1:${port}`);
  const call = callUnary(channel, getPort, portSpec(80), { deadlineMs: 10_000 });
  const server = await startGrpcServer({
    address: `127.0.0.1:${port}`,
    services: [
      bindService(InboundServerPolicies, {
        getPort: async () => policy("late"),
        watchPort: (_request, stream) => stream.end(),
      }),
    ],
    onBug: (error) => t.fail(String(error)),
  });
  t.teardown(async () => {
    channel.close();
    await server.close(0);
  });
  const answer = await call;
  t.is(answer.ok ? nameOf(answer.value) : "", "late");
});

test("callUnary() on a closed channel says so", async (t) => {
  const channel = openChannel("127.0.0.1:1");
  channel.close();
  const answer = await callUnary(channel, getPort, portSpec(80), { deadlineMs: 1_000 });
  t.is(answer.ok ? undefined : answer.failure.code, grpcCode.unavailable);
});

test("renew() leaves a client alone that is connected", async (t) => {
  const { channel } = await servePorts(t, { getPort: async () => policy("") });
  const client = channel.client();
  await callUnary(channel, getPort, portSpec(80), { deadlineMs: 5_000 });
  t.false(client === undefined || channel.renew(client));
  t.is(channel.client(), client);
});

test("renew() replaces a client once, whoever asks", (t) => {
  const channel = openChannel("127.0.0.1:1");
  t.teardown(() => channel.close());
  const first = channel.client();
  if (first === undefined) return t.fail();
  t.true(channel.renew(first));
  const second = channel.client();
  t.not(second, first);
  t.true(channel.renew(first));
  t.is(channel.client(), second);
});

/** Leaves the machine to the connections under test. */
const pollMs = 5;

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, pollMs));
}

function isConnected(channel: GrpcChannel): boolean {
  const state = channel.client()?.getChannel().getConnectivityState(false);
  return state === connectivityState.READY;
}

test("openChannel() connects to nobody before it is asked to", async (t) => {
  const { channel } = await servePorts(t, { getPort: async () => policy("") });
  await callUnary(channel, getPort, portSpec(80), { deadlineMs: 5_000 });
  t.false(channel.wasConnected());
});

test("openChannel() keeps a channel open: before the first call, and after a loss that no call has met", async (t) => {
  const server = await startGrpcServer({
    address: "127.0.0.1:0",
    services: [],
    onBug: (error) => t.fail(String(error)),
  });
  await using gate = await Gate.before(`127.0.0.1:${server.port}`);
  const channel = openChannel(gate.address, { isKeptOpen: true });
  t.false(channel.wasConnected());
  gate.isOpen = true;
  await until(() => isConnected(channel));
  t.true(channel.wasConnected());
  gate.shut();
  await until(() => !isConnected(channel));
  t.true(channel.wasConnected());
  gate.isOpen = true;
  await until(() => isConnected(channel));
  channel.close();
  await server.close(0);
});

test("openChannel() gives up an attempt to connect that gets no answer, for a channel that is kept open", async (t) => {
  const sockets: Socket[] = [];
  const mute = createServer((socket) => sockets.push(socket.resume())).listen(0, "127.0.0.1");
  await once(mute, "listening");
  const address = mute.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const channel = openChannel(`127.0.0.1:${port}`, { isKeptOpen: true });
  const first = channel.client();
  await until(() => channel.client() !== first && sockets.length > 1);
  t.false(channel.wasConnected());
  channel.close();
  mute.close();
  for (const socket of sockets) socket.destroy();
});

test("a channel notices a server that hangs within 20 s", (t) => {
  t.true(keepalive.intervalMs + keepalive.timeoutMs < 20_000);
});
