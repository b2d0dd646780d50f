/**
 * Processor time of the data plane for one proxied request to a destination with 1,000 rules, against one with a single rule in the same process and run. The
 * ratio of paired rounds is the figure. Run on a quiet machine: `node benchmarks/proxy/rules.ts`. Needs wrk: `apt-get install -y wrk`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { conditions } from "../codec/machine.ts";
import {
  destinationName,
  pathFor,
  type RuleKind,
  ruleCounts,
  ruleKinds,
  tenantFor,
} from "./rule-destinations.ts";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "9" },
    seconds: { type: "string", default: "2" },
    connections: { type: "string", default: "32" },
    write: { type: "boolean", default: true },
  },
  allowNegative: true,
});
const rounds = Number(options.rounds);
const folder = mkdtempSync(join(tmpdir(), "weft-benchmark-"));
const answer = `HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n${"x".repeat(100)}`;

/** Without bodies and pipelining each request comes in one piece or more, of which one ends it. */
async function startOrigin(): Promise<Server> {
  const server = createServer((socket) => {
    socket.setEncoding("latin1");
    socket.on("data", (text) => {
      if (String(text).endsWith("\r\n\r\n")) socket.write(answer);
    });
    socket.on("error", () => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

type Weft = { readonly process: ChildProcess; readonly port: number };

async function startWeft(originPort: number): Promise<Weft> {
  const file = fileURLToPath(new URL("weft-process.ts", import.meta.url));
  const child = spawn(process.execPath, ["--no-warnings", file, String(originPort), "rules"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return { process: child, port: Number((await lines.next()).value) };
}

/** Linux counts processor time in hundredths of a second. */
function cpuUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

async function measure(weft: Weft, kind: RuleKind, count: number): Promise<number> {
  const script = join(folder, `${kind}-${count}.lua`);
  const host = destinationName(kind, count);
  writeFileSync(
    script,
    `wrk.headers["Host"] = "${host}"\nwrk.headers["X-Tenant"] = "${tenantFor(count)}"\n`,
  );
  const url = `http://127.0.0.1:${weft.port}${pathFor(count)}`;
  const args = ["-t1", `-c${options.connections}`, `-d${options.seconds}s`, "-s", script, url];
  const pid = weft.process.pid ?? 0;
  const before = cpuUs(pid);
  const wrk = spawn("wrk", args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  for await (const text of wrk.stdout) output += String(text);
  const taken = cpuUs(pid) - before;
  const requests = Number(/(\d+) requests in/.exec(output)?.[1]);
  if (/Non-2xx|Socket errors/.test(output) || !(requests > 0)) {
    throw new Error(`The load on ${host} went wrong:\n${output}`);
  }
  return taken / requests;
}

function median(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? 0;
}

type Result = {
  readonly kind: RuleKind;
  readonly oneUs: number;
  readonly manyUs: number;
  readonly ratio: number;
};

async function run(weft: Weft, kind: RuleKind): Promise<Result> {
  const [one, many] = ruleCounts;
  const pairs: { readonly oneUs: number; readonly manyUs: number }[] = [];
  for (const count of ruleCounts) await measure(weft, kind, count);
  for (let round = 0; round < rounds; round++) {
    // Who begins changes, so that a drift of the machine favours nobody.
    if (round % 2 === 0) {
      const oneUs = await measure(weft, kind, one);
      pairs.push({ oneUs, manyUs: await measure(weft, kind, many) });
    } else {
      const manyUs = await measure(weft, kind, many);
      pairs.push({ oneUs: await measure(weft, kind, one), manyUs });
    }
  }
  const result = {
    kind,
    oneUs: median(pairs.map(({ oneUs }) => oneUs)),
    manyUs: median(pairs.map(({ manyUs }) => manyUs)),
    ratio: median(pairs.map(({ oneUs, manyUs }) => manyUs / oneUs)),
  };
  console.log(
    `${kind}: ${one} rule ${result.oneUs.toFixed(1)} us, ${many} rules ${result.manyUs.toFixed(1)} us, ratio ${result.ratio.toFixed(2)}`,
  );
  return result;
}

const origin = await startOrigin();
const weft = await startWeft((origin.address() as AddressInfo).port);
try {
  const results: Result[] = [];
  for (const kind of ruleKinds) results.push(await run(weft, kind));
  if (options.write) {
    const { seconds, connections } = options;
    const settings = { rounds, seconds: Number(seconds), connections: Number(connections) };
    const report = { benchmark: "proxy/rules", conditions: conditions(), settings, results };
    const target = fileURLToPath(new URL("../results/proxy-rules.json", import.meta.url));
    writeFileSync(target, `${JSON.stringify(report, null, 2)}\n`);
  }
} finally {
  weft.process.kill();
  origin.close();
}
