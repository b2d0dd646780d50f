/** What clients of HTTP/2 do to wear a proxy out, by frames made by hand, against its own listener. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import test from "ava";
import { Flag, Frame, Http2Error, Setting } from "../../src/codec/http2/frames.ts";
import { defaultHttp2Limits } from "../../src/codec/http2/protection.ts";
import { defaultLimits } from "../../src/config/sidecar.ts";
import type { ToWorker } from "../../src/thread/messages.ts";
import {
  cutFrames,
  type FieldList,
  frame,
  getRequest,
  headers,
  hello,
  literals,
  type MadeFrame,
  word,
} from "../codec/http2/hand-made.ts";
import { HandClock } from "../harness/hand-clock.ts";
import { EchoOrigin, RawOrigin } from "../harness/origin.ts";
import {
  allTo,
  backend,
  endpoint,
  endpointSnapshot,
  outboundSnapshot,
  routed,
  rule,
  to,
} from "../harness/policies.ts";
import { RawClient } from "../harness/raw-client.ts";
import { ShardInTest } from "../harness/shard-in-test.ts";

/** A machine under load takes its time for a handshake, and none of these tests is about that. */
const patient = { connectTimeoutMs: 20_000, detectTimeoutMs: 20_000 };

class FrameClient implements Disposable {
  readonly socket: Socket;
  isClosed = false;
  #bytes: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (bytes: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, bytes]);
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.isClosed = true;
    });
  }

  static async open(port: number): Promise<FrameClient> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    await once(socket, "connect");
    socket.write(hello);
    return new FrameClient(socket);
  }

  send(...frames: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(frames));
  }

  frames(): readonly MadeFrame[] {
    return cutFrames(this.#bytes);
  }

  /** The code of the GOAWAY that ended the connection, or of the RST_STREAM of a stream; undefined: there was none yet. */
  code(type: number, stream: number = 0): number | undefined {
    const found = this.frames().findLast((one) => one.type === type && one.stream === stream);
    return found?.payload?.readUInt32BE(type === Frame.goAway ? 4 : 0);
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

function http1At(port: number): readonly ToWorker[] {
  const table = routed(rule({ backends: to(backend("a")) }));
  return [endpointSnapshot("a", endpoint(port)), outboundSnapshot({ ...table, protocol: "http1" })];
}

const id = (at: number): number => 2 * at + 1;

/** Frames until the connection is over; others are served meanwhile as ever. */
const floods = test.macro({
  exec: async (t, cause: string, count: number, make: (at: number) => Buffer) => {
    await using origin = await EchoOrigin.start("a");
    await using shard = await ShardInTest.start({
      limits: patient,
      snapshots: allTo(origin.port),
    });
    using client = await FrameClient.open(shard.port());
    const all = Array.from({ length: count }, (_, at) => make(at));
    client.send(...all);
    await shard.until(() => client.code(Frame.goAway) !== undefined);
    t.is(client.code(Frame.goAway), Http2Error.enhanceYourCalm);
    await shard.until(() => client.isClosed);
    await shard.until(() => shard.count("outbound_tcp_errors_total", { error: "http2" }) === 1);
    t.is(shard.count("weft_http2_refusals_total", { cause }), 1);
    using other = await RawClient.open(shard.port());
    other.send("GET /x HTTP/1.1\r\nHost: web\r\n\r\n");
    t.is((await other.response()).body, "a GET /x");
    await shard.until(() => shard.count("tcp_open_connections", { peer: "src" }) === 1);
  },
  title: (name = "") => `a connection is ended that ${name}`,
});

const { resets, settings, pings, emptyData, idleFrames, maxContinuations } = defaultHttp2Limits;

test(
  "resets its streams as fast as it opens them",
  floods,
  "reset flood",
  resets.atOnce + 50,
  (at) =>
    Buffer.concat([
      headers(id(at), getRequest),
      frame({ type: Frame.reset, stream: id(at), payload: word(Http2Error.cancel) }),
    ]),
);
test("makes the proxy reset its streams", floods, "reset flood", resets.atOnce + 50, (at) =>
  Buffer.concat([
    headers(id(at), getRequest, false),
    frame({ type: Frame.windowUpdate, stream: id(at), payload: word(0) }),
  ]),
);
test("sends SETTINGS without end", floods, "settings flood", settings.atOnce + 5, () =>
  frame({ type: Frame.settings }),
);
test("sends PING without end", floods, "ping flood", pings.atOnce + 5, () =>
  frame({ type: Frame.ping, payload: Buffer.alloc(8) }),
);
test("sends frames that do nothing", floods, "idle frame flood", idleFrames.atOnce + 5, () =>
  frame({ type: Frame.priority, stream: 1, payload: Buffer.alloc(5) }),
);
test("sends DATA without content", floods, "empty data flood", emptyData.atOnce + 5, (at) =>
  at === 0 ? headers(1, getRequest, false) : frame({ type: Frame.data, stream: 1 }),
);
test("continues a head without end", floods, "continuation flood", maxContinuations + 2, (at) =>
  at === 0
    ? frame({ type: Frame.headers, stream: 1, payload: literals(getRequest) })
    : frame({ type: Frame.continuation, stream: 1, payload: literals([["x", "y"]]) }),
);
test("packs a large list into a small head", floods, "header bomb", 1, () => {
  const indexed = Buffer.concat([
    literals(getRequest),
    Buffer.from([0x40, 1, 0x78, 0x7f, 0x81, 0x1e]),
    Buffer.alloc(4_000, "y"),
  ]);
  // Each byte is the field that was added.
  const bomb = Buffer.concat([indexed, Buffer.alloc(10_000, 0xbe)]);
  return frame({ type: Frame.headers, flags: Flag.endHeaders, stream: 1, payload: bomb });
});

test("a head that is too long is answered by 431, and the connection goes on", async (t) => {
  await using origin = await EchoOrigin.start("a");
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: allTo(origin.port),
  });
  using client = await FrameClient.open(shard.port());
  const long: FieldList = [
    ...getRequest,
    ...Array.from({ length: 5 }, () => ["x", "y".repeat(14_000)] as const),
  ];
  const [first = "", ...rest] = long.map((field) => literals([field]).toString("latin1"));
  client.send(
    frame({ type: Frame.headers, stream: 1, payload: Buffer.from(first, "latin1") }),
    ...rest.map((field, at) =>
      frame({
        type: Frame.continuation,
        flags: at === rest.length - 1 ? Flag.endHeaders : 0,
        stream: 1,
        payload: Buffer.from(field, "latin1"),
      }),
    ),
  );
  await shard.until(() => client.code(Frame.reset, 1) !== undefined);
  t.is(client.code(Frame.reset, 1), Http2Error.none);
  client.send(headers(3, getRequest));
  await shard.until(() =>
    client.frames().some(({ type, stream }) => type === Frame.data && stream === 3),
  );
  t.is(client.code(Frame.goAway), undefined);
});

test("a client that opens no window costs a stream, and that for a minute at most", async (t) => {
  const clock = new HandClock();
  await using origin = await RawOrigin.answering(
    `HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n${"x".repeat(100_000)}`,
  );
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: http1At(origin.port),
    clock,
  });
  using client = await FrameClient.open(shard.port());
  const noWindow = Buffer.alloc(6);
  noWindow.writeUInt16BE(Setting.initialWindowSize);
  client.send(frame({ type: Frame.settings, payload: noWindow }), headers(1, getRequest));
  await shard.until(() =>
    client.frames().some(({ type, stream }) => type === Frame.headers && stream === 1),
  );
  t.false(client.frames().some(({ type }) => type === Frame.data));
  for (let passed = 0; passed <= defaultHttp2Limits.sendStallMs + 1_000; passed += 1_000) {
    clock.pass(1_000);
    client.send(frame({ type: Frame.settings, flags: Flag.ack }));
    const before = client.frames().length;
    client.send(frame({ type: Frame.ping, payload: Buffer.alloc(8) }));
    await shard.until(() => client.frames().length > before);
  }
  t.is(client.code(Frame.reset, 1), Http2Error.cancel);
  await origin.until(() => origin.openCount === 0);
});

test("more streams than were allowed are refused, and the others are served", async (t) => {
  const { maxConcurrentStreams } = defaultHttp2Limits;
  await using origin = await RawOrigin.start(() => {});
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: http1At(origin.port),
  });
  using client = await FrameClient.open(shard.port());
  const streams = Array.from({ length: maxConcurrentStreams + 1 }, (_, at) => id(at));
  client.send(...streams.map((stream) => headers(stream, getRequest)));
  const last = id(maxConcurrentStreams);
  await shard.until(() => client.code(Frame.reset, last) !== undefined);
  t.is(client.code(Frame.reset, last), Http2Error.refusedStream);
  await origin.until(() => origin.sockets.length === maxConcurrentStreams);
  t.is(client.code(Frame.goAway), undefined);
});

test("a client that never acknowledges, or never answers a PING, is left", async (t) => {
  const clock = new HandClock();
  await using shard = await ShardInTest.start({
    limits: patient,
    snapshots: allTo(1),
    clock,
  });
  using client = await FrameClient.open(shard.port());
  await shard.until(() => client.frames().length > 1);
  for (let passed = 0; passed <= defaultHttp2Limits.settingsTimeoutMs; passed += 1_000) {
    clock.pass(1_000);
  }
  await shard.until(() => client.isClosed);
  t.is(client.code(Frame.goAway), Http2Error.settingsTimeout);
});

test("readHttp2Settings() is what clients are told and held to", async (t) => {
  await using origin = await RawOrigin.start(() => {});
  const http2 = { ...defaultLimits.http2, maxConcurrentStreams: 2, streamWindowBytes: 20_000 };
  await using shard = await ShardInTest.start({
    limits: { ...patient, http2 },
    snapshots: http1At(origin.port),
  });
  using client = await FrameClient.open(shard.port());
  client.send(headers(1, getRequest), headers(3, getRequest), headers(5, getRequest));
  await shard.until(() => client.code(Frame.reset, 5) !== undefined);
  t.is(client.code(Frame.reset, 5), Http2Error.refusedStream);
  t.is(shard.count("weft_http2_refusals_total", { cause: "refused stream" }), 1);
  const told = client.frames().find(({ type }) => type === Frame.settings)?.payload;
  const values = new Map<number, number>();
  for (let at = 0; at + 6 <= (told?.length ?? 0); at += 6) {
    values.set(told?.readUInt16BE(at) ?? 0, told?.readUInt32BE(at + 2) ?? 0);
  }
  t.is(values.get(Setting.maxConcurrentStreams), 2);
  t.is(values.get(Setting.initialWindowSize), 20_000);
});
