/** What peers do to wear a server out, with frames made by hand. */
import test, { type ExecutionContext } from "ava";
import { Flag, Frame, frameHeadBytes, Http2Error } from "../../../src/codec/http2/frames.ts";
import { defaultHttp2Limits, type Http2Counts } from "../../../src/codec/http2/protection.ts";
import {
  feed,
  frame,
  getRequest,
  headers,
  hello,
  listening,
  literals,
  sendFields,
  type Told,
  word,
} from "./hand-made.ts";

/** The connection has ended with ENHANCE_YOUR_CALM, and it was counted as this. */
function isCalmed(t: ExecutionContext, told: Told, kind: keyof Http2Counts): void {
  t.true(told.calls.includes(`failed ${Http2Error.enhanceYourCalm}`), told.calls.join("\n"));
  t.is(told.shared.counts[kind], 1);
  const last = told.frames().at(-1);
  t.is(last?.type, Frame.goAway);
  t.is(last?.payload?.readUInt32BE(4), Http2Error.enhanceYourCalm);
}

/** `limit` of them pass, and one more does not. */
function floods(
  t: ExecutionContext,
  kind: keyof Http2Counts,
  limit: number,
  make: (at: number) => Buffer,
): void {
  const told = listening();
  feed(told, hello, headers(1, getRequest, false));
  for (let at = 0; at < limit; at++) feed(told, make(at));
  t.deepEqual(
    told.calls.filter((call) => call.startsWith("failed")),
    [],
  );
  feed(told, make(limit));
  isCalmed(t, told, kind);
}

test("Http2Session ends a connection that resets its streams as fast as it opens them", (t) => {
  floods(t, "resetFloods", defaultHttp2Limits.resets.atOnce, (at) =>
    Buffer.concat([
      headers(2 * at + 3, getRequest),
      frame({ type: Frame.reset, stream: 2 * at + 3, payload: word(Http2Error.cancel) }),
    ]),
  );
});

test("Http2Session ends a connection that makes the server reset the streams", (t) => {
  floods(t, "resetFloods", defaultHttp2Limits.resets.atOnce, (at) =>
    Buffer.concat([
      headers(2 * at + 3, getRequest, false),
      frame({ type: Frame.windowUpdate, stream: 2 * at + 3, payload: word(0) }),
    ]),
  );
});

test("Http2Session pays a reset back for each answered stream, and for time that passes", (t) => {
  const told = listening();
  feed(told, hello);
  const { atOnce, perSecond } = defaultHttp2Limits.resets;
  const resetOne = (id: number): void =>
    feed(
      told,
      headers(id, getRequest),
      frame({ type: Frame.reset, stream: id, payload: word(Http2Error.cancel) }),
    );
  let id = 1;
  for (let at = 0; at < 3 * atOnce; at++) {
    resetOne(id);
    feed(told, headers(id + 2, getRequest));
    const stream = told.streams.at(-1);
    if (stream === undefined) return t.fail("no stream");
    sendFields(told.session, stream, [[":status", "200"]], true);
    id += 4;
  }
  for (let at = 0; at < atOnce; at++, id += 2) resetOne(id);
  told.session.tick(1000);
  for (let at = 0; at < perSecond; at++, id += 2) resetOne(id);
  t.false(told.calls.some((call) => call.startsWith("failed")));
  resetOne(id);
  isCalmed(t, told, "resetFloods");
});

test("Http2Session ends a connection that floods it with SETTINGS", (t) => {
  // One SETTINGS is in the hello.
  floods(t, "settingsFloods", defaultHttp2Limits.settings.atOnce - 1, () =>
    frame({ type: Frame.settings }),
  );
});

test("Http2Session ends a connection that floods it with PING", (t) => {
  floods(t, "pingFloods", defaultHttp2Limits.pings.atOnce, () =>
    frame({ type: Frame.ping, payload: Buffer.alloc(8) }),
  );
});

test("Http2Session ends a connection that floods it with empty DATA", (t) => {
  floods(t, "emptyDataFloods", defaultHttp2Limits.emptyData.atOnce, () =>
    frame({ type: Frame.data, stream: 1 }),
  );
});

test("Http2Session ends a connection that floods it with PRIORITY or unknown frames", (t) => {
  floods(t, "idleFrameFloods", defaultHttp2Limits.idleFrames.atOnce, (at) =>
    at % 2 === 0
      ? frame({ type: Frame.priority, stream: 1, payload: Buffer.alloc(5) })
      : frame({ type: 200, payload: Buffer.alloc(3) }),
  );
});

test("Http2Session ends a connection that floods it with WINDOW_UPDATE", (t) => {
  floods(t, "windowUpdateFloods", defaultHttp2Limits.windowUpdates.atOnce, () =>
    frame({ type: Frame.windowUpdate, payload: word(1) }),
  );
});

test("Http2Session ends a connection whose header section has no end", (t) => {
  const told = listening();
  feed(told, hello, frame({ type: Frame.headers, stream: 1, payload: literals(getRequest) }));
  const more = frame({ type: Frame.continuation, stream: 1 });
  for (let at = 0; at < defaultHttp2Limits.maxContinuations; at++) feed(told, more);
  t.deepEqual(told.calls, []);
  feed(told, more);
  isCalmed(t, told, "continuationFloods");
});

test("Http2Session ends a connection whose header section is too long, before it is whole", (t) => {
  const told = listening();
  const part = { stream: 1, payload: Buffer.alloc(16_384, 0x82) };
  feed(told, hello, frame({ type: Frame.headers, ...part }));
  for (let at = 0; at < 4; at++) feed(told, frame({ type: Frame.continuation, ...part }));
  t.deepEqual(told.calls, []);
  feed(told, frame({ type: Frame.continuation, stream: 1, payload: Buffer.alloc(1) }));
  isCalmed(t, told, "continuationFloods");
});

test("Http2Session ends a connection that sends an HPACK bomb", (t) => {
  const told = listening();
  const entry = Buffer.concat([Buffer.from("4001617f811e", "hex"), Buffer.alloc(4000 - 32, "x")]);
  const payload = Buffer.concat([entry, Buffer.alloc(10_000, 0xbe)]);
  feed(told, hello, frame({ type: Frame.headers, flags: Flag.endHeaders, stream: 1, payload }));
  isCalmed(t, told, "headerBombs");
});

test("Http2Session answers 431 to a head over the limits, and serves the next", (t) => {
  const told = listening();
  feed(told, hello);
  told.frames();
  const many = Array.from({ length: 300 }, () => ["a", "b"] as const);
  feed(told, headers(1, [...getRequest, ...many]), headers(3, getRequest));
  t.is(told.shared.counts.largeHeads, 1);
  t.deepEqual(
    told.frames().map(({ type, stream }) => [type, stream]),
    [
      [Frame.headers, 1],
      [Frame.reset, 1],
    ],
  );
  t.deepEqual(
    told.calls.map((call) => call.slice(0, 6)),
    ["3 head", "3 end"],
  );
});

test("Http2Session refuses streams beyond the limit, and goes on", (t) => {
  const told = listening({ maxConcurrentStreams: 2 });
  feed(told, hello);
  told.frames();
  feed(told, ...[1, 3, 5].map((id) => headers(id, getRequest, false)));
  t.is(told.shared.counts.refusedStreams, 1);
  const refused = frame({ type: Frame.reset, stream: 5, payload: word(Http2Error.refusedStream) });
  const [made] = told.frames();
  if (made === undefined) return t.fail("no frame");
  t.deepEqual(frame(made), refused);
  t.is(told.session.streamCount, 2);
});

test("Http2Session ends a connection that does not read what it makes us answer", (t) => {
  const told = listening({ pings: { atOnce: 1e6, perSecond: 0 } });
  told.out.isBlocked = true;
  feed(told, hello);
  const burst = Buffer.concat(
    Array.from({ length: 1000 }, () => frame({ type: Frame.ping, payload: Buffer.alloc(8) })),
  );
  const most = Math.ceil((1024 * 1024) / burst.length) + 1;
  for (let at = 0; at < most; at++) feed(told, burst);
  isCalmed(t, told, "backlogs");
});

test("tick() resets a stream whose reader gives no window, and only that", (t) => {
  const told = listening();
  const noWindow = frame({ type: Frame.settings, payload: Buffer.from("000400000000", "hex") });
  feed(told, hello, noWindow, frame({ type: Frame.settings, flags: Flag.ack }));
  feed(told, headers(1, getRequest), headers(3, getRequest));
  const [stalled, idle] = told.streams;
  if (stalled === undefined || idle === undefined) return t.fail("no streams");
  for (const stream of [stalled, idle]) {
    sendFields(told.session, stream, [[":status", "200"]], false);
  }
  t.is(told.session.sendData(stalled, Buffer.from("abc"), 0, 3, true), 0);
  const keepsAlive = (): void => feed(told, frame({ type: Frame.ping, payload: Buffer.alloc(8) }));
  for (let ms = 1000; ms < defaultHttp2Limits.sendStallMs; ms += 1000) {
    keepsAlive();
    told.session.tick(ms);
  }
  t.is(told.shared.counts.stalledStreams, 0);
  told.session.tick(defaultHttp2Limits.sendStallMs);
  t.is(told.shared.counts.stalledStreams, 1);
  t.deepEqual(
    told.calls.filter((call) => call.includes("reset")),
    ["1 reset 8"],
  );
  t.is(told.session.streamCount, 1);
});

test("Http2Session ends a connection that sends more than its windows", (t) => {
  const told = listening({ connectionWindowBytes: 100_000, streamWindowBytes: 65_535 });
  feed(told, hello, headers(1, getRequest, false), headers(3, getRequest, false));
  const piece = { type: Frame.data, payload: Buffer.alloc(16_384) };
  for (let at = 0; at < 4; at++) feed(told, frame({ ...piece, stream: 1 }));
  t.true(told.calls.includes(`1 reset ${Http2Error.flowControl}`));
  t.false(told.calls.some((call) => call.startsWith("failed")));
  // What was shown of stream 1 was forgotten with it, so its share of the connection's window is free again.
  for (let at = 0; at < 3; at++) feed(told, frame({ ...piece, stream: 3 }));
  t.false(told.calls.some((call) => call.startsWith("failed")));
});

test("Http2Session ends a connection that does not acknowledge SETTINGS, or answer PING", (t) => {
  const silent = listening();
  feed(silent, hello);
  silent.session.tick(defaultHttp2Limits.settingsTimeoutMs);
  t.true(silent.calls.includes(`failed ${Http2Error.settingsTimeout}`));

  const gone = listening();
  feed(gone, hello, frame({ type: Frame.settings, flags: Flag.ack }));
  gone.session.tick(0);
  gone.frames();
  const { keepAliveMs, keepAliveTimeoutMs } = defaultHttp2Limits;
  gone.session.tick(keepAliveMs);
  const [ping] = gone.frames();
  t.is(ping?.type, Frame.ping);
  gone.session.tick(keepAliveMs + keepAliveTimeoutMs - 1);
  t.deepEqual(gone.calls, []);
  gone.session.tick(keepAliveMs + keepAliveTimeoutMs);
  t.true(gone.calls.includes(`failed ${Http2Error.cancel}`));
  t.is(gone.out.end > frameHeadBytes, true);
});
