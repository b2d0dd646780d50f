import { once } from "node:events";
import type { OutgoingHttpHeaders } from "node:http2";
import { connect } from "node:http2";
import type { ClientReadableStream, StatusObject } from "@grpc/grpc-js";
import type { ExecutionContext } from "ava";
import test from "ava";
import { grpcCode } from "../../../src/core/model/grpc-status.ts";
import type { ServerSchema } from "../../../src/core/wire/gen/linkerd/inbound_pb.ts";
import type { GrpcChannel } from "../../../src/edge/grpc/client.ts";
import { callUnary, openChannel, requestMetadata } from "../../../src/edge/grpc/client.ts";
import type { ReplyStream } from "../../../src/edge/grpc/reply-stream.ts";
import { startGrpcServer } from "../../../src/edge/grpc/server.ts";
import { maxMessageBytes, methodDefinition } from "../../../src/edge/grpc/service.ts";
import { grpcFailure } from "../../../src/edge/grpc/status.ts";
import type { Policy } from "./ports-service.ts";
import { getPort, nameOf, policy, portSpec, servePorts, watchPort } from "./ports-service.ts";

const deadlineMs = 5_000;

/** A stream without the retries of a watch. Its errors are read from the status. */
function openStream(channel: GrpcChannel, metadata = {}): ClientReadableStream<Policy> {
  const client = channel.client();
  if (client === undefined) throw new Error("The channel is closed");
  const { path, requestSerialize, responseDeserialize } = methodDefinition(watchPort);
  const call = client.makeServerStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    portSpec(80),
    requestMetadata(metadata),
  );
  call.on("error", () => undefined);
  return call;
}

/** For calls that no gRPC library would make. */
function requestHeaders(method: string): OutgoingHttpHeaders {
  return {
    ":method": "POST",
    ":path": `/io.linkerd.proxy.inbound.InboundServerPolicies/${method}`,
    "content-type": "application/grpc",
    te: "trailers",
  };
}

/** `once` would stop at the error that comes before the status. */
function statusOf(call: ClientReadableStream<Policy>): Promise<StatusObject> {
  return new Promise((resolve) => call.once("status", resolve));
}

test("a unary handler sees request, metadata and peer, and its reply arrives", async (t) => {
  const { channel } = await servePorts(t, {
    getPort: async (request, call) =>
      policy(`${request.port} ${call.metadata("weft-api")} ${call.metadata("none")} ${call.peer}`),
  });
  const metadata = { "weft-api": "1" };
  const answer = await callUnary(channel, getPort, portSpec(8080), { deadlineMs, metadata });
  t.regex(answer.ok ? nameOf(answer.value) : "", /^8080 1 undefined 127\.0\.0\.1:\d+$/);
});

test("a unary handler fails a call by returning a failure", async (t) => {
  const { channel } = await servePorts(t, {
    getPort: async () => grpcFailure(grpcCode.notFound, 'no "ü" %\nhere \ud800'),
  });
  const answer = await callUnary(channel, getPort, portSpec(80), { deadlineMs });
  t.deepEqual(answer, {
    ok: false,
    failure: { code: grpcCode.notFound, message: 'no "ü" %\nhere \ufffd' },
  });
});

test("what a unary handler throws goes to onBug and not to the caller", async (t) => {
  const bugs: string[] = [];
  const { channel } = await servePorts(
    t,
    {
      getPort: async () => {
        throw new Error("secret");
      },
    },
    (error, method) => bugs.push(`${method}: ${String(error)}`),
  );
  const answer = await callUnary(channel, getPort, portSpec(80), { deadlineMs });
  t.deepEqual(answer, {
    ok: false,
    failure: { code: grpcCode.internal, message: "Internal error" },
  });
  t.deepEqual(bugs, ["io.linkerd.proxy.inbound.InboundServerPolicies/GetPort: Error: secret"]);
});

test("a request above the limit is refused", async (t) => {
  const { channel } = await servePorts(t, { getPort: async () => policy("") });
  const request = portSpec(80, "x".repeat(maxMessageBytes));
  const answer = await callUnary(channel, getPort, request, { deadlineMs });
  t.is(answer.ok ? undefined : answer.failure.code, grpcCode.resourceExhausted);
});

test("bytes that are no message are refused and reach no handler", async (t) => {
  const { server } = await servePorts(t, {
    getPort: async () => {
      t.fail();
      return policy("");
    },
  });
  const session = connect(`http://127.0.0.1:${server.port}`);
  t.teardown(() => session.destroy());
  const stream = session.request(requestHeaders("GetPort"));
  // A frame of two bytes: field 1 with a length of 127 and nothing behind it.
  stream.end(Uint8Array.of(0, 0, 0, 0, 2, 0x0a, 0x7f));
  const [headers] = await once(stream, "response");
  t.is(Number(headers["grpc-status"]), grpcCode.internal);
});

test("messages of a stream arrive in order, before the end", async (t) => {
  const { channel } = await servePorts(t, {
    watchPort(_request, stream) {
      for (let at = 0; at < 20; at++) stream.write(policy(`${at}`));
      stream.end();
    },
  });
  const call = openStream(channel);
  const ended = statusOf(call);
  const names: string[] = [];
  for await (const message of call) names.push(nameOf(message));
  t.deepEqual(
    names,
    Array.from({ length: 20 }, (_, at) => `${at}`),
  );
  const status = await ended;
  t.is(status.code, grpcCode.ok);
});

test("fail() ends a stream with its code after what was written", async (t) => {
  const { channel } = await servePorts(t, {
    watchPort(_request, stream) {
      stream.write(policy("last"));
      stream.fail(grpcCode.notFound, "unknown server \ud800");
      stream.write(policy("never"));
      stream.end();
    },
  });
  const call = openStream(channel);
  const names: string[] = [];
  call.on("data", (message) => names.push(nameOf(message)));
  const status = await statusOf(call);
  t.deepEqual(names, ["last"]);
  t.is(status.code, grpcCode.notFound);
  t.is(status.details, "unknown server \ufffd");
});

test("what a stream handler throws goes to onBug and ends the stream", async (t) => {
  const bugs: unknown[] = [];
  const { channel } = await servePorts(
    t,
    {
      watchPort() {
        throw new Error("secret");
      },
    },
    (error) => bugs.push(error),
  );
  const status = await statusOf(openStream(channel).resume());
  t.is(status.code, grpcCode.internal);
  t.is(status.details, "Internal error");
  t.is(bugs.length, 1);
});

const closes = test.macro({
  async exec(
    t: ExecutionContext,
    endIt: (stream: ReplyStream<typeof ServerSchema>, call: ClientReadableStream<Policy>) => void,
  ) {
    const opened = Promise.withResolvers<ReplyStream<typeof ServerSchema>>();
    const { channel } = await servePorts(t, {
      watchPort(_request, stream) {
        stream.write(policy("first"));
        opened.resolve(stream);
      },
    });
    const call = openStream(channel);
    await once(call, "data");
    const stream = await opened.promise;
    let closed = 0;
    const over = new Promise<void>((resolve) => {
      stream.onClose(() => {
        closed++;
        resolve();
      });
    });
    t.false(stream.closed);
    endIt(stream, call);
    await over;
    t.true(stream.closed);
    t.false(stream.ready);
    t.false(stream.write(policy("late")));
    stream.end();
    t.is(closed, 1);
    const late = Promise.withResolvers<void>();
    stream.onClose(late.resolve);
    await late.promise;
  },
  title: (given) => `onClose() is called once when ${given}`,
});

test("the reader cancels", closes, (_stream, call) => call.cancel());
test("the handler ends the stream", closes, (stream) => stream.end());
test("the handler fails the stream", closes, (stream) => stream.fail(grpcCode.aborted, ""));

test("onClose() is called when the reader's connection breaks", async (t) => {
  const closed = Promise.withResolvers<void>();
  const { server } = await servePorts(t, {
    watchPort(_request, stream) {
      stream.onClose(closed.resolve);
      stream.write(policy("first"));
    },
  });
  const session = connect(`http://127.0.0.1:${server.port}`);
  const stream = session.request(requestHeaders("WatchPort"));
  stream.end(Uint8Array.of(0, 0, 0, 0, 0));
  await once(stream, "response");
  session.destroy();
  await closed.promise;
  t.pass();
});

test("write() answers false to a slow reader, and onDrain() is called when it reads again", async (t) => {
  const opened = Promise.withResolvers<ReplyStream<typeof ServerSchema>>();
  const { channel } = await servePorts(t, {
    watchPort: (_request, stream) => opened.resolve(stream),
  });
  const call = openStream(channel);
  const stream = await opened.promise;
  const drained = new Promise<void>((resolve) => stream.onDrain(resolve));
  const big = policy("x".repeat(100_000));
  let written = 1;
  // The reader's window is 64 KiB, and nobody reads: none of these can be sent in whole.
  while (stream.write(big)) written++;
  t.true(written < 20);
  t.false(stream.ready);
  let read = 0;
  call.on("data", () => read++);
  await drained;
  t.true(stream.ready);
  stream.end();
  await statusOf(call);
  t.is(read, written);
});

test("a writer that ignores a slow reader is cut off instead of taking memory", async (t) => {
  const opened = Promise.withResolvers<ReplyStream<typeof ServerSchema>>();
  const { channel } = await servePorts(t, {
    watchPort: (_request, stream) => opened.resolve(stream),
  });
  const call = openStream(channel);
  const stream = await opened.promise;
  const big = policy("x".repeat(100_000));
  let written = 0;
  while (!stream.closed && written < 10_000) {
    stream.write(big);
    written++;
  }
  t.true(written < 100);
  const status = await statusOf(call.resume());
  t.is(status.code, grpcCode.resourceExhausted);
});

test("a slow reader does not hold up the others", async (t) => {
  const streams: ReplyStream<typeof ServerSchema>[] = [];
  const { server, channel } = await servePorts(t, {
    watchPort(_request, stream) {
      streams.push(stream);
      stream.write(policy("first"));
    },
  });
  const slow = openStream(channel);
  await once(slow, "data");
  slow.pause();
  const [first] = streams;
  while (first?.write(policy("x".repeat(100_000))) === true);
  const other = openChannel(`127.0.0.1:${server.port}`);
  t.teardown(() => other.close());
  const [message] = await once(openStream(other), "data");
  t.is(nameOf(message), "first");
});

test("one connection carries more streams than HTTP/2 clients expect by default", async (t) => {
  const count = 500;
  const { channel } = await servePorts(t, {
    watchPort: (_request, stream) => void stream.write(policy("here")),
  });
  const calls = Array.from({ length: count }, () => openStream(channel));
  const messages = await Promise.all(calls.map((call) => once(call, "data")));
  t.is(messages.length, count);
});

test("close() ends streams with UNAVAILABLE and lets a unary call finish", async (t) => {
  const arrived = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<Policy>();
  const { server, channel } = await servePorts(t, {
    getPort() {
      arrived.resolve();
      return answer.promise;
    },
    watchPort: (_request, stream) => void stream.write(policy("first")),
  });
  const stream = openStream(channel);
  await once(stream, "data");
  const unary = callUnary(channel, getPort, portSpec(80), { deadlineMs });
  await arrived.promise;
  const closed = server.close(deadlineMs);
  const status = await statusOf(stream);
  t.is(status.code, grpcCode.unavailable);
  answer.resolve(policy("done"));
  const result = await unary;
  t.is(result.ok ? nameOf(result.value) : "", "done");
  await closed;
});

test("close() cuts what does not finish in time", async (t) => {
  const arrived = Promise.withResolvers<void>();
  const { server, channel } = await servePorts(t, {
    getPort() {
      arrived.resolve();
      return new Promise(() => undefined);
    },
  });
  const unary = callUnary(channel, getPort, portSpec(80), { deadlineMs: 60_000 });
  await arrived.promise;
  await server.close(10);
  const result = await unary;
  t.false(result.ok);
});

test("startGrpcServer() names the address that is taken", async (t) => {
  const { server } = await servePorts(t, {});
  const address = `127.0.0.1:${server.port}`;
  await t.throwsAsync(startGrpcServer({ address, services: [], onBug: () => undefined }), {
    message: new RegExp(`^Cannot listen on "${address}": .`),
  });
});
