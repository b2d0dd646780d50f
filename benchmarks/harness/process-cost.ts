/** What the kernel says of processes: the processor time that they took and the memory that they hold (proc(5)). */
import { readdirSync, readFileSync } from "node:fs";

export type CpuTime = { readonly userUs: number; readonly systemUs: number };

/**
 * All threads that live, and those of processes that belong together. The sum is exact to the nanosecond (`schedstat`); how it is parted into user and system is
 * known in hundredths of a second (`stat`).
 */
export function cpuTime(pids: readonly number[]): CpuTime {
  let totalUs = 0;
  let userTicks = 0;
  let systemTicks = 0;
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      totalUs += threadUs(pid, thread);
    }
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    userTicks += Number(fields[11]);
    systemTicks += Number(fields[12]);
  }
  const userShare = userTicks / Math.max(userTicks + systemTicks, 1);
  return { userUs: totalUs * userShare, systemUs: totalUs * (1 - userShare) };
}

export function threadsOf(pid: number): readonly string[] {
  return readdirSync(`/proc/${pid}/task`);
}

/** 0 for a thread that has just ended. */
export function threadUs(pid: number, thread: string): number {
  try {
    const schedule = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "latin1");
    return Number(schedule.split(" ")[0]) / 1_000;
  } catch {
    return 0;
  }
}

export function residentMiB(pids: readonly number[]): number {
  const kib = pids.map((pid) =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]),
  );
  return kib.reduce((sum, one) => sum + one, 0) / 1_024;
}
