import { once } from "node:events";
import { Worker } from "node:worker_threads";
import test from "ava";
import type { Peer } from "../../src/core/decide/admit.ts";
import { defaultMeta } from "../../src/core/model/meta.ts";
import type { RateLimit } from "../../src/core/model/rate-limit.ts";
import { RateLimiter } from "../../src/proxy/rate-limiter.ts";
import { clientSlot, rateLimitBytes, totalSlot } from "../../src/thread/rate-limits.ts";

function limit(parts: Partial<RateLimit>): RateLimit {
  const none = { totalPerSecond: 0, identityPerSecond: 0, overrides: [] };
  return { meta: defaultMeta("limit"), ...none, ...parts };
}

function peer(identity: string | undefined): Peer {
  return { ip: { family: 4, bits: 0 }, tls: identity !== undefined, identity };
}

function limiterAt(nowMs: number): RateLimiter {
  return new RateLimiter(new SharedArrayBuffer(rateLimitBytes), () => nowMs);
}

test("RateLimiter lets exactly the rate through, however many threads take at once", async (t) => {
  const memory = new SharedArrayBuffer(rateLimitBytes);
  const gate = new SharedArrayBuffer(4);
  const perSecond = 10_000;
  const threads = Array.from(
    { length: 3 },
    () =>
      new Worker(new URL("rate-limit-thread.ts", import.meta.url), {
        workerData: { memory, gate, tries: 8_000, perSecond },
      }),
  );
  const passed = await Promise.all(
    threads.map(async (thread) => Number((await once(thread, "message"))[0])),
  );
  t.is(
    passed.reduce((sum, one) => sum + one, 0),
    perSecond,
  );
});

test("RateLimiter gives each client its own rate, and those that are named theirs", (t) => {
  const limiter = limiterAt(5);
  const rates = limit({
    identityPerSecond: 1,
    overrides: [{ perSecond: 3, identities: ["special"] }],
  });
  const passedOf = (identity: string | undefined): number => {
    let passed = 0;
    for (let i = 0; i < 6; i++) {
      if (limiter.take(80, rates, peer(identity)) === undefined) passed++;
    }
    return passed;
  };
  t.deepEqual(["one", "other", "special", undefined].map(passedOf), [1, 1, 3, 1]);
});

test("RateLimiter does not let a client that is over its own rate use up the total", (t) => {
  const limiter = limiterAt(5);
  const rates = limit({ totalPerSecond: 3, identityPerSecond: 1 });
  t.is(limiter.take(80, rates, peer("greedy")), undefined);
  for (let i = 0; i < 10; i++) {
    t.like(limiter.take(80, rates, peer("greedy")), { scope: "identity", perSecond: 1 });
  }
  t.is(limiter.take(80, rates, peer("a")), undefined);
  t.is(limiter.take(80, rates, peer("b")), undefined);
  t.like(limiter.take(80, rates, peer("c")), { scope: "total", perSecond: 3 });
});

test("RateLimiter counts each port for itself", (t) => {
  const limiter = limiterAt(5);
  const rates = limit({ totalPerSecond: 1, identityPerSecond: 1 });
  for (const port of [80, 81, 65_535]) t.is(limiter.take(port, rates, peer("a")), undefined);
  for (const port of [80, 81, 65_535]) t.not(limiter.take(port, rates, peer("a")), undefined);
});

test("clientSlot() spreads clients over the memory, apart from the totals", (t) => {
  const names = Array.from({ length: 1_000 }, (_, at) => `account-${at}.demo.serviceaccount`);
  const slots = new Set(names.map((name) => clientSlot(8_080, name)));
  t.true(slots.size > 980, `${slots.size}`);
  const last = rateLimitBytes / Int32Array.BYTES_PER_ELEMENT;
  for (const slot of slots) t.true(slot > totalSlot(65_535) && slot < last);
  t.is(clientSlot(8_080, "a"), clientSlot(8_080, "a"));
  t.not(clientSlot(8_080, "a"), clientSlot(8_081, "a"));
});
