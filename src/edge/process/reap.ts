/**
 * What PID 1 of a container owes the others: a process whose parent has ended becomes its child, and stays in the process table after its end until PID 1 has
 * asked how it ended (wait(2)). Node.js asks about processes that it started itself, and about no others.
 */
import { isBuiltin } from "node:module";

/** bits/waitflags.h */
const noHang = 1;
const anyChild = -1;

/** Does nothing unless this is PID 1. Only for processes that start none themselves: how those end would not reach Node.js. */
export function reapOrphans(): void {
  if (process.pid !== 1) return;
  const wait = loadWaitpid();
  if (wait === undefined) return;
  const status = Buffer.alloc(4);
  process.on("SIGCHLD", () => {
    while (wait(anyChild, status, noHang) > 0);
  });
}

/** waitpid(2): the process that has ended, or 0 or less. */
type Waitpid = (pid: number, status: Buffer, options: number) => number;

/** Undefined where `node:ffi` is missing or switched off: then orphans stay in the table, which hurts only where there are thousands. */
function loadWaitpid(): Waitpid | undefined {
  try {
    if (!isBuiltin("node:ffi")) return undefined;
    const { functions } = process.getBuiltinModule("node:ffi").dlopen(null, {
      waitpid: { arguments: ["i32", "buffer", "i32"], return: "i32" },
    });
    return functions.waitpid;
  } catch {
    return undefined;
  }
}
