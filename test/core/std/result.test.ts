import test from "ava";
import { describeFaults, fail, fault, ok } from "../../../src/core/std/result.ts";
import { unreachable } from "../../../src/core/std/unreachable.ts";

test("ok() and fail() are told apart by their flag", (t) => {
  t.deepEqual(ok(1), { ok: true, value: 1 });
  t.deepEqual(fail(fault("a", "b")), { ok: false, faults: [{ path: "a", reason: "b" }] });
});

test("describeFaults() is one line with every fault", (t) => {
  const faults = [fault("spec.port", "must be 1 to 65535"), fault("", "is broken")];
  t.is(describeFaults(faults), "spec.port: must be 1 to 65535; is broken");
});

test("unreachable() throws with the value that was not expected", (t) => {
  t.throws(() => unreachable({ kind: "new" } as never), { message: /\{"kind":"new"\}/ });
});
