/**
 * The connections of one thread that are read and written by calls of the kernel: which of them are ready is asked once in a turn of the event loop, and each is read
 * once. Node.js accepts them, opens them and does everything with TLS; a connection comes here when it stands.
 */
import { isBuiltin } from "node:module";
import type { Socket } from "node:net";
import type { BufferPool } from "./buffer-pool.ts";
import { descriptorOf } from "./descriptor.ts";
import { epollIn, Kernel, watchOperations } from "./kernel.ts";
import { KernelWire, type WireHome } from "./kernel-wire.ts";
import { wakeLoopOn } from "./loop-wake.ts";

/** Descriptors that must be closed when the thread has died: the kernel does that only for a process. */
export type Descriptors = {
  /** False: there is no room for one of this number. */
  add(fd: number): boolean;
  remove(fd: number): void;
};

/** Ready connections that are told in one round; what is left over is ready in the next. */
const eventsPerRound = 256;

/**
 * Under load others are ready by the time a round is over, and asking again costs less than a turn of the event loop: 3 % less CPU for a relay (`benchmarks/proxy/opaque.ts`), and 8
 * rounds were no better. Timers, TLS and the main thread wait meanwhile.
 */
const roundsPerTurn = 4;

/** So many at once are load. Behind a single one there is mostly nobody. */
const crowd = 2;

/** struct epoll_event in words: what happened, and eight bytes of ours, which only x86 does not align. */
const dataAt = process.arch === "x64" ? 1 : 2;
const eventWords: number = dataAt + 2;

export type AdoptOptions = {
  readonly firstBuffer: Buffer;
  readonly pool: BufferPool;
  /** The connection is no longer here: it is closed, or Node.js has it again. */
  readonly onGone?: (heir: Socket | undefined) => void;
};

type KernelSocketsOptions = {
  readonly kernel: Kernel;
  readonly epoll: number;
  readonly descriptors: Descriptors;
  readonly stopWaking: () => void;
};

export class KernelSockets implements WireHome {
  readonly kernel: Kernel;
  readonly #epoll: number;
  readonly #descriptors: Descriptors;
  readonly #event: Int32Array = new Int32Array(new ArrayBuffer(4 * eventWords));
  readonly #eventBytes: Buffer = Buffer.from(this.#event.buffer);
  readonly #events: Int32Array = new Int32Array(new ArrayBuffer(4 * eventWords * eventsPerRound));
  readonly #eventsPointer: bigint;
  readonly #wires: (KernelWire | undefined)[] = [];
  /** By slot: what tells the wire that has a slot from those that had it before, whose events may be on their way. */
  readonly #generations: number[] = [];
  readonly #freeSlots: number[] = [];
  readonly #stopWaking: () => void;
  readonly #turn = (): void => this.#serve();
  #next: NodeJS.Immediate | undefined;
  #isClosed = false;

  constructor({ kernel, epoll, descriptors, stopWaking }: KernelSocketsOptions) {
    this.kernel = kernel;
    this.#epoll = epoll;
    this.#descriptors = descriptors;
    this.#stopWaking = stopWaking;
    this.#eventsPointer = kernel.pointerTo(Buffer.from(this.#events.buffer));
    this.#next = setImmediate(this.#turn).unref();
  }

  /** Takes over a connection that stands. A text: why not; the socket is as it was. */
  adopt(socket: Socket, options: AdoptOptions): KernelWire | string {
    const own = descriptorOf(socket);
    if (own === -1) return "ENOTCONN";
    if (this.#isClosed) return "ECANCELED";
    const fd = this.kernel.duplicate(own);
    if (fd === -1) return this.kernel.errorCode();
    if (!this.#descriptors.add(fd)) {
      this.kernel.close(fd);
      return "EMFILE";
    }
    const slot = this.#freeSlots.pop() ?? this.#wires.length;
    const remoteIp = socket.remoteAddress ?? "";
    const wire = new KernelWire({ ...options, home: this, fd, slot, remoteIp });
    this.#wires[slot] = wire;
    if (!this.watch(wire, watchOperations.add, epollIn)) {
      const code = this.kernel.errorCode();
      this.forget(wire);
      this.kernel.close(fd);
      return code;
    }
    // The connection lives on by the other descriptor.
    socket.destroy();
    return wire;
  }

  watch({ fd, slot }: KernelWire, operation: number, events: number): boolean {
    const event = this.#event;
    event[0] = events;
    event[dataAt] = slot;
    event[dataAt + 1] = this.#generations[slot] ?? 0;
    return this.kernel.watch(this.#epoll, operation, fd, this.#eventBytes);
  }

  forget({ fd, slot }: KernelWire): void {
    this.#descriptors.remove(fd);
    this.#wires[slot] = undefined;
    this.#generations[slot] = ((this.#generations[slot] ?? 0) + 1) | 0;
    this.#freeSlots.push(slot);
  }

  /** Closes what is left. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const wire of this.#wires) wire?.destroy();
    clearImmediate(this.#next);
    this.#stopWaking();
    this.#descriptors.remove(this.#epoll);
    this.kernel.close(this.#epoll);
  }

  #serve(): void {
    if (this.#isClosed) return;
    // An immediate that keeps no loop alive runs in each turn, whatever the turn is for.
    this.#next = setImmediate(this.#turn).unref();
    for (let round = 0; round < roundsPerTurn; round++) {
      if (!this.#serveRound()) return;
    }
  }

  /** False: there will hardly be others yet. */
  #serveRound(): boolean {
    if (this.#isClosed) return false;
    const events = this.#events;
    const count = this.kernel.ready(this.#epoll, this.#eventsPointer, eventsPerRound);
    for (let index = 0; index < count; index++) {
      const at = index * eventWords;
      const slot = events[at + dataAt] ?? 0;
      const generation = events[at + dataAt + 1];
      if ((this.#generations[slot] ?? 0) !== generation) continue;
      this.#wires[slot]?.happened(events[at] ?? 0);
    }
    return count >= crowd;
  }
}

/** Undefined: this Node.js cannot, and connections are Node's own sockets. */
export function openKernelSockets(descriptors: Descriptors): KernelSockets | undefined {
  if (!isBuiltin("node:ffi")) return undefined;
  try {
    const ffi = process.getBuiltinModule("node:ffi");
    const kernel = new Kernel(ffi);
    const epoll = kernel.openEpoll();
    if (epoll === -1) return undefined;
    const stopWaking = descriptors.add(epoll) ? wakeLoopOn(ffi, epoll) : undefined;
    if (stopWaking !== undefined) {
      return new KernelSockets({ kernel, epoll, descriptors, stopWaking });
    }
    descriptors.remove(epoll);
    kernel.close(epoll);
    return undefined;
  } catch {
    // A function or a type that this Node.js does not have: it has not got as far as to open anything.
    return undefined;
  }
}
