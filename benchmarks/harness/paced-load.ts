/**
 * The process of paced load. Requests fall due at a fixed rate and their time counts from then, also when no connection was free or this process was late:
 * what a slow answer holds up is not left out (coordinated omission). The loop never sleeps, because a timer is late by more than what is to be measured.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Http2Caller, Http2Connection } from "./http2-calls.ts";
import type { PacedAnswer, PacedOrder } from "./load.ts";

const readBytes = 64 * 1024;
const emptyLine = "\r\n\r\n";

/** One request at a time, one after the other. */
type Caller = {
  /** When the request on its way fell due. */
  readonly dueMs: number;
  onAnswer: () => void;
  send(dueMs: number): void;
};

/** A connection of HTTP/1.1. */
class Client implements Caller {
  readonly #socket: Socket;
  readonly #request: Buffer;
  dueMs = 0;
  onAnswer: () => void = () => {};
  #head = "";
  #bodyLeft = 0;

  constructor({ port, text }: PacedOrder) {
    this.#request = Buffer.from(text, "latin1");
    const onread = {
      buffer: Buffer.alloc(readBytes),
      callback: (length: number, bytes: Uint8Array) => this.#read(bytes as Buffer, length),
    };
    this.#socket = connect({ host: "127.0.0.1", port, noDelay: true, onread });
    this.#socket.on("error", fail);
    this.#socket.on("close", () => fail(new Error("a connection was closed")));
  }

  async open(): Promise<void> {
    await once(this.#socket, "connect");
  }

  send(dueMs: number): void {
    this.dueMs = dueMs;
    this.#socket.write(this.#request);
  }

  close(): void {
    this.#socket.removeAllListeners("close");
    this.#socket.destroy();
  }

  #read(bytes: Buffer, length: number): boolean {
    if (this.#bodyLeft === 0) this.#readHead(bytes.toString("latin1", 0, length));
    else this.#bodyLeft -= length;
    if (this.#bodyLeft === 0 && this.#head === "") this.onAnswer();
    return true;
  }

  #readHead(text: string): void {
    this.#head += text;
    const end = this.#head.indexOf(emptyLine);
    if (end < 0) return;
    if (!this.#head.startsWith("HTTP/1.1 200")) fail(new Error(this.#head.slice(0, end)));
    const bodyBytes = Number(/\r\ncontent-length: *(\d+)/i.exec(this.#head)?.[1]);
    this.#bodyLeft = bodyBytes - (this.#head.length - end - emptyLine.length);
    this.#head = "";
  }
}

/** The first failure ends the run. */
let failure: Error | undefined;

function fail(error: Error): void {
  failure ??= error;
}

type Connection = { open(): Promise<void>; close(): void };

/** The callers of each connection. */
function connectOnce(order: PacedOrder): readonly [Connection, readonly Caller[]] {
  const { port, text, streams } = order;
  if (streams === 0) {
    const client = new Client(order);
    return [client, [client]];
  }
  const connection = new Http2Connection(port, fail);
  const callers = Array.from({ length: streams }, () => new Http2Caller(connection, text, fail));
  return [connection, callers];
}

async function run(order: PacedOrder): Promise<readonly number[]> {
  failure = undefined;
  const connections: Connection[] = [];
  const callers: Caller[] = [];
  const free: Caller[] = [];
  for (let at = 0; at < order.connections; at++) {
    const [connection, own] = connectOnce(order);
    connections.push(connection);
    callers.push(...own);
    await connection.open();
    for (const caller of own) {
      caller.onAnswer = () => void free.push(caller);
      // Connections behind the proxy are opened ahead too.
      caller.send(0);
    }
  }
  await turnsUntil(() => free.length === callers.length);
  const times = await pace(order, callers, free);
  for (const connection of connections) connection.close();
  return times;
}

/** All callers are free at first. */
async function pace(
  order: PacedOrder,
  callers: readonly Caller[],
  free: Caller[],
): Promise<readonly number[]> {
  const total = order.perSecond * order.seconds;
  const times = new Float64Array(total);
  const waiting: number[] = [];
  let done = 0;
  for (const caller of callers) {
    caller.onAnswer = () => {
      times[done++] = (performance.now() - caller.dueMs) * 1_000;
      const next = waiting.shift();
      if (next === undefined) free.push(caller);
      else caller.send(next);
    };
  }
  const startMs = performance.now();
  let due = 0;
  await turnsUntil(() => {
    const nowMs = performance.now();
    for (; due < total; due++) {
      const dueMs = startMs + (due * 1_000) / order.perSecond;
      if (dueMs > nowMs) break;
      const caller = free.shift();
      if (caller === undefined) waiting.push(dueMs);
      else caller.send(dueMs);
    }
    return done === total;
  });
  return Array.from(times.sort());
}

function turnsUntil(isOver: () => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const turn = (): void => {
      if (failure !== undefined) reject(failure);
      else if (isOver()) resolve();
      else setImmediate(turn);
    };
    turn();
  });
}

async function obey(order: PacedOrder): Promise<void> {
  const answer: PacedAnswer = await run(order).then(
    (sortedUs) => ({ state: "done", sortedUs }),
    (error: Error) => ({ state: "failed", reason: error.message }),
  );
  process.send?.(answer);
}

process.on("message", (order: PacedOrder) => void obey(order));
// The benchmark is gone, whatever ended it.
process.on("disconnect", () => process.exit());
