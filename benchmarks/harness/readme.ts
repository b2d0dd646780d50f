/** The results in `README.md`: for each goal what was measured, from the files in `results/`. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import type { ScenarioResult } from "./rounds.ts";
import { short } from "./statistics.ts";

const begin = "<!-- results, written by run.ts -->";
const end = "<!-- end of results -->";

type Report = {
  readonly benchmark: string;
  readonly title: string;
  readonly conditions: {
    readonly commit: string;
    /** Absent in results that another program wrote. */
    readonly loadBefore?: number;
    readonly loadAfter: number;
  };
  readonly results: readonly ScenarioResult[];
};

/** `names` are the benchmarks in the order in which they are shown. */
export function rewriteReadme(names: readonly string[]): void {
  const file = new URL("../README.md", import.meta.url);
  const text = readFileSync(file, "utf8");
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error(`Put "${begin}" and "${end}" into README.md`);
  const folder = new URL("../results/", import.meta.url);
  const known = new Set(readdirSync(folder));
  const reports = names
    .map((name) => `proxy-${name}.json`)
    .filter((name) => known.has(name))
    .map((name) => JSON.parse(readFileSync(new URL(name, folder), "utf8")) as Report)
    .filter(({ conditions }) => conditions.loadBefore !== undefined);
  const rows = reports.flatMap(rowsOf);
  const plots = reports
    .map(({ benchmark }) => `proxy-${benchmark}.svg`)
    .filter((name) => existsSync(new URL(name, folder)))
    .map((name) => `[${name}](results/${name})`);
  const table = [
    "| benchmark | scenario | goal | measured: median (least–most) | | load before, after | commit |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...rows,
  ].join("\n");
  const body = `${begin}\n\n${table}\n\nPlots: ${plots.join(", ")}.\n\n`;
  writeFileSync(file, text.slice(0, from) + body + text.slice(to));
}

function rowsOf({ benchmark, conditions, results }: Report): readonly string[] {
  const { commit, loadBefore = 0, loadAfter } = conditions;
  return results.flatMap(({ scenario, targets }) =>
    targets.map(({ text, value: { median, min, max }, isMet }) => {
      const measured = `${short(median)} (${short(min)}–${short(max)})`;
      const met = isMet ? "met" : "**missed**";
      return `| ${benchmark} | ${scenario} | ${text} | ${measured} | ${met} | ${loadBefore.toFixed(1)}, ${loadAfter.toFixed(1)} | ${commit} |`;
    }),
  );
}
