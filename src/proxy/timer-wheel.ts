/**
 * All timeouts of a worker on one interval timer. Arming and disarming a timer is writing a number, so that a connection
 * can do both for every request: a slot looks at the timers that were put into it when its turn comes, and moves on those
 * that were armed anew since (`benchmarks/proxy/exchange.ts`; a `setTimeout` for each request costs 1 µs).
 */

/** How exact timeouts are. Each is between what was asked for and two ticks more. */
export const tickMs = 100;

/** A power of two. One turn is 51 s; a timer that is armed for longer goes round more than once. */
const slotCount = 512;

/** What the wheel needs of the machine; a test turns the wheel by hand. */
export type WheelClock = {
  nowMs(): number;
  /** Calls `tick` every `tickMs` until `stop`. */
  start(tick: () => void): { stop(): void };
};

/** Belongs to one connection for its whole life. A slot is a ring of timers, so that one can leave it at any time. */
export class Timer {
  readonly onExpired: () => void;
  /** 0: not armed. */
  dueTick = 0;
  /** When its slot looks at it, armed or not; 0: it is in no slot. */
  slotTick = 0;
  next: Timer = this;
  previous: Timer = this;

  constructor(onExpired: () => void) {
    this.onExpired = onExpired;
  }
}

export class TimerWheel {
  readonly #clock: WheelClock;
  /** Each slot is a timer that never expires, the head of its ring. */
  readonly #slots: readonly Timer[] = Array.from({ length: slotCount }, () => new Timer(() => {}));
  readonly #startMs: number;
  #tick = 0;
  /** The tick that it is now. `#tick` is behind while `advance` catches up. */
  #nowTick = 0;
  /** Timers in slots. */
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
    if (timer.slotTick !== 0 && timer.slotTick <= timer.dueTick) return;
    this.#unlink(timer);
    this.#put(timer);
  }

  /** The timer stays in its slot until its turn, so that a timer which is armed for every request costs nothing but numbers. */
  disarm(timer: Timer): void {
    timer.dueTick = 0;
  }

  /** Lets go of a timer whose connection is over, and with it of all that the connection held. */
  forget(timer: Timer): void {
    timer.dueTick = 0;
    this.#unlink(timer);
  }

  /** Runs everything that is due. */
  advance(): void {
    const target = this.#tickNow();
    this.#nowTick = target;
    // After a long pause of the machine every slot is visited once, not once for each tick that was missed.
    if (target - this.#tick > slotCount) this.#tick = target - slotCount;
    while (this.#tick < target) {
      this.#tick++;
      this.#turn();
    }
    if (this.#held === 0) this.#sleep();
  }

  /** Stops ticking. Armed timers never expire. */
  stop(): void {
    this.#sleep();
  }

  #turn(): void {
    const head = this.#headOf(this.#tick);
    while (head.next !== head) {
      const timer = head.next;
      this.#unlink(timer);
      if (timer.dueTick > this.#tick) {
        this.#put(timer);
      } else if (timer.dueTick !== 0) {
        timer.dueTick = 0;
        timer.onExpired();
      }
    }
  }

  /** Never puts it into the slot whose turn it is. */
  #put(timer: Timer): void {
    timer.slotTick = Math.min(timer.dueTick, this.#tick + slotCount - 1);
    const head = this.#headOf(timer.slotTick);
    timer.previous = head.previous;
    timer.next = head;
    head.previous.next = timer;
    head.previous = timer;
    this.#held++;
  }

  #tickNow(): number {
    return Math.floor((this.#clock.nowMs() - this.#startMs) / tickMs);
  }

  #unlink(timer: Timer): void {
    if (timer.slotTick === 0) return;
    timer.slotTick = 0;
    timer.previous.next = timer.next;
    timer.next.previous = timer.previous;
    timer.next = timer;
    timer.previous = timer;
    this.#held--;
  }

  #headOf(tick: number): Timer {
    return this.#slots[tick & (slotCount - 1)] as Timer;
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
