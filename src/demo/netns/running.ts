/** A program that stays up, with what it says kept for whoever waits for a line or looks for the cause of a failure. */
import { type ChildProcess, spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { closeSync, openSync, writeSync } from "node:fs";

/** Starting Node.js takes a second or more while others use the processor. */
const lineDeadlineMs = 60_000;
/** A process that ignores SIGTERM for this long is killed. */
const stopDeadlineMs = 10_000;

export type RunningOptions = {
  readonly env?: Readonly<Record<string, string>>;
  /** What it says is kept here as well. */
  readonly logFile?: string;
  /** Ctrl-C in the terminal does not reach it: whoever started it decides when it ends. */
  readonly isApart?: boolean;
};

export class Running {
  readonly name: string;
  readonly ended: Promise<number | string>;
  readonly #child: ChildProcess;
  readonly #said = new EventEmitter();
  #output = "";

  constructor(name: string, command: readonly string[], options: RunningOptions = {}) {
    const { env, logFile, isApart = false } = options;
    this.name = name;
    const [file = "", ...args] = command;
    this.#child = spawn(file, args, {
      cwd: "/",
      env: { PATH: process.env["PATH"], ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: isApart,
    });
    const log = logFile === undefined ? undefined : openSync(logFile, "a");
    this.#said.setMaxListeners(0);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.#output += text;
        if (log !== undefined) writeSync(log, text);
        this.#said.emit("more");
      });
    }
    this.ended = once(this.#child, "close").then(([code, signal]) => {
      if (log !== undefined) closeSync(log);
      return signal ?? code;
    });
    this.ended.then(
      () => this.#said.emit("more"),
      () => this.#said.emit("more"),
    );
  }

  /** That of the program itself: `ip netns exec` and `setpriv` become what they start. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get output(): string {
    return this.#output;
  }

  get isUp(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The first match in what it said so far, or behind a point of that, or says from now on. */
  async untilSays(
    pattern: RegExp,
    behind = 0,
    deadlineMs: number = lineDeadlineMs,
  ): Promise<RegExpExecArray> {
    const signal = AbortSignal.timeout(deadlineMs);
    for (;;) {
      const found = pattern.exec(this.#output.slice(behind));
      if (found !== null) return found;
      if (!this.isUp) throw new Error(`${this.name} ended: ${this.#output}`);
      await once(this.#said, "more", { signal }).catch(() => {
        throw new Error(`${this.name} did not say ${String(pattern)}: ${this.#output}`);
      });
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | string> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), stopDeadlineMs);
    // One that was halted hears nothing else.
    this.#child.kill("SIGCONT");
    this.#child.kill(signal);
    const end = await this.ended;
    clearTimeout(timer);
    return end;
  }
}
