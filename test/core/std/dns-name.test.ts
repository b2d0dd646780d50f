import test from "ava";
import { isDnsLabel, isDnsName } from "../../../src/core/std/dns-name.ts";

for (const label of ["a", "a-b", "0", "x".repeat(63)]) {
  test(`isDnsLabel() accepts ${label.slice(0, 8)} (${label.length})`, (t) =>
    t.true(isDnsLabel(label)));
}

for (const label of ["", "-a", "a-", "A", "a.b", "a_b", "é", "a\n", "a\0", "x".repeat(64)]) {
  test(`isDnsLabel() refuses ${JSON.stringify(label.slice(0, 8))} (${label.length})`, (t) => {
    t.false(isDnsLabel(label));
  });
}

test("isDnsName() accepts 253 characters and refuses 254", (t) => {
  const name = `${"x".repeat(63)}.${"x".repeat(63)}.${"x".repeat(63)}.${"x".repeat(61)}`;
  t.is(name.length, 253);
  t.true(isDnsName(name));
  t.false(isDnsName(`${name}x`));
});

for (const name of ["", ".", "a.", ".a", "a..b", "*.a", "A.b", "a.b\n"]) {
  test(`isDnsName() refuses ${JSON.stringify(name)}`, (t) => t.false(isDnsName(name)));
}
