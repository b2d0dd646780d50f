import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import {
  type Environment,
  EnvReader,
  formatAddress,
  maxFileBytes,
  maxListEntries,
} from "../../src/config/env.ts";
import { describeFaults } from "../../src/core/std/result.ts";

const V = "WEFT_V";

/** What one read of `WEFT_V` answers: the value, or the text of its fault. */
function read<T>(value: string | undefined, ask: (env: EnvReader) => T): T | string {
  const reader = new EnvReader(value === undefined ? {} : { [V]: value });
  const answer = ask(reader);
  const done = reader.finish({});
  return done.ok ? answer : describeFaults(done.faults);
}

const reads = test.macro({
  exec: (t, value: string | undefined, ask: (env: EnvReader) => unknown, expected: unknown) => {
    t.deepEqual(read(value, ask), expected);
  },
  title: (title = "", value) => `${title} reads ${JSON.stringify(value)}`,
});

const refuses = test.macro({
  exec: (t, value: string | undefined, ask: (env: EnvReader) => unknown) => {
    const answer = read(value, ask);
    t.is(typeof answer, "string");
    t.regex(
      String(answer),
      value === undefined || value === "" ? /^WEFT_V: is required/ : /^WEFT_V: set .* instead of "/,
    );
  },
  title: (title = "", value?: string) => `${title} refuses ${JSON.stringify(value?.slice(0, 40))}`,
});

const integer = (env: EnvReader): number => env.integer(V, { fallback: 7, min: 0, max: 100 });
for (const [text, value] of [
  [undefined, 7],
  ["", 7],
  ["0", 0],
  ["100", 100],
  ["007", 7],
] as const) {
  test("integer()", reads, text, integer, value);
}
for (const text of ["101", "-1", "1.5", "1e1", "0x1", " 1", "1 ", "+1", "NaN", "9".repeat(20)]) {
  test("integer()", refuses, text, integer);
}
test("integer() without a default", refuses, undefined, (env) =>
  env.integer(V, { min: 0, max: 1 }),
);

const duration = (env: EnvReader): number => {
  return env.durationMs(V, { fallback: 5, min: 0, max: 90_000_000 });
};
for (const [text, value] of [
  [undefined, 5],
  ["0", 0],
  ["10s", 10_000],
  ["1h30m", 5_400_000],
  ["250ms", 250],
  ["1d", 86_400_000],
] as const) {
  test("durationMs()", reads, text, duration, value);
}
for (const text of ["10", "s", "1.5s", "-1s", "1d1h", "2d", "1w", "99999d", "1s ", "00"]) {
  test("durationMs()", refuses, text, duration);
}

const address = (env: EnvReader): unknown => env.address(V, "127.0.0.1:8080");
for (const [text, host, port] of [
  [undefined, "127.0.0.1", 8080],
  ["0.0.0.0:0", "0.0.0.0", 0],
  ["[::1]:65535", "::1", 65535],
  ["[0:0:0:0:0:0:0:1]:1", "::1", 1],
] as const) {
  test("address()", reads, text, address, { host, port });
}
for (const text of [
  "8080",
  ":8080",
  "localhost:80",
  "1.2.3.4",
  "1.2.3.4:",
  "1.2.3.4:65536",
  "::1:80",
  "[1.2.3.4]:80",
  "1.2.3.4:+1",
  "1.2.3.4:01",
  "[::1]",
  "http://1.2.3.4:80",
]) {
  test("address()", refuses, text, address);
}

const authority = (env: EnvReader): unknown => env.authority(V);
for (const [text, host, port] of [
  ["weft-policy.weft.svc:8090", "weft-policy.weft.svc", 8090],
  ["127.0.0.1:1", "127.0.0.1", 1],
  ["[fd00::1]:1", "fd00::1", 1],
] as const) {
  test("authority()", reads, text, authority, { host, port });
}
for (const text of [
  undefined,
  "a",
  "a:0",
  "A.b:1",
  "[a]:1",
  "1.2.3:1",
  "1.2.3.4.5:1",
  "a b:1",
  "a/b:1",
  "u@h:1",
]) {
  test("authority()", refuses, text, authority);
}

const list = (env: EnvReader): unknown => env.list(V, []);
for (const [text, value] of [
  [undefined, []],
  [" a , b,c", ["a", "b", "c"]],
] as const) {
  test("list()", reads, text, list, value);
}
for (const text of [",", "a,,b", "a,", `${"a,".repeat(maxListEntries)}a`]) {
  test("list()", refuses, text, list);
}

test("cidrList()", reads, "10.0.0.0/8, ::1", (env) => env.cidrList(V).length, 2);
test("cidrList() names every bad network", (t) => {
  t.regex(String(read("10.0.0.0/8,x,y", (env) => env.cidrList(V))), /"x".*"y"/);
});

for (const [text, value] of [
  [undefined, true],
  ["true", true],
  ["false", false],
] as const) {
  test("boolean()", reads, text, (env: EnvReader) => env.boolean(V, true), value);
}
for (const text of ["TRUE", "1", "yes", " true"]) {
  test("boolean()", refuses, text, (env: EnvReader) => env.boolean(V, true));
}

for (const [title, text, ask, value] of [
  ["logLevel()", undefined, (env: EnvReader) => env.logLevel(V), "info"],
  ["logLevel()", "debug", (env: EnvReader) => env.logLevel(V), "debug"],
  ["dnsLabel()", undefined, (env: EnvReader) => env.dnsLabel(V, "weft"), "weft"],
  ["dnsName()", undefined, (env: EnvReader) => env.dnsName(V, "a.local"), "a.local"],
  ["optional()", "", (env: EnvReader) => env.optional(V), undefined],
] as const) {
  test(title, reads, text, ask, value);
}
for (const [title, text, ask] of [
  ["logLevel()", "trace", (env: EnvReader) => env.logLevel(V)],
  ["dnsLabel()", "a.b", (env: EnvReader) => env.dnsLabel(V)],
  ["dnsName()", "Cluster.local", (env: EnvReader) => env.dnsName(V)],
  ["path()", "a\0b", (env: EnvReader) => env.path(V)],
  ["required()", undefined, (env: EnvReader) => env.required(V)],
  ["required()", "", (env: EnvReader) => env.required(V)],
] as const) {
  test(title, refuses, text, ask);
}

test("file() reads the named file and quotes only its path in a fault", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "weft-env-"));
  try {
    const path = join(folder, "a.pem");
    writeFileSync(path, "private");
    t.is(
      read(path, (env) => env.file(V)),
      "private",
    );
    writeFileSync(path, Buffer.alloc(maxFileBytes + 1, "x"));
    t.regex(String(read(path, (env) => env.file(V))), /at most 1048576 bytes .* has 1048577/);
    t.regex(String(read(join(folder, "none"), (env) => env.file(V))), /ENOENT/);
    t.regex(String(read(folder, (env) => env.file(V))), /a regular file instead/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("secret() gives a value that is not printed, and is required", (t) => {
  const reader = new EnvReader({ A: "hunter2" });
  const done = reader.finish({ a: reader.secret("A") });
  t.true(done.ok);
  t.false(JSON.stringify(done).includes("hunter2"));
  t.regex(String(read(undefined, (env) => env.secret(V))), /is required/);
});

test("finish() lists every fault in the order of the reads", (t) => {
  const reader = new EnvReader({ A: "x", B: "y" });
  reader.integer("A", { min: 0, max: 1 });
  reader.required("MISSING");
  reader.boolean("B");
  reader.refuse("C", "contradicts A");
  const done = reader.finish({});
  t.deepEqual(done.ok ? [] : done.faults.map(({ path }) => path), ["A", "MISSING", "B", "C"]);
});

test("finish() freezes the settings", (t) => {
  const done = new EnvReader({}).finish({ a: 1 });
  t.true(done.ok && Object.isFrozen(done.value));
});

test("optional() does not read what the environment inherits", (t) => {
  t.is(new EnvReader({}).optional("constructor"), undefined);
  const inherited: Environment = Object.create({ A: "1" });
  t.is(new EnvReader(inherited).optional("A"), undefined);
});

test("a fault cuts a long value", (t) => {
  t.true(String(read("z".repeat(10_000), integer)).length < 250);
});

for (const text of ["127.0.0.1:80", "[::1]:80"]) {
  test(`formatAddress() writes ${text} as address() reads it`, (t) => {
    t.is(formatAddress(new EnvReader({ A: text }).address("A")), text);
  });
}
