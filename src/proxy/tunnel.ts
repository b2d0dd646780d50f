/**
 * What a connection is after it has left HTTP (RFC 9110 §7.8 and §9.3.6): bytes both ways, each way with an end of its own,
 * counted and timed. A drain waits for it as it waits for a request, until the grace period is over.
 */
import type { Labels } from "./count.ts";
import type { Exchange } from "./exchange.ts";
import type { Shard } from "./shard.ts";
import { Timer } from "./timer-wheel.ts";
import { TunnelPermission } from "./tunnel-permission.ts";

/** Why it ended: somebody closed it, nothing was said for too long, or a policy no longer admits it. */
type Cause = "closed" | "idle" | "revoked";

export class Tunnel {
  readonly #shard: Shard;
  readonly #labels: Labels;
  readonly #open: number;
  readonly #idle: Timer;
  readonly #permission: TunnelPermission | undefined;
  #cause: Cause = "closed";

  /** `abort` is to end both connections. */
  constructor(exchange: Exchange, abort: () => void) {
    const { shard, origin, head } = exchange;
    this.#shard = shard;
    const kind = head.method === "CONNECT" ? "connect" : "upgrade";
    this.#labels = { direction: origin.direction, kind };
    this.#idle = new Timer(() => {
      this.#cause = "idle";
      abort();
    });
    const revoke = (): void => {
      this.#cause = "revoked";
      abort();
    };
    this.#permission =
      origin.direction === "inbound" ? new TunnelPermission(exchange, revoke) : undefined;
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
    this.#permission?.end();
    counts.add(this.#open, -1);
    const labels = { ...this.#labels, cause: this.#cause };
    counts.add(counts.place("weft_tunnel_close_total", labels));
  }
}
