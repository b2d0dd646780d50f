/** Tests against programs that a machine may lack. One that could not run is told as skipped, with what to install, and never as passed. */
import { spawnSync } from "node:child_process";
import test, { type ExecutionContext } from "ava";

export type Program = {
  readonly command: string;
  /** With these it ends at once, and with 0 if it can do what the test wants of it. */
  readonly trial: readonly string[];
  readonly debianPackage: string;
};

type Run = (t: ExecutionContext) => void | Promise<void>;

export function needing(...programs: readonly Program[]): (title: string, run: Run) => void {
  const missing = programs.filter(
    ({ command, trial }) => spawnSync(command, trial, { stdio: "ignore" }).status !== 0,
  );
  if (missing.length === 0) return (title, run) => test(title, run);
  const packages = missing.map(({ debianPackage }) => debianPackage).join(" ");
  return (title, run) => test.skip(`${title} (install the Debian package ${packages})`, run);
}
