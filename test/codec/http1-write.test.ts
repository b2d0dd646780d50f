/** Heads as they leave: edits, hop-by-hop fields, and answers of our own. */
import test from "ava";
import {
  parseRequestHead,
  parseResponseHead,
  RequestHead,
  ResponseHead,
} from "../../src/codec/http1-head.ts";
import { dropHopByHop, HeadEdit, writeAnswer, writeHead } from "../../src/codec/http1-write.ts";
import { latin1, type ReadMessage, readResponses } from "./read-messages.ts";
import { shown } from "./refusing.ts";

function parsed(...lines: readonly string[]): RequestHead {
  const head = new RequestHead();
  const bytes = latin1(`..${request(...lines)}and the body`);
  const after = parseRequestHead(head, bytes, 2, bytes.length);
  if (after <= 0) throw new Error(`Expected a complete head, not ${after}`);
  return head;
}

function request(...lines: readonly string[]): string {
  return `GET /a HTTP/1.1\r\nHost: h\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;
}

function written(head: RequestHead, edit: HeadEdit, startLine?: string): string {
  const out = Buffer.alloc(1000, "#");
  const end = writeHead(out, 3, head, startLine, edit);
  return out.toString("latin1", 3, end);
}

test("writeHead() writes what came when nothing is edited", (t) => {
  t.is(written(parsed("A: 1 ", "b:2"), new HeadEdit()), request("A: 1 ", "b:2"));
});

test("writeHead() leaves out the empty line in front of a request", (t) => {
  const head = new RequestHead();
  const bytes = latin1(`\r\n${request()}`);
  parseRequestHead(head, bytes, 0, bytes.length);
  t.is(written(head, new HeadEdit()), request());
});

test("HeadEdit leaves out a field however many came before it, also in a copy, and forgets it", (t) => {
  const lines = Array.from({ length: 70 }, (_, at) => `X-${at}: ${at}`);
  const head = parsed(...lines);
  const edit = new HeadEdit();
  // The first field is Host.
  edit.dropField(70);
  const copy = new HeadEdit();
  copy.dropField(1);
  copy.copyFrom(edit);
  t.is(written(head, edit), request(...lines.slice(0, 69)));
  t.is(written(head, copy), request(...lines.slice(0, 69)));
  copy.copyFrom(new HeadEdit());
  edit.reset();
  edit.dropField(1);
  t.is(written(head, copy), request(...lines));
  t.is(written(head, edit), request(...lines.slice(1)));
});

test("writeHead() replaces the start line", (t) => {
  t.is(
    written(parsed("A: 1"), new HeadEdit(), "PUT /longer/than/before HTTP/1.1"),
    request("A: 1").replace("GET /a", "PUT /longer/than/before"),
  );
});

test("writeHead() replaces the start line of a head without fields", (t) => {
  const head = new RequestHead();
  const bytes = latin1("GET http://h/ HTTP/1.0\r\n\r\n");
  parseRequestHead(head, bytes, 0, bytes.length);
  t.is(written(head, new HeadEdit(), "GET / HTTP/1.0"), "GET / HTTP/1.0\r\n\r\n");
});

test("writeHead() throws on a start line that would split the message", (t) => {
  t.throws(() => written(parsed(), new HeadEdit(), "GET / HTTP/1.1\r\nX: y"), {
    message: /controls/,
  });
});

const edits = test.macro<[(edit: HeadEdit) => void, readonly string[]]>({
  exec(t, apply, expected) {
    const head = parsed("A: 1", "Content-Type: x", "a: 2", "X-Own: y", "b: 3");
    const edit = new HeadEdit();
    edit.add("left-over", "x");
    edit.remove("b");
    edit.dropField(0);
    edit.reset();
    apply(edit);
    t.is(written(head, edit), request(...expected));
  },
  title: (given) => `HeadEdit ${given ?? ""}`,
});

test("dropField() leaves out one field", edits, (edit) => edit.dropField(1), [
  "Content-Type: x",
  "a: 2",
  "X-Own: y",
  "b: 3",
]);
test("dropField() leaves out the last field", edits, (edit) => edit.dropField(5), [
  "A: 1",
  "Content-Type: x",
  "a: 2",
  "X-Own: y",
]);
test("remove() leaves out all fields of a name in any case", edits, (edit) => edit.remove("a"), [
  "Content-Type: x",
  "X-Own: y",
  "b: 3",
]);
test("remove() leaves out a known name", edits, (edit) => edit.remove("content-type"), [
  "A: 1",
  "a: 2",
  "X-Own: y",
  "b: 3",
]);
test("remove() of an absent name changes nothing", edits, (edit) => edit.remove("c"), [
  "A: 1",
  "Content-Type: x",
  "a: 2",
  "X-Own: y",
  "b: 3",
]);
test("set() replaces all fields of a name", edits, (edit) => edit.set("a", "9"), [
  "Content-Type: x",
  "X-Own: y",
  "b: 3",
  "a: 9",
]);
test(
  "set() replaces what was added",
  edits,
  (edit) => {
    edit.add("x-own", "1");
    edit.add("c", "2");
    edit.set("x-own", "3");
  },
  ["A: 1", "Content-Type: x", "a: 2", "b: 3", "c: 2", "x-own: 3"],
);
test(
  "add() leaves what is there",
  edits,
  (edit) => {
    edit.add("a", "\xe9\t!");
    edit.add("a", "");
  },
  ["A: 1", "Content-Type: x", "a: 2", "X-Own: y", "b: 3", "a: \xe9\t!", "a: "],
);
test(
  "remove() takes back what was added",
  edits,
  (edit) => {
    edit.add("c", "1");
    edit.add("d", "2");
    edit.remove("c");
  },
  ["A: 1", "Content-Type: x", "a: 2", "X-Own: y", "b: 3", "d: 2"],
);
test("add() takes values of any length", edits, (edit) => edit.add("c", "v".repeat(300)), [
  "A: 1",
  "Content-Type: x",
  "a: 2",
  "X-Own: y",
  "b: 3",
  `c: ${"v".repeat(300)}`,
]);

for (const value of ["a\rb", "a\nb", "a\0b", "\u010d\u010a", "\u20ac"]) {
  test(`HeadEdit.set() throws on the value ${shown(value)}`, (t) => {
    t.throws(() => new HeadEdit().set("a", value), { message: /CR, LF, NUL/ });
    t.throws(() => new HeadEdit().add("a", value), { message: /CR, LF, NUL/ });
  });
}
for (const name of ["", "A", "a b", "a:", "a\0", "a\r\nb", "\u0161"]) {
  test(`HeadEdit.set() throws on the name ${shown(name)}`, (t) => {
    t.throws(() => new HeadEdit().set(name, "v"), { message: /lower-case token/ });
    t.throws(() => new HeadEdit().add(name, "v"), { message: /lower-case token/ });
    t.throws(() => new HeadEdit().remove(name), { message: /lower-case token/ });
  });
}

test("writeHead() answers -1 for every buffer that is too small, and fits the one that is not", (t) => {
  const head = parsed("A: 1", "B: 2");
  const edit = new HeadEdit();
  edit.remove("a");
  edit.set("c", "some value that is long enough for a native write");
  for (const startLine of [undefined, "PUT /b HTTP/1.1"]) {
    const needed = written(head, edit, startLine).length;
    for (let size = 0; size < needed; size++) {
      t.is(writeHead(Buffer.alloc(size), 0, head, startLine, edit), -1, `${size} of ${needed}`);
    }
    t.is(writeHead(Buffer.alloc(needed), 0, head, startLine, edit), needed);
  }
});

test("writeHead() can be called again with the same edits, for a retry", (t) => {
  const head = parsed("A: 1");
  const edit = new HeadEdit();
  edit.set("a", "2");
  t.is(written(head, edit), written(head, edit));
});

const drops = test.macro<[readonly string[], readonly string[], boolean?]>({
  exec(t, lines, expected, keepUpgrade = false) {
    const head = parsed(...lines);
    const edit = new HeadEdit();
    dropHopByHop(head, edit, keepUpgrade);
    t.is(written(head, edit), request(...expected));
  },
  title: (given) => `dropHopByHop() ${given ?? ""}`,
});

test(
  "leaves a head without such fields as it is",
  drops,
  ["Accept: */*", "Trailer: x"],
  ["Accept: */*", "Trailer: x"],
);
test(
  "drops what ends here",
  drops,
  [
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "Proxy-Authorization: Basic x",
    "Proxy-Authenticate: Basic",
    "HTTP2-Settings: x",
    "Upgrade: h2c",
    "Connection: keep-alive",
    "X: y",
  ],
  ["X: y"],
);
test(
  "drops what Connection lists, in any case, in all its fields",
  drops,
  [
    "X-One: 1",
    "Connection: close , x-ONE,,",
    "x-two: 2",
    "Cookie: 3",
    "connection: X-Two, cookie",
    "X-One: 4",
    "X-Three: 5",
  ],
  ["X-Three: 5"],
);
test("drops Upgrade unless it is kept", drops, ["Upgrade: websocket", "Connection: Upgrade"], []);
test(
  "keeps Upgrade, and Connection only for it",
  drops,
  ["Upgrade: websocket", "X: y", "Connection: X, Upgrade, keep-alive"],
  ["Upgrade: websocket", "connection: upgrade"],
  true,
);
test(
  "drops an Upgrade that Connection does not list, even if upgrades are kept",
  drops,
  ["Upgrade: websocket"],
  [],
  true,
);
test("drops TE", drops, ["TE: gzip", "TE: trailers, deflate", "Connection: te"], []);
test(
  "keeps TE: trailers",
  drops,
  ["TE: Trailers", "Connection: TE"],
  ["TE: Trailers", "connection: te"],
);
test(
  "keeps TE and Upgrade together",
  drops,
  ["TE: trailers", "Upgrade: a", "Connection: te, upgrade"],
  ["TE: trailers", "Upgrade: a", "connection: upgrade, te"],
  true,
);

test("dropHopByHop() works on responses", (t) => {
  const head = new ResponseHead();
  const bytes = latin1(
    "HTTP/1.1 200 OK\r\nConnection: close, x\r\nX: y\r\nContent-Length: 0\r\n\r\n",
  );
  parseResponseHead(head, bytes, 0, bytes.length, "GET");
  const edit = new HeadEdit();
  dropHopByHop(head, edit, false);
  const out = Buffer.alloc(100);
  const end = writeHead(out, 0, head, undefined, edit);
  t.is(out.toString("latin1", 0, end), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
});

const answer = {
  status: 403,
  reason: "Forbidden",
  headers: [["l5d-proxy-error", "no \u00fcse"]],
  body: "gr\u00fc\u00dfe\n",
  close: true,
  omitBody: false,
} as const;

test("writeAnswer() writes a response that can be parsed", (t) => {
  const out = Buffer.alloc(200);
  const end = writeAnswer(out, 5, answer);
  const { messages, refusal } = readResponses([out.subarray(5, end)], "GET");
  t.is(refusal, 0);
  t.is(messages.length, 1);
  const [message] = messages as [ReadMessage];
  t.is(message.start, 403);
  t.deepEqual(message.fields, [
    ["l5d-proxy-error", "no \u00fcse"],
    ["content-length", "8"],
    ["connection", "close"],
  ]);
  t.is(Buffer.from(message.body, "latin1").toString("utf8"), answer.body);
});

test("writeAnswer() tells the length of a body that it omits", (t) => {
  const out = Buffer.alloc(200);
  const end = writeAnswer(out, 0, { ...answer, omitBody: true, close: false });
  const { messages } = readResponses([out.subarray(0, end)], "HEAD");
  t.deepEqual(messages[0]?.fields[1], ["content-length", "8"]);
  t.true(out.subarray(0, end).toString().endsWith("content-length: 8\r\n\r\n"));
});

test("writeAnswer() sends neither body nor length with 204", (t) => {
  const out = Buffer.alloc(200);
  const end = writeAnswer(out, 0, { ...answer, status: 204, headers: [], close: false });
  t.is(out.toString("latin1", 0, end), "HTTP/1.1 204 Forbidden\r\n\r\n");
});

test("writeAnswer() answers -1 for every buffer that is too small", (t) => {
  const needed = writeAnswer(Buffer.alloc(1000), 0, answer);
  for (let size = 0; size < needed; size++) t.is(writeAnswer(Buffer.alloc(size), 0, answer), -1);
  t.is(writeAnswer(Buffer.alloc(needed), 0, answer), needed);
});

test("writeAnswer() throws on a header that would split the response", (t) => {
  const out = Buffer.alloc(200);
  t.throws(() => writeAnswer(out, 0, { ...answer, headers: [["a", "b\r\nc: d"]] }), {
    message: /controls/,
  });
  t.throws(() => writeAnswer(out, 0, { ...answer, reason: "\u010a" }), { message: /controls/ });
});
