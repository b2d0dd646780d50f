/** Counts requests against the rate limits of their ports, together with the other workers (layout in `thread/rate-limits.ts`). */
import type { Peer } from "../core/decide/admit.ts";
import { clientRate, nextArrival, retryAfterSeconds } from "../core/decide/rate-limit.ts";
import type { RateLimit } from "../core/model/rate-limit.ts";
import { clientSlot, totalSlot } from "../thread/rate-limits.ts";

export type RateExcess = {
  /** Linkerd's label `scope` of `inbound_http_local_ratelimit_total`. */
  readonly scope: "total" | "identity";
  readonly perSecond: number;
  readonly retryAfterSeconds: number;
};

export class RateLimiter {
  readonly #states: Int32Array;
  readonly #nowMs: () => number;

  /** `nowMs` is one clock for all who share the memory. */
  constructor(memory: SharedArrayBuffer, nowMs: () => number) {
    this.#states = new Int32Array(memory);
    this.#nowMs = nowMs;
  }

  /**
   * Undefined: the request goes on, and is counted. The total is told first and taken last: a client that is over its own
   * limit must not use up what is there for the others.
   */
  take(port: number, limit: RateLimit, peer: Peer): RateExcess | undefined {
    const nowUs = (this.#nowMs() * 1_000) | 0;
    const total = totalSlot(port);
    const totalRate = limit.totalPerSecond;
    const state = Atomics.load(this.#states, total);
    if (totalRate > 0 && nextArrival(state, nowUs, totalRate) === undefined) {
      return this.#excess("total", total, nowUs, totalRate);
    }
    const rate = clientRate(limit, peer);
    const client = rate > 0 ? clientSlot(port, peer.identity ?? "") : 0;
    if (rate > 0 && !this.#takeFrom(client, nowUs, rate)) {
      return this.#excess("identity", client, nowUs, rate);
    }
    if (totalRate > 0 && !this.#takeFrom(total, nowUs, totalRate)) {
      return this.#excess("total", total, nowUs, totalRate);
    }
    return undefined;
  }

  /** Another worker may take at the same time; whoever loses looks again. */
  #takeFrom(slot: number, nowUs: number, perSecond: number): boolean {
    let state = Atomics.load(this.#states, slot);
    for (;;) {
      const next = nextArrival(state, nowUs, perSecond);
      if (next === undefined) return false;
      const found = Atomics.compareExchange(this.#states, slot, state, next);
      if (found === state) return true;
      state = found;
    }
  }

  #excess(scope: RateExcess["scope"], slot: number, nowUs: number, perSecond: number): RateExcess {
    const state = Atomics.load(this.#states, slot);
    return { scope, perSecond, retryAfterSeconds: retryAfterSeconds(state, nowUs, perSecond) };
  }
}
