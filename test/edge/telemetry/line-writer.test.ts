import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import { LineWriter, maxBatchBytes } from "../../../src/edge/telemetry/line-writer.ts";

function folderOf(t: ExecutionContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), "weft-lines-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}

test("LineWriter writes every line, whole and in order, without being closed", async (t) => {
  const file = path.join(folderOf(t), "log");
  const fd = openSync(file, "a");
  let dropped = 0;
  const writer = new LineWriter({
    fd,
    onDropped: (count) => {
      dropped += count;
    },
  });
  const lines = Array.from({ length: 2_000 }, (_, at) => `${at} ${"x".repeat(at % 200)}\n`);
  for (const line of lines) writer.write(line);
  const all = lines.join("");
  await until(() => readFileSync(file, "latin1").length === all.length);
  t.is(readFileSync(file, "latin1"), all);
  writer.write("late\n");
  await until(() => readFileSync(file, "latin1").endsWith("late\n"));
  t.is(dropped, 0);
  writer.close();
  closeSync(fd);
});

test("LineWriter.close() writes what is left, and nothing that comes later", (t) => {
  const file = path.join(folderOf(t), "log");
  const fd = openSync(file, "a");
  let dropped = 0;
  const writer = new LineWriter({
    fd,
    onDropped: (count) => {
      dropped += count;
    },
  });
  writer.write("one\n");
  writer.write("two\n");
  writer.close();
  writer.write("three\n");
  t.is(readFileSync(file, "latin1"), "one\ntwo\n");
  t.is(dropped, 1);
  closeSync(fd);
});

test("LineWriter drops lines that a pipe does not take, counts them, and goes on when it does", async (t) => {
  const pipe = path.join(folderOf(t), "pipe");
  execFileSync("sh", ["-c", 'mkfifo "$0"', pipe]);
  const reading = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
  const fd = openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
  let dropped = 0;
  const writer = new LineWriter({
    fd,
    onDropped: (count) => {
      dropped += count;
    },
  });
  const line = `${"x".repeat(1_023)}\n`;
  const written = 3_000;
  for (let at = 0; at < written; at++) writer.write(line);
  t.true(dropped > 0 && dropped < written, `${dropped}`);
  const kept = written - dropped;
  let read = "";
  const bytes = Buffer.alloc(65_536);
  await until(() => {
    try {
      read += bytes.toString("latin1", 0, readSync(reading, bytes));
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) throw error;
    }
    return read.length === kept * line.length;
  });
  t.is(read, line.repeat(kept));
  writer.close();
  closeSync(fd);
  closeSync(reading);
});

test("LineWriter drops a line that cannot be written in one piece", (t) => {
  let dropped = 0;
  const writer = new LineWriter({
    fd: -1,
    onDropped: (count) => {
      dropped += count;
    },
  });
  writer.write(`${"x".repeat(maxBatchBytes)}\n`);
  t.is(dropped, 1);
  writer.write("gone\n");
  writer.close();
  t.is(dropped, 2);
});
