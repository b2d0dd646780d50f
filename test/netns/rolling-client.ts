/**
 * A client that does not stop: requests at a steady rate over connections that it keeps, and open WebSockets, which it opens anew when they were asked to go.
 * Arguments: address of the proxy, name of the service, requests a second, WebSockets. After SIGTERM it lets what is under way end and prints what it saw.
 *
 * It speaks on bare sockets, because on a machine that is shared with all pods the client must not be what cannot keep up. A request is late from when it
 * was due, whether or not there was a connection for it.
 */
import { connect, type Socket } from "node:net";
import { setTimeout as pass } from "node:timers/promises";

const [proxy = "", service = "", rate = "", webSockets = ""] = process.argv.slice(2);
const { hostname: host, port } = new URL(`http://${proxy}`);
/** As many as clients commonly keep; a machine that falls behind is not given more handshakes to do. */
const maxConnections = 32;
const tickMs = 10;
/** Between tries for a WebSocket that was refused. */
const pauseMs = 100;
/** RFC 6455 §5.5.1: the opcode of a close frame, with FIN. */
const closeFrame = 0x88;
const request = Buffer.from(`GET / HTTP/1.1\r\nHost: ${service}\r\n\r\n`);
const upgrade = `GET /socket HTTP/1.1\r\nHost: ${service}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;

const seen = { asked: 0, answered: 0, politely: 0, rudely: 0, slowestMs: 0, perSecond: 0 };
const failed = new Map<string, number>();
const servers = new Set<string>();
/** When each request that waits for a connection was due. */
const waiting: number[] = [];
const idle: Connection[] = [];
let connections = 0;
let underWay = 0;
let isOver = false;

function fail(why: string): void {
  failed.set(why, (failed.get(why) ?? 0) + 1);
}

class Connection {
  readonly #socket: Socket;
  #dueMs = 0;
  #isBusy = false;
  #text = "";

  constructor() {
    connections++;
    this.#socket = connect({ host, port: Number(port), noDelay: true });
    this.#socket.on("data", (bytes: Buffer) => this.#take(bytes));
    this.#socket.on("error", () => {});
    this.#socket.once("close", () => this.#closed());
  }

  ask(dueMs: number): void {
    this.#dueMs = dueMs;
    this.#isBusy = true;
    underWay++;
    this.#socket.write(request);
  }

  #take(bytes: Buffer): void {
    this.#text += bytes.toString("latin1");
    const headEnd = this.#text.indexOf("\r\n\r\n") + 4;
    if (headEnd < 4) return;
    const head = this.#text.slice(0, headEnd).toLowerCase();
    const length = Number(/\r\ncontent-length: (\d+)/.exec(head)?.[1]);
    // An answer of another kind is a failure, and has no end that is looked for.
    if (Number.isNaN(length)) this.#socket.destroy();
    if (!(this.#text.length >= headEnd + length)) return;
    const body = this.#text.slice(headEnd);
    this.#text = "";
    this.#answered(head, body);
    if (head.includes("\r\nconnection: close")) this.#socket.end();
    else this.#next();
  }

  #answered(head: string, body: string): void {
    this.#isBusy = false;
    underWay--;
    seen.slowestMs = Math.max(seen.slowestMs, Math.round(performance.now() - this.#dueMs));
    if (!head.startsWith("http/1.1 200 ")) {
      fail(`${head.slice(0, 12)} ${body.slice(0, 200)}`);
      return;
    }
    seen.answered++;
    servers.add(body);
  }

  #next(): void {
    const dueMs = waiting.shift();
    if (dueMs === undefined) idle.push(this);
    else this.ask(dueMs);
  }

  #closed(): void {
    connections--;
    const at = idle.indexOf(this);
    if (at >= 0) idle.splice(at, 1);
    if (this.#isBusy) {
      underWay--;
      fail(`closed ${this.#text.slice(0, 200)}`);
    }
    const dueMs = waiting.shift();
    if (dueMs !== undefined) new Connection().ask(dueMs);
  }
}

function ask(dueMs: number): void {
  seen.asked++;
  const connection = idle.pop() ?? (connections < maxConnections ? new Connection() : undefined);
  if (connection === undefined) waiting.push(dueMs);
  else connection.ask(dueMs);
}

function openWebSocket(): void {
  const socket = connect({ host, port: Number(port) });
  let head: string | undefined = "";
  let last: Buffer = Buffer.alloc(0);
  socket.on("data", (bytes: Buffer) => {
    last = bytes;
    if (head === undefined) return;
    head += bytes.toString("latin1");
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) return;
    if (!head.startsWith("HTTP/1.1 101 ")) {
      fail(`upgrade ${head.slice(0, 200)}`);
      socket.destroy();
    }
    last = Buffer.from(head.slice(end + 4), "latin1");
    head = undefined;
  });
  socket.on("error", () => {});
  socket.once("close", () => {
    if (isOver) return;
    if (head !== undefined) fail("upgrade closed");
    else if (last.at(0) === closeFrame) seen.politely++;
    else seen.rudely++;
    void pass(head === undefined ? 0 : pauseMs).then(openWebSocket);
  });
  socket.write(upgrade);
}

for (let count = 0; count < Number(webSockets); count++) openWebSocket();
const startMs = performance.now();
const periodMs = 1_000 / Number(rate);
const timer = setInterval(() => {
  const nowMs = performance.now();
  while (!isOver && startMs + seen.asked * periodMs <= nowMs) ask(startMs + seen.asked * periodMs);
  if (!isOver || underWay + waiting.length > 0) return;
  clearInterval(timer);
  seen.perSecond = Math.round(seen.answered / ((nowMs - startMs) / 1_000));
  const told = { ...seen, failed: Object.fromEntries(failed), servers: [...servers] };
  process.stdout.write(`saw ${JSON.stringify(told)}\n`);
  process.exit(0);
}, tickMs);
process.once("SIGTERM", () => {
  isOver = true;
});
process.stdout.write("asking\n");
