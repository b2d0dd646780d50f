import { execFileSync, spawn } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import { Stage } from "./harness/stage.ts";
import { startOrigin } from "./harness/origin.ts";
import { routeRules, startHaproxy } from "./harness/peers.ts";
import { startRoutedPlane, startWeft } from "./harness/weft.ts";
import { saturate } from "./harness/load.ts";
import { routedRequest } from "./harness/http-rounds.ts";
const [mode, path = "/bench/100", body = "0"] = process.argv.slice(2);
await using stage = new Stage();
const origin = await startOrigin(stage);
const plane = await startRoutedPlane(stage, origin.port);
const weft = await startWeft(stage, plane, { name: "weft", workers: 1, env: mode === "perf" ? { NODE_OPTIONS: "--perf-basic-prof" } : {} });
const ha = await startHaproxy(stage, { name: "haproxy", mode: "http", rules: routeRules, server: `127.0.0.1:${origin.port}` });
const request = routedRequest(path, Number(body));
for (const one of mode === "perf" ? [weft] : [weft, ha]) {
  await saturate({ stage, port: one.port, request, seconds: 3, connections: 32 });
  const load = saturate({ stage, port: one.port, request, seconds: 4, connections: 32 });
  await pause(500);
  const pid = String(one.pids[0]);
  if (mode === "strace") {
    const s = spawn("timeout", ["-s", "INT", "3", "strace", "-c", "-f", "-p", pid], { stdio: "inherit" });
    await new Promise((r) => s.on("exit", r));
  } else if (mode === "perf") {
    const s = spawn("perf", ["record", "-F", "999", "-g", "-o", "/tmp/s2/exp/perf.data", "-p", pid, "--", "sleep", "3"], { stdio: "ignore" });
    await new Promise((r) => s.on("exit", r));
    execFileSync("sh", ["-c", "perf report -i /tmp/s2/exp/perf.data --no-children -g none --percent-limit 0.4 --stdio 2>/dev/null | head -110"], { stdio: "inherit" });
  }
  console.log(one.name, await load);
}
process.exit(0);
