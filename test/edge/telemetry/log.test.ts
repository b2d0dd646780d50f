import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import test from "ava";
import { Secret } from "../../../src/core/std/secret.ts";
import { type Log, makeLog } from "../../../src/edge/telemetry/log.ts";

type Line = Readonly<Record<string, unknown>>;

function linesOf(level: string, write: (log: Log) => void): readonly Line[] {
  const lines: Line[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  write(makeLog({ level, name: "weft-test", destination }));
  return lines;
}

test("makeLog() writes an event with its fields, its process and its time", (t) => {
  const [line] = linesOf("info", (log) => log.info("certificate_issued", { identity: "a.b" }));
  t.is(line?.["event"], "certificate_issued");
  t.is(line?.["identity"], "a.b");
  t.is(line?.["name"], "weft-test");
  t.is(line?.["level"], "info");
  t.regex(String(line?.["time"]), /^\d{4}-\d\d-\d\dT.*Z$/);
});

test("makeLog() leaves out what is below its level", (t) => {
  const lines = linesOf("warn", (log) => {
    log.debug("a");
    log.info("b");
    log.warn("c");
    log.error("d");
  });
  t.deepEqual(
    lines.map((line) => line["event"]),
    ["c", "d"],
  );
});

test("makeLog() redacts a secret at any depth", (t) => {
  const lines = linesOf("info", (log) =>
    log.info("a", { deep: [{ token: new Secret("hunter2") }] }),
  );
  t.false(JSON.stringify(lines).includes("hunter2"));
  t.true(JSON.stringify(lines).includes("[redacted]"));
});

test("makeLog() writes an error with its message and cause", (t) => {
  const error = new Error("outer", { cause: new Error("inner") });
  const [line] = linesOf("info", (log) => log.error("a", { error }));
  t.regex(JSON.stringify(line?.["error"]), /outer.*inner/);
});

test("makeLog() keeps untrusted text inside its line", (t) => {
  const [line, ...more] = linesOf("info", (log) =>
    log.info("a", { text: 'x"}\n{"event":"forged"}' }),
  );
  t.is(line?.["event"], "a");
  t.deepEqual(more, []);
});

test("makeLog() writes to stderr before the process exits", (t) => {
  const file = fileURLToPath(new URL("../../../src/edge/telemetry/log.ts", import.meta.url));
  const script = `import { makeLog } from ${JSON.stringify(file)};
    makeLog({ level: "info", name: "x" }).error("last_words"); process.exit(3);`;
  const done = spawnSync(process.execPath, ["--input-type=module-typescript", "-e", script], {
    encoding: "utf8",
    timeout: 30_000,
  });
  t.is(done.status, 3);
  t.is(done.stdout, "");
  t.is(JSON.parse(done.stderr).event, "last_words");
});
