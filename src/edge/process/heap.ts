/** How V8 sizes the heap of a process that is to be small while it is idle. */
import { setFlagsFromString } from "node:v8";

/**
 * The space for young objects keeps its first size, in every thread that starts from now on. Reading the code makes it large, and V8 seldom gives it back: a sidecar
 * with one worker takes 20 MiB less without that (`benchmarks/proxy/memory.ts`). To be called before the code of the process is read.
 */
export function keepYoungSpaceSmall(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}
