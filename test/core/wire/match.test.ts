import { create } from "@bufbuild/protobuf";
import test from "ava";
import { everyRequest, type HttpMatch } from "../../../src/core/model/match.ts";
import { type Decoded, decode } from "../../../src/core/wire/decode.ts";
import {
  HostMatchSchema,
  HttpRouteMatchSchema,
} from "../../../src/core/wire/gen/linkerd/http_route_pb.ts";
import {
  fromWireHosts,
  fromWireMatch,
  fromWireMatches,
  toWireHost,
  toWireMatch,
} from "../../../src/core/wire/match.ts";
import type { Init } from "./init.ts";

type MatchInit = Init<typeof HttpRouteMatchSchema>;

function read(init: MatchInit): Decoded<HttpMatch> {
  return decode((trace) => fromWireMatch(create(HttpRouteMatchSchema, init), trace));
}

test("fromWireMatches() without matches takes every request", (t) => {
  t.deepEqual(
    decode((trace) => fromWireMatches([], trace)),
    { value: [everyRequest], faults: [] },
  );
});

test("fromWireMatch() without criteria takes every request", (t) => {
  t.deepEqual(read({}), { value: everyRequest, faults: [] });
});

const unreadable = test.macro({
  exec: (t, init: MatchInit, path: string) => {
    const { value, faults } = read(init);
    t.deepEqual(
      faults.map((fault) => fault.path),
      [path],
    );
    t.is(value.unreadable, `${path}: ${faults[0]?.reason}`);
  },
  title: (given) => `fromWireMatch() does not judge by ${given}`,
});
test("a path of no kind", unreadable, { path: {} }, "path");
test("a header without a value", unreadable, { headers: [{ name: "x" }] }, "headers[0]");
test(
  "a header whose name is none",
  unreadable,
  { headers: [{ name: "x y", value: { case: "regex", value: "a" } }] },
  "headers[0]",
);
test("a parameter without a value", unreadable, { queryParams: [{ name: "q" }] }, "queryParams[0]");
test("a method of no kind", unreadable, { method: {} }, "method");
test(
  "a method with an unknown number",
  unreadable,
  { method: { type: { case: "registered", value: 99 as 0 } } },
  "method",
);
test(
  "a method that is no token",
  unreadable,
  { method: { type: { case: "unregistered", value: "GE T" } } },
  "method",
);

test("fromWireMatch() keeps the criteria beside one that cannot be read", (t) => {
  const { value } = read({
    path: { kind: { case: "exact", value: "/a" } },
    headers: [{ name: "X-One", value: { case: "regex", value: "a" } }, {}],
    method: { type: { case: "registered", value: 0 } },
  });
  t.like(value, {
    path: { kind: "exact", value: "/a" },
    headers: [{ name: "x-one", kind: "regex", value: "a" }],
    method: "GET",
  });
});

test("fromWireMatch() counts the first of two criteria with one name", (t) => {
  const header = (name: string, value: string) =>
    ({ name, value: { case: "regex", value } }) as const;
  const { value, faults } = read({ headers: [header("X", "a"), header("x", "b")] });
  t.deepEqual(value.headers, [{ name: "x", kind: "regex", value: "a" }]);
  t.is(value.unreadable, undefined);
  t.is(faults.length, 1);
});

test("fromWireMatch() reads each octet of a header value as a character", (t) => {
  const octets = Uint8Array.of(0x61, 0xc3, 0xa9, 0xff);
  const { value } = read({ headers: [{ name: "x", value: { case: "exact", value: octets } }] });
  t.is(value.headers[0]?.value, "a\u00c3\u00a9\u00ff");
});

test("toWireMatch() sends a header value as UTF-8", (t) => {
  const sent = create(
    HttpRouteMatchSchema,
    toWireMatch({ ...everyRequest, headers: [{ name: "x", kind: "exact", value: "é" }] }),
  );
  t.deepEqual(sent.headers[0]?.value, { case: "exact", value: Uint8Array.of(0xc3, 0xa9) });
});

test("toWireMatch() writes a method by its number, and any other as text", (t) => {
  const sent = (method: string): unknown =>
    create(HttpRouteMatchSchema, toWireMatch({ ...everyRequest, method })).method?.type;
  t.deepEqual(sent("GET"), { case: "registered", value: 0 });
  t.deepEqual(sent("TRACE"), { case: "registered", value: 8 });
  t.deepEqual(sent("get"), { case: "unregistered", value: "get" });
  t.is(sent(""), undefined);
});

test("toWireMatch() does not send a match on that was not understood", (t) => {
  const sent = create(HttpRouteMatchSchema, toWireMatch({ ...everyRequest, unreadable: "x" }));
  t.truthy(sent.path);
  t.is(sent.path?.kind.case, undefined);
});

test("toWireHost() turns the labels of a suffix round", (t) => {
  t.deepEqual(toWireHost({ kind: "suffix", value: "example.com" }), {
    match: { case: "suffix", value: { reverseLabels: ["com", "example"] } },
  });
});

test("fromWireHosts() reads names in lower case", (t) => {
  const messages = [
    create(HostMatchSchema, { match: { case: "exact", value: "A.Example.com" } }),
    create(HostMatchSchema, { match: { case: "suffix", value: { reverseLabels: ["COM"] } } }),
  ];
  t.deepEqual(decode((trace) => fromWireHosts(messages, trace)).value.hosts, [
    { kind: "exact", value: "a.example.com" },
    { kind: "suffix", value: "com" },
  ]);
});

test("fromWireHosts() knows no host when one of them cannot be read", (t) => {
  const good = create(HostMatchSchema, { match: { case: "exact", value: "a" } });
  const bad: readonly Init<typeof HostMatchSchema>[] = [
    {},
    { match: { case: "exact", value: "" } },
    { match: { case: "suffix", value: {} } },
    { match: { case: "suffix", value: { reverseLabels: ["com", ""] } } },
    { match: { case: "suffix", value: { reverseLabels: ["a.com"] } } },
  ];
  for (const init of bad) {
    const messages = [good, create(HostMatchSchema, init)];
    const { value, faults } = decode((trace) => fromWireHosts(messages, trace));
    t.deepEqual(value.hosts, []);
    t.truthy(value.unreadable);
    t.is(faults[0]?.path, "hosts[1]");
  }
});

test("toWireMatch() does not drop a condition, which no message can carry", (t) => {
  const condition = { kind: "method", method: "GET" } as const;
  t.throws(() => toWireMatch({ ...everyRequest, condition }), { message: /has no message/ });
});
