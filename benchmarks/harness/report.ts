/** A result on the terminal, as JSON with what it was measured on, and as a plot. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { loadavg, release } from "node:os";
import { fileURLToPath } from "node:url";
import { conditions } from "../codec/machine.ts";
import { type Benchmark, metricTitles, type Settings, type Tool } from "./benchmark.ts";
import { drawPlot } from "./plot.ts";
import type { ScenarioResult } from "./rounds.ts";
import { type Summary, short } from "./statistics.ts";

/** How each of them says its version. */
const versionFlags: Readonly<Record<Tool, string>> = {
  haproxy: "-v",
  nginx: "-v",
  wrk: "-v",
  h2load: "--version",
  nghttpd: "--version",
};

/** The load of the last minute, in processors. Above 0.8 at the start the machine was not quiet. The benchmark's own processes make up to 4 of what it is at the end. */
export function loadNow(): number {
  return loadavg()[0] ?? 0;
}

export function printTable({ scenario, contenders, targets }: ScenarioResult): void {
  const metrics = Object.keys(contenders[0]?.metrics ?? {});
  const rows = [
    [scenario, ...metrics.map((metric) => metricTitles.get(metric) ?? metric)],
    ...contenders.map(({ name, metrics: found }) => [
      name,
      ...metrics.map((metric) => cell(found[metric])),
    ]),
  ];
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => width(row[at]))));
  for (const row of rows) {
    print(row.map((text, at) => text.padEnd(widths[at] ?? 0)).join("  "));
  }
  for (const { text, value, isMet } of targets) {
    print(`  ${isMet ? "met   " : "missed"} ${text}: ${cell(value)}`);
  }
  print("");
}

function width(text: string | undefined): number {
  return text?.length ?? 0;
}

function cell(summary: Summary | undefined): string {
  if (summary === undefined) return "";
  const { median, min, max } = summary;
  return `${short(median)} (${short(min)}–${short(max)})`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

export type Finished = {
  readonly benchmark: Benchmark;
  readonly settings: Settings;
  readonly load: number;
  readonly results: readonly ScenarioResult[];
};

export function writeReport({ benchmark, settings, load, results }: Finished): void {
  const folder = new URL("../results/", import.meta.url);
  mkdirSync(folder, { recursive: true });
  const name = `proxy-${benchmark.name}`;
  const report = {
    benchmark: benchmark.name,
    title: benchmark.title,
    conditions: { ...conditions(), kernel: release(), loadBefore: load, loadAfter: loadNow() },
    versions: Object.fromEntries(benchmark.needs.map((tool) => [tool, versionOf(tool)])),
    settings: { rounds: settings.rounds, seconds: settings.seconds },
    results,
  };
  writeFileSync(new URL(`${name}.json`, folder), `${JSON.stringify(report, rounded, 2)}\n`);
  const plot = drawPlot(benchmark.title, results, benchmark.plots);
  writeFileSync(new URL(`${name}.svg`, folder), plot);
  print(`Wrote ${fileURLToPath(new URL(name, folder))}.json and .svg`);
}

function rounded(_key: string, value: unknown): unknown {
  return typeof value === "number" ? Number(value.toPrecision(4)) : value;
}

function versionOf(tool: Tool): string {
  const command = `${tool} ${versionFlags[tool]} 2>&1 || true`;
  return execFileSync("sh", ["-c", command], { encoding: "utf8" }).split("\n")[0] ?? "";
}
