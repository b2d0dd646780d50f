import test from "ava";
import { readDocuments, type TextDocument } from "../../../src/edge/files/documents.ts";

function only(text: string): TextDocument {
  const [document, ...more] = readDocuments(text);
  if (document === undefined || more.length > 0) throw new Error("Expected one document");
  return document;
}

function jsonOf(text: string): unknown {
  const document = only(text);
  return document.state === "read" ? document.objects.map(({ json }) => json) : document.faults;
}

test("readDocuments() counts documents as their separators do", (t) => {
  const documents = readDocuments("# nothing\n---\na: 1\n---\n---\nb: 2\n");
  t.deepEqual(
    documents.map((one) => [
      one.number,
      one.state === "read" && one.objects.map(({ json }) => json),
    ]),
    [
      [1, [{ a: 1 }]],
      [2, []],
      [3, [{ b: 2 }]],
    ],
  );
});

for (const text of ["", "\n", "# only a comment\n", "---\n"]) {
  test(`readDocuments() finds no object in ${JSON.stringify(text)}`, (t) => {
    t.deepEqual(
      readDocuments(text).flatMap((one): unknown[] =>
        one.state === "read" ? [...one.objects] : [one],
      ),
      [],
    );
  });
}

test("readDocuments() reads JSON, indented with tabs", (t) => {
  t.deepEqual(jsonOf('{\n\t"a": [1,\n\t\t{"b": null}]\n}\n'), [{ a: [1, { b: null }] }]);
});

test("readDocuments() reads a byte order mark, anchors and merge keys", (t) => {
  t.deepEqual(jsonOf("\uFEFFa: &x {b: 1}\nc:\n  <<: *x\n  d: 2\n"), [
    { a: { b: 1 }, c: { b: 1, d: 2 } },
  ]);
});

test("readDocuments() reads a time as text", (t) => {
  t.deepEqual(jsonOf("a: 2024-01-01T00:00:00Z\n"), [{ a: "2024-01-01T00:00:00Z" }]);
});

const unreadable: readonly [string, string, number, string][] = [
  ["a key twice", "a: 1\nb: 2\na: 3\n", 3, "map keys must be unique"],
  ["a quote left open", 'a: 1\nb: "x\n', 3, 'missing closing "quote'],
  [
    "a bad indentation",
    "a:\n  b: 1\n c: 2\n",
    3,
    "all mapping items must start at the same column",
  ],
  ["two values on a line", "a: b: c\n", 1, "nested mappings are not allowed in compact mappings"],
  ["a tab as indentation", "a:\n\tb: 1\n", 2, "tabs are not allowed as indentation"],
  ["an unknown tag", "a: !weird 1\n", 1, "unresolved tag: !weird"],
  [
    "an alias without anchor",
    "a: *x\n",
    1,
    "unresolved alias (the anchor must be set before the alias): x",
  ],
  [
    "a List without a list",
    "kind: List\nitems: {}\n",
    1,
    "a List must have its objects in a list, in items",
  ],
];

for (const [name, text, line, reason] of unreadable) {
  test(`readDocuments() refuses ${name}`, (t) => {
    const document = only(text);
    if (document.state === "read") return t.fail(JSON.stringify(document));
    t.deepEqual(document.faults[0], { line, reason });
  });
}

test("readDocuments() tells the first mistakes of a document, and not all that follow", (t) => {
  const document = only("a: 1\n".repeat(100));
  if (document.state === "read") return t.fail();
  t.deepEqual(
    document.faults.map(({ line }) => line),
    [2, 3, 4],
  );
});

test("readDocuments() reads the documents around a bad one", (t) => {
  const documents = readDocuments("a: 1\n---\nb: {\n---\nc: 3\n");
  t.deepEqual(
    documents.map(({ number, state }) => [number, state]),
    [
      [1, "read"],
      [2, "unreadable"],
      [3, "read"],
    ],
  );
});

test("readDocuments() does not expand a bomb of aliases", (t) => {
  const levels = Array.from({ length: 9 }, (_, level) => {
    const before = level === 0 ? '"lol"' : `*x${level - 1}`;
    return `x${level}: &x${level} [${Array.from({ length: 9 }, () => before).join(", ")}]`;
  });
  const document = only(`${levels.join("\n")}\n`);
  if (document.state === "read") return t.fail();
  t.regex(document.faults[0]?.reason ?? "", /^excessive alias count/);
});

test("readDocuments() survives a depth that no stack holds", (t) => {
  t.is(only(`a: ${"[".repeat(100_000)}`).state, "unreadable");
});

test("readDocuments() expands a List, and knows where each object stands", (t) => {
  const document = only("kind: List\napiVersion: v1\nitems:\n- a: 1\n- b:\n    c: 2\n");
  if (document.state === "unreadable") return t.fail();
  t.deepEqual(
    document.objects.map(({ json, path, lineOf }) => [json, path, lineOf("")]),
    [
      [{ a: 1 }, "items[0]", 4],
      [{ b: { c: 2 } }, "items[1]", 5],
    ],
  );
  t.is(document.objects[1]?.lineOf("b.c"), 6);
});

test("FoundObject.lineOf() knows the line of a path, or of the nearest thing around it", (t) => {
  const document = only(
    'x: 1\nspec:\n  rules:\n  - a: 1\n  - b:\n      "c.d/e": [1,\n        2]\n',
  );
  if (document.state === "unreadable") return t.fail();
  const [object] = document.objects;
  const lines = [
    "",
    "x",
    "spec",
    "spec.rules",
    "spec.rules[0]",
    "spec.rules[1].b",
    'spec.rules[1].b["c.d/e"]',
    'spec.rules[1].b["c.d/e"][1]',
    "spec.rules[1].zzz.y",
    "spec.rules[7]",
    "nowhere",
  ];
  t.deepEqual(
    lines.map((path) => object?.lineOf(path)),
    [1, 1, 2, 3, 4, 5, 6, 7, 5, 3, 1],
  );
});

for (const [text, reason] of [
  ["a: yes\n", "reads yes as text, kubectl as true or false: quote it"],
  ["a: [Off]\n", "reads Off as text, kubectl as true or false: quote it"],
  ["a: 0777\n", "reads 0777 in base 10, kubectl in base 8: write it plainly"],
] as const) {
  test(`readDocuments() warns of ${JSON.stringify(text)}`, (t) => {
    const document = only(text);
    t.deepEqual(document.state === "read" && document.warnings, [{ line: 1, reason }]);
  });
}

for (const text of [
  'a: "yes"\n',
  "yes: 1\n",
  "a: true\n",
  "a: 0\n",
  "a: 0.5\n",
  "a: 080\n",
  "a: yesterday\n",
]) {
  test(`readDocuments() does not warn of ${JSON.stringify(text)}`, (t) => {
    const document = only(text);
    t.deepEqual(document.state === "read" && document.warnings, []);
  });
}
