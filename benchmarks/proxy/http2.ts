/**
 * HTTP/2 without TLS through an outbound sidecar with one route: GET, and a unary call as gRPC makes it (POST of a small message). HTTP/2 on both sides of every
 * contender; the backend is nghttpd, which reads what it is sent. nginx speaks HTTP/2 to a backend only as gRPC, whatever the content is. What a request costs is
 * measured by h2load, which saturates; how long it takes by the paced load.
 */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { endpoint } from "../../test/sidecar/policies.ts";
import { type Benchmark, type Settings, wants } from "../harness/benchmark.ts";
import { measureTime, routedRequest, startPaced } from "../harness/http-rounds.ts";
import type { Request } from "../harness/load.ts";
import { keptConnections } from "../harness/origin.ts";
import { routeRules, startHaproxy } from "../harness/peers.ts";
import { readCpu, residentMiB, spentBetween } from "../harness/process-cost.ts";
import {
  type Sample,
  type ScenarioResult,
  scenarioResult,
  type Target,
  takeTurns,
} from "../harness/rounds.ts";
import { type Contender, freePort, Stage } from "../harness/stage.ts";
import { destination, routedPolicy, startPlane, startWeft } from "../harness/weft.ts";

const connections = 16;
const streams = 4;
const messageBytes = 100;
const pathCount = 500;

/** Before the turns: the first answers wait for a policy, and a fresh worker's code is compiled by then, however busy the machine is. */
const firstRequests = 50_000;

/** The contender's port is told by `--base-uri`. */
const url = "http://127.0.0.1/bench/100";

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

/** `duration` is what h2load is told of it: a time or a number of requests. */
async function load(port: number, duration: string, more: readonly string[]): Promise<number> {
  const shape = [`-c${connections}`, `-m${streams}`, "-t1", duration];
  const headers = ["-H", `:authority: ${destination}`, "-H", "x-route: bench"];
  const base = `--base-uri=http://127.0.0.1:${port}`;
  const child = spawn("h2load", [...shape, ...headers, base, ...more], {
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

type Scenario = {
  readonly name: string;
  /** For h2load. */
  readonly more: (stage: Stage) => readonly string[];
  /** For the paced load; undefined: there is none. */
  readonly request: Request | undefined;
  readonly targets: readonly Target[];
};

const cost = { metric: "cpuUs", of: "weft" } as const;
const costs: readonly Target[] = [
  { ...cost, text: "≤ 1.5 × HAProxy's CPU", to: "haproxy", most: 1.5 },
  { ...cost, text: "≤ nginx's CPU", to: "nginx", most: 1 },
];

const added: Target = {
  text: "p99 ≤ 1,000 µs above direct, or no worse than HAProxy",
  metric: "p99Us",
  of: "weft",
  to: "direct",
  by: "difference",
  orNoWorseThan: "haproxy",
  most: 1_000,
};

const grpcHeaders = { "content-type": "application/grpc", te: "trailers" };

const get = routedRequest("/bench/100");
const call: Request = {
  ...routedRequest("/bench/100", messageBytes),
  headers: { ...get.headers, ...grpcHeaders },
};

/** What HTTP/2 compresses best is a head that was sent before. Here no two that follow each other are the same. */
function paths(stage: Stage): readonly string[] {
  const urls = Array.from({ length: pathCount }, (_none, at) => `${url}?call=${at * 7_919}`);
  return ["-i", stage.write("urls", urls.join("\n"))];
}

function asCall(stage: Stage): readonly string[] {
  const message = stage.write("message", "x".repeat(messageBytes));
  const headers = Object.entries(grpcHeaders).flatMap(([name, value]) => [
    "-H",
    `${name}: ${value}`,
  ]);
  return ["-d", message, ...headers];
}

const scenarios: readonly Scenario[] = [
  { name: "GET, 100 bytes", more: () => [url], request: get, targets: [...costs, added] },
  { name: "GET, 500 paths", more: paths, request: undefined, targets: [] },
  {
    name: "unary call",
    more: (stage) => [...asCall(stage), url],
    request: call,
    targets: [...costs, added],
  },
];

async function startContenders(stage: Stage, backend: Contender): Promise<readonly Contender[]> {
  return [
    await startHttp2Weft(stage, backend.port),
    await startHaproxy(stage, {
      name: "haproxy",
      mode: "http",
      bind: "proto h2",
      rules: routeRules,
      server: `127.0.0.1:${backend.port} proto h2`,
    }),
    await startHttp2Nginx(stage, backend.port),
    { ...backend, name: "direct" },
  ];
}

async function run(settings: Settings): Promise<readonly ScenarioResult[]> {
  await using stage = new Stage();
  const { seconds, rounds } = settings;
  const contenders = await startContenders(stage, await startBackend(stage));
  const paced = startPaced(stage);
  const results: ScenarioResult[] = [];
  for (const { name, more, request, targets } of scenarios) {
    if (!wants(settings, name)) continue;
    const options = more(stage);
    const measure = async (contender: Contender): Promise<Sample> => {
      const { pids, port } = contender;
      const before = readCpu(pids);
      const requests = await load(port, `-D${seconds}`, options);
      const after = readCpu(pids);
      const shape = { stage, paced, seconds, connections, streams };
      const times = request && (await measureTime({ ...shape, request }, contender));
      return {
        ...spentBetween(before, after, requests),
        perSecond: requests / seconds,
        residentMiB: residentMiB(pids),
        ...times,
      };
    };
    for (const { port } of contenders) await load(port, `-n${firstRequests}`, options);
    const taken = await takeTurns(contenders, rounds, measure);
    results.push(scenarioResult(name, taken, targets));
  }
  return results;
}

export const http2: Benchmark = {
  name: "http2",
  title: "HTTP/2 without TLS through an outbound sidecar with one route",
  needs: ["haproxy", "nginx", "h2load", "nghttpd"],
  defaults: { rounds: 9, seconds: 1 },
  plots: ["cpuUs", "p50Us", "p99Us"],
  run,
};
