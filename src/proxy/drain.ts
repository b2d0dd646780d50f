/**
 * The end of a shard. Clients learn late that a pod goes, so the shard goes on as before and only tells each of them to leave with
 * `Connection: close` (RFC 9112 §9.6). When nobody has come for a while, or the time is nearly over, it accepts nothing new and lets
 * each connection end as soon as nothing is cut off. What would not end by itself, such as a WebSocket, is ended politely a moment before the time is over;
 * what is left then is cut.
 */
import type { Listener } from "../edge/net/listen.ts";
import type { DrainLimits, DrainReport, UnderWay } from "../thread/messages.ts";
import type { Connection, Shard } from "./shard.ts";
import { Timer } from "./timer-wheel.ts";

/** How long somebody who was just accepted may take to become a connection that is counted: a handshake and a first word. */
const settleMs = 1_000;

/** Of the whole time, the share that is left for who comes late. */
const maxRefusingShare = 0.5;

/** How long before the end connections are left politely: for the answers to close frames, and a round trip to anywhere. */
const leaveMs = 1_000;

/** Of the whole time, no more than this share. */
const maxLeavingShare = 0.25;

export type DrainOptions = {
  readonly shard: Shard;
  readonly listeners: readonly Listener[];
  readonly limits: DrainLimits;
  /** Nothing is left, or the time is over. */
  readonly onOver: (report: DrainReport) => void;
};

export class Drain {
  readonly #options: DrainOptions;
  readonly #quietMs: number;
  readonly #waitedFor: UnderWay;
  readonly #end: Timer = new Timer(() => this.#over());
  readonly #lateness: Timer = new Timer(() => this.#close());
  readonly #quiet: Timer = new Timer(() => this.#lookWhetherQuiet());
  readonly #leaving: Timer = new Timer(() => this.#leave());
  readonly #settling: Timer = new Timer(() => this.#settled());
  /** When somebody came, or went. */
  #lastMs: number;
  #accepted = 0;
  #isSettled = false;
  #closedPolitely: UnderWay = nothing;

  constructor(options: DrainOptions) {
    const { shard, limits } = options;
    const { graceMs, quietMs = 0, refuseMs = 0 } = limits;
    this.#options = options;
    this.#quietMs = quietMs;
    this.#lastMs = shard.nowMs();
    this.#waitedFor = underWay(shard);
    shard.draining = true;
    shard.onConnectionGone = () => this.#noteGone();
    shard.wheel.arm(this.#end, graceMs);
    shard.wheel.arm(this.#leaving, graceMs - Math.min(leaveMs, graceMs * maxLeavingShare));
    if (quietMs === 0) {
      this.#close();
      return;
    }
    shard.wheel.arm(this.#quiet, quietMs);
    shard.wheel.arm(this.#lateness, graceMs - Math.min(refuseMs, graceMs * maxRefusingShare));
  }

  noteAccepted(): void {
    this.#accepted++;
    this.#lastMs = this.#options.shard.nowMs();
  }

  #noteGone(): void {
    this.#lastMs = this.#options.shard.nowMs();
    this.#endIfEmpty();
  }

  /** A request ends with its connection now, so whoever has come since has been noted. */
  #lookWhetherQuiet(): void {
    const { shard } = this.#options;
    const isBusy = [...shard.connections].some((connection) => connection.isBusy);
    const leftMs = isBusy ? this.#quietMs : this.#lastMs + this.#quietMs - shard.nowMs();
    if (leftMs > 0) shard.wheel.arm(this.#quiet, leftMs);
    else this.#close();
  }

  #close(): void {
    const { shard, listeners } = this.#options;
    if (shard.isClosing) return;
    shard.isClosing = true;
    shard.wheel.disarm(this.#quiet);
    shard.wheel.disarm(this.#lateness);
    shard.wheel.arm(this.#settling, settleMs);
    for (const listener of listeners) listener.close();
    for (const connection of shard.connections) connection.drain();
    this.#endIfEmpty();
  }

  #leave(): void {
    const { shard } = this.#options;
    this.#close();
    const left = [...shard.connections].filter((connection) => connection.leave?.() === true);
    this.#closedPolitely = countBy(left);
    this.#endIfEmpty();
  }

  #settled(): void {
    this.#isSettled = true;
    this.#endIfEmpty();
  }

  #endIfEmpty(): void {
    const { shard, listeners } = this.#options;
    if (!shard.isClosing || shard.connections.size > 0) return;
    if (this.#isSettled || listeners.every(({ openCount }) => openCount === 0)) this.#over();
  }

  #over(): void {
    const { shard, onOver } = this.#options;
    shard.onConnectionGone = () => {};
    shard.wheel.disarm(this.#leaving);
    const cutOff = underWay(shard);
    for (const connection of shard.connections) connection.cut?.();
    const closedPolitely = this.#closedPolitely;
    onOver({ waitedFor: this.#waitedFor, accepted: this.#accepted, closedPolitely, cutOff });
  }
}

const nothing: UnderWay = { requests: 0, tunnels: 0, opaque: 0 };

function underWay({ connections }: Shard): UnderWay {
  return countBy([...connections].filter(({ isBusy }) => isBusy));
}

function countBy(connections: readonly Connection[]): UnderWay {
  const counts = { ...nothing };
  for (const { carries } of connections) counts[carries]++;
  return counts;
}
