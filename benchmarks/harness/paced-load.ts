/**
 * The process of paced load. Requests fall due at a fixed rate and their time counts from then, also when no connection was free or this process was late:
 * what a slow answer holds up is not left out (coordinated omission). The loop never sleeps, because a timer is late by more than what is to be measured.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { PacedAnswer, PacedOrder } from "./load.ts";

const readBytes = 64 * 1024;
const emptyLine = "\r\n\r\n";

/** One request at a time, one after the other. */
class Client {
  readonly #socket: Socket;
  readonly #request: Buffer;
  readonly #onAnswer: (client: Client) => void;
  /** When the request on its way fell due. */
  dueMs = 0;
  #head = "";
  #bodyLeft = 0;

  constructor({ port, text }: PacedOrder, onAnswer: (client: Client) => void) {
    this.#request = Buffer.from(text, "latin1");
    this.#onAnswer = onAnswer;
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
    if (this.#bodyLeft === 0 && this.#head === "") this.#onAnswer(this);
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

async function run(order: PacedOrder): Promise<readonly number[]> {
  failure = undefined;
  const free: Client[] = [];
  const clients: Client[] = [];
  let onAnswer = (client: Client): void => void free.push(client);
  for (let at = 0; at < order.connections; at++) {
    const client = new Client(order, (one) => onAnswer(one));
    clients.push(client);
    await client.open();
    // Connections behind the proxy are opened ahead too.
    client.send(0);
  }
  await turnsUntil(() => free.length === clients.length);

  const total = order.perSecond * order.seconds;
  const times = new Float64Array(total);
  const waiting: number[] = [];
  let done = 0;
  onAnswer = (client) => {
    times[done++] = (performance.now() - client.dueMs) * 1_000;
    const next = waiting.shift();
    if (next === undefined) free.push(client);
    else client.send(next);
  };
  const startMs = performance.now();
  let due = 0;
  await turnsUntil(() => {
    const nowMs = performance.now();
    for (; due < total; due++) {
      const dueMs = startMs + (due * 1_000) / order.perSecond;
      if (dueMs > nowMs) break;
      const client = free.shift();
      if (client === undefined) waiting.push(dueMs);
      else client.send(dueMs);
    }
    return done === total;
  });
  for (const client of clients) client.close();
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
