/**
 * A client that does not stop: requests at a steady rate over connections that it keeps, and open WebSockets, which it opens anew when they were asked to go.
 * Arguments: address of the proxy, name of the service, requests a second, WebSockets. After SIGTERM it lets what is under way end and prints what it saw.
 */
import http from "node:http";

const [proxy = "", service = "", rate = "", webSockets = ""] = process.argv.slice(2);
const { hostname: host, port } = new URL(`http://${proxy}`);
/** As many as clients commonly keep; a machine that falls behind is not given more handshakes to do. */
const maxSockets = 32;
const agent = new http.Agent({ keepAlive: true, maxSockets });
const tickMs = 10;
/** RFC 6455 §5.5.1: the opcode of a close frame, with FIN. */
const closeFrame = 0x88;

const seen = {
  asked: 0,
  answered: 0,
  failed: [] as string[],
  politely: 0,
  rudely: 0,
  slowestMs: 0,
};
const servers = new Set<string>();
let underWay = 0;
let isOver = false;

function ask(): void {
  const startMs = performance.now();
  seen.asked++;
  underWay++;
  const done = (failure: string): void => {
    underWay--;
    if (failure === "") seen.answered++;
    else seen.failed.push(failure);
    seen.slowestMs = Math.max(seen.slowestMs, Math.round(performance.now() - startMs));
  };
  const target = { host, port, agent, path: `/${seen.asked}`, headers: { host: service } };
  const request = http.get(target, (response) => {
    let text = "";
    response.setEncoding("utf8").on("data", (part: string) => {
      text += part;
    });
    response.once("close", () => {
      const isWhole = response.complete && response.statusCode === 200;
      servers.add(text);
      done(isWhole ? "" : `${response.statusCode} ${text.slice(0, 200)}`);
    });
  });
  request.once("error", (error: NodeJS.ErrnoException) => done(`${error.code} ${error.message}`));
}

/** How often each. */
function summary(): Record<string, number> {
  const counts = new Map<string, number>();
  for (const failure of seen.failed) counts.set(failure, (counts.get(failure) ?? 0) + 1);
  return Object.fromEntries(counts);
}

function openWebSocket(): void {
  const headers = { host: service, connection: "Upgrade", upgrade: "websocket" };
  const request = http.get({ host, port, agent: false, path: "/socket", headers });
  request.once("response", (response) => seen.failed.push(`upgrade ${response.statusCode}`));
  request.once("error", (error) => seen.failed.push(`upgrade ${error.message}`));
  request.once("upgrade", (_response, socket, head) => {
    let last: Buffer = head;
    socket.on("data", (bytes: Buffer) => {
      last = bytes;
    });
    socket.on("error", () => {});
    socket.once("end", () => socket.end());
    socket.once("close", () => {
      if (isOver) return;
      if (last.at(0) === closeFrame) seen.politely++;
      else seen.rudely++;
      openWebSocket();
    });
  });
}

for (let count = 0; count < Number(webSockets); count++) openWebSocket();
const startMs = performance.now();
const timer = setInterval(() => {
  const due = ((performance.now() - startMs) * Number(rate)) / 1_000;
  while (!isOver && seen.asked < due) ask();
  if (!isOver || underWay > 0) return;
  clearInterval(timer);
  process.stdout.write(
    `saw ${JSON.stringify({ ...seen, failed: summary(), servers: [...servers] })}\n`,
  );
  process.exit(0);
}, tickMs);
process.once("SIGTERM", () => {
  isOver = true;
});
process.stdout.write("asking\n");
