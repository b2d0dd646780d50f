/** `Wire` over a descriptor. Bytes go between the kernel and the owner's buffers by one call each; what the kernel has no room for waits here. */
import { Socket } from "node:net";
import { setAbortOnDeath } from "./abort-on-death.ts";
import type { BufferPool } from "./buffer-pool.ts";
import { epollIn, epollOut, type Kernel, watchOperations } from "./kernel.ts";
import { nobody, type PlainWire, type WireOwner } from "./wire.ts";

/** sys/epoll.h. These are told of whatever is watched for. */
const epollError = 8;
const epollHangUp = 16;
const broken: number = epollError | epollHangUp;

/** Where wires live (`kernel-sockets.ts`). */
export type WireHome = {
  readonly kernel: Kernel;
  /** As epoll_ctl(2). */
  watch(wire: KernelWire, operation: number, events: number): boolean;
  /** To be called before the descriptor is closed or given away. */
  forget(wire: KernelWire): void;
};

export type KernelWireOptions = {
  readonly home: WireHome;
  readonly fd: number;
  /** The place there. */
  readonly slot: number;
  readonly remoteIp: string;
  readonly firstBuffer: Buffer;
  readonly pool: BufferPool;
  readonly onGone?: (heir: Socket | undefined) => void;
};

type Waiting = { readonly bytes: Buffer; start: number; readonly end: number };

export class KernelWire implements PlainWire {
  owner: WireOwner;
  readonly encrypted = false;
  readonly givesBuffers = false;
  readonly remoteIp: string;
  readonly slot: number;
  readonly #home: WireHome;
  readonly #kernel: Kernel;
  readonly #pool: BufferPool;
  readonly #onGone: ((heir: Socket | undefined) => void) | undefined;
  /** -1: it is closed, or given away. */
  #fd: number;
  #code = "";
  /** The owner wants bytes. */
  #reads = true;
  /** The other end has ended. */
  #isOver = false;
  /** `end()` was called. */
  #ends = false;
  /** The kernel was told of the end. */
  #hasEnded = false;
  #abortsOnDeath = false;
  /** What the kernel has no room for, in order. */
  #waiting: Waiting[] = [];
  /** What is watched for; -1: the connection is broken, and whoever watches it is told in each turn. */
  #watched: number = epollIn;

  constructor(options: KernelWireOptions) {
    const { home, fd, slot, remoteIp, firstBuffer, pool, onGone } = options;
    this.owner = nobody(firstBuffer);
    this.remoteIp = remoteIp;
    this.slot = slot;
    this.#home = home;
    this.#kernel = home.kernel;
    this.#pool = pool;
    this.#onGone = onGone;
    this.#fd = fd;
  }

  get fd(): number {
    return this.#fd;
  }

  /** What epoll_wait(2) tells. */
  happened(events: number): void {
    if ((events & (epollIn | broken)) !== 0 && this.#reads && !this.#isOver) this.#read();
    if ((events & (epollOut | broken)) !== 0 && this.#waiting.length > 0) this.#writeOn();
    if ((events & broken) !== 0) this.#lookAway();
  }

  send(bytes: Buffer, start: number, end: number): boolean {
    const from = this.sendNow(bytes, start, end);
    if (from === end) return true;
    this.#waiting.push({ bytes, start: from, end });
    this.#watch();
    return false;
  }

  sendNow(bytes: Buffer, start: number, end: number): number {
    if (this.#fd === -1 || this.#ends) return end;
    if (this.#waiting.length > 0) return start;
    const taken = this.#kernel.write(this.#fd, bytes, start, end);
    if (taken !== -1) return start + taken;
    const code = this.#kernel.errorCode();
    if (code === "") return start;
    this.#fail(code);
    return end;
  }

  pause(): void {
    this.#reads = false;
    this.#watch();
  }

  resume(): void {
    this.#reads = true;
    this.#watch();
  }

  end(): void {
    if (this.#fd === -1 || this.#ends) return;
    this.#ends = true;
    if (this.#waiting.length === 0) this.#endWrites();
  }

  destroy(): void {
    if (this.#fd !== -1) this.#close();
  }

  reset(): void {
    if (this.#fd === -1) return;
    setAbortOnDeath(this.#fd, true);
    this.#close();
  }

  /** Whoever was told of the end is not told otherwise; and an abort would drop what the kernel has yet to send before it. */
  abortOnDeath(): void {
    if (this.#fd === -1 || this.#hasEnded) return;
    this.#abortsOnDeath = setAbortOnDeath(this.#fd, true);
  }

  release(unread: Buffer): Socket {
    const fd = this.#fd;
    // It was closed since it was decided to give it away.
    if (fd === -1) return new Socket().destroy();
    this.#home.watch(this, watchOperations.remove, 0);
    this.#leave();
    const socket = new Socket({ fd, allowHalfOpen: true });
    this.#onGone?.(socket);
    socket.pause();
    socket.unshift(unread);
    return socket;
  }

  #read(): void {
    const bytes = this.owner.readBuffer();
    const length = this.#kernel.read(this.#fd, bytes);
    if (length > 0) {
      if (!this.owner.onBytes(bytes, length)) this.pause();
      return;
    }
    if (length === 0) {
      this.#isOver = true;
      this.#watch();
      this.owner.onEnd();
      this.#closeIfOver();
      return;
    }
    const code = this.#kernel.errorCode();
    if (code !== "") this.#fail(code);
  }

  #writeOn(): void {
    const waiting = this.#waiting;
    while (waiting.length > 0) {
      const [first] = waiting as [Waiting];
      const taken = this.#kernel.write(this.#fd, first.bytes, first.start, first.end);
      if (taken === -1) {
        const code = this.#kernel.errorCode();
        if (code !== "") this.#fail(code);
        return;
      }
      first.start += taken;
      if (first.start < first.end) return;
      waiting.shift();
      this.#pool.give(first.bytes);
    }
    this.#watch();
    if (this.#ends) this.#endWrites();
    if (this.#fd !== -1) this.owner.onWritten();
  }

  #endWrites(): void {
    this.#hasEnded = true;
    if (this.#abortsOnDeath) setAbortOnDeath(this.#fd, false);
    this.#kernel.endWrites(this.#fd);
    this.#closeIfOver();
  }

  #closeIfOver(): void {
    if (this.#isOver && this.#hasEnded && this.#fd !== -1) this.#close();
  }

  #fail(code: string): void {
    if (this.#fd === -1) return;
    this.#code = code;
    this.#close();
  }

  /** The owner is told later, never from within its own call. */
  #close(): void {
    const fd = this.#fd;
    this.#leave();
    this.#kernel.close(fd);
    this.#onGone?.(undefined);
    process.nextTick(() => this.owner.onClose(this.#code));
  }

  #leave(): void {
    this.#home.forget(this);
    this.#fd = -1;
    for (const { bytes } of this.#waiting) this.#pool.give(bytes);
    this.#waiting = [];
  }

  /** What is broken is told in each turn; where nobody reads or writes, that would be for nothing. It is looked at again when somebody does. */
  #lookAway(): void {
    if (this.#fd === -1 || this.#watched === -1 || this.#wanted() !== 0) return;
    this.#home.watch(this, watchOperations.remove, 0);
    this.#watched = -1;
  }

  #wanted(): number {
    const reads = this.#reads && !this.#isOver ? epollIn : 0;
    return this.#waiting.length > 0 ? reads | epollOut : reads;
  }

  #watch(): void {
    const wanted = this.#wanted();
    if (this.#fd === -1 || wanted === this.#watched) return;
    if (this.#watched === -1 && wanted === 0) return;
    const { add, change } = watchOperations;
    this.#home.watch(this, this.#watched === -1 ? add : change, wanted);
    this.#watched = wanted;
  }
}
