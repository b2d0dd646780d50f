import test from "ava";
import { describeFaults } from "../../src/core/std/result.ts";
import { type Question, readQuestion, type Words } from "../../src/explain/question.ts";

const words: Words = {
  from: "demo/frontend",
  to: "backend-a.demo:8080",
  request: ["/env"],
  headers: [],
  ip: undefined,
};

function read(change: Partial<Words>): Question {
  const question = readQuestion({ ...words, ...change }, "cluster.local");
  if (!question.ok) throw new Error(describeFaults(question.faults));
  return question.value;
}

function faultsOf(change: Partial<Words>): string {
  const question = readQuestion({ ...words, ...change }, "cluster.local");
  return question.ok ? "" : describeFaults(question.faults);
}

test("readQuestion() takes GET when only a path is given", (t) => {
  const { request, authority } = read({ request: ["/env?x=1"] });
  t.like(request, { method: "GET", path: "/env", query: "x=1", authority: "backend-a.demo:8080" });
  t.is(authority, "backend-a.demo.svc.cluster.local:8080");
});

test("readQuestion() takes the destination from a URL", (t) => {
  const { request, authority } = read({
    to: undefined,
    request: ["POST", "http://backend-b.demo:80/echo?q"],
  });
  t.like(request, { method: "POST", path: "/echo", query: "q", authority: "backend-b.demo:80" });
  t.is(authority, "backend-b.demo.svc.cluster.local:80");
});

test("readQuestion() completes a short name with the namespace of the client", (t) => {
  t.is(read({ to: "backend-b:8080" }).authority, "backend-b.demo.svc.cluster.local:8080");
});

test("readQuestion() leaves the path as it was typed", (t) => {
  t.is(read({ request: ["/a/../%2f//b"] }).request.path, "/a/../%2f//b");
});

test("readQuestion() sends the Host that was given, whatever the destination", (t) => {
  const { request, authority } = read({ headers: ["Host: www.example.com"] });
  t.is(request.authority, "www.example.com");
  t.is(authority, "backend-a.demo.svc.cluster.local:8080");
});

test("readQuestion() joins repeated headers as routes see them", (t) => {
  const { request } = read({ headers: ["X-One: 1", "x-one:2", "X-Two:"] });
  t.is(request.headers.get("x-one"), "1, 2");
  t.is(request.headers.get("x-two"), "");
});

test("readQuestion() holds values as octets", (t) => {
  t.is(read({ headers: ["x-one: ä"] }).request.headers.get("x-one"), "\u00c3\u00a4");
});

test("readQuestion() takes away what only proxies may say, and tells", (t) => {
  const { request, notes } = read({ headers: ["L5d_Client_Id: me"] });
  t.is(request.headers.size, 1);
  t.deepEqual(notes, [
    "the header l5d_client_id is taken away: only proxies of the mesh may send it",
  ]);
});

test("readQuestion() notes a method in lower case", (t) => {
  t.deepEqual(read({ request: ["get", "/"] }).notes, [
    "the method get is not GET: methods are case-sensitive",
  ]);
});

const refusals: readonly (readonly [string, Partial<Words>, RegExp])[] = [
  ["a client without an account", { from: "demo" }, /^--from: write NAMESPACE\/SERVICEACCOUNT/],
  ["a client that is no name", { from: "demo/a_b" }, /^--from: .* instead of "demo\/a_b"$/],
  [
    "an address that is none",
    { ip: "10.0.0" },
    /^--ip: write an IP address instead of "10\.0\.0"$/,
  ],
  [
    "a destination that is none",
    { to: "a b:8080" },
    /^--to: write SERVICE\.NAMESPACE:PORT instead/,
  ],
  ["no destination at all", { to: undefined }, /^--to: .* or a whole URL as the path$/],
  [
    "two destinations",
    { request: ["http://backend-b.demo:8080/"] },
    /^--to: is backend-a\.demo\.svc\.cluster\.local:8080, and the URL names backend-b/,
  ],
  ["a URL with https", { to: undefined, request: ["https://a.demo/"] }, /^PATH: write http:/],
  ["a path without a slash", { request: ["env"] }, /Send the target as '\/path'/],
  ["a space in the path", { request: ["/a b"] }, /the sidecar would refuse this request: /],
  ["a third word", { request: ["GET", "/", "now"] }, /^PATH: .* remove "now"$/],
  [
    "a header without a colon",
    { headers: ["x-one"] },
    /^-H: write 'name: value' instead of "x-one"$/,
  ],
  ["a header with a bad name", { headers: ["x one: 1"] }, /Remove the space before the colon/],
  ["a line end in a header", { headers: ["a: 1\r\nb: 2"] }, /^remove the line end from /],
  ["a line end in the path", { request: ["/ HTTP/1.1\r\nHost: b\r\n"] }, /^remove the line end/],
];

for (const [title, change, expected] of refusals) {
  test(`readQuestion() refuses ${title}`, (t) => {
    t.regex(faultsOf(change), expected);
  });
}

test("readQuestion() names every fault at once", (t) => {
  t.regex(faultsOf({ from: "x", headers: ["y"] }), /--from: .*; -H: /);
});
