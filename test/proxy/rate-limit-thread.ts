/** Takes from a rate limit as fast as it can, at one moment, and says how often it was let through. */
import { parentPort, workerData } from "node:worker_threads";
import { defaultMeta } from "../../src/core/model/meta.ts";
import { RateLimiter } from "../../src/proxy/rate-limiter.ts";

type Work = {
  readonly memory: SharedArrayBuffer;
  readonly gate: SharedArrayBuffer;
  readonly tries: number;
  readonly perSecond: number;
};

const { memory, gate, tries, perSecond } = workerData as Work;
const limiter = new RateLimiter(memory, () => 1_000);
const limit = {
  meta: defaultMeta("limit"),
  totalPerSecond: perSecond,
  identityPerSecond: 0,
  overrides: [],
};
const peer = { ip: { family: 4, bits: 0 }, tls: false, identity: undefined } as const;

// All begin together.
const arrivals = new Int32Array(gate);
Atomics.add(arrivals, 0, 1);
Atomics.notify(arrivals, 0);
while (Atomics.load(arrivals, 0) < 3) Atomics.wait(arrivals, 0, Atomics.load(arrivals, 0), 10);

let passed = 0;
for (let i = 0; i < tries; i++) if (limiter.take(8_080, limit, peer) === undefined) passed++;
parentPort?.postMessage(passed);
