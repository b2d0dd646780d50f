/**
 * Carries bytes between two connections without looking at them: both ways at once, each way no faster than its receiver
 * takes them. An end of one side (TCP: FIN) becomes an end of the other, and an abort (RST) an abort.
 *
 * A connection that is idle holds no buffer: all read into the worker's shared one, and only who fills that gets a buffer
 * of the pool for the reads that follow.
 */
import type { Wire, WireOwner } from "../edge/net/wire.ts";
import type { Shard } from "./shard.ts";
import { Timer } from "./timer-wheel.ts";

export type RelayOptions = {
  readonly shard: Pick<Shard, "headBuffer" | "pool" | "sendCopy" | "wheel">;
  readonly client: Wire;
  readonly server: Wire;
  /** Both directions silent for this long: the connection is given up. */
  readonly idleMs: number;
  /** Both connections are gone. */
  readonly onOver: () => void;
};

export class Relay {
  readonly #options: RelayOptions;
  readonly #client: Side;
  readonly #server: Side;
  readonly #timer: Timer = new Timer(() => this.abort());

  /** Owns both wires from here on, and reads from both. */
  constructor(options: RelayOptions) {
    this.#options = options;
    const { shard, client, server } = options;
    const touch = (): void => shard.wheel.arm(this.#timer, options.idleMs);
    const onClosed = (): void => this.#closed();
    this.#client = new Side({ shard, wire: client, touch, onClosed });
    this.#server = new Side({ shard, wire: server, touch, onClosed });
    this.#client.other = this.#server;
    this.#server.other = this.#client;
    touch();
    client.resume();
    server.resume();
  }

  /** Bytes that were read from the client, or from the server, before the relay was there. */
  feed(from: "client" | "server", bytes: Buffer): void {
    const side = from === "client" ? this.#client : this.#server;
    if (bytes.length > 0 && !side.carry(bytes)) side.wire.pause();
  }

  /** The client had ended its side before. */
  endClient(): void {
    this.#client.onEnd();
  }

  /** Both other ends learn that something is missing. */
  abort(): void {
    this.#client.wire.reset();
    this.#server.wire.reset();
  }

  #closed(): void {
    if (!this.#client.isClosed || !this.#server.isClosed) return;
    this.#options.shard.wheel.forget(this.#timer);
    this.#options.onOver();
  }
}

type SideOptions = {
  readonly shard: RelayOptions["shard"];
  readonly wire: Wire;
  readonly touch: () => void;
  readonly onClosed: () => void;
};

/** One of the two connections: what is read from it goes to the other. */
class Side implements WireOwner {
  readonly wire: Wire;
  isClosed = false;
  readonly #shard: RelayOptions["shard"];
  readonly #touch: () => void;
  readonly #onClosed: () => void;
  #other: Side | undefined;
  /** For reads that do not fit the shared buffer. */
  #buffer: Buffer | undefined;
  /** The last read filled its buffer, so there is more than a few bytes to carry. */
  #isBulk = false;
  /** Nothing is read because the other side has not taken what was. */
  #isStopped = false;
  /** The other end has said its last byte. */
  #ended = false;

  constructor({ shard, wire, touch, onClosed }: SideOptions) {
    this.#shard = shard;
    this.wire = wire;
    this.#touch = touch;
    this.#onClosed = onClosed;
    wire.owner = this;
  }

  set other(side: Side) {
    this.#other = side;
  }

  readBuffer(): Buffer {
    if (this.#isBulk) {
      this.#buffer ??= this.#shard.pool.take();
      return this.#buffer;
    }
    this.#giveBuffer();
    return this.#shard.headBuffer;
  }

  onBytes(bytes: Buffer, length: number): boolean {
    this.#touch();
    const { headBuffer } = this.#shard;
    // The last part of a bulk transfer is short, and what follows it is silence more often than not.
    this.#isBulk = bytes === headBuffer ? length === bytes.length : 2 * length >= bytes.length;
    // The shared buffer is never lent, so what it holds is copied.
    if (bytes === headBuffer) return this.carry(bytes.subarray(0, length));
    const to = this.#other?.wire;
    if (to === undefined || to.send(bytes, 0, length)) return true;
    if (bytes === this.#buffer) this.#buffer = undefined;
    return this.#stop();
  }

  /** Sends a copy of the bytes on. False: no more until the other side has taken it. */
  carry(bytes: Buffer): boolean {
    const to = this.#other?.wire;
    if (to === undefined) return true;
    return this.#shard.sendCopy(to, bytes, 0, bytes.length) || this.#stop();
  }

  onWritten(): void {
    this.#touch();
    this.#other?.goOn();
  }

  onEnd(): void {
    this.#ended = true;
    this.#other?.wire.end();
  }

  /** A side that both ends have ended closes by itself, when all that was sent has left. */
  onClose(code: string): void {
    this.isClosed = true;
    this.#giveBuffer();
    const other = this.#other;
    if (other !== undefined && !other.isClosed) {
      if (code !== "") other.wire.reset();
      else if (!this.#ended) other.wire.destroy();
    }
    this.#onClosed();
  }

  goOn(): void {
    if (!this.#isStopped || this.isClosed) return;
    this.#isStopped = false;
    this.wire.resume();
  }

  #stop(): boolean {
    this.#isStopped = true;
    return false;
  }

  #giveBuffer(): void {
    if (this.#buffer === undefined) return;
    this.#shard.pool.give(this.#buffer);
    this.#buffer = undefined;
  }
}
