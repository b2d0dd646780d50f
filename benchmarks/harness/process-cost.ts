/** What the kernel says of processes: the processor time that they took and the memory that they hold (proc(5)). */
import { readdirSync, readFileSync } from "node:fs";

/** A reading of the meters, of use only together with another one. */
export type CpuReading = {
  readonly totalUs: number;
  readonly userTicks: number;
  readonly systemTicks: number;
};

/** All threads that live, of processes that belong together. */
export function readCpu(pids: readonly number[]): CpuReading {
  let totalUs = 0;
  let userTicks = 0;
  let systemTicks = 0;
  for (const pid of pids) {
    for (const thread of threadsOf(pid)) totalUs += threadUs(pid, thread);
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    userTicks += Number(fields[11]);
    systemTicks += Number(fields[12]);
  }
  return { totalUs, userTicks, systemTicks };
}

export type CpuSpent = {
  readonly cpuUs: number;
  readonly userUs: number;
  readonly systemUs: number;
};

/** The sum is exact to the nanosecond (`schedstat`); how it is parted into user and system is known in hundredths of a second (`stat`). */
export function spentBetween(before: CpuReading, after: CpuReading, requests: number): CpuSpent {
  const cpuUs = (after.totalUs - before.totalUs) / requests;
  const userTicks = after.userTicks - before.userTicks;
  const systemTicks = after.systemTicks - before.systemTicks;
  const userUs = (cpuUs * userTicks) / Math.max(userTicks + systemTicks, 1);
  return { cpuUs, userUs, systemUs: cpuUs - userUs };
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
