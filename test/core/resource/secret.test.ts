import test from "ava";
import fc from "fast-check";
import { parseSecret } from "../../../src/core/resource/secret.ts";
import { edit, faultsOf, parsed, type Refusal, secret, titleOf } from "./manifests.ts";

function reveal(json: unknown): readonly (readonly [string, string])[] {
  return [...parsed(parseSecret(json)).values].map(([key, value]) => [key, value.reveal()]);
}

test("parseSecret() decodes the keys that somebody reads, and keeps no others", (t) => {
  const json = edit(secret, "data.password", "cGFzc3dvcmQ=");
  t.deepEqual(reveal(json), [
    ["accessKey", "AKIDEXAMPLE"],
    ["secretKey", "wJalr"],
  ]);
});

test("parseSecret() takes plain text before encoded", (t) => {
  const json = edit(secret, "stringData", { secretKey: "plain", sessionToken: "token" });
  t.deepEqual(reveal(json), [
    ["accessKey", "AKIDEXAMPLE"],
    ["secretKey", "plain"],
    ["sessionToken", "token"],
  ]);
});

test("parseSecret() forgets annotations, where kubectl leaves a copy of the object", (t) => {
  const name = "kubectl.kubernetes.io/last-applied-configuration";
  const json = edit(secret, `metadata.annotations["${name}"]`, JSON.stringify(secret));
  t.is(parsed(parseSecret(json)).meta.annotations.size, 0);
});

const refused: readonly Refusal[] = [
  ["data", "AKIDEXAMPLE", "data: must be an object"],
  ["stringData", ["AKIDEXAMPLE"], "stringData: must be an object"],
  ["data.accessKey", 7, "data.accessKey: must be text of at most 16384 characters"],
  [
    "data.accessKey",
    "x".repeat(16_385),
    "data.accessKey: must be text of at most 16384 characters",
  ],
  ["data.accessKey", "AKID EXAMPLE", "data.accessKey: must be base64 (RFC 4648 §4)"],
  [
    "data.secretKey",
    "d0phbHIK",
    "data.secretKey: must be visible ASCII without blanks and line ends",
  ],
  [
    "stringData.secretKey",
    "wJalr\n",
    "stringData.secretKey: must be visible ASCII without blanks and line ends",
  ],
];
for (const refusal of refused) {
  const [path, value, fault] = refusal;
  test(`parseSecret() ${titleOf(refusal)}`, (t) => {
    t.deepEqual(faultsOf(parseSecret(edit(secret, path, value))), [fault]);
  });
}

test("parseSecret() never tells a value, whatever is wrong with it", (t) => {
  const hidden = "hunter2-hunter2";
  const anyShape = fc.oneof(
    fc.constant(hidden),
    fc.constant([hidden]),
    fc.constant({ [hidden]: hidden }),
    fc.constant(`${hidden} `),
  );
  const paths = ["data", "stringData", "data.accessKey", "stringData.secretKey"];
  fc.assert(
    fc.property(anyShape, fc.constantFrom(...paths), (value, path) => {
      t.false(JSON.stringify(parseSecret(edit(secret, path, value))).includes(hidden));
    }),
  );
});
