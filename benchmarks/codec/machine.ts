/** On what and of what a benchmark was taken: without both a number says nothing. */
import { execFileSync } from "node:child_process";
import { cpus } from "node:os";
import process from "node:process";

export type Conditions = {
  readonly machine: string;
  readonly cores: number;
  readonly node: string;
  readonly commit: string;
};

export function conditions(): Conditions {
  const processors = cpus();
  return {
    machine: processors[0]?.model ?? "unknown",
    cores: processors.length,
    node: process.version,
    commit: commit(),
  };
}

/** With a `+` when the tree has changes that the commit does not have. */
function commit(): string {
  const options = { encoding: "utf8", cwd: import.meta.dirname } as const;
  const id = execFileSync("git", ["rev-parse", "--short", "HEAD"], options).trim();
  const changes = execFileSync("git", ["status", "--porcelain", "--", "../../src"], options).trim();
  return changes === "" ? id : `${id}+`;
}

/**
 * Nanoseconds per call of each contender: the median of rounds in which all take turns, so that a busy moment of the
 * machine hits all of them.
 */
export function nanosecondsPerCall(
  contenders: Readonly<Record<string, () => unknown>>,
  rounds = 15,
  calls = 50_000,
): Readonly<Record<string, number>> {
  const taken = new Map(Object.keys(contenders).map((name) => [name, [] as number[]]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, call] of Object.entries(contenders)) {
      const start = process.hrtime.bigint();
      for (let i = 0; i < calls; i++) call();
      taken.get(name)?.push(Number(process.hrtime.bigint() - start) / calls);
    }
  }
  return Object.fromEntries([...taken].map(([name, times]) => [name, Math.round(median(times))]));
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
