import test from "ava";
import { type LabelSelector, selects } from "../../../src/core/resource/label-selector.ts";

const none: LabelSelector = { matchLabels: new Map(), matchExpressions: [] };
const labels = new Map([
  ["app", "web"],
  ["tier", "a"],
]);

test("selects() takes everything when the selector is empty", (t) => {
  t.true(selects(none, labels));
  t.true(selects(none, new Map()));
});

test("selects() wants every label", (t) => {
  t.true(selects({ ...none, matchLabels: new Map([["app", "web"]]) }, labels));
  t.true(selects({ ...none, matchLabels: labels }, labels));
  t.false(selects({ ...none, matchLabels: new Map([["app", "api"]]) }, labels));
  t.false(selects({ ...none, matchLabels: labels }, new Map([["app", "web"]])));
});

const answers: readonly [
  LabelSelector["matchExpressions"][number]["operator"],
  string,
  readonly string[],
  boolean,
][] = [
  ["In", "app", ["api", "web"], true],
  ["In", "app", ["api"], false],
  ["In", "zone", ["a"], false],
  ["NotIn", "app", ["web"], false],
  ["NotIn", "app", ["api"], true],
  ["NotIn", "zone", ["a"], true],
  ["Exists", "app", [], true],
  ["Exists", "zone", [], false],
  ["DoesNotExist", "app", [], false],
  ["DoesNotExist", "zone", [], true],
];

for (const [operator, key, values, expected] of answers) {
  test(`selects() answers ${expected} for ${key} ${operator} (${values.join()})`, (t) => {
    t.is(selects({ ...none, matchExpressions: [{ key, operator, values }] }, labels), expected);
  });
}

test("selects() wants every expression, and the labels as well", (t) => {
  const matchExpressions = [
    { key: "app", operator: "Exists", values: [] },
    { key: "zone", operator: "Exists", values: [] },
  ] as const;
  t.false(selects({ ...none, matchExpressions }, labels));
  t.false(
    selects(
      { matchLabels: new Map([["a", "b"]]), matchExpressions: [matchExpressions[0]] },
      labels,
    ),
  );
});
