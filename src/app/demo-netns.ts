/** `weft demo --netns`: start a mesh of network namespaces, walk through it, stay up, leave nothing behind. */
import { once } from "node:events";
import { cpSync, mkdtempSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { type DemoMesh, startDemoMesh } from "../demo/netns/demo-mesh.ts";
import { NetnsNode } from "../demo/netns/node.ts";
import { type Pod, weft } from "../demo/netns/pod.ts";
import { whatIsMissing } from "../demo/netns/possible.ts";
import { curlText, tries, walkThroughNetns } from "../demo/netns/walkthrough.ts";
import { openScreen, type Screen } from "../demo/screen.ts";
import { awaitStop } from "../edge/process/signal.ts";

export type NetnsDemoFlags = {
  readonly once: boolean;
  readonly keep: boolean;
  readonly workers: string;
};

/** sysexits.h EX_UNAVAILABLE: the machine lacks something. */
const unavailable = 69;
const main = fileURLToPath(new URL("main.ts", import.meta.url));
const stepFolder = fileURLToPath(new URL("../../examples/steps", import.meta.url));

export async function runNetnsDemo(flags: NetnsDemoFlags): Promise<number> {
  const missing = whatIsMissing([main, process.execPath]);
  if (missing.length > 0) {
    process.stderr.write(missing.map((advice) => `weft demo --netns: ${advice}\n`).join(""));
    return unavailable;
  }
  const screen = openScreen();
  const giveUp = new AbortController();
  const stopped = awaitStop();
  // Whoever read our output is gone; nobody is left to show anything to.
  process.stdout.once("error", () => process.kill(process.pid, "SIGTERM"));
  const node = await NetnsNode.start();
  const halted = stopped.then((signal) => {
    giveUp.abort(new Error(`Stopped by ${signal}`));
    return node.halt();
  });
  try {
    const wrong = await show(node, flags, { screen, signal: giveUp.signal });
    screen.line("");
    screen.line("Stopping");
    return wrong === 0 ? 0 : 1;
  } catch (error) {
    const cause = giveUp.signal.aborted ? giveUp.signal.reason : error;
    screen.verdict(false, cause instanceof Error ? cause.message : String(cause));
    return 1;
  } finally {
    await (giveUp.signal.aborted ? halted : node.halt());
    if (flags.keep) screen.line(`Left behind: ${keep(node.folder)}`);
    await node[Symbol.asyncDispose]();
  }
}

type Show = { readonly screen: Screen; readonly signal: AbortSignal };

/** How many things were not as they should be. Throws when it is to end before all was shown. */
async function show(
  node: NetnsNode,
  flags: NetnsDemoFlags,
  { screen, signal }: Show,
): Promise<number> {
  screen.line("Starting the mesh; every pod is a network namespace, every process one of its own:");
  const demo = await startDemoMesh({
    node,
    workers: flags.workers,
    onProgress: (name, purpose) => screen.line(`  ${name.padEnd(20)} ready   ${purpose}`),
  });
  signal.throwIfAborted();
  const { promise: died, reject } = Promise.withResolvers<never>();
  let isOver = false;
  for (const program of demo.programs) {
    program.ended.then((end) => {
      if (isOver || signal.aborted) return;
      reject(new Error(`${program.name} ended with ${end}; its log is in ${node.logFolder}`));
    }, reject);
  }
  const walk = walkThroughNetns({ demo, stepFolder, screen, signal });
  const wrong = await Promise.race([walk, died]);
  signal.throwIfAborted();
  if (!flags.once) {
    const stopped = once(signal, "abort");
    showWhatToTry(demo, screen);
    await Promise.race([stopped, died]);
  }
  isOver = true;
  return wrong;
}

function keep(folder: string): string {
  const kept = mkdtempSync(path.join(os.tmpdir(), "weft-demo-"));
  cpSync(folder, kept, { recursive: true });
  return kept;
}

function showWhatToTry(
  { mesh, frontend, backendA, backendB, outside }: DemoMesh,
  screen: Screen,
): void {
  const root = process.env["SUDO_UID"] === undefined ? "" : "sudo ";
  const inside = (pod: Pod, command: string): string =>
    `${root}${pod.inside("application", [command]).join(" ")}`;
  screen.heading("It stays up. Try");
  for (const command of [
    inside(frontend, curlText(tries.plain)),
    inside(frontend, curlText(tries.marked)),
    inside(backendB, curlText(tries.env)),
    inside(outside, curlText(tries.env)),
    inside(frontend, `${weft.join(" ")} explain --id ID`),
    inside(frontend, "env"),
    inside(frontend, "getent ahosts backend-a.demo"),
    inside(backendA, "curl -s http://127.0.0.1:4191/policy"),
    inside(frontend, "curl -s http://127.0.0.1:4191/metrics"),
    `${root}ip netns exec ${frontend.netns} iptables-nft-save -t nat`,
    `${root}ip netns exec ${mesh.node.name} tcpdump -n -A -i br0 port 4143 or port 8080`,
    `edit ${mesh.policyFolder}/2-route.yaml`,
    `rm ${mesh.policyFolder}/3-authorization.yaml`,
  ]) {
    screen.line(`  ${command}`);
  }
  screen.line("ID is what the header l5d-decision-id of an answer says.");
  screen.line(`Logs: ${mesh.node.logFolder}`);
  screen.line("Ctrl-C ends it.");
}
