/**
 * HTTP/2 without TLS through an outbound sidecar with one route: GET, and a unary call as gRPC makes it (POST of a small message). HTTP/2 on both sides of every
 * contender; the backend is nghttpd, which reads what it is sent. nginx speaks HTTP/2 to a backend only as gRPC, whatever the content is.
 */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { endpoint } from "../../test/sidecar/policies.ts";
import { type Benchmark, type Settings, wants } from "../harness/benchmark.ts";
import { keptConnections } from "../harness/origin.ts";
import { routeRules, startHaproxy } from "../harness/peers.ts";
import { readCpu, residentMiB, spentBetween } from "../harness/process-cost.ts";
import { type Sample, type ScenarioResult, scenarioResult, takeTurns } from "../harness/rounds.ts";
import { type Contender, freePort, Stage } from "../harness/stage.ts";
import { destination, routedPolicy, startPlane, startWeft } from "../harness/weft.ts";

const connections = 16;
const streams = 4;

async function startBackend(stage: Stage): Promise<Contender> {
  const port = await freePort();
  mkdirSync(join(stage.folder, "bench"));
  stage.write("bench/100", "x".repeat(100));
  const args = ["--no-tls", "-d", stage.folder, String(port)];
  return stage.serve("backend", port, () => stage.spawn("nghttpd", args));
}

async function startHttp2Weft(stage: Stage, backendPort: number): Promise<Contender> {
  const plane = await startPlane(stage);
  plane.setOutbound(destination, { ...routedPolicy, protocol: "http2" });
  const backend = { ...endpoint(backendPort), hint: "h2" } as const;
  plane.setEndpoints(destination, { exists: true, endpoints: [backend] });
  return startWeft(stage, plane, { name: "weft", workers: 1 });
}

async function startHttp2Nginx(stage: Stage, backendPort: number): Promise<Contender> {
  const port = await freePort();
  const file = stage.write(
    "nginx-http2.conf",
    `daemon off; master_process off; pid ${stage.folder}/nginx.pid; error_log /dev/null;
events { worker_connections 4096; }
http {
  access_log off; ${keptConnections}
  client_body_temp_path ${stage.folder}/nginx-body;
  upstream backend { server 127.0.0.1:${backendPort}; keepalive 128; keepalive_timeout 1h; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} http2;
    location /bench {
      if ($http_x_route != bench) { return 404; }
      grpc_pass grpc://backend;
    }
  }
}
`,
  );
  return stage.serve("nginx", port, () => stage.spawn("nginx", ["-c", file, "-e", "/dev/null"]));
}

async function load(port: number, seconds: number, more: readonly string[]): Promise<number> {
  const shape = [`-c${connections}`, `-m${streams}`, "-t1", `-D${seconds}`];
  const headers = ["-H", `:authority: ${destination}`, "-H", "x-route: bench"];
  const url = `http://127.0.0.1:${port}/bench/100`;
  const child = spawn("h2load", [...shape, ...headers, ...more, url], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  for await (const text of child.stdout) output += String(text);
  const requests = Number(/status codes: (\d+) 2xx/.exec(output)?.[1]);
  if (!(requests > 0) || !output.includes(" 0 3xx, 0 4xx, 0 5xx")) {
    throw new Error(`The load on port ${port} went wrong:\n${output}`);
  }
  return requests;
}

async function run(settings: Settings): Promise<readonly ScenarioResult[]> {
  await using stage = new Stage();
  const backend = await startBackend(stage);
  const contenders = [
    await startHttp2Weft(stage, backend.port),
    await startHaproxy(stage, {
      name: "haproxy",
      mode: "http",
      bind: "proto h2",
      rules: routeRules,
      server: `127.0.0.1:${backend.port} proto h2`,
    }),
    await startHttp2Nginx(stage, backend.port),
  ];
  const message = stage.write("message", "x".repeat(100));
  const scenarios = [
    { name: "GET, 100 bytes", more: [] },
    {
      name: "unary call",
      more: ["-d", message, "-H", "content-type: application/grpc", "-H", "te: trailers"],
    },
  ];
  const results: ScenarioResult[] = [];
  for (const { name, more } of scenarios) {
    if (!wants(settings, name)) continue;
    const measure = async ({ pids, port }: Contender): Promise<Sample> => {
      const before = readCpu(pids);
      const requests = await load(port, settings.seconds, more);
      const after = readCpu(pids);
      const spent = spentBetween(before, after, requests);
      const perSecond = requests / settings.seconds;
      return { ...spent, perSecond, residentMiB: residentMiB(pids) };
    };
    const taken = await takeTurns(contenders, settings.rounds, measure);
    results.push(scenarioResult(name, taken, []));
  }
  return results;
}

export const http2: Benchmark = {
  name: "http2",
  title: "HTTP/2 without TLS through an outbound sidecar with one route",
  needs: ["haproxy", "nginx", "h2load", "nghttpd"],
  defaults: { rounds: 9, seconds: 1 },
  plots: ["cpuUs"],
  run,
};
