import test from "ava";
import fc from "fast-check";
import {
  FaultList,
  Field,
  isWithin,
  joinPath,
  listChoices,
  quote,
  splitPath,
} from "../../../src/core/resource/field.ts";

function read<T>(json: unknown, reader: (field: Field) => T): { value: T; faults: string[] } {
  const list = new FaultList();
  const value = reader(new Field(json, list));
  return { value, faults: list.faults.map(({ path, reason }) => `${path}: ${reason}`) };
}

test("Field.at() reads an own field and knows its path", (t) => {
  const { value, faults } = read({ a: { b: "x" } }, (root) => root.at("a").at("b"));
  t.is(value.json, "x");
  t.is(value.path, "a.b");
  t.deepEqual(faults, []);
});

test("Field.at() does not read what an object inherits", (t) => {
  const { value } = read({}, (root) => root.at("constructor").isPresent);
  t.false(value);
});

test("Field.at() wants an object, and says so once", (t) => {
  const { faults } = read({ a: 1 }, (root) => [root.at("a").at("b"), root.at("a").at("c")]);
  t.deepEqual(faults, ["a: must be an object, is 1"]);
});

test("Field reads null as absent", (t) => {
  const { value, faults } = read({ a: null }, (root) => [
    root.at("a").isPresent,
    root.at("a").optionalText(),
    root.at("a").at("b").flag(true),
    root.at("a").items().length,
  ]);
  t.deepEqual(value, [false, undefined, true, 0]);
  t.deepEqual(faults, []);
});

const refuses = test.macro({
  exec: (t, json: unknown, reader: (field: Field) => unknown, fault: string) => {
    t.deepEqual(read({ a: json }, (root) => reader(root.at("a"))).faults, [fault]);
  },
  title: (name, json) =>
    `${name ?? ""} refuses ${json === undefined ? "absence" : JSON.stringify(json)}`,
});

test("Field.text() of nothing", refuses, undefined, (field) => field.text(), "a: is required");
test("Field.text()", refuses, 7, (field) => field.text(), "a: must be text, is 7");
test("Field.items()", refuses, {}, (field) => field.items(), "a: must be a list, is an object");
test(
  "Field.textMap() of a list",
  refuses,
  [],
  (field) => field.textMap(),
  "a: must be an object, is a list",
);
test(
  "Field.textMap()",
  refuses,
  { "k/y": 1 },
  (field) => field.textMap(),
  'a["k/y"]: must be text, is 1',
);
test(
  "Field.flag()",
  refuses,
  "yes",
  (field) => field.flag(false),
  'a: must be true or false, is "yes"',
);

const range = { min: 1, max: 9 };
for (const json of [0, 10, 1.5, "5", Number.NaN, true]) {
  const shown = Number.isNaN(json) ? "null" : JSON.stringify(json);
  test(
    `Field.optionalInteger() (${String(json)})`,
    refuses,
    json,
    (field) => field.optionalInteger(range),
    `a: must be a whole number from 1 to 9, is ${shown}`,
  );
}

test("Field.optionalInteger() takes the ends of its range", (t) => {
  t.is(read(1, (field) => field.optionalInteger(range)).value, 1);
  t.is(read(9, (field) => field.optionalInteger(range)).value, 9);
});

test(
  "Field.choice()",
  refuses,
  "c",
  (field) => field.choice(["a", "b"], "a"),
  'a: must be "a" or "b", is "c"',
);

for (const port of [1, 65_535, "http", "a", "p-1", "x".repeat(15)]) {
  test(`Field.optionalPort() takes ${port}`, (t) => {
    const { value, faults } = read(port, (field) => field.optionalPort());
    t.is(value, port);
    t.deepEqual(faults, []);
  });
}

for (const port of [0, 65_536, -1, 1.5]) {
  test(
    `Field.optionalPort() (${port})`,
    refuses,
    port,
    (field) => field.optionalPort(),
    `a: must be a whole number from 1 to 65535, is ${port}`,
  );
}

for (const port of ["", "80", "-a", "a-", "a--b", "Http", "x".repeat(16), "a b"]) {
  test(
    `Field.optionalPort() (${port})`,
    refuses,
    port,
    (field) => field.optionalPort(),
    `a: must be a port number from 1 to 65535 or a port name (1 to 15 of a-z, 0-9 and -, at least one letter), is ${JSON.stringify(port)}`,
  );
}

test("FaultList keeps known faults and adds none for their paths", (t) => {
  const list = new FaultList([{ path: "a", reason: "known" }]);
  list.add("a", "new");
  list.add("a.b", "new");
  list.add("a.b", "new");
  t.deepEqual(list.faults, [
    { path: "a", reason: "known" },
    { path: "a.b", reason: "new" },
  ]);
});

test("FaultList.settle() gives the value only without faults", (t) => {
  const list = new FaultList();
  t.deepEqual(list.settle(7), { ok: true, value: 7 });
  list.add("a", "bad");
  t.deepEqual(list.settle(7), { ok: false, faults: [{ path: "a", reason: "bad" }] });
});

test("Field.apart() notes faults elsewhere", (t) => {
  const list = new FaultList();
  const { faults } = read({ a: 1 }, (root) => root.at("a").apart(list).text());
  t.deepEqual(faults, []);
  t.is(list.faults.length, 1);
});

test("joinPath() puts keys that are not words into brackets", (t) => {
  t.is(joinPath("", "spec"), "spec");
  t.is(joinPath("metadata.annotations", "a.b/c"), 'metadata.annotations["a.b/c"]');
  t.is(joinPath("labels", "0"), 'labels["0"]');
});

test("splitPath() undoes joinPath() for every key", (t) => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.string(), fc.nat(9)), { minLength: 1 }), (steps) => {
      const path = steps.reduce<string>(
        (text, step) => (typeof step === "number" ? `${text}[${step}]` : joinPath(text, step)),
        "",
      );
      t.deepEqual(splitPath(path), steps);
    }),
  );
});

test("isWithin() knows whole steps", (t) => {
  t.true(isWithin("spec.rules[1]", "spec.rules[1]"));
  t.true(isWithin("spec.rules[1].name", "spec.rules[1]"));
  t.false(isWithin("spec.rules[11]", "spec.rules[1"));
  t.false(isWithin("spec.rulesets", "spec.rules"));
});

test("quote() shows texts in quotes, cut short, and what is large by its kind", (t) => {
  t.is(quote('a"b'), '"a\\"b"');
  t.is(quote("x".repeat(61)), `"${"x".repeat(60)}"…`);
  t.is(quote(undefined), "absent");
  t.is(quote(null), "null");
  t.is(quote([1]), "a list");
  t.is(quote({ a: 1 }), "an object");
});

test("listChoices() reads like a sentence", (t) => {
  t.is(listChoices(["a"]), '"a"');
  t.is(listChoices([301, 302, 303]), "301, 302 or 303");
});
