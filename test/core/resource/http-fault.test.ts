import test from "ava";
import { parseHttpFault } from "../../../src/core/resource/http-fault.ts";
import { edit, faultsOf, httpFault, parsed, type Refusal, titleOf } from "./manifests.ts";

test("parseHttpFault() reads a delay and an abort with their shares", (t) => {
  const { delay, abort } = parsed(parseHttpFault(httpFault));
  t.deepEqual(delay, { delayMs: 2_000, numerator: 10, denominator: 100 });
  t.deepEqual(abort, { status: 503, message: "", numerator: 100, denominator: 100 });
});

test("parseHttpFault() reads a share that is finer than a percent", (t) => {
  const fraction = { numerator: 1, denominator: 1_000 };
  const json = edit(httpFault, "spec", { abort: { status: 500, message: "on purpose", fraction } });
  const { delay, abort } = parsed(parseHttpFault(json));
  t.is(delay, undefined);
  t.deepEqual(abort, { status: 500, message: "on purpose", ...fraction });
});

const refused: readonly Refusal[] = [
  ["spec", undefined, "spec: is required"],
  ["spec", {}, "spec: must have at least one of delay and abort"],
  ["spec.delay.duration", undefined, "spec.delay.duration: is required"],
  ["spec.delay.percent", 101, "spec.delay.percent: must be a whole number from 0 to 100, is 101"],
  [
    "spec.delay.fraction",
    { numerator: 1 },
    "spec.delay: must have at most one of percent and fraction",
  ],
  [
    "spec.abort.fraction",
    { numerator: 2, denominator: 1 },
    "spec.abort.fraction.numerator: must be at most the denominator 1, is 2",
  ],
  ["spec.abort.status", undefined, "spec.abort.status: is required"],
  ["spec.abort.status", 100, "spec.abort.status: must be a whole number from 200 to 599, is 100"],
  [
    "spec.abort.message",
    "a\r\nb",
    String.raw`spec.abort.message: must be at most 256 visible ASCII characters, is "a\r\nb"`,
  ],
];
for (const refusal of refused) {
  const [path, value, fault] = refusal;
  test(`parseHttpFault() ${titleOf(refusal)}`, (t) => {
    t.deepEqual(faultsOf(parseHttpFault(edit(httpFault, path, value))), [fault]);
  });
}
