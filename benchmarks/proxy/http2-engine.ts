/**
 * Which engine speaks HTTP/2: processor time of a relay for one unary h2c call, on `node:http2` and on our own codec
 * (through HTTP/1.1 in the middle, as the data plane uses it), beside HAProxy and nginx in the same run. The figure is the
 * ratio to HAProxy of paired rounds. Run on a quiet machine: `node benchmarks/proxy/http2-engine.ts`.
 *
 * Needs `apt-get install -y haproxy nginx-light nghttp2-client nghttp2-server`; nghttpd is the origin.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { conditions } from "../codec/machine.ts";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "7" },
    seconds: { type: "string", default: "2" },
    write: { type: "boolean", default: true },
  },
  allowNegative: true,
});
const rounds = Number(options.rounds);
const seconds = Number(options.seconds);
const folder = mkdtempSync(join(tmpdir(), "weft-benchmark-"));
const body = join(folder, "body");
writeFileSync(body, "x".repeat(100));

/** Linux counts processor time in hundredths of a second. */
const tickUs = 10_000;

type Contender = { readonly name: string; readonly process: ChildProcess; readonly port: number };

function cpuUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * tickUs;
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function listens(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const socket = connect(port, "127.0.0.1");
    const isOpen = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isOpen) return;
    await pause(50);
  }
  throw new Error(`Nothing listens on port ${port}`);
}

async function startHaproxy(name: string, backend: string): Promise<Contender> {
  const port = await freePort();
  const file = join(folder, `${name}.cfg`);
  writeFileSync(
    file,
    `global
  maxconn 4096
  nbthread 1
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend all
  bind 127.0.0.1:${port} proto h2
${backend}
`,
  );
  const process = spawn("haproxy", ["-db", "-f", file], { stdio: ["ignore", "ignore", "inherit"] });
  await listens(port);
  return { name, process, port };
}

/** An origin that reads what it is sent, which HAProxy as an origin does not. */
async function startOrigin(): Promise<Contender> {
  const port = await freePort();
  const process = spawn("nghttpd", ["--no-tls", "-d", folder, String(port)], { stdio: "ignore" });
  await listens(port);
  return { name: "origin", process, port };
}

async function startNginx(originPort: number): Promise<Contender> {
  const port = await freePort();
  const file = join(folder, "nginx.conf");
  writeFileSync(
    file,
    `daemon off; master_process off; pid ${folder}/nginx.pid; error_log /dev/null;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 100000000;
  upstream origin { server 127.0.0.1:${originPort}; keepalive 64; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port} http2;
    location / { grpc_pass grpc://origin; }
  }
}
`,
  );
  const process = spawn("nginx", ["-c", file, "-e", "/dev/null"], { stdio: "ignore" });
  await listens(port);
  return { name: "nginx", process, port };
}

async function startRelay(name: string, originPort: number): Promise<Contender> {
  const file = fileURLToPath(new URL("http2-relay.ts", import.meta.url));
  const args = ["--no-warnings", file, name, String(originPort)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return { name, process: child, port: Number((await lines.next()).value) };
}

type Round = { readonly cpuUs: number; readonly perSecond: number };

async function measure(contender: Contender): Promise<Round> {
  const { pid = 0 } = contender.process;
  const before = cpuUs(pid);
  const load = spawn(
    "h2load",
    ["-c16", "-m4", "-t1", `-D${seconds}`, "-d", body, `http://127.0.0.1:${contender.port}/body`],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let output = "";
  for await (const text of load.stdout) output += String(text);
  const spent = cpuUs(pid) - before;
  const calls = Number(/status codes: (\d+) 2xx/.exec(output)?.[1]);
  if (!(calls > 0) || !output.includes(" 0 4xx, 0 5xx")) {
    throw new Error(`The load on ${contender.name} went wrong:\n${output}`);
  }
  return { cpuUs: spent / calls, perSecond: calls / seconds };
}

function median(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? 0;
}

const started: Contender[] = [];
try {
  const origin = await startOrigin();
  started.push(origin);
  const server = `  default_backend origin\nbackend origin\n  server origin 127.0.0.1:${origin.port} proto h2`;
  const contenders = [
    await startHaproxy("haproxy", server),
    await startNginx(origin.port),
    await startRelay("node:http2", origin.port),
    await startRelay("weft", origin.port),
  ];
  started.push(...contenders);
  const taken = contenders.map((contender) => ({ contender, rounds: [] as Round[] }));
  for (const { contender } of taken) await measure(contender);
  for (let round = 0; round < rounds; round++) {
    for (const each of taken) each.rounds.push(await measure(each.contender));
  }
  const haproxy = taken[0]?.rounds ?? [];
  const results = taken.map(({ contender, rounds: measured }) => ({
    name: contender.name,
    cpuUs: median(measured.map((round) => round.cpuUs)),
    perSecond: median(measured.map((round) => round.perSecond)),
    ratioToHaproxy: median(
      measured.map((round, at) => round.cpuUs / (haproxy[at]?.cpuUs ?? Number.NaN)),
    ),
  }));
  const report = {
    benchmark: "proxy/http2-engine",
    conditions: conditions(),
    settings: { rounds, seconds, connections: 16, streams: 4, bodyBytes: 100 },
    results,
  };
  for (const { name, cpuUs: cpu, ratioToHaproxy } of results) {
    console.log(`${name}: ${cpu.toFixed(1)} us, ${ratioToHaproxy.toFixed(2)} of HAProxy`);
  }
  if (options.write) {
    const results = new URL("../results/", import.meta.url);
    mkdirSync(results, { recursive: true });
    writeFileSync(
      new URL("proxy-http2-engine.json", results),
      `${JSON.stringify(report, null, 2)}\n`,
    );
  }
} finally {
  for (const { process: child } of started) child.kill();
}
