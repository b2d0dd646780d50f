import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import test from "ava";

const file = fileURLToPath(new URL("../../../src/edge/process/signal.ts", import.meta.url));

/** Waits for signals and reports each step; its clock makes a step of `stepMs` at each signal. */
const script = (stepMs: number): string => `
  import { awaitStop } from ${JSON.stringify(file)};
  let nowMs = 0;
  const ended = awaitStop({ now: () => (nowMs += ${stepMs}) });
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => console.log("got " + signal));
  setInterval(() => {}, 1_000);
  console.log("waiting");
  console.log("stop by " + (await ended));
`;

class Waiting implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly exited: Promise<unknown[]>;
  readonly #lines: AsyncIterator<string>;

  constructor(stepMs: number) {
    const args = ["--input-type=module-typescript", "-e", script(stepMs)];
    this.child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    this.exited = once(this.child, "exit");
    if (this.child.stdout === null) throw new Error("Started without a pipe");
    this.#lines = createInterface(this.child.stdout)[Symbol.asyncIterator]();
  }

  async line(): Promise<string> {
    return (await this.#lines.next()).value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.exited;
  }
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`awaitStop() resolves with ${signal} and lets the process go on`, async (t) => {
    await using waiting = new Waiting(0);
    t.is(await waiting.line(), "waiting");
    waiting.child.kill(signal);
    t.deepEqual([await waiting.line(), await waiting.line()].sort(), [
      `got ${signal}`,
      `stop by ${signal}`,
    ]);
    t.is(waiting.child.exitCode, null);
  });
}

test("awaitStop() takes a second signal that comes at once for the same wish", async (t) => {
  await using waiting = new Waiting(1);
  t.is(await waiting.line(), "waiting");
  waiting.child.kill("SIGINT");
  t.deepEqual([await waiting.line(), await waiting.line()].sort(), [
    "got SIGINT",
    "stop by SIGINT",
  ]);
  waiting.child.kill("SIGINT");
  t.is(await waiting.line(), "got SIGINT");
  t.is(waiting.child.exitCode, null);
});

for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  test(`awaitStop() exits with ${code} at a later ${signal}`, async (t) => {
    await using waiting = new Waiting(1_000);
    t.is(await waiting.line(), "waiting");
    waiting.child.kill("SIGTERM");
    t.deepEqual([await waiting.line(), await waiting.line()].sort(), [
      "got SIGTERM",
      "stop by SIGTERM",
    ]);
    waiting.child.kill(signal);
    t.deepEqual(await waiting.exited, [code, null]);
  });
}
