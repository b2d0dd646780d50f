/**
 * The calls of the C library that move bytes, made by `node:ffi` without Node.js in between: for a read and a write of 100 bytes Node's streams and libuv take a
 * microsecond more (`benchmarks/proxy/http1.ts`). The module is experimental; `openKernelSockets` sees whether it is there and works as it does in 26.10, and where it
 * does not, connections are `NodeWire`s.
 *
 * Only functions of up to three arguments are called by compiled code, others take the slow way through libffi: so it is `read` and `write`, and the rest is for
 * rare moments. Node.js ignores SIGPIPE in the whole process.
 */
import { getSystemErrorName } from "node:util";

/** asm-generic/fcntl.h, sys/socket.h, sys/epoll.h; the same for x86 and ARM. */
const dupCloseOnExec = 1_030;
const shutdownWrites = 1;
const epollCloseOnExec = 0o2_000_000;

/** errno.h: nothing is lost by trying again when the descriptor is ready. */
const tryAgain: ReadonlySet<number> = new Set([4, 11]);

/** sys/epoll.h. */
export const epollIn = 1;
export const epollOut = 4;

/** epoll_ctl(2). */
export const watchOperations = { add: 1, remove: 2, change: 3 } as const;

const uint32Range = 2 ** 32;

/** Buffers of this size are shared or pooled, and come again. */
const minKeptBytes: number = 16 * 1024;

/**
 * For each argument `node:ffi` compares the name of its type with `ptr` and others, letter by letter where they are as long: with `i32` for `int32` a call takes 20 ns
 * more (`benchmarks/proxy/http1.ts`).
 */
const signatures = {
  fcntl: { arguments: ["int32", "int32", "int32"], return: "int32" },
  close: { arguments: ["int32"], return: "int32" },
  read: { arguments: ["int32", "pointer", "int32"], return: "int32" },
  write: { arguments: ["int32", "pointer", "int32"], return: "int32" },
  shutdown: { arguments: ["int32", "int32"], return: "int32" },
  epoll_create1: { arguments: ["int32"], return: "int32" },
  epoll_ctl: { arguments: ["int32", "int32", "int32", "buffer"], return: "int32" },
  epoll_wait: { arguments: ["int32", "pointer", "int32", "int32"], return: "int32" },
  __errno_location: { arguments: [], return: "pointer" },
} as const;

type Ffi = typeof import("node:ffi");

/** Memory that the kernel is given the address of. What it belongs to has to be kept for as long. */
type Placed = { readonly bytes: Buffer; readonly pointer: bigint; readonly address: number };

export class Kernel {
  readonly #ffi: Ffi;
  readonly #calls: ReturnType<typeof openCalls>;
  readonly #errno: Int32Array;
  readonly #read: Transfer;
  readonly #write: Transfer;
  /** One address, as two words and as a whole. */
  readonly #words: Uint32Array = new Uint32Array(new ArrayBuffer(8));
  readonly #whole: BigUint64Array = new BigUint64Array(this.#words.buffer);
  /** Most calls are about the one or the other of two buffers: the shared one for heads, and the one in which they are put together. */
  #last: Placed;
  #lastButOne: Placed;
  readonly #placed = new WeakMap<Buffer, Placed>();

  constructor(ffi: Ffi) {
    this.#ffi = ffi;
    this.#calls = openCalls(ffi);
    const { read, write } = this.#calls;
    this.#read = (fd, pointer, length) => read(fd, pointer, length);
    this.#write = (fd, pointer, length) => write(fd, pointer, length);
    // Of this thread, and in one place for as long as it lives.
    const place = this.#calls.__errno_location();
    this.#errno = new Int32Array(ffi.toArrayBuffer(place, 4, false));
    this.#last = this.#place(Buffer.allocUnsafeSlow(1));
    this.#lastButOne = this.#last;
  }

  /** How many bytes have come, to the start of `bytes`. 0: the other end has ended. -1: see `errorCode`. */
  read(fd: number, bytes: Buffer): number {
    return transfer(this.#read, fd, this.#placeOf(bytes).pointer, bytes.length);
  }

  /** How many bytes the kernel has taken. -1: see `errorCode`. */
  write(fd: number, bytes: Buffer, start: number, end: number): number {
    const { pointer, address } = this.#placeOf(bytes);
    return transfer(
      this.#write,
      fd,
      start === 0 ? pointer : this.#pointerAt(address + start),
      end - start,
    );
  }

  /** What the last call failed with, if it did: to be asked at once. Empty: there is nothing to read, or no room to write. */
  errorCode(): string {
    const error = this.#errno[0] ?? 0;
    return tryAgain.has(error) ? "" : getSystemErrorName(-error);
  }

  /** Another descriptor of the same connection. -1: see `errorCode`. */
  duplicate(fd: number): number {
    return this.#calls.fcntl(fd, dupCloseOnExec, 0);
  }

  close(fd: number): void {
    this.#calls.close(fd);
  }

  endWrites(fd: number): void {
    this.#calls.shutdown(fd, shutdownWrites);
  }

  openEpoll(): number {
    return this.#calls.epoll_create1(epollCloseOnExec);
  }

  /** `event`: struct epoll_event. */
  watch(epoll: number, operation: number, fd: number, event: Buffer): boolean {
    return this.#calls.epoll_ctl(epoll, operation, fd, event) === 0;
  }

  /** Never waits. `events` is where the caller has room for `most`. */
  ready(epoll: number, events: bigint, most: number): number {
    return this.#calls.epoll_wait(epoll, events, most, 0);
  }

  pointerTo(bytes: Buffer): bigint {
    return this.#ffi.getRawPointer(bytes);
  }

  /** As two stores and a load: adding to a bigint makes two of them. */
  #pointerAt(address: number): bigint {
    const words = this.#words;
    // Addresses of a process have less than the 53 bits of a double. A store keeps the lowest 32 of the whole part.
    words[0] = address;
    words[1] = address / uint32Range;
    return this.#whole[0] ?? 0n;
  }

  #placeOf(bytes: Buffer): Placed {
    const last = this.#last;
    if (last.bytes === bytes) return last;
    const next = this.#lastButOne.bytes === bytes ? this.#lastButOne : this.#place(bytes);
    this.#lastButOne = last;
    this.#last = next;
    return next;
  }

  #place(bytes: Buffer): Placed {
    const known = this.#placed.get(bytes);
    if (known !== undefined) return known;
    const pointer = this.#ffi.getRawPointer(bytes);
    const placed = { bytes, pointer, address: Number(pointer) };
    // Others are made for one message, and remembering them costs more than asking.
    if (bytes.length >= minKeptBytes) this.#placed.set(bytes, placed);
    return placed;
  }
}

/** For descriptors whose thread has died. Connections that were to be aborted then (`abort-on-death.ts`) are. */
export function closeDescriptors(all: readonly number[]): void {
  if (all.length === 0) return;
  const { close } = openCalls(process.getBuiltinModule("node:ffi"));
  for (const fd of all) close(fd);
}

type Transfer = (fd: number, pointer: bigint, length: number) => number;

/**
 * Keeps `call` apart from whoever wants it: what is called here is several functions, so V8 compiles each of them by itself and never as a part of its caller. Only there
 * it always reaches the compiled call of `node:ffi`; as a part of a long caller it often does not, which is 0.5 µs for a request (`benchmarks/proxy/http1.ts`).
 */
function transfer(call: Transfer, fd: number, pointer: bigint, length: number): number {
  return call(fd, pointer, length);
}

function openCalls(ffi: Ffi) {
  // The process itself: whatever C library it runs on is loaded already.
  return ffi.dlopen(null, signatures).functions;
}
