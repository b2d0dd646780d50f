/**
 * Where requests wait for a backend all of whose endpoints are behind their breakers, as in Linkerd's queue in front of a
 * balancer that is not ready. The wait has a limit: when it is over everybody is refused, and whoever comes after that is refused
 * at once, until an endpoint is well again (decisions 5). A probe passes by: it is picked before anybody has to wait.
 *
 * One for each destination and backend, and empty nearly always; a request that finds an endpoint never comes here.
 */
import type { Exchange, TargetGroup } from "./exchange.ts";
import type { Shard } from "./shard.ts";
import { Timer } from "./timer-wheel.ts";

/** `full`: too many wait already. `shut`: waiting has led to nothing. */
type Entrance = "waits" | "full" | "shut";

export type WaitingSteps = {
  /** An endpoint may be picked, or there is none any more. */
  readonly go: (exchange: Exchange, group: TargetGroup) => void;
  /** The wait is over. */
  readonly giveUp: (exchange: Exchange) => void;
};

export class WaitingRoom {
  /** In the order in which they came. */
  readonly #waiting = new Map<Exchange, WaitingSteps>();
  readonly #timer: Timer = new Timer(() => this.#look());
  readonly #onUpdate = (): void => this.look();
  #shard: Shard | undefined;
  #group: TargetGroup | undefined;
  /** When the first of those who wait came. */
  #sinceMs = 0;
  #isShut = false;

  /** Takes an exchange for whose breaker no endpoint of the group may be picked. */
  enter(exchange: Exchange, group: TargetGroup, steps: WaitingSteps): Entrance {
    const { shard } = exchange;
    const { failFastTimeoutMs, maxWaitingForEndpoint } = shard.limits;
    if (this.#isShut || failFastTimeoutMs === 0) return "shut";
    if (this.#waiting.size >= maxWaitingForEndpoint) return "full";
    if (this.#waiting.size === 0) {
      this.#shard = shard;
      this.#group = group;
      this.#sinceMs = shard.nowMs();
      group.watchers.add(this.#onUpdate);
    }
    this.#waiting.set(exchange, steps);
    exchange.cancelWait = () => this.#leave(exchange);
    if (this.#waiting.size === 1) this.#armFor(exchange);
    return "waits";
  }

  /** An endpoint has become what it was not: one may be well again. */
  open(): void {
    this.#isShut = false;
    this.look();
  }

  /** Who waits looks again, soon: whoever calls this is in the middle of something. */
  look(): void {
    if (this.#waiting.size > 0) this.#shard?.wheel.arm(this.#timer, 0);
  }

  #look(): void {
    const shard = this.#shard;
    const group = this.#group;
    if (shard === undefined || group === undefined) return;
    // Whoever comes back meanwhile waits for the next time.
    for (const [exchange, steps] of [...this.#waiting]) {
      if (!this.#waiting.has(exchange)) continue;
      const { breaker } = exchange;
      if (group.members.length > 0 && !group.isOpen(shard.nowMs(), breaker)) break;
      this.#leave(exchange);
      exchange.readyMs = shard.nowMs();
      steps.go(exchange, group);
    }
    const [first] = this.#waiting.keys();
    if (first === undefined) return;
    if (shard.nowMs() - this.#sinceMs < shard.limits.failFastTimeoutMs) this.#armFor(first);
    else this.#shut();
  }

  #shut(): void {
    this.#isShut = true;
    for (const [exchange, steps] of [...this.#waiting]) {
      if (!this.#waiting.has(exchange)) continue;
      this.#leave(exchange);
      steps.giveUp(exchange);
    }
  }

  /** To the time when an endpoint may be probed, or to the end of the wait. */
  #armFor({ shard, breaker }: Exchange): void {
    const endMs = this.#sinceMs + shard.limits.failFastTimeoutMs;
    const members = this.#group?.members ?? [];
    const readyMs = breaker?.availableAtMs(members) ?? endMs;
    shard.wheel.arm(this.#timer, Math.max(Math.min(readyMs, endMs) - shard.nowMs(), 0));
  }

  #leave(exchange: Exchange): void {
    exchange.cancelWait = undefined;
    this.#waiting.delete(exchange);
    if (this.#waiting.size > 0) return;
    this.#shard?.wheel.forget(this.#timer);
    this.#group?.watchers.delete(this.#onUpdate);
  }
}
