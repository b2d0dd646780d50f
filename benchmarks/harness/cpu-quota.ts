/**
 * Holds threads to a share of a processor (cgroups, CFS bandwidth), so that a machine with few processors can tell what more of them would bring: the load
 * generator and the backend keep the rest. Needs root and the `cpu` controller in its first version, which knows single threads.
 */
import { accessSync, constants, mkdirSync, rmdirSync, writeFileSync } from "node:fs";

const root = "/sys/fs/cgroup/cpu";
const periodUs = 20_000;

export function hasQuotas(): boolean {
  try {
    accessSync(`${root}/tasks`, constants.W_OK);
    accessSync(`${root}/cpu.cfs_quota_us`);
    return true;
  } catch {
    return false;
  }
}

/** Each thread gets `share` of one processor, until the answer is disposed of. */
export function holdThreads(threads: readonly string[], share: number): Disposable {
  const groups = threads.map((thread) => {
    const group = `${root}/weft-benchmark-${thread}`;
    mkdirSync(group, { recursive: true });
    writeFileSync(`${group}/cpu.cfs_period_us`, String(periodUs));
    writeFileSync(`${group}/cpu.cfs_quota_us`, String(periodUs * share));
    writeFileSync(`${group}/tasks`, thread);
    return { group, thread };
  });
  return {
    [Symbol.dispose]() {
      for (const { group, thread } of groups) {
        writeFileSync(`${root}/tasks`, thread);
        rmdirSync(group);
      }
    },
  };
}
