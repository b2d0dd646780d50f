/**
 * All timeouts of a worker on one interval timer. Arming and disarming a timer is writing a number, so that a connection
 * can do both for every request; a slot looks at the timers that were put into it when its turn comes, and moves on those
 * that were armed anew since (`benchmarks/proxy/http1.ts`; a `setTimeout` for each request costs 1 µs).
 */

/** How exact timeouts are. Each is between what was asked for and one tick more. */
export const tickMs = 100;

/** A power of two. One turn is 51 s; a timer that is armed for longer goes round more than once. */
const slotCount = 512;

/** What the wheel needs of the machine; a test turns the wheel by hand. */
export type WheelClock = {
  nowMs(): number;
  /** Calls `tick` every `tickMs` until `stop`. */
  start(tick: () => void): { stop(): void };
};

/** Belongs to one connection for its whole life. */
export class Timer {
  readonly onExpired: () => void;
  /** 0: not armed. */
  dueTick = 0;
  /** When a slot looks at it next, armed or not; 0: none does. A slot that holds it otherwise is passed over. */
  slotTick = 0;

  constructor(onExpired: () => void) {
    this.onExpired = onExpired;
  }
}

export class TimerWheel {
  readonly #clock: WheelClock;
  readonly #slots: Timer[][] = Array.from({ length: slotCount }, () => []);
  #tick = 0;
  /** The tick that it is now. `#tick` is behind while `advance` catches up. */
  #nowTick = 0;
  #startMs: number;
  #held = 0;
  #ticking: { stop(): void } | undefined;

  constructor(clock: WheelClock) {
    this.#clock = clock;
    this.#startMs = clock.nowMs();
  }

  /** (Re)arms a timer to expire `delayMs` from now. */
  arm(timer: Timer, delayMs: number): void {
    if (this.#ticking === undefined) this.#wake();
    // One tick more, because the current one is partly over.
    timer.dueTick = this.#nowTick + Math.ceil(delayMs / tickMs) + 1;
    if (timer.slotTick === 0 || timer.dueTick < timer.slotTick) this.#put(timer);
  }

  /** The timer stays in its slot until its turn, so a timer that is armed for every request costs nothing but numbers. */
  disarm(timer: Timer): void {
    timer.dueTick = 0;
  }

  /** Runs everything that is due. */
  advance(): void {
    const target = this.#tickNow();
    this.#nowTick = target;
    // After a long pause of the machine every slot is visited once, not once for each tick that was missed.
    if (target - this.#tick > slotCount) this.#tick = target - slotCount;
    while (this.#tick < target) {
      this.#tick++;
      this.#turn(this.#tick & (slotCount - 1));
    }
    if (this.#held === 0) this.#sleep();
  }

  /** Stops ticking. Armed timers never expire. */
  stop(): void {
    this.#sleep();
  }

  #turn(at: number): void {
    const timers = this.#slots[at] ?? [];
    if (timers.length === 0) return;
    this.#slots[at] = [];
    this.#held -= timers.length;
    for (const timer of timers) {
      if (timer.slotTick === 0 || timer.slotTick > this.#tick) continue;
      timer.slotTick = 0;
      if (timer.dueTick > this.#tick) {
        this.#put(timer);
      } else if (timer.dueTick !== 0) {
        timer.dueTick = 0;
        timer.onExpired();
      }
    }
  }

  #put(timer: Timer): void {
    timer.slotTick = Math.min(timer.dueTick, this.#tick + slotCount - 1);
    this.#slots[timer.slotTick & (slotCount - 1)]?.push(timer);
    this.#held++;
  }

  #tickNow(): number {
    return Math.floor((this.#clock.nowMs() - this.#startMs) / tickMs);
  }

  #wake(): void {
    this.#tick = this.#tickNow();
    this.#nowTick = this.#tick;
    this.#ticking = this.#clock.start(() => this.advance());
  }

  #sleep(): void {
    this.#ticking?.stop();
    this.#ticking = undefined;
  }
}
