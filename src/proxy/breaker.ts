/**
 * Circuit breakers of the endpoints of one group, for the requests of one destination: its policy says when they open, so
 * another destination that leads to the same endpoints has breakers of its own (Linkerd keeps them apart likewise).
 */
import {
  type AccrualResult,
  abandonProbe,
  accrualSlots,
  availableAtMs,
  type BreakerChange,
  beginTry,
  isAvailable,
  onResult,
} from "../core/decide/accrual.ts";
import type { FailureAccrual } from "../core/model/accrual.ts";
import type { Target } from "./exchange.ts";
import { WaitingRoom } from "./waiting-room.ts";

export class Breaker {
  readonly policy: FailureAccrual;
  /** For requests that find every endpoint behind its breaker. */
  readonly room: WaitingRoom;
  /** By endpoint, so that an update of the set leaves them alone. One without a state has never failed. */
  readonly #states: WeakMap<Target, Float64Array>;

  /** `before`: the breaker that this one takes the place of. What it knows stays, only the policy is new. */
  constructor(policy: FailureAccrual, before: Breaker | undefined) {
    this.policy = policy;
    this.#states = before === undefined ? new WeakMap() : before.#states;
    this.room = before?.room ?? new WaitingRoom();
  }

  isAvailable(target: Target, nowMs: number): boolean {
    const state = this.#states.get(target);
    return state === undefined || isAvailable(state, 0, nowMs);
  }

  /** When the first of them may be picked. Infinite: not before the end of a probe. */
  availableAtMs(targets: readonly Target[]): number {
    const times = targets.map((target) => {
      const state = this.#states.get(target);
      return state === undefined ? 0 : availableAtMs(state, 0);
    });
    return Math.min(...times);
  }

  /** True: the request is the probe of an endpoint on probation, and owes a call of `result` or `abandon`. */
  begin(target: Target): boolean {
    const state = this.#states.get(target);
    return state !== undefined && beginTry(state, 0);
  }

  abandon(target: Target): void {
    const state = this.#states.get(target);
    if (state !== undefined) abandonProbe(state, 0);
    this.room.look();
  }

  result(target: Target, result: AccrualResult): BreakerChange {
    let state = this.#states.get(target);
    if (state === undefined) {
      if (result.answer === "success" && this.policy.successRateThreshold <= 0) return "none";
      state = new Float64Array(accrualSlots);
      this.#states.set(target, state);
    }
    const change = onResult(this.policy, state, 0, result);
    // One that was well until now begins a new wait. A probe that failed says that nothing is new.
    if (change === "closed" || (change === "opened" && !result.probe)) this.room.open();
    else if (change === "opened") this.room.look();
    return change;
  }
}
