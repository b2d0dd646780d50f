/** Connections over loopback of which one end is read and written by calls of the kernel, and the other is Node's own socket. */
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { BufferPool } from "../../../src/edge/net/buffer-pool.ts";
import {
  type AdoptOptions,
  type Descriptors,
  type KernelSockets,
  openKernelSockets,
} from "../../../src/edge/net/kernel-sockets.ts";
import type { KernelWire } from "../../../src/edge/net/kernel-wire.ts";
import type { WireOwner } from "../../../src/edge/net/wire.ts";

/** Of a whole pool buffer, so that what is lent comes back. */
export const chunkBytes = 131_072;

/** Every place has another look than the places around it, also those a power of two away. */
export function patterned(length: number, first: number = 0): Buffer {
  const bytes = Buffer.allocUnsafeSlow(length);
  for (let at = 0; at < length; at++) {
    const place = first + at;
    bytes[at] = place ^ (place >>> 8) ^ ((place >>> 16) * 31);
  }
  return bytes;
}

export function openFileCount(): number {
  return readdirSync("/proc/self/fd").length;
}

/** So many turns of the event loop. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await setImmediate();
}

export async function turnsUntil(isThere: () => boolean): Promise<void> {
  while (!isThere()) await setImmediate();
}

/** Knows what is open, and what was said twice or never. */
export class CountedDescriptors implements Descriptors {
  readonly open: Set<number> = new Set();
  readonly faults: string[] = [];
  added = 0;
  isFull = false;

  add(fd: number): boolean {
    if (this.isFull) return false;
    if (this.open.has(fd)) this.faults.push(`${fd} added twice`);
    this.open.add(fd);
    this.added++;
    return true;
  }

  remove(fd: number): void {
    if (!this.open.delete(fd)) this.faults.push(`${fd} removed and not there`);
  }
}

/** Keeps what it is told. */
export class Recorder implements WireOwner {
  readonly buffer: Buffer = Buffer.alloc(65_536);
  /** How often it was asked where to read to. */
  asked = 0;
  readonly #chunks: Buffer[] = [];
  /** In their order: `bytes`, `written`, `end`, `close:CODE`. */
  readonly events: string[] = [];
  /** What to do, after it was noted. */
  whenBytes: (bytes: Buffer) => boolean = () => true;
  whenWritten: () => void = () => {};
  whenEnd: () => void = () => {};
  whenClosed: () => void = () => {};
  #wake = (): void => {};

  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get text(): string {
    return this.received.toString();
  }

  count(event: string): number {
    return this.events.filter((one) => one === event).length;
  }

  get closes(): string[] {
    return this.events.filter((event) => event.startsWith("close:"));
  }

  readBuffer(): Buffer {
    this.asked++;
    return this.buffer;
  }

  onBytes(bytes: Buffer, length: number): boolean {
    if (bytes !== this.buffer) this.#note("bytes of a stranger");
    const copy = Buffer.from(bytes.subarray(0, length));
    this.#chunks.push(copy);
    this.#note("bytes");
    return this.whenBytes(copy);
  }

  onWritten(): void {
    this.#note("written");
    this.whenWritten();
  }

  onEnd(): void {
    this.#note("end");
    this.whenEnd();
  }

  onClose(code: string): void {
    this.#note(`close:${code}`);
    this.whenClosed();
  }

  async until(isThere: () => boolean): Promise<void> {
    while (!isThere()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  async untilReceived(length: number): Promise<void> {
    await this.until(() => this.received.length >= length);
  }

  async untilClosed(): Promise<string> {
    await this.until(() => this.closes.length > 0);
    return this.closes[0] ?? "";
  }

  #note(event: string): void {
    this.events.push(event);
    this.#wake();
  }
}

/** The other end. It does not read until it is asked to. */
export class Far {
  readonly socket: Socket;
  /** `end`, or the code of an error. */
  readonly ending: Promise<string>;
  readonly #chunks: Buffer[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    const { promise, resolve } = Promise.withResolvers<string>();
    socket.once("end", () => resolve("end"));
    socket.on("error", ({ code = "" }: NodeJS.ErrnoException) => resolve(code));
    this.ending = promise;
  }

  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  read(): this {
    this.socket.on("data", (bytes: Buffer) => this.#chunks.push(bytes)).resume();
    return this;
  }

  async untilReceived(length: number): Promise<void> {
    while (this.received.length < length) await once(this.socket, "data");
  }

  /** Whatever the reason. */
  untilClosed(): Promise<void> {
    return new Promise((resolve) => {
      this.socket.once("close", () => resolve());
    });
  }
}

export type Pair = { readonly near: Socket; readonly far: Far };

export type AdoptedPair = {
  readonly wire: KernelWire;
  readonly owner: Recorder;
  readonly far: Far;
};

export class KernelInTest {
  readonly descriptors: CountedDescriptors = new CountedDescriptors();
  readonly sockets: KernelSockets;
  readonly pool: BufferPool = new BufferPool();
  readonly #server: Server;
  readonly #open: Socket[] = [];

  private constructor(server: Server) {
    this.#server = server;
    const sockets = openKernelSockets(this.descriptors);
    if (sockets === undefined) throw new Error("this Node.js has no node:ffi as we know it");
    this.sockets = sockets;
  }

  static async start(host: string = "127.0.0.1"): Promise<KernelInTest> {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true });
    server.listen(0, host);
    await once(server, "listening");
    return new KernelInTest(server);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** What is accepted next, from whomever. */
  async accept(): Promise<Socket> {
    const [near] = (await once(this.#server, "connection")) as [Socket];
    this.#open.push(near);
    return near;
  }

  async pair(): Promise<Pair> {
    const { address } = this.#server.address() as AddressInfo;
    const socket = connect({
      port: this.port,
      host: address,
      allowHalfOpen: true,
      noDelay: true,
    }).pause();
    this.#open.push(socket);
    const [near] = await Promise.all([this.accept(), once(socket, "connect")]);
    return { near, far: new Far(socket) };
  }

  adopt(near: Socket, options: Partial<AdoptOptions> = {}): AdoptedPair["wire"] {
    const firstBuffer = Buffer.alloc(1);
    const wire = this.sockets.adopt(near, { firstBuffer, pool: this.pool, ...options });
    if (typeof wire === "string") throw new Error(wire);
    return wire;
  }

  async adopted(options: Partial<AdoptOptions> = {}): Promise<AdoptedPair> {
    const { near, far } = await this.pair();
    const wire = this.adopt(near, options);
    const owner = new Recorder();
    wire.owner = owner;
    return { wire, owner, far };
  }

  /** Sends whole buffers until one is lent. Answers what was sent. */
  fill(wire: KernelWire, sent: number = 0): { readonly sent: number; readonly lent: Buffer } {
    for (let total = sent; ; ) {
      const chunk = this.pool.take();
      patterned(chunkBytes, total).copy(chunk);
      total += chunkBytes;
      if (!wire.send(chunk, 0, chunkBytes)) return { sent: total, lent: chunk };
      this.pool.give(chunk);
    }
  }

  [Symbol.dispose](): void {
    this.sockets.close();
    for (const socket of this.#open) socket.destroy();
    this.#server.close();
  }
}
