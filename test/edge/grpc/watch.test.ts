import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import type { ExecutionContext } from "ava";
import test from "ava";
import { grpcCode } from "../../../src/core/model/grpc-status.ts";
import type {
  PortSpecSchema,
  ServerSchema,
} from "../../../src/core/wire/gen/linkerd/inbound_pb.ts";
import { watchBackoff } from "../../../src/edge/grpc/backoff.ts";
import type { GrpcChannel } from "../../../src/edge/grpc/client.ts";
import { openChannel } from "../../../src/edge/grpc/client.ts";
import type { Timers } from "../../../src/edge/grpc/timers.ts";
import { systemTimers } from "../../../src/edge/grpc/timers.ts";
import type { Watch, WatchDetail, WatchOptions, WatchState } from "../../../src/edge/grpc/watch.ts";
import { watchStream } from "../../../src/edge/grpc/watch.ts";
import { nameOf, policy, portSpec, servePorts, watchPort } from "./ports-service.ts";

type Event =
  | { readonly message: string }
  | { readonly state: WatchState; readonly detail: WatchDetail };

/** What a watch told, in order, and a way to wait for the next thing. */
class Diary {
  readonly events: Event[] = [];
  #wake = Promise.withResolvers<void>();

  add(event: Event): void {
    this.events.push(event);
    this.#wake.resolve();
  }

  get words(): readonly string[] {
    return this.events.map((event) => ("message" in event ? event.message : event.state));
  }

  /** The first event with that word at or behind a place. */
  async next(word: string, from = 0): Promise<number> {
    for (;;) {
      const at = this.words.indexOf(word, from);
      if (at >= 0) return at;
      this.#wake = Promise.withResolvers();
      await this.#wake.promise;
    }
  }

  detail(at: number): WatchDetail | undefined {
    const event = this.events[at];
    return event !== undefined && "detail" in event ? event.detail : undefined;
  }
}

type Options = Partial<WatchOptions<typeof PortSpecSchema, typeof ServerSchema>>;

function keepDiary(
  t: ExecutionContext,
  channel: GrpcChannel,
  options: Options = {},
): { readonly diary: Diary; readonly watch: Watch } {
  const diary = new Diary();
  const watch = watchStream({
    channel,
    method: watchPort,
    request: portSpec(80),
    onMessage: (message) => diary.add({ message: nameOf(message) }),
    onState: (state, detail) => diary.add({ state, detail }),
    terminalCodes: [grpcCode.invalidArgument, grpcCode.failedPrecondition],
    backoff: watchBackoff,
    initialTimeoutMs: 3_000,
    random: () => 0.5,
    timers: systemTimers,
    ...options,
  });
  t.teardown(() => watch.close());
  return { diary, watch };
}

type HandTimer = { readonly ms: number; readonly run: () => void };

/** Timers that run when the test says so, each at most once. */
class HandTimers implements Timers {
  readonly pending: HandTimer[] = [];

  after(ms: number, run: () => void): () => void {
    const timer = { ms, run };
    this.pending.push(timer);
    return () => this.#remove(timer);
  }

  fire(ms: number): void {
    const timer = this.pending.find((candidate) => candidate.ms === ms);
    if (timer === undefined) throw new Error(`No timer of ${ms} ms is pending`);
    this.#remove(timer);
    timer.run();
  }

  #remove(timer: HandTimer): void {
    const at = this.pending.indexOf(timer);
    if (at >= 0) this.pending.splice(at, 1);
  }
}

type PortsProcess = { readonly child: ChildProcess; readonly port: number };

async function startProcess(
  t: ExecutionContext,
  port: number,
  name: string,
): Promise<PortsProcess> {
  const script = fileURLToPath(new URL("ports-process.ts", import.meta.url));
  const child = spawn(process.execPath, [script, `${port}`, name], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.teardown(() => child.kill("SIGKILL"));
  const [line] = await once(child.stdout, "data");
  return { child, port: Number(line) };
}

test("watchStream() tells connecting, connected, then each message", async (t) => {
  const { channel } = await servePorts(t, {
    watchPort(request, stream) {
      stream.write(policy(`one ${request.port} ${stream.metadata("weft-api")}`));
      stream.write(policy("two"));
    },
  });
  const { diary } = keepDiary(t, channel, { metadata: { "weft-api": "1" } });
  t.deepEqual(diary.words, []);
  await diary.next("two");
  t.deepEqual(diary.words, ["connecting", "connected", "one 80 1", "two"]);
});

test("watchStream() stops at a terminal code", async (t) => {
  let calls = 0;
  const { channel } = await servePorts(t, {
    watchPort(_request, stream) {
      calls++;
      stream.fail(grpcCode.invalidArgument, "bad port");
    },
  });
  const timers = new HandTimers();
  const { diary } = keepDiary(t, channel, { timers });
  const at = await diary.next("rejected");
  t.deepEqual(diary.words, ["connecting", "rejected"]);
  t.deepEqual(diary.detail(at), {
    failures: 1,
    failure: { code: grpcCode.invalidArgument, message: "bad port" },
    retryMs: undefined,
  });
  t.deepEqual(timers.pending, []);
  t.is(calls, 1);
});

test("watchStream() stops at a terminal code after messages as well", async (t) => {
  const { channel } = await servePorts(t, {
    watchPort(_request, stream) {
      stream.write(policy("one"));
      stream.fail(grpcCode.failedPrecondition, "");
    },
  });
  const { diary } = keepDiary(t, channel);
  await diary.next("rejected");
  t.deepEqual(diary.words, ["connecting", "connected", "one", "rejected"]);
});

test("watchStream() pauses longer after each failure, and short again after a message", async (t) => {
  let calls = 0;
  const { channel } = await servePorts(t, {
    watchPort(_request, stream) {
      calls++;
      if (calls === 4) stream.write(policy("one"));
      stream.fail(grpcCode.unavailable, "");
    },
  });
  const timers = new HandTimers();
  const { diary } = keepDiary(t, channel, {
    timers,
    initialTimeoutMs: 0,
    backoff: { minMs: 100, maxMs: 300, jitter: 0.5 },
  });
  let at = -1;
  const pauses: (number | undefined)[] = [];
  for (const pause of [125, 250, 375, 125]) {
    at = await diary.next("disconnected", at + 1);
    pauses.push(diary.detail(at)?.retryMs);
    timers.fire(pause);
  }
  t.deepEqual(pauses, [125, 250, 375, 125]);
});

test("watchStream() asks again after the server ended the stream without a failure", async (t) => {
  let calls = 0;
  const { channel } = await servePorts(t, {
    watchPort(_request, stream) {
      calls++;
      stream.write(policy(`${calls}`));
      if (calls === 1) stream.end();
    },
  });
  const { diary } = keepDiary(t, channel);
  await diary.next("2");
  t.deepEqual(diary.words, [
    "connecting",
    "connected",
    "1",
    "disconnected",
    "connecting",
    "connected",
    "2",
  ]);
  t.is(diary.detail(3)?.failure?.code, grpcCode.ok);
});

test("watchStream() gives up on a stream without a first message", async (t) => {
  const cancelled = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<void>();
  const { channel } = await servePorts(t, {
    watchPort(_request, stream) {
      stream.onClose(cancelled.resolve);
      opened.resolve();
    },
  });
  const timers = new HandTimers();
  const { diary } = keepDiary(t, channel, { timers, initialTimeoutMs: 3_000 });
  await opened.promise;
  timers.fire(3_000);
  const at = await diary.next("disconnected");
  t.is(diary.detail(at)?.failure?.code, grpcCode.deadlineExceeded);
  await cancelled.promise;
});

test("watchStream() has no limit for a stream that has sent a message", async (t) => {
  const { channel } = await servePorts(t, {
    watchPort: (_request, stream) => void stream.write(policy("one")),
  });
  const timers = new HandTimers();
  const { diary } = keepDiary(t, channel, { timers });
  await diary.next("one");
  t.deepEqual(timers.pending, []);
});

test("close() cancels the stream and tells nothing more", async (t) => {
  const cancelled = Promise.withResolvers<void>();
  const { channel } = await servePorts(t, {
    watchPort(_request, stream) {
      stream.write(policy("one"));
      stream.onClose(cancelled.resolve);
    },
  });
  const { diary, watch } = keepDiary(t, channel);
  await diary.next("one");
  watch.close();
  await cancelled.promise;
  t.deepEqual(diary.words, ["connecting", "connected", "one"]);
});

test("close() during a pause calls the next try off", async (t) => {
  const { channel } = await servePorts(t, {
    watchPort: (_request, stream) => stream.fail(grpcCode.unavailable, ""),
  });
  const timers = new HandTimers();
  const { diary, watch } = keepDiary(t, channel, { timers });
  await diary.next("disconnected");
  t.is(timers.pending.length, 1);
  watch.close();
  t.deepEqual(timers.pending, []);
});

test("close() from the first callback makes no call", async (t) => {
  let calls = 0;
  const { channel } = await servePorts(t, { watchPort: () => calls++ });
  const told = Promise.withResolvers<WatchState>();
  const { watch } = keepDiary(t, channel, {
    onState(state) {
      watch.close();
      told.resolve(state);
    },
  });
  t.is(await told.promise, "connecting");
  const { diary } = keepDiary(t, channel, { initialTimeoutMs: 2_000 });
  await diary.next("disconnected");
  t.is(calls, 1);
});

test("watchStream() ends when its channel is closed", async (t) => {
  const { channel } = await servePorts(t, {
    watchPort: (_request, stream) => stream.fail(grpcCode.aborted, ""),
  });
  const timers = new HandTimers();
  const { diary } = keepDiary(t, channel, { timers, initialTimeoutMs: 0, random: () => 0 });
  const at = await diary.next("disconnected");
  channel.close();
  timers.fire(100);
  const last = await diary.next("disconnected", at + 1);
  t.is(diary.detail(last)?.failure?.code, grpcCode.unavailable);
  t.is(diary.detail(last)?.retryMs, undefined);
  t.deepEqual(timers.pending, []);
});

test("watchStream() is connected again within 5 s after the server was killed and started", async (t) => {
  const first = await startProcess(t, 0, "first");
  const channel = openChannel(`127.0.0.1:${first.port}`);
  t.teardown(() => channel.close());
  const { diary } = keepDiary(t, channel, { initialTimeoutMs: 1_000 });
  await diary.next("first");
  first.child.kill("SIGKILL");
  // Long enough for the pauses of channel and watch to grow to their limits.
  let at = await diary.next("disconnected");
  for (const _try of [1, 2]) at = await diary.next("disconnected", at + 1);
  await startProcess(t, first.port, "second");
  const startedMs = performance.now();
  await diary.next("second");
  t.true(performance.now() - startedMs < 5_000);
});

test("watchStream() notices a server that is stopped, and follows it when it goes on", async (t) => {
  const { child, port } = await startProcess(t, 0, "here");
  const channel = openChannel(`127.0.0.1:${port}`, {
    keepalive: { intervalMs: 300, timeoutMs: 200 },
  });
  t.teardown(() => channel.close());
  const { diary } = keepDiary(t, channel, { initialTimeoutMs: 500 });
  await diary.next("here");
  child.kill("SIGSTOP");
  let at = await diary.next("disconnected");
  t.is(diary.detail(at)?.failure?.code, grpcCode.unavailable);
  at = await diary.next("disconnected", at + 1);
  t.deepEqual(diary.detail(at)?.failure, {
    code: grpcCode.unavailable,
    message: `No connection to "127.0.0.1:${port}" within 500 ms`,
  });
  child.kill("SIGCONT");
  await diary.next("here", at);
  t.pass();
});

test("watchStream() does not wait for a connection attempt that gets no answer", async (t) => {
  const sockets: Socket[] = [];
  const mute = createServer((socket) => sockets.push(socket.resume())).listen(0, "127.0.0.1");
  await once(mute, "listening");
  const address = mute.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const channel = openChannel(`127.0.0.1:${port}`);
  t.teardown(() => channel.close());
  const { diary } = keepDiary(t, channel, { initialTimeoutMs: 300 });
  const at = await diary.next("disconnected");
  // Listening ends here, the silent connections stay.
  mute.close();
  await startProcess(t, port, "other");
  await diary.next("other", at);
  t.true(sockets.length > 0);
  for (const socket of sockets) socket.destroy();
});
