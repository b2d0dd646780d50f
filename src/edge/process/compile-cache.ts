/**
 * Keeps compiled code from one start to the next: a worker that is started again loads the data plane in a third of the time. The cache lies within
 * Weft's own installation, never in a folder that others may write to, because what lies there is run. Where it cannot be written nothing is kept.
 */
import { enableCompileCache, flushCompileCache } from "node:module";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../../../node_modules/.cache/compiled", import.meta.url));

/** For this thread; what was imported before is not kept. */
export function keepCompiled(): void {
  enableCompileCache(folder);
}

/** Writes at once what otherwise is written when the thread ends well. */
export function writeCompiled(): void {
  flushCompileCache();
}
