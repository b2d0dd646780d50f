/**
 * All timeouts of a worker on one interval timer. Arming and disarming a timer is writing a number, so that a connection
 * can do both for every request: a slot looks at the timers that were put into it when its turn comes, and moves on those
 * that were armed anew since (`benchmarks/proxy/exchange.ts`; a `setTimeout` for each request costs 1 µs).
 *
 * There are two rings: one for most timeouts, and one with short ticks for short delays, such as the pause before a retry. The
 * interval is as short as what is armed asks for, and there is none while nothing is.
 */

/** How exact most timeouts are. Each is between what was asked for and two ticks more. */
export const tickMs = 100;

/** The same for short delays. A pause of 25 ms is then at most 35 ms. */
export const fineTickMs = 5;

/** What is a short delay. From here on two coarse ticks are at most a fifth of the time that was asked for. */
const fineBelowMs = 1_000;

/** A power of two. A turn is 51 s, or 2.5 s of the fine ring; a timer that is armed for longer goes round more than once. */
const slotCount = 512;

/** What the wheel needs of the machine; a test turns the wheel by hand. */
export type WheelClock = {
  nowMs(): number;
  /** Calls `tick` every `everyMs` until `stop`. */
  start(tick: () => void, everyMs: number): { stop(): void };
};

/** Belongs to one connection for its whole life. A slot is a list in a ring, so that a timer can leave it at any time. */
export class Timer {
  readonly onExpired: () => void;
  /** 0: not armed. */
  dueTick = 0;
  /** When its slot looks at it, armed or not; 0: it is in no slot. */
  slotTick = 0;
  /** Whose ticks these are. */
  ring: Ring | undefined = undefined;
  next: Timer = this;
  previous: Timer = this;

  constructor(onExpired: () => void) {
    this.onExpired = onExpired;
  }
}

export class TimerWheel {
  readonly #clock: WheelClock;
  readonly #fine: Ring;
  readonly #coarse: Ring;
  /** Of the interval that runs; 0: none does. */
  #everyMs = 0;
  #ticking: { stop(): void } | undefined;

  constructor(clock: WheelClock) {
    this.#clock = clock;
    this.#fine = new Ring(clock, fineTickMs);
    this.#coarse = new Ring(clock, tickMs);
  }

  /** (Re)arms a timer to expire `delayMs` from now. */
  arm(timer: Timer, delayMs: number): void {
    const ring = delayMs < fineBelowMs ? this.#fine : this.#coarse;
    if (timer.ring !== ring) {
      timer.ring?.forget(timer);
      timer.ring = ring;
    }
    ring.arm(timer, delayMs);
    if (this.#everyMs === 0 || this.#everyMs > ring.tickMs) this.#tickEvery(ring.tickMs);
  }

  /** The timer stays in its slot until its turn, so that a timer which is armed for every request costs nothing but numbers. */
  disarm(timer: Timer): void {
    timer.dueTick = 0;
  }

  /** How long it still is until an armed timer expires. */
  leftMs(timer: Timer): number {
    return timer.ring?.leftMs(timer) ?? 0;
  }

  /** Lets go of a timer whose connection is over, and with it of all that the connection held. */
  forget(timer: Timer): void {
    timer.ring?.forget(timer);
  }

  /** Runs everything that is due. */
  advance(): void {
    this.#fine.advance();
    this.#coarse.advance();
    // A timer may have stopped the wheel.
    if (this.#ticking === undefined) return;
    if (!this.#fine.isEmpty) this.#tickEvery(fineTickMs);
    else if (!this.#coarse.isEmpty) this.#tickEvery(tickMs);
    else this.stop();
  }

  /** Stops ticking. Armed timers never expire. */
  stop(): void {
    this.#ticking?.stop();
    this.#ticking = undefined;
    this.#everyMs = 0;
  }

  #tickEvery(everyMs: number): void {
    if (this.#everyMs === everyMs) return;
    this.stop();
    this.#everyMs = everyMs;
    this.#ticking = this.#clock.start(() => this.advance(), everyMs);
  }
}

class Ring {
  readonly tickMs: number;
  readonly #clock: WheelClock;
  /** Each slot is a timer that never expires, the head of its list. */
  readonly #slots: readonly Timer[] = Array.from({ length: slotCount }, () => new Timer(() => {}));
  readonly #startMs: number;
  #tick = 0;
  /** The tick that it is now. `#tick` is behind while `advance` catches up. */
  #nowTick = 0;
  /** Timers in slots. */
  #held = 0;
  /** `advance` is on the stack. */
  #turning = false;

  constructor(clock: WheelClock, ms: number) {
    this.#clock = clock;
    this.tickMs = ms;
    this.#startMs = clock.nowMs();
  }

  get isEmpty(): boolean {
    return this.#held === 0;
  }

  leftMs({ dueTick }: Timer): number {
    return Math.max(dueTick - 1 - this.#tickNow(), 0) * this.tickMs;
  }

  arm(timer: Timer, delayMs: number): void {
    // Nobody turns a ring that is empty. A short tick is over before a busy thread has noticed.
    const isAsleep = this.#held === 0 && !this.#turning;
    if (isAsleep || this.tickMs < tickMs) this.#nowTick = this.#tickNow();
    if (isAsleep) this.#tick = this.#nowTick;
    // One tick more, because the current one is partly over.
    timer.dueTick = this.#nowTick + Math.ceil(delayMs / this.tickMs) + 1;
    if (timer.slotTick !== 0 && timer.slotTick <= timer.dueTick) return;
    this.#unlink(timer);
    this.#put(timer);
  }

  forget(timer: Timer): void {
    timer.dueTick = 0;
    this.#unlink(timer);
  }

  advance(): void {
    if (this.#held === 0) return;
    const target = this.#tickNow();
    this.#nowTick = target;
    // After a long pause of the machine every slot is visited once, not once for each tick that was missed.
    if (target - this.#tick > slotCount) this.#tick = target - slotCount;
    this.#turning = true;
    while (this.#tick < target) {
      this.#tick++;
      this.#turn();
    }
    this.#turning = false;
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
    return Math.floor((this.#clock.nowMs() - this.#startMs) / this.tickMs);
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
}
