/**
 * Copies of requests (Gateway API HTTPRequestMirrorFilter). A copy takes no part in the exchange that it was made from: the
 * body is copied as it flows by, nothing waits for the copy, and what comes back is thrown away.
 */
import { writeHead } from "../codec/http1-write.ts";
import type { Exchange, Target } from "./exchange.ts";
import type { PreparedMirror } from "./filters.ts";
import { MirrorConnection, type MirrorHttp2 } from "./mirror-connection.ts";
import type { Shard } from "./shard.ts";
import { mirrorsOverHttp2 } from "./speaks-http2.ts";

/**
 * Copies under way in one worker. A dead mirror holds each for `mirrorAnswerMs` (`mirror-connection.ts`), so this bounds the
 * sockets that it can cost; `limits.maxMirrorBytesInAll` bounds the memory.
 */
const maxMirrors = 512;

const nobodyTried: readonly Target[] = [];

/** The connections of a worker that carry copies. No other traffic uses them. */
export class MirrorPool {
  readonly #open: Set<MirrorConnection> = new Set();
  readonly #idle = new Map<Target, MirrorConnection[]>();
  /** Of all copies, what their mirrors have not taken. */
  waitingBytes = 0;

  /** False: too many copies are under way. */
  get hasRoom(): boolean {
    return this.#open.size < maxMirrors;
  }

  /** A connection that waits for a copy, or a new one. */
  connectionTo(shard: Shard, target: Target, http2: MirrorHttp2): MirrorConnection {
    const waiting = http2 === "no" ? this.#idle.get(target)?.pop() : undefined;
    const connection = waiting ?? new MirrorConnection({ shard, pool: this, target, http2 });
    this.#open.add(connection);
    return connection;
  }

  /** The copy is over and the connection can take another one. False: there is no room for it. */
  keep(connection: MirrorConnection, max: number): boolean {
    const { target } = connection;
    const idle = this.#idle.get(target) ?? [];
    if (target.gone || idle.length >= max) return false;
    this.#open.delete(connection);
    idle.push(connection);
    this.#idle.set(target, idle);
    return true;
  }

  /** The connection is gone. */
  forget(connection: MirrorConnection): void {
    this.#open.delete(connection);
    const idle = this.#idle.get(connection.target) ?? [];
    const at = idle.indexOf(connection);
    if (at >= 0) idle.splice(at, 1);
    if (idle.length === 0) this.#idle.delete(connection.target);
  }

  /** Ends everything at once. */
  close(): void {
    for (const connection of [...this.#open, ...[...this.#idle.values()].flat()])
      connection.close();
  }
}

/**
 * Sends a copy of the request, as it is now, to one endpoint of the mirror. It does not count for the load of the backend,
 * which may have requests of its own: a mirror that never answers must not take their place.
 */
export function mirrorRequest(
  exchange: Exchange,
  { group, counts, protocol }: PreparedMirror,
): void {
  const { shard, head, requestEdit, requestDone } = exchange;
  if (!shard.mirrors.hasRoom) {
    counts.add("shed");
    return;
  }
  const target = group?.pick(shard.nowMs(), shard.random, nobodyTried);
  if (target === undefined) {
    counts.add("no_endpoints");
    return;
  }
  const isOverHttp2 = mirrorsOverHttp2(exchange, target, protocol);
  const mayFallBack = protocol === "detect" && !exchange.isGrpc;
  const http2 = mayFallBack ? "tried" : "declared";
  const connection = shard.mirrors.connectionTo(shard, target, isOverHttp2 ? http2 : "no");
  connection.begin({ counts, method: head.method });
  const { scratch } = shard;
  const headEnd = writeHead(scratch, 0, head, exchange.startLine, requestEdit);
  if (headEnd < 0) {
    connection.abandon();
    return;
  }
  connection.write(scratch, 0, headEnd);
  connection.write(exchange.bytes, exchange.bodyStart, exchange.bodyEnd);
  if (requestDone) connection.endRequest();
  else exchange.mirrors.push(connection);
}

/** More of the body has come, or its end. */
export function mirrorBody(exchange: Exchange, bytes: Buffer, start: number, end: number): void {
  const { mirrors, requestDone } = exchange;
  for (const mirror of mirrors) {
    mirror.write(bytes, start, end);
    if (requestDone) mirror.endRequest();
  }
  if (requestDone) mirrors.length = 0;
  else if (!exchange.isYielding && mirrors.some((mirror) => mirror.isBehind)) yieldTurn(exchange);
}

/**
 * A socket that has much to read is read many times in one turn of the event loop, while no other gets a turn: a fast upload
 * would be MiB ahead before its mirror is even connected to. So the next read is left to the next turn. That is all: a mirror
 * that needs more than turns is cut off in the end.
 */
function yieldTurn(exchange: Exchange): void {
  exchange.isYielding = true;
  setImmediate(() => {
    exchange.isYielding = false;
    if (exchange.downstream.isBusy) exchange.downstream.goOn();
  });
}
