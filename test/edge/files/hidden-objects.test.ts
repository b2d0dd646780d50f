/** Fail closed: what was in force and cannot be read any more is broken, neither in force nor forgotten. */
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { maxFileBytes } from "../../../src/edge/files/read-file.ts";
import { serverYaml, summaryOf, TemporaryFolder } from "./folder.ts";
import { Snapshots } from "./snapshots.ts";

const reason = "was in a.yaml, which cannot be read as a whole now: mend the file, or remove it";

test("an object whose document cannot be read any more is broken, with the scope it had", async (t) => {
  using folder = new TemporaryFolder();
  folder.write("a.yaml", serverYaml("one"));
  using snapshots = await Snapshots.of(folder.path);
  folder.write("a.yaml", serverYaml("one").replace("spec:", "spec: {"));
  const spoilt = await snapshots.next();
  t.deepEqual(spoilt.resources, []);
  t.deepEqual(spoilt.broken, [
    {
      kind: "Server",
      group: "policy.linkerd.io",
      namespace: "demo",
      name: "one",
      faults: [{ path: "", reason }],
      scope: {
        type: "workloads",
        workload: "pods",
        labels: { matchLabels: new Map([["app", "one"]]), matchExpressions: [] },
        port: 80,
      },
      source: "a.yaml",
    },
  ]);
  const { reports } = summaryOf(spoilt);
  t.is(reports.length, 4, reports.join("\n"));
  t.regex(
    reports[0] ?? "",
    /^refused: a\.yaml, document 1, line 8: block collections are not allowed/,
  );
  t.is(reports.at(-1), `refused: a.yaml: Server demo/one: ${reason}`);
  t.false(spoilt.unreadableAtStart);
  folder.write("a.yaml", serverYaml("one"));
  t.deepEqual(summaryOf(await snapshots.next()), { good: ["Server one"], broken: [], reports: [] });
});

test("a document that swallows others hides them all", async (t) => {
  using folder = new TemporaryFolder();
  const two = `${serverYaml("one")}---\n${serverYaml("two")}`;
  folder.write("a.yaml", two);
  using snapshots = await Snapshots.of(folder.path);
  folder.write("a.yaml", two.replace("app: one", 'app: "one'));
  t.deepEqual(summaryOf(await snapshots.next()).broken, [
    "Server one (a.yaml)",
    "Server two (a.yaml)",
  ]);
});

test("a bad document hides nothing that can still be read", async (t) => {
  using folder = new TemporaryFolder();
  folder.write("a.yaml", `${serverYaml("one")}---\n${serverYaml("two")}`);
  using snapshots = await Snapshots.of(folder.path);
  folder.write("a.yaml", `${serverYaml("one")}---\nkind: [\n`);
  const { good, broken } = summaryOf(await snapshots.next());
  t.deepEqual([good, broken], [["Server one"], ["Server two (a.yaml)"]]);
});

for (const [name, change] of [
  ["has a kind with a slip in it", (text: string) => text.replace("kind: Server", "kind: Sever")],
  ["has lost its name", (text: string) => text.replace("  name: one\n", "")],
  ["has lost its kind", (text: string) => text.replace("kind: Server\n", "")],
  ["is no object", () => "- text\n"],
  ["is no UTF-8", () => Uint8Array.of(0xff)],
  ["is too large", () => `# ${"x".repeat(maxFileBytes)}`],
] as const) {
  test(`an object is broken when its document ${name}`, async (t) => {
    using folder = new TemporaryFolder();
    folder.write("a.yaml", serverYaml("one"));
    using snapshots = await Snapshots.of(folder.path);
    folder.write("a.yaml", change(serverYaml("one")));
    const { good, broken } = summaryOf(await snapshots.next());
    t.deepEqual([good, broken], [[], ["Server one (a.yaml)"]]);
    folder.write("a.yaml", serverYaml("one"));
    t.deepEqual(summaryOf(await snapshots.next()), {
      good: ["Server one"],
      broken: [],
      reports: [],
    });
  });
}

test("an object stays broken from one bad edit to the next, until its file is removed", async (t) => {
  using folder = new TemporaryFolder();
  const path = folder.write("a.yaml", serverYaml("one"));
  using snapshots = await Snapshots.of(folder.path);
  for (const text of ["kind: {", "kind: [", `${serverYaml("two")}---\nkind: {`]) {
    folder.write("a.yaml", text);
    t.deepEqual(summaryOf(await snapshots.next()).broken, ["Server one (a.yaml)"]);
  }
  rmSync(path);
  t.deepEqual(summaryOf(await snapshots.next()), { good: [], broken: [], reports: [] });
});

test("an object that is taken out of a file that can be read is gone", async (t) => {
  using folder = new TemporaryFolder();
  folder.write("a.yaml", `${serverYaml("one")}---\n${serverYaml("two")}`);
  using snapshots = await Snapshots.of(folder.path);
  folder.write("a.yaml", "kind: {");
  t.is((await snapshots.next()).broken.length, 2);
  folder.write("a.yaml", serverYaml("two"));
  t.deepEqual(summaryOf(await snapshots.next()), { good: ["Server two"], broken: [], reports: [] });
});

test("an object that was broken before is still broken when its document cannot be read", async (t) => {
  using folder = new TemporaryFolder();
  folder.write("a.yaml", serverYaml("one", 0));
  using snapshots = await Snapshots.of(folder.path);
  t.deepEqual(summaryOf(snapshots.last).broken, ["Server one (a.yaml#1)"]);
  const before = snapshots.last.broken[0]?.scope;
  folder.write("a.yaml", "kind: {");
  const spoilt = await snapshots.next();
  t.deepEqual(summaryOf(spoilt).broken, ["Server one (a.yaml)"]);
  t.deepEqual(spoilt.broken[0]?.scope, before);
});

test("an object that is found in another file is not hidden", async (t) => {
  using folder = new TemporaryFolder();
  folder.write("a.yaml", serverYaml("one"));
  using snapshots = await Snapshots.of(folder.path);
  folder.write("a.yaml", "kind: {");
  t.is((await snapshots.next()).broken.length, 1);
  folder.write("b.yaml", serverYaml("one", 81));
  const moved = summaryOf(await snapshots.next());
  t.deepEqual([moved.good, moved.broken], [["Server one"], []]);
});

test("a bad file keeps what it hides under another name", async (t) => {
  using folder = new TemporaryFolder();
  const path = folder.write("a.yaml", serverYaml("one"));
  using snapshots = await Snapshots.of(folder.path);
  folder.write("a.yaml", "kind: {");
  await snapshots.next();
  renameSync(path, join(folder.path, "b.yaml"));
  t.deepEqual(summaryOf(await snapshots.next()).broken, ["Server one (b.yaml)"]);
});

test("a folder that cannot be read any more hides what it held", async (t) => {
  using folder = new TemporaryFolder();
  folder.write("m/a.yaml", serverYaml("one"));
  folder.write("m/x/b.yaml", serverYaml("two"));
  const dir = join(folder.path, "m");
  using snapshots = await Snapshots.of(dir);
  renameSync(dir, join(folder.path, "old"));
  writeFileSync(dir, "a file in the place of the folder");
  const spoilt = await snapshots.until(({ reports }) =>
    reports.some((one) => one.reason.includes("ENOTDIR")),
  );
  // When the look came between the two steps above, the folder was seen to be removed with all its files.
  const wasSeenEmpty = spoilt.revision > 2;
  const held = ["Server one (a.yaml)", "Server two (x/b.yaml)"];
  t.deepEqual(summaryOf(spoilt).broken, wasSeenEmpty ? [] : held);
  t.false(spoilt.unreadableAtStart);
});

test("files beyond the limit hide what they held", async (t) => {
  using folder = new TemporaryFolder();
  folder.write("b.yaml", serverYaml("b"));
  folder.write("c.yaml", serverYaml("c"));
  using snapshots = await Snapshots.of(folder.path, { maxFiles: 2 });
  const path = folder.write("a.yaml", serverYaml("a"));
  const { good, broken } = summaryOf(await snapshots.next());
  t.deepEqual([good, broken], [["Server a", "Server b"], ["Server c (c.yaml)"]]);
  rmSync(path);
  t.deepEqual(summaryOf(await snapshots.next()), {
    good: ["Server b", "Server c"],
    broken: [],
    reports: [],
  });
});

test("what was unreadable at the start is unknown until it is mended", async (t) => {
  using folder = new TemporaryFolder();
  folder.write("a.yaml", "kind: {");
  using snapshots = await Snapshots.of(folder.path);
  t.true(snapshots.last.unreadableAtStart);
  folder.write("a.yaml", "kind: [");
  t.true((await snapshots.next()).unreadableAtStart);
  folder.write("a.yaml", serverYaml("one"));
  t.false((await snapshots.next()).unreadableAtStart);
  folder.write("a.yaml", "kind: {");
  t.false((await snapshots.next()).unreadableAtStart);
});

test("what was unreadable at the start is no more when its file is removed", async (t) => {
  using folder = new TemporaryFolder();
  const path = folder.write("a.yaml", "kind: {");
  using snapshots = await Snapshots.of(folder.path);
  rmSync(path);
  t.false((await snapshots.next()).unreadableAtStart);
});

test("a file that comes later and is unreadable was not so at the start", async (t) => {
  using folder = new TemporaryFolder();
  using snapshots = await Snapshots.of(folder.path);
  folder.write("a.yaml", "kind: {");
  const snapshot = await snapshots.next();
  t.false(snapshot.unreadableAtStart);
  t.is(snapshot.reports.length, 1);
});

test("an object of a version that is not known is broken, not forgotten", async (t) => {
  using folder = new TemporaryFolder();
  folder.write("a.yaml", serverYaml("one").replace("v1beta3", "v9"));
  using snapshots = await Snapshots.of(folder.path);
  t.deepEqual(summaryOf(snapshots.last).broken, ["Server one (a.yaml#1)"]);
});
