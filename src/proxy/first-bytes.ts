/**
 * Owns a connection until its first bytes say what it is. It may stay silent as long as an idle connection may; once it has
 * begun to speak, it must become clear quickly.
 */
import { unreachable } from "../core/std/unreachable.ts";
import type { Wire, WireOwner } from "../edge/net/wire.ts";
import { HeldBytes } from "./held-bytes.ts";
import type { Shard } from "./shard.ts";
import { Timer } from "./timer-wheel.ts";

/** What a look at the first bytes led to. */
export type Look =
  /** They do not say yet. */
  | { readonly kind: "more" }
  /** The connection is closed and counted under this label. */
  | { readonly kind: "refused"; readonly label: string }
  /** Somebody else owns the wire now, and has taken the bytes. */
  | { readonly kind: "taken"; readonly readsOn: boolean }
  /** The socket is to leave the wire, with the bytes, as soon as it is not being read. */
  | { readonly kind: "released"; readonly to: (unread: Buffer) => void };

export type LookAt = (bytes: Buffer, start: number, end: number) => Look;

/** A transport header with its preface is below this (4 KiB and some), and so is everything that makes a protocol known. */
const maxFirstBytes: number = 8 * 1024;

export class FirstBytes implements WireOwner {
  readonly #shard: Shard;
  readonly #wire: Wire;
  readonly #lookAt: LookAt;
  readonly #held: HeldBytes = new HeldBytes();
  readonly #timer: Timer;

  constructor(shard: Shard, wire: Wire, lookAt: LookAt) {
    this.#shard = shard;
    this.#wire = wire;
    this.#lookAt = lookAt;
    this.#timer = new Timer(() => this.#refuse("detection timeout"));
    wire.owner = this;
    shard.wheel.arm(this.#timer, shard.limits.idleTimeoutMs);
  }

  readBuffer(): Buffer {
    return this.#shard.headBuffer;
  }

  onBytes(bytes: Buffer, length: number): boolean {
    const held = this.#held;
    if (held.isEmpty) this.#shard.wheel.arm(this.#timer, this.#shard.limits.detectTimeoutMs);
    held.append(bytes, 0, length);
    const look = this.#lookAt(held.bytes, held.start, held.end);
    switch (look.kind) {
      case "taken":
        this.#end();
        return look.readsOn;
      case "released": {
        this.#end();
        const unread = held.bytes.subarray(held.start, held.end);
        // The socket is in the middle of a read.
        process.nextTick(look.to, unread);
        return false;
      }
      case "refused":
        this.#refuse(look.label);
        return false;
      case "more":
        if (held.end - held.start <= maxFirstBytes) return true;
        this.#refuse("unknown protocol");
        return false;
      default:
        return unreachable(look);
    }
  }

  onWritten(): void {}

  /** Nobody asks anything and then closes its side before the question is complete. */
  onEnd(): void {
    this.#wire.destroy();
  }

  onClose(): void {
    this.#end();
  }

  #refuse(label: string): void {
    if (!this.#held.isEmpty) this.#shard.countRefusal(label);
    this.#end();
    this.#wire.destroy();
  }

  #end(): void {
    this.#shard.wheel.forget(this.#timer);
  }
}
