/** Connections whose two ends do whatever they like, the same each time. */
import type { Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import test from "ava";
import type { KernelWire } from "../../../src/edge/net/kernel-wire.ts";
import { type Far, KernelInTest, openFileCount, type Recorder } from "./kernel-in-test.ts";

const seed = 20_260_714;
const rounds = 12;
const perRound = 40;
const stepsPerConnection = 60;

/** Mulberry32: whole numbers below `limit`. */
class Dice {
  #state: number;

  constructor(state: number) {
    this.#state = state;
  }

  roll(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }
}

const noiseBytes = 1_048_576;
const noise = Buffer.alloc(2 * noiseBytes);
const noiseDice = new Dice(seed);
for (let at = 0; at < noiseBytes; at++) noise[at] = noiseDice.roll(256);
noise.copy(noise, noiseBytes, 0, noiseBytes);

/** One direction of a connection. */
class Stream {
  readonly #offset: number;
  sent = 0;
  received = 0;
  isWrong = false;

  constructor(offset: number) {
    this.#offset = offset;
  }

  next(length: number): Buffer {
    const from = (this.#offset + this.sent) % noiseBytes;
    this.sent += length;
    return noise.subarray(from, from + length);
  }

  check(bytes: Buffer): void {
    const from = (this.#offset + this.received) % noiseBytes;
    if (!noise.subarray(from, from + bytes.length).equals(bytes)) this.isWrong = true;
    this.received += bytes.length;
  }
}

class Connection {
  readonly wire: KernelWire;
  readonly owner: Recorder;
  readonly far: Far;
  readonly out: Stream;
  readonly in: Stream;
  readonly farClosed: Promise<void>;
  /** Somebody dropped it. */
  isCut = false;
  #mayClose = true;
  farEnded = false;

  constructor(pair: { wire: KernelWire; owner: Recorder; far: Far }, dice: Dice) {
    ({ wire: this.wire, owner: this.owner, far: this.far } = pair);
    this.out = new Stream(dice.roll(noiseBytes));
    this.in = new Stream(dice.roll(noiseBytes));
    this.farClosed = this.far.untilClosed();
    this.far.socket.on("data", (bytes: Buffer) => this.out.check(bytes)).resume();
    this.far.socket.on("end", () => {
      this.farEnded = true;
    });
    this.owner.whenBytes = (bytes) => {
      this.in.check(bytes);
      if (dice.roll(40) === 0) this.nearStep(dice);
      return dice.roll(4) !== 0;
    };
    this.owner.whenWritten = () => {
      if (dice.roll(3) === 0) this.nearStep(dice);
    };
    this.owner.whenEnd = () => {
      if (dice.roll(3) === 0) this.nearStep(dice);
    };
  }

  /** Those that may not be cut end in order, whatever they do before. */
  spare(): this {
    this.#mayClose = false;
    return this;
  }

  nearStep(dice: Dice): void {
    const { wire } = this;
    const step = dice.roll(100);
    if (step < 45) this.#nearSend(dice);
    else if (step < 60) wire.pause();
    else if (step < 90) wire.resume();
    else if (step < 93) wire.abortOnDeath();
    else if (step < 96) wire.end();
    else if (this.#mayClose) {
      this.isCut = true;
      if (step < 98) wire.destroy();
      else wire.reset();
    }
  }

  farStep(dice: Dice): void {
    const { socket } = this.far;
    const step = dice.roll(100);
    if (step < 45) {
      if (!socket.writableEnded && !socket.destroyed) {
        // Copied: what is kept in Node's queue must not depend on anything else.
        socket.write(Buffer.from(this.in.next(1 + dice.roll(100_000))));
      }
    } else if (step < 60) socket.pause();
    else if (step < 90) socket.resume();
    else if (step < 95) socket.end();
    else if (this.#mayClose) {
      this.isCut = true;
      cut(socket, step < 98);
    }
  }

  async finish(): Promise<void> {
    const { wire, far, owner } = this;
    owner.whenBytes = (bytes) => {
      this.in.check(bytes);
      return true;
    };
    owner.whenWritten = () => {};
    owner.whenEnd = () => {};
    wire.resume();
    wire.end();
    far.socket.resume().end();
    await owner.untilClosed();
    await this.farClosed;
  }

  #nearSend(dice: Dice): void {
    const { wire } = this;
    if (wire.fd === -1 || this.#hasEnded) return;
    const length = 1 + dice.roll(dice.roll(4) === 0 ? 400_000 : 5_000);
    const start = dice.roll(9);
    const bytes = Buffer.concat([Buffer.alloc(start), this.out.next(length), Buffer.alloc(3)]);
    const from = dice.roll(2) === 0 ? start : wire.sendNow(bytes, start, start + length);
    wire.send(bytes, from, start + length);
  }

  #hasEnded = false;

  noteEnds(): this {
    const end = this.wire.end.bind(this.wire);
    this.wire.end = () => {
      this.#hasEnded = true;
      end();
    };
    return this;
  }
}

/** libuv refuses to abort what is being shut down, and Node keeps the handle for ever then. */
function cut(socket: Socket, withReset: boolean): void {
  if (withReset && !socket.writableEnded) socket.resetAndDestroy();
  else socket.destroy();
}

test.serial(
  "whatever two ends do, what arrives is what was sent, and each close is told once",
  async (t) => {
    using kernel = await KernelInTest.start();
    const dice = new Dice(seed);
    const before = openFileCount();
    let orderly = 0;
    for (let round = 0; round < rounds; round++) {
      const all: Connection[] = [];
      for (let at = 0; at < perRound; at++) {
        const one = new Connection(await kernel.adopted(), dice).noteEnds();
        all.push(at % 3 === 0 ? one.spare() : one);
      }
      for (let step = 0; step < stepsPerConnection; step++) {
        for (const one of all) {
          if (dice.roll(2) === 0) one.nearStep(dice);
          if (dice.roll(2) === 0) one.farStep(dice);
        }
        if (dice.roll(3) === 0) await setImmediate();
      }
      await Promise.all(all.map((one) => one.finish()));
      for (const { owner, out, in: coming, isCut, farEnded } of all) {
        t.false(out.isWrong || coming.isWrong);
        t.true(out.received <= out.sent && coming.received <= coming.sent);
        t.is(owner.closes.length, 1);
        t.is(owner.events.at(-1), owner.closes[0]);
        t.is(owner.count("bytes of a stranger"), 0);
        if (isCut) continue;
        orderly++;
        t.deepEqual([out.received, coming.received], [out.sent, coming.sent]);
        t.deepEqual([owner.closes, owner.count("end"), farEnded], [["close:"], 1, true]);
      }
    }
    t.true(orderly > 100);
    t.is(openFileCount(), before);
    t.is(kernel.descriptors.open.size, 1);
    t.deepEqual(kernel.descriptors.faults, []);
  },
);
