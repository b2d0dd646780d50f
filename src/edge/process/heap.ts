/** How V8 sizes the heap of a process that is to be small while it is idle. */
import { setFlagsFromString } from "node:v8";
import { collectFlag } from "./spare-memory.ts";

/** MiB, twice. A request leaves little more than 1 KiB behind, so that a collection comes every 3,000 requests; with the 1 MiB that V8 begins with it were four times as many. */
const workerYoungMiB = 4;

/**
 * The space for young objects keeps its first size, in every thread. Reading the code makes it large, and V8 seldom gives it back (`benchmarks/proxy/memory.ts`). To
 * be called before the code of the process is read.
 */
export function keepYoungSpaceSmall(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
  setFlagsFromString(collectFlag);
  // Read when a thread starts, so the main thread keeps what it has.
  setFlagsFromString(`--min-semi-space-size=${workerYoungMiB}`);
}
