/** The examples do what their comments say only if nothing in them is refused. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import test from "ava";
import { resolveStatus } from "../../src/core/resolve/status.ts";
import { buildStore } from "../../src/core/resolve/store.ts";
import type { Resource } from "../../src/core/resource/resource.ts";
import { readDocuments } from "../../src/edge/files/documents.ts";
import { readObject } from "../../src/edge/files/read-object.ts";
import { loadSchemas } from "../../src/edge/schema/schema-set.ts";
import { settings } from "../core/resolve/world.ts";

const examples = fileURLToPath(new URL("../../examples", import.meta.url));
const schemas = loadSchemas(fileURLToPath(new URL("../../chart/crds", import.meta.url)));
const routes = readdirSync(join(examples, "routes"));

function readResources(path: string): readonly Resource[] {
  return readDocuments(readFileSync(path, "utf8")).flatMap((document) => {
    if (document.state === "unreadable") throw new Error(JSON.stringify(document.faults));
    return document.objects.map(({ json }) => {
      const reading = readObject(json, schemas);
      if (reading.state !== "good" || reading.faults.length > 0) {
        throw new Error(JSON.stringify(reading.faults));
      }
      return reading.resource;
    });
  });
}

const mesh = readdirSync(join(examples, "mesh")).flatMap((file) =>
  readResources(join(examples, "mesh", file)),
);

for (const file of routes) {
  test(`examples/routes/${file} is in order`, (t) => {
    const own = readResources(join(examples, "routes", file));
    const store = buildStore({
      resources: [...mesh, ...own],
      broken: [],
      unreadableAtStart: false,
    });
    const conditions = resolveStatus(store, settings).flatMap((status) => [
      ...status.conditions,
      ...status.parents.flatMap((parent) => parent.conditions),
    ]);
    t.deepEqual(
      conditions.filter(({ status, message }) => status === "False" || message !== ""),
      [],
    );
    t.true(own.length > 0);
  });
}

test("there is an example for each feature", (t) => {
  t.true(routes.length > 10);
});
