import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { Stage } from "./harness/stage.ts";
import { startRoutedPlane, startWeft } from "./harness/weft.ts";
await using stage = new Stage();
const plane = await startRoutedPlane(stage, 1);
const env = Object.fromEntries(process.argv.slice(2).map((x) => [x.slice(0, x.indexOf("=")), x.slice(x.indexOf("=") + 1)]));
for (let i = 0; i < 3; i++) {
  const t = performance.now();
  const weft = await startWeft(stage, plane, { name: "weft", workers: 1, env });
  const ready = performance.now() - t;
  await pause(2500);
  const s = readFileSync(`/proc/${weft.pids[0]}/status`, "utf8");
  const pick = (k: string) => (Number(new RegExp(`${k}:\\s+(\\d+)`).exec(s)?.[1]) / 1024).toFixed(1);
  console.log(process.argv.slice(2).join(" "), "ready", ready.toFixed(0), "rss", pick("VmRSS"), "anon", pick("RssAnon"), "file", pick("RssFile"), "hwm", pick("VmHWM"));
  if (i === 2 && process.env["SMAPS"]) {
    const maps = readFileSync(`/proc/${weft.pids[0]}/smaps`, "utf8");
    const by = new Map<string, number>();
    let name = "";
    for (const l of maps.split("\n")) {
      const m = /^[0-9a-f]+-[0-9a-f]+ (\S+) \S+ \S+ \S+\s*(.*)$/.exec(l);
      if (m) name = `${m[1]} ${m[2]}`;
      const r = /^Rss:\s+(\d+)/.exec(l);
      if (r) by.set(name, (by.get(name) ?? 0) + Number(r[1]));
    }
    console.log([...by].sort((a, b) => b[1] - a[1]).slice(0, 12).map(([n, k]) => `${(k / 1024).toFixed(1)} ${n}`).join("\n"));
  }
  for (const l of weft.sidecar.accessLines) console.log("  ", l);
  await weft.sidecar.stop();
}
process.exit(0);
