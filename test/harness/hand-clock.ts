/** The clocks of a shard, turned by hand. */
import type { ShardClock } from "../../src/proxy/start-shard.ts";

export class HandClock implements ShardClock {
  /** Whether anything is timed. */
  isTicking = false;
  #nowMs = 0;
  #tick: () => void = () => {};

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs;
  }

  start(tick: () => void): { stop(): void } {
    this.#tick = tick;
    this.isTicking = true;
    return {
      stop: () => {
        this.isTicking = false;
        this.#tick = () => {};
      },
    };
  }

  /** Lets time pass, and runs what is due by then. */
  pass(ms: number): void {
    this.#nowMs += ms;
    this.#tick();
  }
}
