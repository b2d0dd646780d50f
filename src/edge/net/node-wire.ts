/**
 * `Wire` over `node:net` and `node:tls`. Sockets read by `onread` into the owner's buffer, which saves an allocation and a
 * copy per read against `'data'` (`benchmarks/proxy/http1.ts`). The TLS sockets of a server are made without it, see `read-into.ts`.
 */
import type { OnReadOpts, Socket } from "node:net";
import { setAbortOnDeath } from "./abort-on-death.ts";
import type { BufferPool } from "./buffer-pool.ts";
import { descriptorOf } from "./descriptor.ts";
import { readInto } from "./read-into.ts";
import { nobody, type PlainWire, type WireOwner } from "./wire.ts";

/** Written after what the kernel did not take at once: its callback tells when all before it has left. */
const marker = Buffer.alloc(0);

/** Linkerd's default: a peer that vanished without a word is noticed after 10 s of silence plus the kernel's probes. */
export const keepAliveDelayMs = 10_000;

export type NodeWireOptions = {
  /** Where the first bytes are read to, before anybody has become the owner. */
  readonly firstBuffer: Buffer;
  readonly pool: BufferPool;
  readonly encrypted: boolean;
  /** Makes the socket, with `onread` if it can take it. */
  readonly open: (onread: OnReadOpts) => Socket;
};

export class NodeWire implements PlainWire {
  owner: WireOwner;
  readonly encrypted: boolean;
  givesBuffers = false;
  readonly socket: Socket;
  readonly #pool: BufferPool;
  /** Buffers that the kernel (or TLS) still reads from. */
  #lent: Buffer[] = [];
  /** How many markers are on their way. */
  #waiting = 0;
  #code = "";
  /** What the next read goes to. */
  #buffer: Buffer | undefined;
  readonly #onMarker: () => void;
  readonly #onread: OnReadOpts;

  constructor(options: NodeWireOptions) {
    this.owner = nobody(options.firstBuffer);
    this.#pool = options.pool;
    this.encrypted = options.encrypted;
    this.#onMarker = () => this.#written();
    this.#onread = {
      buffer: () => this.#nextBuffer(),
      callback: (length, bytes) => this.owner.onBytes(bytes as Buffer, length),
    };
    this.socket = options.open(this.#onread);
    this.socket.on("end", this.#onEnd);
    this.socket.on("error", this.#onError);
    this.socket.on("close", this.#onClose);
    this.socket.setKeepAlive(true, keepAliveDelayMs);
  }

  /**
   * Node asks after each read, and keeps the buffer when it is not given another: then it need not look into it again
   * (`benchmarks/proxy/http1.ts`).
   */
  #nextBuffer(): Uint8Array {
    const next = this.owner.readBuffer();
    if (next === this.#buffer) return undefined as unknown as Uint8Array;
    this.#buffer = next;
    return next;
  }

  get remoteIp(): string {
    return this.socket.remoteAddress ?? "";
  }

  /** For a socket that was made without `onread`. */
  readData(): void {
    if (readInto(this.socket, this.#onread)) {
      this.socket.resume();
      return;
    }
    this.givesBuffers = true;
    this.socket.on("data", (bytes: Buffer) => {
      if (!this.owner.onBytes(bytes, bytes.length)) this.socket.pause();
    });
  }

  send(bytes: Buffer, start: number, end: number): boolean {
    const { socket } = this;
    // TLS encrypts into memory of its own at once, unless an earlier write keeps this one waiting in Node's queue.
    const copied = this.encrypted && socket.writableLength === 0;
    socket.write(bytes.subarray(start, end));
    if (copied || socket.writableLength === 0) return true;
    this.#lent.push(bytes);
    this.#waiting++;
    socket.write(marker, this.#onMarker);
    return false;
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  end(): void {
    this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }

  reset(): void {
    const { socket } = this;
    if (socket.writableEnded && !socket.writableFinished) {
      // libuv refuses to abort what is being shut down, and Node would keep the handle for ever.
      setAbortOnDeath(descriptorOf(socket), true);
      socket.destroy();
    } else if (this.encrypted) destroyTransport(socket);
    else socket.resetAndDestroy();
  }

  /** Whoever was told of the end is not told otherwise; and an abort would drop what the kernel has yet to send before it. */
  abortOnDeath(): void {
    const { socket } = this;
    if (!setAbortOnDeath(descriptorOf(socket), true)) return;
    socket.once("finish", () => setAbortOnDeath(descriptorOf(socket), false));
  }

  release(unread: Buffer): Socket {
    const { socket } = this;
    socket.off("end", this.#onEnd);
    socket.off("error", this.#onError);
    socket.off("close", this.#onClose);
    socket.pause();
    socket.unshift(unread);
    return socket;
  }

  #written(): void {
    this.#waiting--;
    if (this.#waiting > 0 || this.socket.destroyed) return;
    for (const buffer of this.#lent) this.#pool.give(buffer);
    this.#lent = [];
    this.owner.onWritten();
  }

  readonly #onEnd = (): void => this.owner.onEnd();

  readonly #onError = (error: NodeJS.ErrnoException): void => {
    this.#code = error.code ?? "unknown";
  };

  readonly #onClose = (): void => {
    // The kernel may still read from what is lent, so it does not go back to the pool.
    this.#lent = [];
    this.owner.onClose(this.#code);
  };
}

/** What a TLS socket is made of, which Node's types do not show. */
type Layered = { readonly _handle: { readonly _parent?: Transport } | null };
type Transport = { close: unknown; readonly reset?: unknown };

/**
 * Node aborts no TCP connection below TLS, and takes one that ends without the last message of TLS (RFC 8446 §6.1) for one that ended in order, so that
 * what is cut off would look whole. The handle of TCP closes as an abort instead.
 */
function destroyTransport(socket: Socket): void {
  const transport = (socket as unknown as Layered)._handle?._parent;
  if (transport?.reset !== undefined) transport.close = transport.reset;
  socket.destroy();
}
