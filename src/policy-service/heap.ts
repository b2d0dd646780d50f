/**
 * How eagerly V8 collects garbage in the policy service. Reading manifests leaves several times their size behind, which V8 would let lie until the heap has
 * grown to a multiple of what is in use; this process is idle most of the time, so it can afford to clean up earlier. With 10,000 routes over 1,000 Services
 * (`benchmarks/policy-service/memory.ts`) it takes 215 to 235 MB; with the young space that V8 would choose alone it is 60 MB more.
 */
import { setFlagsFromString } from "node:v8";

/** How much garbage may gather beside what is in use, in percent of it. */
const heapGrowthPercent = 20;

/** The space for young objects keeps its first size: the objects of one document fit, and die with it. */
const youngGrowthFactor = 1;

/** Before the code of the service is read: V8 plans each cycle at the end of the one before, and never takes the young space back in that is there. */
export function keepHeapSmall(): void {
  setFlagsFromString(`--heap-growing-percent=${heapGrowthPercent}`);
  setFlagsFromString(`--semi-space-growth-factor=${youngGrowthFactor}`);
}
