import test from "ava";
import { type SpanFace, spanFace } from "../../src/sidecar/span-attributes.ts";
import {
  noTexts,
  SpanNumber,
  SpanReader,
  SpanRoom,
  type SpanTexts,
} from "../../src/thread/spans.ts";

type Sketch = {
  readonly texts?: Partial<SpanTexts>;
  readonly numbers?: Partial<Record<keyof typeof SpanNumber, number>>;
};

/** A span as it comes from a worker: by default that of an answered request. */
function faceOf({ texts = {}, numbers = {} }: Sketch): SpanFace {
  const room = new SpanRoom();
  const row = room.add({ ...noTexts, method: "GET", path: "/a", authority: "web:80", ...texts });
  const all = { isServer: 1, status: 200, grpcStatus: -1, rule: -1, ...numbers };
  for (const [name, value] of Object.entries(all)) {
    row[SpanNumber[name as keyof typeof SpanNumber]] = value;
  }
  return spanFace(new SpanReader(room.take(), 0));
}

const server = { isServer: 1 };
const client = { isServer: 0 };
const grpc = { isGrpc: 1, isStream: 1 };
const call: Partial<SpanTexts> = { method: "POST", path: "/shop.Cart/Add" };

const names: readonly (readonly [title: string, sketch: Sketch, name: string])[] = [
  ["is the method and the path of the route", { texts: { routePath: "/orders" } }, "GET /orders"],
  ["is the method alone where nobody wrote a path", {}, "GET"],
  ["holds no path of a request", { texts: { path: "/users/4711" } }, "GET"],
  ["holds no method that nobody knows", { texts: { method: "BREW" } }, "HTTP"],
  [
    "is the method of an RPC",
    { texts: call, numbers: { ...grpc, grpcStatus: 0 } },
    "shop.Cart/Add",
  ],
  [
    "holds no method of an RPC that the server does not know",
    { texts: call, numbers: { ...grpc, grpcStatus: 12 } },
    "grpc",
  ],
];

for (const [title, sketch, name] of names) {
  test(`spanFace() the name of a span ${title}`, (t) => {
    t.is(faceOf(sketch).name, name);
  });
}

/** Empty: no error. */
const errors: readonly (readonly [title: string, sketch: Sketch, errorType: string])[] = [
  ["an answer is none", {}, ""],
  ["404 is none of the server", { numbers: { ...server, status: 404 } }, ""],
  ["404 is one of the client", { numbers: { ...client, status: 404 } }, "404"],
  ["503 of the application is one of both", { numbers: { ...server, status: 503 } }, "503"],
  [
    "what this proxy could not do is named",
    { texts: { error: "connect-failed" }, numbers: { status: 502 } },
    "connect-failed",
  ],
  [
    "a denial is none of the server",
    { texts: { error: "unauthorized" }, numbers: { status: 403 } },
    "",
  ],
  ["an answer that breaks off is one", { texts: { error: "upstream-closed" } }, "upstream-closed"],
  [
    "a client that has left is one",
    { texts: { error: "aborted" }, numbers: { status: 0 } },
    "aborted",
  ],
  [
    "gRPC counts by its own status: the server",
    { texts: call, numbers: { ...grpc, grpcStatus: 14 } },
    "UNAVAILABLE",
  ],
  [
    "gRPC: not found is none of the server",
    { texts: call, numbers: { ...grpc, grpcStatus: 5 } },
    "",
  ],
  [
    "gRPC: not found is one of the client",
    { texts: call, numbers: { ...grpc, ...client, grpcStatus: 5 } },
    "NOT_FOUND",
  ],
  [
    "gRPC: a code that does not exist is named by its number",
    { texts: call, numbers: { ...grpc, ...client, grpcStatus: 99 } },
    "CODE_99",
  ],
];

for (const [title, sketch, errorType] of errors) {
  test(`spanFace() errors: ${title}`, (t) => {
    const { attributes, status } = faceOf(sketch);
    t.is(attributes["error.type"] ?? "", errorType);
    t.is(status.code, errorType === "" ? 0 : 2);
  });
}

test("spanFace() an unknown method is _OTHER, with what the client wrote beside it", (t) => {
  const { attributes } = faceOf({ texts: { method: "BREW" } });
  t.is(attributes["http.request.method"], "_OTHER");
  t.is(attributes["http.request.method_original"], "BREW");
  t.is(faceOf({}).attributes["http.request.method_original"], undefined);
});

test("spanFace() a call of gRPC has its system, method and status by name", (t) => {
  const { attributes } = faceOf({ texts: call, numbers: { ...grpc, grpcStatus: 4 } });
  t.like(attributes, {
    "rpc.system.name": "grpc",
    "rpc.method": "shop.Cart/Add",
    "rpc.status_code": "DEADLINE_EXCEEDED",
    "network.protocol.version": "2",
  });
});

test("spanFace() the address of the server is that which was asked for, of IPv6 as well", (t) => {
  const of = (authority: string): readonly unknown[] => {
    const { attributes } = faceOf({ texts: { authority } });
    return [attributes["server.address"], attributes["server.port"]];
  };
  t.deepEqual(of("web.demo:8080"), ["web.demo", 8080]);
  t.deepEqual(of("web"), ["web", undefined]);
  t.deepEqual(of("[fd00::1]:80"), ["fd00::1", 80]);
  t.deepEqual(of(""), [undefined, undefined]);
});

test("spanFace() the first try has no count of resends, and each after it has its own", (t) => {
  t.is(faceOf({ numbers: client }).attributes["http.request.resend_count"], undefined);
  const second = faceOf({ numbers: { ...client, resends: 1 } });
  t.is(second.attributes["http.request.resend_count"], 1);
});

test("spanFace() times are told to the microsecond, and those that never came are left out", (t) => {
  const numbers = { ...client, connectMs: 1.23456, firstByteMs: -1 };
  t.is(faceOf({ numbers }).attributes["weft.connect_ms"], 1.235);
  t.false("weft.first_byte_ms" in faceOf({ numbers }).attributes);
});

test("spanFace() the reason of an error is the message of the status", (t) => {
  const { status } = faceOf({
    texts: { error: "no-route", reason: "none matches" },
    numbers: { status: 500 },
  });
  t.is(status.message, "none matches");
});
