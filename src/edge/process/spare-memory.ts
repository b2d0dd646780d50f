/**
 * Gives memory back that a process needed to start, or for a crowd that has left. V8 seldom shrinks a heap by itself, glibc keeps what was freed, and the kernel keeps
 * counting pages of the program that only the start has read. All of this is a matter of size alone: where a step cannot be taken, nothing else changes.
 */
import { readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { runInNewContext } from "node:vm";

/** sys/mman.h MADV_DONTNEED. */
const dontNeed = 4;

/** The V8 flag without which nobody can ask for a collection. It belongs to what compiled code is kept under, so it is set before any of that is read. */
export const collectFlag = "--expose-gc";

/**
 * Collects all garbage of this thread, and shrinks its heap to what is left: tens of milliseconds in which the thread does nothing else. Code that has never run goes as
 * well and is compiled again when it is called.
 */
export function collectGarbage(): void {
  // Only contexts that are made after the flag was set have the function.
  const collect: unknown = runInNewContext("globalThis.gc");
  if (typeof collect === "function") {
    collect({ type: "major", execution: "sync", flavor: "last-resort" });
  }
}

/** Gives the kernel what the allocator of the C library holds free for all threads (glibc malloc_trim(3)). */
export function trimAllocator(): void {
  loadLibc({ malloc_trim: { arguments: ["u64"], return: "i32" } })?.["malloc_trim"]?.(0n);
}

/**
 * Takes the pages of the program and its libraries out of this process. They stay in the kernel's page cache, which all processes of the machine share, and come back
 * one by one, without a read from disk, when they are used: madvise(2) for private mappings of files.
 */
export function dropProgramPages(): void {
  const signature = { arguments: ["u64", "u64", "i32"], return: "i32" } as const;
  const madvise = loadLibc({ madvise: signature })?.["madvise"];
  if (madvise === undefined) return;
  for (const { from, to } of unchangedMappings()) madvise(from, to - from, dontNeed);
}

type Signatures = Parameters<typeof import("node:ffi")["dlopen"]>[1];
type Functions = Readonly<Record<string, (...args: readonly (bigint | number)[]) => unknown>>;

/** Undefined without node:ffi, or where the C library is another one than glibc. */
function loadLibc(signatures: NonNullable<Signatures>): Functions | undefined {
  try {
    if (!isBuiltin("node:ffi")) return undefined;
    return process.getBuiltinModule("node:ffi").dlopen(null, signatures)
      .functions as unknown as Functions;
  } catch {
    return undefined;
  }
}

type Mapping = { readonly from: bigint; readonly to: bigint };

/** proc(5): addresses, permissions, offset, device, inode. Inode 0 is no file. */
const mappingHead =
  /^([0-9a-f]+)-([0-9a-f]+) (?:r-xp|r--p) [0-9a-f]+ \S+ [1-9]\d* +\/.*\n(?:.*\n)*?Anonymous: +0 kB$/m;

/**
 * Mappings of files that nobody can write to and nobody has written to: dropping a page that was changed, as by relocation, would lose the change. Only these have no
 * anonymous page.
 */
function unchangedMappings(): readonly Mapping[] {
  const mappings: Mapping[] = [];
  for (const entry of readMappings().split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const head = mappingHead.exec(entry);
    if (head === null) continue;
    mappings.push({ from: BigInt(`0x${head[1]}`), to: BigInt(`0x${head[2]}`) });
  }
  return mappings;
}

/** Empty on other systems than Linux. */
function readMappings(): string {
  try {
    return readFileSync("/proc/self/smaps", "latin1");
  } catch {
    return "";
  }
}
