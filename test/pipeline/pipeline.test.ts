import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import test from "ava";
import { kinds } from "../../src/core/pipeline.ts";
import { documentsOf } from "../core/resolve/world.ts";
import { runCase, splitCase } from "./case-file.ts";

const folder = fileURLToPath(new URL(".", import.meta.url));
const cases = readdirSync(folder, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".yaml"))
  .toSorted();
const isUpdate = process.env["UPDATE_GOLDEN"] === "1";

for (const file of cases) {
  test(`the stages give for ${file} what stands in it`, (t) => {
    const path = join(folder, file);
    const { given, expected } = splitCase(readFileSync(path, "utf8"));
    const found = runCase(given);
    // The data is compared, because the formatter of the repository has a hand in the text.
    const isSame = isDeepStrictEqual(documentsOf(found), documentsOf(expected));
    if (isUpdate && !isSame) writeFileSync(path, given + found);
    if (isUpdate) t.pass();
    else t.deepEqual(documentsOf(found), documentsOf(expected));
  });
}

test("every kind of the pipeline has a folder of cases", (t) => {
  const folders = new Set(cases.map((file) => file.split("/")[0]));
  const wanted = Object.keys(kinds).map((kind) =>
    kind.replace(/(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/g, "-").toLowerCase(),
  );
  t.deepEqual([...folders].toSorted(), wanted.toSorted());
});
