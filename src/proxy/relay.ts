/**
 * Carries bytes between two connections without looking at them: both ways at once, each way no faster than its receiver
 * takes them. An end of one side (TCP: FIN) becomes an end of the other, and an abort (RST) an abort; so does the death of
 * this process.
 *
 * A connection that is idle holds no buffer: all read into the worker's shared one, and only who fills that gets a buffer
 * of the pool for the reads that follow.
 */
import type { Wire, WireOwner } from "../edge/net/wire.ts";
import { LateWord } from "./late-word.ts";
import type { Shard } from "./shard.ts";
import { Timer } from "./timer-wheel.ts";
import { tunnelRestMs } from "./tunnel.ts";

export type RelayOptions = {
  readonly shard: Pick<Shard, "headBuffer" | "pool" | "sendCopy" | "wheel">;
  readonly client: Wire;
  readonly server: Wire;
  /** Both directions silent for this long: the connection is given up. */
  readonly idleMs: number;
  /** Both connections are gone. */
  readonly onOver: () => void;
  /** What the client said after it had waited made a request of its words; the connection is aborted. */
  readonly onLateHttp: () => void;
};

export class Relay {
  readonly #options: RelayOptions;
  readonly #client: Side;
  readonly #server: Side;
  readonly #timer: Timer = new Timer(() => this.abort());
  #hasLeft = false;

  /** Owns both wires from here on, and reads from both. */
  constructor(options: RelayOptions) {
    this.#options = options;
    const { shard, client, server } = options;
    const touch = (): void => shard.wheel.arm(this.#timer, options.idleMs);
    const onClosed = (): void => this.#closed();
    const onLateHttp = (): void => this.#refuse();
    this.#client = new Side({ shard, wire: client, touch, onClosed, onLateHttp });
    this.#server = new Side({ shard, wire: server, touch, onClosed, onLateHttp });
    this.#client.other = this.#server;
    this.#server.other = this.#client;
    touch();
    client.abortOnDeath?.();
    server.abortOnDeath?.();
    client.resume();
    server.resume();
  }

  /** Bytes that were read from the client, or from the server, before the relay was there. */
  feed(from: "client" | "server", bytes: Buffer): void {
    const side = from === "client" ? this.#client : this.#server;
    if (bytes.length > 0 && !side.carry(bytes, bytes.length)) side.wire.pause();
  }

  /** The client's first bytes, which may still become HTTP. */
  feedWord(bytes: Buffer): void {
    const word = new LateWord();
    word.read(bytes, bytes.length);
    this.#client.word = word;
    this.feed("client", bytes);
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

  /** Ends both ways, unless something is under way that would look whole after an end in order. False: it is. */
  leave(): boolean {
    const { shard, idleMs } = this.#options;
    if (idleMs - shard.wheel.leftMs(this.#timer) < tunnelRestMs) return false;
    this.#hasLeft = true;
    this.#client.leave();
    this.#server.leave();
    return true;
  }

  /** Whoever was told of the end in order is not told otherwise; libuv cannot even abort what is being shut down. */
  cut(): void {
    if (this.#hasLeft) {
      this.#client.wire.destroy();
      this.#server.wire.destroy();
    } else this.abort();
  }

  #refuse(): void {
    this.#options.onLateHttp();
    this.abort();
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
  readonly onLateHttp: () => void;
};

/** One of the two connections: what is read from it goes to the other. */
class Side implements WireOwner {
  readonly wire: Wire;
  isClosed = false;
  /** What was read so far, as long as it may still become HTTP. */
  word: LateWord | undefined;
  readonly #shard: RelayOptions["shard"];
  readonly #touch: () => void;
  readonly #onClosed: () => void;
  readonly #onLateHttp: () => void;
  #other: Side | undefined;
  /** For reads that do not fit the shared buffer. */
  #buffer: Buffer | undefined;
  /** The last read filled its buffer, so there is more than a few bytes to carry. */
  #isBulk = false;
  /** Nothing is read because the other side has not taken what was. */
  #isStopped = false;
  /** The other end has said its last byte. */
  #ended = false;

  constructor({ shard, wire, touch, onClosed, onLateHttp }: SideOptions) {
    this.#shard = shard;
    this.wire = wire;
    this.#touch = touch;
    this.#onClosed = onClosed;
    this.#onLateHttp = onLateHttp;
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
    if (this.word !== undefined && !this.#passesWord(this.word, bytes, length)) return false;
    const { headBuffer } = this.#shard;
    // The last part of a bulk transfer is short, and what follows it is silence more often than not.
    this.#isBulk = bytes === headBuffer ? length === bytes.length : 2 * length >= bytes.length;
    // The shared buffer is never lent, so what it holds is copied.
    if (bytes === headBuffer) return this.carry(bytes, length);
    const to = this.#other?.wire;
    if (to === undefined || to.send(bytes, 0, length)) return true;
    if (bytes === this.#buffer) this.#buffer = undefined;
    return this.#stop();
  }

  /** Sends a copy of the first bytes on. False: no more until the other side has taken it. */
  carry(bytes: Buffer, length: number): boolean {
    const to = this.#other?.wire;
    if (to === undefined) return true;
    return this.#shard.sendCopy(to, bytes, 0, length) || this.#stop();
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

  /** What comes from here on goes nowhere, and is read only so that its end is seen. */
  leave(): void {
    if (this.isClosed) return;
    this.#ended = true;
    const { headBuffer } = this.#shard;
    this.wire.owner = {
      readBuffer: () => headBuffer,
      onBytes: () => true,
      onWritten: () => {},
      onEnd: () => {},
      onClose: () => this.onClose(""),
    };
    this.wire.end();
    this.wire.resume();
  }

  goOn(): void {
    if (!this.#isStopped || this.isClosed) return;
    this.#isStopped = false;
    this.wire.resume();
  }

  #passesWord(word: LateWord, bytes: Buffer, length: number): boolean {
    const state = word.read(bytes, length);
    if (state !== "open") this.word = undefined;
    if (state !== "http") return true;
    this.#onLateHttp();
    return false;
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
