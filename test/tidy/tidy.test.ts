/** The repository checks its own rules: what no compiler or linter does. Each check counts what it looked at, so that none passes by seeing nothing. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import test from "ava";

const root = fileURLToPath(new URL("../../", import.meta.url));

function tracked(): string[] {
  const out = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
  });
  return out.split("\n").filter((file) => file !== "" && existsSync(path.join(root, file)));
}

function read(file: string): string {
  return readFileSync(path.join(root, file), "utf8");
}

const files = tracked();
const sources = files.filter((file) => /^src\/.*\.ts$/.test(file) && !file.includes("/gen/"));
const tests = files.filter((file) => /^test\/.*\.ts$/.test(file));

test("every file name tells what the file is about", (t) => {
  const vague = /(^|[-/])(utils?|helpers?|common|misc|manager|index)\.ts$/;
  t.deepEqual(
    [...sources, ...tests].filter((file) => vague.test(file)),
    [],
  );
  t.true(sources.length > 50);
});

test("core takes randomness and time as arguments", (t) => {
  const core = sources.filter((file) => file.startsWith("src/core/"));
  const offenders = core.filter((file) => /Math\.random|\bnew Date\b|Date\.now/.test(read(file)));
  t.deepEqual(offenders, []);
  t.true(core.length > 20);
});

test("no test is skipped, focused or left for later", (t) => {
  // Itself, and what says of a test that it lacks a program.
  const skips = ["test/tidy/tidy.test.ts", "test/harness/needing.ts"];
  const marker = /\btest(\.serial)?\.(only|skip|failing|todo)\b/;
  t.deepEqual(
    tests.filter((file) => !skips.includes(file) && marker.test(read(file))),
    [],
  );
  t.true(tests.length > 10);
});

test("no unfinished or silenced code", (t) => {
  const marker = new RegExp(
    ["TO" + "DO", "FIX" + "ME", "@ts-" + "ignore", "@ts-" + "nocheck"].join("|"),
  );
  t.deepEqual(
    [...sources, ...tests].filter((file) => marker.test(read(file))),
    [],
  );
});

test("every runtime dependency has its reason in ARCHITECTURE.md and an exact version", (t) => {
  const manifest: {
    dependencies: Record<string, string>;
    devDependencies: Record<string, string>;
  } = JSON.parse(read("package.json"));
  const text = read("src/ARCHITECTURE.md");
  const names = Object.keys(manifest.dependencies);
  t.deepEqual(
    names.filter((name) => !text.includes(`\`${name}\``)),
    [],
  );
  const versions = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
  t.deepEqual(
    versions.filter(([, version]) => !/^[0-9]+\.[0-9]+\.[0-9]+$/.test(version)),
    [],
  );
  t.true(names.length > 5);
});

test("the import table in ARCHITECTURE.md is what the compiler enforces", (t) => {
  const rows = [...read("src/ARCHITECTURE.md").matchAll(/^\| `([a-z-]+)` \| ([^|]*) \|$/gm)];
  for (const [, folder = "", cell = ""] of rows) {
    const config: { references: { path: string }[] } = JSON.parse(
      read(`src/${folder}/tsconfig.json`),
    );
    const enforced = config.references.map((reference) => reference.path.replace("../", ""));
    const told = [...cell.matchAll(/`([a-z-]+)`/g)].map(([, name]) => name);
    t.deepEqual(told, enforced, folder);
  }
  t.true(rows.length >= 10);
});

test("documents name only files that exist", (t) => {
  let looked = 0;
  for (const file of files.filter((name) => name.endsWith(".md"))) {
    for (const [, link = ""] of read(file).matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)) {
      looked++;
      t.true(existsSync(path.join(root, path.dirname(file), link)), `${file} names ${link}`);
    }
    for (const [, name = ""] of read(file).matchAll(
      /`((?:src|test|proto|chart|examples|benchmarks)\/[\w./-]+)`/g,
    )) {
      looked++;
      t.true(existsSync(path.join(root, name)), `${file} names ${name}`);
    }
  }
  t.true(looked > 10);
});

test("every benchmark that a comment names exists", (t) => {
  let looked = 0;
  for (const file of sources) {
    for (const [name] of read(file).matchAll(/benchmarks\/[\w/-]+\.ts/g)) {
      looked++;
      t.true(existsSync(path.join(root, name)), `${file} names ${name}`);
    }
  }
  t.true(looked > 0);
});
