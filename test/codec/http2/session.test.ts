/** The rules of streams and connections (RFC 9113 §5, §6 and §8), with frames made by hand. */
import test from "ava";
import { Flag, Frame, Http2Error, maxStreamId } from "../../../src/codec/http2/frames.ts";
import {
  consumer,
  type FieldList,
  feed,
  frame,
  getRequest,
  headers,
  hello,
  listening,
  sendFields,
  word,
} from "./hand-made.ts";

const getLine = "head :method=GET :scheme=http :authority=web.demo :path=/";
const serverHello = frame({ type: Frame.settings });
const response: FieldList = [[":status", "200"]];

test("Http2Session shows a request with content and trailers, in whatever pieces it comes", (t) => {
  const bytes = Buffer.concat([
    hello,
    headers(1, getRequest, false),
    frame({ type: Frame.data, stream: 1, payload: Buffer.from("abc") }),
    frame({
      type: Frame.data,
      flags: Flag.padded,
      stream: 1,
      payload: Buffer.from("\x02de\0\0", "latin1"),
    }),
    frame({ type: Frame.priority, stream: 9, payload: Buffer.alloc(5) }),
    headers(1, [["x-sum", "5"]]),
  ]);
  const expected = [`1 ${getLine}`, "1 data abcde", "1 trailers x-sum=5", "1 end"];
  for (let size = 1; size <= bytes.length; size++) {
    const told = listening();
    for (let at = 0; at < bytes.length; at += size) {
      told.session.feed(bytes, at, Math.min(at + size, bytes.length));
    }
    const data = told.calls.filter((call) => call.includes("data")).map((call) => call.slice(7));
    const others = told.calls.filter((call) => !call.includes("data"));
    others.splice(1, 0, `1 data ${data.join("")}`);
    t.deepEqual(others, expected, `pieces of ${size}`);
  }
});

test("Http2Session resets a request that RFC 9113 section 8 calls malformed", (t) => {
  const [method, scheme, authority, path] = getRequest;
  if (!(method && scheme && authority && path)) return t.fail();
  const post: FieldList = [[":method", "POST"], scheme, authority, path];
  const malformed: readonly (readonly [string, FieldList])[] = [
    ["no method", [scheme, authority, path]],
    ["no scheme", [method, authority, path]],
    ["no path", [method, scheme, authority]],
    ["an empty path", [method, scheme, authority, [":path", ""]]],
    ["a path without a slash", [method, scheme, authority, [":path", "a"]]],
    ["a path with a space", [method, scheme, authority, [":path", "/ HTTP/1.1"]]],
    ["no authority and no host", [method, scheme, path]],
    ["an empty authority", [method, scheme, [":authority", ""], path]],
    ["two methods", [method, method, scheme, authority, path]],
    ["a status", [...getRequest, [":status", "200"]]],
    ["an unknown pseudo-field", [...getRequest, [":other", "1"]]],
    ["a pseudo-field behind a field", [method, scheme, authority, ["a", "b"], path]],
    ["a method that is no token", [[":method", "G T"], scheme, authority, path]],
    ["another scheme", [method, [":scheme", "ftp"], authority, path]],
    ["a host that differs", [...getRequest, ["host", "other.demo"]]],
    ["two hosts", [...getRequest, ["host", "web.demo"], ["host", "web.demo"]]],
    ["connection", [...getRequest, ["connection", "close"]]],
    ["keep-alive", [...getRequest, ["keep-alive", "5"]]],
    ["proxy-connection", [...getRequest, ["proxy-connection", "close"]]],
    ["transfer-encoding", [...getRequest, ["transfer-encoding", "chunked"]]],
    ["upgrade", [...getRequest, ["upgrade", "h2c"]]],
    ["te", [...getRequest, ["te", "gzip"]]],
    ["an upper-case name", [...getRequest, ["A", "b"]]],
    ["a line end in a value", [...getRequest, ["a", "b\r\nc: d"]]],
    ["a content-length that is none", [...post, ["content-length", "+1"]]],
    ["two content-lengths", [...post, ["content-length", "0"], ["content-length", "0"]]],
    ["less content than was told", [...post, ["content-length", "1"]]],
    ["a protocol without CONNECT", [...getRequest, [":protocol", "websocket"]]],
    ["CONNECT with a path", [[":method", "CONNECT"], authority, path]],
  ];
  for (const [what, fields] of malformed) {
    const told = listening();
    feed(told, hello);
    told.frames();
    feed(told, headers(1, fields), headers(3, getRequest));
    const [made] = told.frames();
    const reset = frame({ type: Frame.reset, stream: 1, payload: word(Http2Error.protocol) });
    t.deepEqual(made && frame(made), reset, what);
    t.true(told.calls.includes(`3 ${getLine} all`), what);
    t.false(told.calls.includes("1 end"), what);
  }
});

test("Http2Session accepts the requests that look odd and are not", (t) => {
  const odd: readonly FieldList[] = [
    [...getRequest, ["host", "web.demo:80"]],
    [...getRequest, ["te", "trailers"]],
    [
      [":method", "OPTIONS"],
      [":scheme", "https"],
      [":authority", "a"],
      [":path", "*"],
    ],
    [
      [":path", "/"],
      [":scheme", "http"],
      [":method", "GET"],
      ["host", "a"],
    ],
    [
      [":method", "CONNECT"],
      [":authority", "a:1"],
    ],
    [[":method", "CONNECT"], [":protocol", "websocket"], ...getRequest.slice(1)],
  ];
  for (const fields of odd) {
    const told = listening();
    feed(told, hello, headers(1, fields));
    t.is(told.calls.at(-1), "1 end", JSON.stringify(fields));
  }
});

test("Http2Session ends the connection for what RFC 9113 calls a connection error", (t) => {
  const request = headers(1, getRequest, false);
  const cases: readonly (readonly [string, number, Buffer])[] = [
    ["an even stream", Http2Error.protocol, headers(2, getRequest)],
    [
      "a stream opened backwards",
      Http2Error.streamClosed,
      Buffer.concat([headers(5, getRequest), headers(3, getRequest)]),
    ],
    ["DATA on stream 0", Http2Error.protocol, frame({ type: Frame.data })],
    ["DATA on an idle stream", Http2Error.protocol, frame({ type: Frame.data, stream: 1 })],
    [
      "RST_STREAM on an idle stream",
      Http2Error.protocol,
      frame({ type: Frame.reset, stream: 1, payload: word(8) }),
    ],
    [
      "WINDOW_UPDATE on an idle stream",
      Http2Error.protocol,
      frame({ type: Frame.windowUpdate, stream: 1, payload: word(8) }),
    ],
    [
      "a connection window of nothing",
      Http2Error.protocol,
      frame({ type: Frame.windowUpdate, payload: word(0) }),
    ],
    [
      "a connection window too large",
      Http2Error.flowControl,
      frame({ type: Frame.windowUpdate, payload: word(0x7fff_ffff) }),
    ],
    ["SETTINGS on a stream", Http2Error.protocol, frame({ type: Frame.settings, stream: 1 })],
    [
      "SETTINGS of 5 bytes",
      Http2Error.frameSize,
      frame({ type: Frame.settings, payload: Buffer.alloc(5) }),
    ],
    [
      "a SETTINGS ACK with content",
      Http2Error.frameSize,
      frame({ type: Frame.settings, flags: Flag.ack, payload: Buffer.alloc(6) }),
    ],
    [
      "an initial window too large",
      Http2Error.flowControl,
      frame({ type: Frame.settings, payload: Buffer.from("000480000000", "hex") }),
    ],
    [
      "a frame size too small",
      Http2Error.protocol,
      frame({ type: Frame.settings, payload: Buffer.from("000500003fff", "hex") }),
    ],
    [
      "PING of 7 bytes",
      Http2Error.frameSize,
      frame({ type: Frame.ping, payload: Buffer.alloc(7) }),
    ],
    [
      "PING on a stream",
      Http2Error.protocol,
      frame({ type: Frame.ping, stream: 1, payload: Buffer.alloc(8) }),
    ],
    [
      "PUSH_PROMISE",
      Http2Error.protocol,
      Buffer.concat([
        request,
        frame({ type: Frame.pushPromise, stream: 1, payload: Buffer.alloc(4) }),
      ]),
    ],
    ["CONTINUATION alone", Http2Error.protocol, frame({ type: Frame.continuation, stream: 1 })],
    [
      "a frame inside a section",
      Http2Error.protocol,
      Buffer.concat([
        frame({ type: Frame.headers, stream: 1 }),
        frame({ type: Frame.ping, payload: Buffer.alloc(8) }),
      ]),
    ],
    [
      "padding longer than DATA",
      Http2Error.protocol,
      Buffer.concat([
        request,
        frame({ type: Frame.data, flags: Flag.padded, stream: 1, payload: Buffer.from([1]) }),
      ]),
    ],
    [
      "padding longer than HEADERS",
      Http2Error.protocol,
      frame({
        type: Frame.headers,
        flags: Flag.padded | Flag.endHeaders,
        stream: 1,
        payload: Buffer.from([9, 0x82]),
      }),
    ],
    [
      "a block that is no HPACK",
      Http2Error.compression,
      frame({
        type: Frame.headers,
        flags: Flag.endHeaders,
        stream: 1,
        payload: Buffer.from([0x80]),
      }),
    ],
    [
      "a frame over 16384 bytes",
      Http2Error.frameSize,
      frame({ type: 77, payload: Buffer.alloc(16_385) }),
    ],
  ];
  for (const [what, code, bytes] of cases) {
    const told = listening();
    feed(told, hello, bytes);
    t.is(told.calls.at(-1), `failed ${code}`, what);
    t.is(told.frames().at(-1)?.type, Frame.goAway, what);
  }
  const early = listening();
  feed(early, hello.subarray(0, 24), frame({ type: Frame.ping, payload: Buffer.alloc(8) }));
  t.deepEqual(early.calls, [`failed ${Http2Error.protocol}`]);
  const other = listening();
  feed(other, Buffer.from("GET / HTTP/1.1\r\n\r\n"));
  t.deepEqual(other.calls, [`failed ${Http2Error.protocol}`]);
});

test("Http2Session ignores what still comes on a stream that it reset", (t) => {
  const told = listening();
  feed(told, hello, headers(1, getRequest, false));
  const [stream] = told.streams;
  if (stream === undefined) return t.fail();
  told.session.reset(stream, Http2Error.cancel);
  told.frames();
  feed(
    told,
    frame({ type: Frame.data, stream: 1, payload: Buffer.from("late") }),
    headers(1, [["x", "y"]]),
  );
  t.deepEqual(told.frames(), []);
  t.deepEqual(told.calls, [`1 ${getLine}`]);
});

test("consumed() opens the windows when half of them was taken, and not before", (t) => {
  const told = listening({ streamWindowBytes: 65_536, connectionWindowBytes: 65_536 });
  feed(told, hello, headers(1, getRequest, false));
  const [stream] = told.streams;
  if (stream === undefined) return t.fail();
  told.frames();
  const piece = frame({ type: Frame.data, stream: 1, payload: Buffer.alloc(16_384) });
  feed(told, piece, piece, piece);
  told.session.consumed(stream, 32_767);
  t.deepEqual(told.frames(), []);
  told.session.consumed(stream, 1);
  t.deepEqual(
    told.frames().map(({ type, stream: id, payload }) => [type, id, payload?.readUInt32BE()]),
    [
      [Frame.windowUpdate, 0, 32_768],
      [Frame.windowUpdate, 1, 32_768],
    ],
  );
});

test("sendData() takes what the windows allow, and lets streams take turns", (t) => {
  const told = listening();
  feed(told, hello, headers(1, getRequest), headers(3, getRequest));
  const [first, second] = told.streams;
  if (first === undefined || second === undefined) return t.fail();
  for (const stream of [first, second]) sendFields(told.session, stream, response, false);
  const body = Buffer.alloc(100_000);
  t.is(told.session.sendData(first, body, 0, body.length, true), 65_535);
  t.is(told.session.sendData(second, body, 0, body.length, true), 0);
  told.frames();
  const sent: number[] = [];
  const offer = (stream: typeof first): void => {
    sent.push(stream.id, told.session.sendData(stream, body, 0, 40_000, false));
  };
  first.consumer = { ...first.consumer, onWritable: () => offer(first) };
  second.consumer = { ...second.consumer, onWritable: () => offer(second) };
  const widen = (stream: number, bytes: number): Buffer =>
    frame({ type: Frame.windowUpdate, stream, payload: word(bytes) });
  feed(told, Buffer.concat([widen(1, 40_000), widen(0, 50_000)]));
  t.deepEqual(sent, [3, 16_384, 1, 16_384, 3, 16_384, 1, 848]);
});

test("drain() of a server takes what was under way, then names the last stream, and ends", (t) => {
  const told = listening();
  feed(told, hello, headers(1, getRequest));
  told.frames();
  told.session.drain();
  const [goAway, ping] = told.frames();
  t.is(goAway?.payload?.readUInt32BE(0), maxStreamId);
  if (ping?.payload === undefined) return t.fail("no PING");
  feed(told, headers(3, getRequest), frame({ ...ping, flags: Flag.ack }));
  const [second] = told.frames();
  t.is(second?.payload?.readUInt32BE(0), 3);
  feed(told, headers(5, getRequest));
  for (const stream of told.streams) sendFields(told.session, stream, response, true);
  t.deepEqual(
    told.calls.filter((call) => !call.includes("end")),
    [`1 ${getLine} all`, `3 ${getLine} all`, "drained"],
  );
});

test("drain() of a server does not wait longer than its grace for the answer to its PING", (t) => {
  const told = listening();
  feed(told, hello);
  told.session.drain();
  told.session.tick(1000);
  t.deepEqual(told.calls, ["drained"]);
});

test("Http2Session as a client opens streams until GOAWAY, and says which were not begun", (t) => {
  const told = listening({}, "client");
  const opened = [0, 1].map(() => {
    const calls = consumer({ id: 0 }, told.calls);
    const stream = told.session.open(calls);
    if (stream === undefined) throw new Error("Open a stream");
    stream.consumer = consumer(stream, told.calls);
    sendFields(told.session, stream, getRequest, true);
    return stream;
  });
  t.deepEqual(
    opened.map((stream) => stream.id),
    [1, 3],
  );
  const goAway = Buffer.concat([word(1), word(Http2Error.none)]);
  feed(told, serverHello, frame({ type: Frame.goAway, payload: goAway }));
  t.deepEqual(told.calls, [`3 reset ${Http2Error.refusedStream}`, "goaway 0"]);
  t.true(told.session.isRetired);
  t.is(told.session.open(consumer({ id: 0 }, told.calls)), undefined);
  feed(told, headers(1, [[":status", "103"]], false), headers(1, response));
  t.deepEqual(told.calls.slice(2), ["1 head :status=103", "1 head :status=200 all", "1 end"]);
});

test("Http2Session as a client resets responses that are malformed", (t) => {
  for (const fields of [
    [[":status", "101"]],
    [[":status", "20"]],
    [[":status", "2000"]],
    [["a", "b"]],
    [...response, [":path", "/"]],
    [...response, ["connection", "close"]],
    [[":status", "103"]],
    [...response, ["content-length", "1"]],
  ] as const satisfies readonly FieldList[]) {
    const told = listening({}, "client");
    const stream = told.session.open(consumer({ id: 1 }, told.calls));
    if (stream === undefined) return t.fail();
    sendFields(told.session, stream, getRequest, true);
    feed(told, serverHello, headers(1, fields));
    t.is(told.calls.at(-1), `1 reset ${Http2Error.protocol}`, JSON.stringify(fields));
  }
});

test("open() stops at the peer's limit of streams", (t) => {
  const told = listening({}, "client");
  const payload = Buffer.from("000300000001", "hex");
  feed(told, frame({ type: Frame.settings, payload }));
  const stream = told.session.open(consumer({ id: 1 }, told.calls));
  if (stream === undefined) return t.fail();
  sendFields(told.session, stream, getRequest, true);
  t.false(told.session.canOpen);
  t.false(told.session.isRetired);
  feed(told, headers(1, response));
  t.true(told.session.canOpen);
});
