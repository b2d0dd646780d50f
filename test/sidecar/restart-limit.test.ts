import test from "ava";
import { allowRestart, maxRestarts, restartWindowMs } from "../../src/sidecar/restart-limit.ts";

test("allowRestart() gives up at the first restart too many within the window", (t) => {
  let restarts: readonly number[] = [];
  for (let count = 0; count < maxRestarts; count++) {
    const next = allowRestart(restarts, count);
    if (next === undefined) return t.fail(`gave up after ${count}`);
    restarts = next;
  }
  t.is(allowRestart(restarts, restartWindowMs - 1), undefined);
});

test("allowRestart() forgets restarts that are older than the window", (t) => {
  const old = Array.from({ length: maxRestarts }, () => 0);
  t.deepEqual(allowRestart(old, restartWindowMs), [restartWindowMs]);
});
