import { inspect } from "node:util";
import test from "ava";
import { Secret } from "../../../src/core/std/secret.ts";

const secret = new Secret("hunter2");

test("Secret reveals its value only when asked", (t) => {
  t.is(secret.reveal(), "hunter2");
});

for (const [how, printed] of [
  ["JSON", JSON.stringify({ secret })],
  ["inspect", inspect({ secret, nested: [secret] }, { depth: 9, showHidden: true })],
  ["a template", `${String(secret)}`],
  ["a spread", JSON.stringify({ ...secret })],
] as const) {
  test(`Secret does not show its value to ${how}`, (t) => {
    t.false(printed.includes("hunter2"), printed);
  });
}

test("Secret prints [redacted] to JSON and inspect", (t) => {
  t.is(JSON.stringify(secret), '"[redacted]"');
  t.is(inspect(secret), "[redacted]");
});
