/**
 * Processor time of the data plane for one proxied request, against HAProxy in the same run. Absolute numbers drift with the
 * machine; the ratio of paired rounds is the figure. Run on a quiet machine: `node benchmarks/proxy/http1.ts`.
 *
 * Needs HAProxy and wrk: `apt-get install -y haproxy wrk`. HAProxy is also the origin, with answers of its own.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { conditions } from "../codec/machine.ts";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "7" },
    seconds: { type: "string", default: "3" },
    connections: { type: "string", default: "32" },
    scenario: { type: "string", multiple: true },
    write: { type: "boolean", default: true },
  },
  allowNegative: true,
});
const rounds = Number(options.rounds);
const seconds = Number(options.seconds);
const folder = mkdtempSync(join(tmpdir(), "weft-benchmark-"));

type Scenario = { readonly name: string; readonly path: string; readonly bodyBytes: number };

const scenarios: readonly Scenario[] = [
  { name: "GET, 100-byte answer", path: "/bench/100", bodyBytes: 0 },
  { name: "POST of 4 KiB, 100-byte answer", path: "/bench/100", bodyBytes: 4_096 },
  { name: "GET, 4 KiB answer", path: "/bench/4096", bodyBytes: 0 },
  { name: "GET, 100 KiB answer", path: "/bench/102400", bodyBytes: 0 },
];

type Contender = { readonly name: string; readonly process: ChildProcess; readonly port: number };

/** Linux counts processor time in hundredths of a second. */
const tickUs = 10_000;

function cpuUs(pid: number): { readonly user: number; readonly system: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { user: Number(fields[11]) * tickUs, system: Number(fields[12]) * tickUs };
}

function residentKiB(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
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

/** The origin's answers must fit into a buffer; the proxy has HAProxy's default of 16 KiB. */
const originGlobals = "  tune.bufsize 131072";

const common = (globals: string): string => `
global
  maxconn 4096
  nbthread 1
${globals}
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  http-reuse always
`;

async function startHaproxy(
  name: string,
  globals: string,
  rules: (port: number) => string,
): Promise<Contender> {
  const port = await freePort();
  const file = join(folder, `${name}.cfg`);
  writeFileSync(file, `${common(globals)}${rules(port)}`);
  const process = spawn("haproxy", ["-db", "-f", file], { stdio: ["ignore", "ignore", "inherit"] });
  return { name, process, port };
}

function startOrigin(): Promise<Contender> {
  const answers = [100, 4_096, 102_400].map((bytes) => {
    const file = join(folder, `${bytes}.txt`);
    writeFileSync(file, "x".repeat(bytes));
    return `  http-request return status 200 content-type text/plain file ${file} if { path_end /${bytes} }`;
  });
  return startHaproxy(
    "origin",
    originGlobals,
    (port) => `frontend origin\n  bind 127.0.0.1:${port}\n${answers.join("\n")}\n`,
  );
}

/** Does what our data plane does: matches a header and a prefix, and removes private headers both ways. */
function startHaproxyProxy(originPort: number): Promise<Contender> {
  return startHaproxy(
    "haproxy",
    "",
    (port) => `
frontend proxy
  bind 127.0.0.1:${port}
  acl routed hdr(x-route) -m str bench
  acl prefixed path_beg /bench/
  http-request del-header l5d- -m beg
  http-response del-header l5d- -m beg
  use_backend origin if routed prefixed
  default_backend none
backend origin
  server origin 127.0.0.1:${originPort}
backend none
  http-request deny deny_status 404
`,
  );
}

async function startWeft(originPort: number): Promise<Contender> {
  const file = fileURLToPath(new URL("weft-process.ts", import.meta.url));
  const child = spawn(process.execPath, ["--no-warnings", file, String(originPort)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const port = Number((await lines.next()).value);
  return { name: "weft", process: child, port };
}

/** wrk as a forward proxy's client would ask: the destination in Host. */
function loadScript({ bodyBytes }: Scenario): string {
  const lines = ['wrk.headers["Host"] = "web.demo"', 'wrk.headers["X-Route"] = "bench"'];
  if (bodyBytes > 0) {
    lines.push('wrk.method = "POST"', `wrk.body = string.rep("x", ${bodyBytes})`);
  }
  const file = join(folder, `load-${bodyBytes}.lua`);
  writeFileSync(file, lines.join("\n"));
  return file;
}

type Round = {
  readonly cpuUs: number;
  readonly userUs: number;
  readonly systemUs: number;
  readonly perSecond: number;
  readonly p50: string;
  readonly p99: string;
};

async function measure(contender: Contender, scenario: Scenario): Promise<Round> {
  const { pid = 0 } = contender.process;
  const url = `http://127.0.0.1:${contender.port}${scenario.path}`;
  const args = ["-t1", `-c${options.connections}`, `-d${seconds}s`, "--latency"];
  const before = cpuUs(pid);
  const wrk = spawn("wrk", [...args, "-s", loadScript(scenario), url], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  for await (const text of wrk.stdout) output += String(text);
  const after = cpuUs(pid);
  const requests = Number(/(\d+) requests in/.exec(output)?.[1]);
  if (/Non-2xx|Socket errors/.test(output) || !(requests > 0)) {
    throw new Error(`The load on ${contender.name} went wrong:\n${output}`);
  }
  const userUs = (after.user - before.user) / requests;
  const systemUs = (after.system - before.system) / requests;
  return {
    cpuUs: userUs + systemUs,
    userUs,
    systemUs,
    perSecond: requests / seconds,
    p50: /50%\s+(\S+)/.exec(output)?.[1] ?? "",
    p99: /99%\s+(\S+)/.exec(output)?.[1] ?? "",
  };
}

function median(values: readonly number[]): number {
  return [...values].sort((left, right) => left - right)[Math.floor(values.length / 2)] ?? 0;
}

type Result = {
  readonly scenario: string;
  readonly weftUs: number;
  readonly haproxyUs: number;
  readonly ratio: number;
  readonly rounds: readonly { readonly weft: Round; readonly haproxy: Round }[];
};

async function run(scenario: Scenario, weft: Contender, haproxy: Contender): Promise<Result> {
  const paired: { weft: Round; haproxy: Round }[] = [];
  await measure(weft, scenario);
  await measure(haproxy, scenario);
  for (let round = 0; round < rounds; round++) {
    // Who begins changes, so that a drift of the machine favours nobody.
    const first = round % 2 === 0 ? weft : haproxy;
    const second = first === weft ? haproxy : weft;
    const one = await measure(first, scenario);
    const two = await measure(second, scenario);
    paired.push(first === weft ? { weft: one, haproxy: two } : { weft: two, haproxy: one });
  }
  const result: Result = {
    scenario: scenario.name,
    weftUs: median(paired.map((round) => round.weft.cpuUs)),
    haproxyUs: median(paired.map((round) => round.haproxy.cpuUs)),
    ratio: median(paired.map((round) => round.weft.cpuUs / round.haproxy.cpuUs)),
    rounds: paired,
  };
  const { weftUs, haproxyUs, ratio } = result;
  const parts = (name: "weft" | "haproxy"): string => {
    const user = median(paired.map((round) => round[name].userUs)).toFixed(1);
    const system = median(paired.map((round) => round[name].systemUs)).toFixed(1);
    return `user ${user} + system ${system}`;
  };
  console.log(
    `${scenario.name}: weft ${weftUs.toFixed(1)} us (${parts("weft")}), haproxy ${haproxyUs.toFixed(1)} us (${parts("haproxy")}), ratio ${ratio.toFixed(2)}`,
  );
  return result;
}

const origin = await startOrigin();
const contenders = [await startWeft(origin.port), await startHaproxyProxy(origin.port)];
const [weft, haproxy] = contenders;
if (weft === undefined || haproxy === undefined) throw new Error("Started no contenders");
try {
  const results: Result[] = [];
  for (const scenario of scenarios) {
    if (
      options.scenario !== undefined &&
      !options.scenario.some((part) => scenario.name.includes(part))
    ) {
      continue;
    }
    results.push(await run(scenario, weft, haproxy));
  }
  const report = {
    benchmark: "proxy/http1",

    conditions: { ...conditions(), kernel: release() },
    haproxy: execFileSync("haproxy", ["-v"], { encoding: "utf8" }).split("\n")[0],
    settings: { rounds, seconds, connections: Number(options.connections) },
    residentKiB: {
      weft: residentKiB(weft.process.pid ?? 0),
      haproxy: residentKiB(haproxy.process.pid ?? 0),
    },
    results,
  };
  if (options.write) {
    const target = fileURLToPath(new URL("../results/", import.meta.url));
    mkdirSync(target, { recursive: true });
    writeFileSync(join(target, "proxy-http1.json"), `${JSON.stringify(report, null, 2)}\n`);
  }
} finally {
  for (const contender of [origin, ...contenders]) contender.process.kill();
}
