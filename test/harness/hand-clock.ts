/** The clocks of a shard, turned by hand. */
import type { ShardClock } from "../../src/proxy/start-shard.ts";

export class HandClock implements ShardClock {
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
    return {
      stop: () => {
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
