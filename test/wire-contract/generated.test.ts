import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import test from "ava";

const root = fileURLToPath(new URL("../../", import.meta.url));
const bin = join(root, "node_modules", ".bin");
const output = join("src", "core", "wire", "gen");

async function readTree(folder: string): Promise<Readonly<Record<string, string>>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const texts = await Promise.all(
    files.map(async ({ parentPath, name }) => {
      const path = join(parentPath, name);
      return [path.slice(folder.length + 1), await readFile(path, "utf8")] as const;
    }),
  );
  return Object.fromEntries(texts);
}

test("src/core/wire/gen is what `npm run generate` makes of proto", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "weft-generated-"));
  t.teardown(() => rm(folder, { recursive: true }));
  await promisify(execFile)(
    join(bin, "buf"),
    ["generate", "proto", "--template", join("proto", "buf.gen.yaml"), "--output", folder],
    { cwd: root, env: { ...process.env, PATH: `${bin}${delimiter}${process.env["PATH"] ?? ""}` } },
  );
  const generated = await readTree(join(folder, output));
  const committed = await readTree(join(root, output));
  t.true(Object.keys(generated).length > 0);
  t.deepEqual(Object.keys(committed).toSorted(), Object.keys(generated).toSorted());
  for (const [path, text] of Object.entries(generated)) {
    t.true(committed[path] === text, `Run npm run generate: ${path} is not up to date`);
  }
});
