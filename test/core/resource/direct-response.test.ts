import test from "ava";
import { parseDirectResponse } from "../../../src/core/resource/direct-response.ts";
import { directResponse, edit, faultsOf, parsed, type Refusal, titleOf } from "./manifests.ts";

test("parseDirectResponse() reads status and body", (t) => {
  const { status, body } = parsed(parseDirectResponse(directResponse));
  t.deepEqual([status, body], [404, "User-agent: *\n"]);
});

const bodies = test.macro({
  exec: (t, spec: object, body: string) => {
    const value = parsed(
      parseDirectResponse(edit(directResponse, "spec", { status: 200, ...spec })),
    );
    t.is(value.body, body);
  },
  title: (_given, spec: object) =>
    `parseDirectResponse() reads the body of ${JSON.stringify(spec)}`,
});
test(bodies, {}, "");
test(bodies, { body: "100%" }, "100%");
test(bodies, { bodyFormat: { text: "100%% of it" } }, "100% of it");

const refused: readonly Refusal[] = [
  ["spec", undefined, "spec: is required"],
  ["spec.status", undefined, "spec.status: is required"],
  ["spec.status", 199, "spec.status: must be a whole number from 200 to 599, is 199"],
  ["spec.status", 600, "spec.status: must be a whole number from 200 to 599, is 600"],
  ["spec.body", "", "spec.body: must have 1 to 4096 characters, has 0"],
  ["spec.body", "x".repeat(4_097), "spec.body: must have 1 to 4096 characters, has 4097"],
  ["spec.bodyFormat", { text: "x" }, "spec: must have at most one of body and bodyFormat"],
];
for (const refusal of refused) {
  const [path, value, fault] = refusal;
  test(`parseDirectResponse() ${titleOf(refusal)}`, (t) => {
    t.deepEqual(faultsOf(parseDirectResponse(edit(directResponse, path, value))), [fault]);
  });
}

const formats: readonly (readonly [unknown, string])[] = [
  [{}, "spec.bodyFormat.text: is required"],
  [{ json: { a: 1 } }, "spec.bodyFormat.json: is not supported: write the body as text"],
  [
    { text: "you asked for %PATH%" },
    'spec.bodyFormat.text: must have no format operators such as "%PATH%": they are not supported',
  ],
  [
    { text: "a %%% b" },
    'spec.bodyFormat.text: must have no format operators such as "%PATH%": they are not supported',
  ],
];
for (const [bodyFormat, fault] of formats) {
  test(`parseDirectResponse() refuses the format ${JSON.stringify(bodyFormat)}`, (t) => {
    const json = edit(directResponse, "spec", { status: 200, bodyFormat });
    t.deepEqual(faultsOf(parseDirectResponse(json)), [fault]);
  });
}
