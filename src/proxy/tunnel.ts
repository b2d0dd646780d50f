/**
 * What a connection is after it has left HTTP (RFC 9110 §7.8 and §9.3.6): bytes both ways, each way with an end of its own,
 * counted and timed. A drain waits for it as it waits for a request, until the grace period is over.
 */
import type { Labels } from "./count.ts";
import type { Exchange } from "./exchange.ts";
import type { Shard } from "./shard.ts";
import { Timer } from "./timer-wheel.ts";

/** Why it ended: somebody closed it, or nothing was said for too long. */
type Cause = "closed" | "idle";

export class Tunnel {
  readonly #shard: Shard;
  readonly #labels: Labels;
  readonly #open: number;
  readonly #idle: Timer;
  #cause: Cause = "closed";

  /** `onIdle` is to end both connections. */
  constructor({ shard, origin, head }: Exchange, onIdle: () => void) {
    this.#shard = shard;
    const kind = head.method === "CONNECT" ? "connect" : "upgrade";
    this.#labels = { direction: origin.direction, kind };
    this.#idle = new Timer(() => {
      this.#cause = "idle";
      onIdle();
    });
    const { counts } = shard;
    this.#open = counts.place("weft_tunnel_open_connections", this.#labels);
    counts.add(this.#open);
    counts.add(counts.place("weft_tunnel_open_total", this.#labels));
    this.touch();
  }

  /** Bytes have come from one side or the other. */
  touch(): void {
    this.#shard.wheel.arm(this.#idle, this.#shard.limits.tunnelIdleTimeoutMs);
  }

  close(): void {
    const { counts, wheel } = this.#shard;
    wheel.forget(this.#idle);
    counts.add(this.#open, -1);
    const labels = { ...this.#labels, cause: this.#cause };
    counts.add(counts.place("weft_tunnel_close_total", labels));
  }
}
