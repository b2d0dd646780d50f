/**
 * A client that asks at a steady rate and says four times a second how it went. Arguments: address of the proxy, name of the service, requests a second. The
 * service answers with the name of the pod.
 */
import http from "node:http";

const [proxy = "", service = "", rate = ""] = process.argv.slice(2);
const { hostname: host, port } = new URL(`http://${proxy}`);
const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
const windowMs = 250;
/** What a person still waits for. */
const patienceMs = 4_000;

let ok = 0;
let slowestMs = 0;
let failed: string[] = [];
let servers = new Set<string>();

function ask(): void {
  const startMs = performance.now();
  const headers = { host: service };
  const request = http.get({ host, port, agent, path: "/", headers, timeout: patienceMs });
  request.once("timeout", () => request.destroy(new Error("timeout")));
  request.once("error", (error) => failed.push(error.message));
  request.once("response", (response) => {
    let text = "";
    response.setEncoding("utf8").on("data", (part: string) => {
      text += part;
    });
    response.once("error", (error) => failed.push(error.message));
    response.once("end", () => {
      slowestMs = Math.max(slowestMs, performance.now() - startMs);
      if (response.statusCode !== 200) failed.push(`${response.statusCode} ${text.trim()}`);
      else {
        ok++;
        servers.add(text);
      }
    });
  });
}

let asked = 0;
let windows = 0;
const beginMs = performance.now();
setInterval(() => {
  const elapsedMs = performance.now() - beginMs;
  for (const due = (elapsedMs * Number(rate)) / 1_000; asked < due; asked++) ask();
  if (elapsedMs < windows * windowMs) return;
  windows++;
  const line = { ok, failed, slowestMs: Math.round(slowestMs), servers: [...servers] };
  process.stdout.write(`window ${JSON.stringify(line)}\n`);
  ok = 0;
  slowestMs = 0;
  failed = [];
  servers = new Set();
}, 10);
