import { rmSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import fc from "fast-check";
import { FolderSource } from "../../../src/edge/files/folder-source.ts";
import { defaultMaxFiles } from "../../../src/edge/files/list-folder.ts";
import { readFolder } from "../../../src/edge/files/read-folder.ts";
import { definitionSchemas } from "../schema/definitions-folder.ts";
import { serverYaml, summaryOf, TemporaryFolder } from "./folder.ts";

const schemas = definitionSchemas();

function sourceOf(folder: TemporaryFolder): FolderSource {
  const options = { maxFiles: defaultMaxFiles, onFolder: () => {}, now: Date.now };
  return new FolderSource({ dir: folder.path, schemas, ...options });
}

test("FolderSource.scan() gives a first snapshot, and none when nothing changed", async (t) => {
  using folder = new TemporaryFolder();
  folder.write("a.yaml", "kind: {");
  const source = sourceOf(folder);
  t.is((await source.scan()).snapshot?.revision, 1);
  t.is((await source.scan()).snapshot, undefined);
  folder.write("a.yaml", serverYaml("one"));
  t.is((await source.scan()).snapshot?.revision, 2);
});

test("FolderSource.scan() reads a file again that changed within a tick of the clock", async (t) => {
  using folder = new TemporaryFolder();
  const source = sourceOf(folder);
  // Each write and each look come as fast as they can, often in one tick, and all sizes are the same.
  for (let port = 1000; port < 1200; port++) {
    folder.write("a.yaml", serverYaml("one", port));
    const [one] = (await source.scan()).snapshot?.resources ?? [];
    t.is(one?.kind === "Server" && one.port, port);
  }
});

const files = ["a.yaml", "b.yaml", "c.yaml"] as const;
const names = ["one", "two"] as const;

type Content = readonly ((typeof names)[number] | "bad")[];

const content: fc.Arbitrary<Content | "removed"> = fc.oneof(
  fc.array(fc.constantFrom(...names, "bad" as const), { maxLength: 3 }),
  fc.constant("removed" as const),
);
const steps = fc.array(fc.record({ file: fc.constantFrom(...files), content }), { maxLength: 8 });

function textOf(documents: Content): string {
  return documents.map((one) => (one === "bad" ? "kind: {\n" : serverYaml(one))).join("---\n");
}

test("FolderSource.scan() never forgets what a file may still hold, and remembers nothing else", async (t) => {
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      using folder = new TemporaryFolder();
      const source = sourceOf(folder);
      let last = (await source.scan()).snapshot;
      /** What each file may hold by the rule: what it does hold, and while it is bad, what it ever held since it was good. */
      const mayHold = new Map<string, Set<string>>();
      for (const { file, content: documents } of all) {
        if (documents === "removed") {
          rmSync(join(folder.path, file), { force: true });
          mayHold.delete(file);
        } else {
          folder.write(file, textOf(documents));
          const before = documents.includes("bad") ? (mayHold.get(file) ?? []) : [];
          mayHold.set(file, new Set([...before, ...documents.filter((one) => one !== "bad")]));
        }
        last = (await source.scan()).snapshot ?? last;
      }
      if (last === undefined) return t.fail();
      const known = [
        ...last.resources.map(({ meta }) => meta.name),
        ...last.broken.map(({ name }) => name),
      ];
      t.deepEqual(
        known.toSorted(),
        [...new Set([...mayHold.values()].flatMap((set) => [...set]))].toSorted(),
      );
      // What is in force is what somebody who only now looks at the folder would see.
      const fresh = await readFolder({ dir: folder.path, schemas });
      t.deepEqual(summaryOf(last).good, summaryOf(fresh).good);
    }),
    { numRuns: 60 },
  );
});
