import { execFile } from "node:child_process";
import { promisify } from "node:util";
import test from "ava";

const run = promisify(execFile);
const subject = new URL("../../../src/edge/process/spare-memory.ts", import.meta.url).href;

/** In a process of its own: what is measured is the whole process, and the flags hold for all of it. */
async function printed(script: string): Promise<Record<string, number>> {
  const text = `
    import { readFileSync } from "node:fs";
    import { setFlagsFromString } from "node:v8";
    import { collectFlag, collectGarbage, dropProgramPages, trimAllocator } from ${JSON.stringify(subject)};
    const kib = (name) => Number(new RegExp(name + ":\\\\s+(\\\\d+)").exec(readFileSync("/proc/self/status", "latin1"))[1]);
    ${script}`;
  const flags = ["--disable-warning=ExperimentalWarning", "--input-type=module", "--eval", text];
  const { stdout } = await run(process.execPath, flags);
  return JSON.parse(stdout);
}

test("collectGarbage() frees what nobody refers to", async (t) => {
  const { before = 0, after = 0 } = await printed(`
    setFlagsFromString(collectFlag);
    let rows = Array.from({ length: 200_000 }, (_, at) => ({ at }));
    const before = process.memoryUsage().heapTotal + rows.length;
    rows = undefined;
    collectGarbage();
    console.log(JSON.stringify({ before, after: process.memoryUsage().heapTotal }));`);
  t.true(after < before - 4_000_000, `${before} to ${after}`);
});

test("collectGarbage() does nothing in a process without the flag", async (t) => {
  t.deepEqual(await printed("collectGarbage(); console.log(JSON.stringify({ lives: 1 }));"), {
    lives: 1,
  });
});

test("dropProgramPages() takes the program's pages out of memory, and the program runs on", async (t) => {
  const {
    before = 0,
    after = 0,
    sum,
  } = await printed(`
    const before = kib("RssFile");
    dropProgramPages();
    const after = kib("RssFile");
    trimAllocator();
    const { createHash } = await import("node:crypto");
    const sum = parseInt(createHash("sha256").update("weft").digest("hex").slice(0, 8), 16);
    console.log(JSON.stringify({ before, after, sum }));`);
  t.true(after < before / 2, `${before} to ${after} KiB`);
  const { createHash } = await import("node:crypto");
  t.is(sum, Number.parseInt(createHash("sha256").update("weft").digest("hex").slice(0, 8), 16));
});
