/**
 * `npm run bench` runs every benchmark of the data plane, `npm run bench -- NAME ...` those that are named. `--rounds`, `--seconds` and `--only PART` make it
 * shorter, `--no-write` leaves the results as they are, `--list` says what there is.
 */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { parseArgs } from "node:util";
import { type Benchmark, packages, type Tool } from "./harness/benchmark.ts";
import { rewriteReadme } from "./harness/readme.ts";
import { loadNow, printTable, writeReport } from "./harness/report.ts";
import { churn } from "./proxy/churn.ts";
import { handshakes } from "./proxy/handshakes.ts";
import { hot } from "./proxy/hot.ts";
import { http1 } from "./proxy/http1.ts";
import { http2 } from "./proxy/http2.ts";
import { inbound } from "./proxy/inbound.ts";
import { memory } from "./proxy/memory.ts";
import { mesh } from "./proxy/mesh.ts";
import { opaque } from "./proxy/opaque.ts";
import { rules } from "./proxy/rules.ts";
import { scaling } from "./proxy/scaling.ts";
import { start } from "./proxy/start.ts";
import { tracing } from "./proxy/tracing.ts";

const benchmarks: readonly Benchmark[] = [
  hot,
  http1,
  rules,
  inbound,
  mesh,
  handshakes,
  opaque,
  http2,
  scaling,
  churn,
  tracing,
  start,
  memory,
];

/** Something that this needs is not installed (sysexits.h EX_UNAVAILABLE). */
const unavailable = 69;
/** The command line cannot be understood (sysexits.h EX_USAGE). */
const usage = 64;
/** What a shell answers for a command that was stopped by SIGINT. */
const interrupted = 130;
/** Above this the machine is doing something else. */
const quietLoad = 0.8;

const { values: options, positionals: names } = parseArgs({
  options: {
    rounds: { type: "string" },
    seconds: { type: "string" },
    only: { type: "string" },
    list: { type: "boolean", default: false },
    write: { type: "boolean", default: true },
  },
  allowPositionals: true,
  allowNegative: true,
});

function isInstalled(tool: Tool): boolean {
  // nginx is in /usr/sbin, which is not on everybody's path.
  const folders = `${process.env["PATH"] ?? ""}${delimiter}/usr/sbin`.split(delimiter);
  return folders.some((folder) => {
    try {
      accessSync(join(folder, tool), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

async function runOne(benchmark: Benchmark): Promise<void> {
  const settings = {
    rounds: Number(options.rounds ?? benchmark.defaults.rounds),
    seconds: Number(options.seconds ?? benchmark.defaults.seconds),
    only: options.only,
  };
  const load = loadNow();
  process.stdout.write(`${benchmark.name}: ${benchmark.title}\n`);
  if (load > quietLoad) {
    process.stdout.write(`The machine is busy (load ${load.toFixed(2)}): ratios will be rough\n`);
  }
  const results = await benchmark.run(settings);
  for (const result of results) printTable(result);
  if (options.write && options.only === undefined) {
    writeReport({ benchmark, settings, load, results });
    rewriteReadme(benchmarks.map(({ name }) => name));
  }
}

async function main(): Promise<number> {
  if (options.list) {
    for (const { name, title } of benchmarks) process.stdout.write(`${name}: ${title}\n`);
    return 0;
  }
  const known = new Map(benchmarks.map((benchmark) => [benchmark.name, benchmark]));
  const chosen = names.length === 0 ? benchmarks : names.flatMap((name) => known.get(name) ?? []);
  if (names.length > 0 && chosen.length < names.length) {
    process.stderr.write(`Name some of ${[...known.keys()].join(", ")}\n`);
    return usage;
  }
  const missing = new Set(
    chosen.flatMap(({ needs }) => needs).filter((tool) => !isInstalled(tool)),
  );
  if (missing.size > 0) {
    const install = Array.from(missing, (tool) => packages[tool]).join(" ");
    process.stderr.write(
      `Install what the benchmarks compare with: apt-get install -y ${install}\n`,
    );
    return unavailable;
  }
  for (const benchmark of chosen) await runOne(benchmark);
  return 0;
}

// What was started ends with this process (`Stage`), also when it is stopped.
process.once("SIGINT", () => process.exit(interrupted));
process.once("SIGTERM", () => process.exit(interrupted));
process.exitCode = await main();
