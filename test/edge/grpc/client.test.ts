import { once } from "node:events";
import { createServer } from "node:net";
import test from "ava";
import { InboundServerPolicies } from "../../../src/core/wire/gen/linkerd/inbound_pb.ts";
import { callUnary, keepalive, openChannel } from "../../../src/edge/grpc/client.ts";
import { bindService, startGrpcServer } from "../../../src/edge/grpc/server.ts";
import { grpcCode } from "../../../src/edge/grpc/status.ts";
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

test("a channel notices a server that hangs within 20 s", (t) => {
  t.true(keepalive.intervalMs + keepalive.timeoutMs < 20_000);
});
