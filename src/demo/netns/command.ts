/** Runs a program to its end. */
import { spawn } from "node:child_process";

export type Ran = { readonly code: number; readonly out: string; readonly err: string };

/** Nothing that is run here takes seconds on an idle machine; the rest is for one that runs other tests as well. */
const deadlineMs = 60_000;

export type RunOptions = {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
};

export function run(file: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { input = "", env, cwd = "/" } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      cwd,
      env: { PATH: process.env["PATH"], ...env },
      timeout: deadlineMs,
      killSignal: "SIGKILL",
    });
    let out = "";
    let err = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      err += text;
    });
    // A program that does not read all of its input is no failure of ours.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    child.once("error", reject);
    child.once("close", (code) => resolve({ code: code ?? 1, out, err }));
  });
}

/** Its output, when it ends well. */
export async function must(
  file: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { code, out, err } = await run(file, args, options);
  if (code === 0) return out;
  throw new Error(
    `${file} ${args.join(" ")} ended with ${code}: ${err}${out}\n${options.input ?? ""}`,
  );
}

/** A script for `sh -e`. */
export function sh(script: string): Promise<string> {
  return must("sh", ["-e"], { input: script });
}
