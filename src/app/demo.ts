/** `weft demo`: start the mesh, walk through it, stay up, stop cleanly. */
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseIp } from "../core/std/ip.ts";
import { startApplication } from "../demo/application.ts";
import { applicationPort, defaultBase, demoLayout, namespace, ports } from "../demo/layout.ts";
import { Load } from "../demo/load.ts";
import { type Mesh, startMesh } from "../demo/mesh.ts";
import { openScreen, type Screen } from "../demo/screen.ts";
import { walkThrough } from "../demo/walkthrough.ts";
import { awaitStop } from "../edge/process/signal.ts";

export type DemoFlags = {
  readonly once: boolean;
  readonly netns: boolean;
  readonly base: string;
  readonly keep: boolean;
  readonly workers: string;
};

const usageError = 64;
const examples = fileURLToPath(new URL("../../examples", import.meta.url));
const main = fileURLToPath(new URL("main.ts", import.meta.url));

export async function runDemo(flags: DemoFlags): Promise<number> {
  const fault = checkFlags(flags);
  if (fault !== undefined) {
    process.stderr.write(`weft demo: ${fault}\n`);
    return usageError;
  }
  if (flags.netns) {
    const { runNetnsDemo } = await import("./demo-netns.ts");
    return runNetnsDemo(flags);
  }
  const screen = openScreen();
  const workFolder = mkdtempSync(path.join(os.tmpdir(), "weft-demo-"));
  const giveUp = new AbortController();
  const stopped = awaitStop().then((signal) => {
    giveUp.abort(new Error(`Stopped by ${signal}`));
  });
  // Whoever read our output is gone; nobody is left to show anything to.
  process.stdout.once("error", () => {
    giveUp.abort(new Error("Nobody reads the output"));
    process.kill(process.pid, "SIGTERM");
  });
  const died: string[] = [];
  const unexpected = Promise.withResolvers<void>();
  screen.line("Starting the mesh; every process is one of its own:");
  try {
    const mesh = await startMesh({
      layout: demoLayout(flags.base),
      workFolder,
      resourceFolder: path.join(examples, "mesh"),
      command: [process.execPath, "--disable-warning=ExperimentalWarning", main],
      workers: Number(flags.workers),
      signal: giveUp.signal,
      onProgress: (line) => {
        screen.line(`  ${line}`);
      },
      onUnexpectedExit: (name, detail) => {
        died.push(name);
        screen.verdict(false, `${name} ${detail}`);
        unexpected.resolve();
      },
    });
    try {
      const wrong = await Promise.race([
        walkThrough({ mesh, stepFolder: path.join(examples, "steps"), screen }),
        stopped.then(() => undefined),
      ]);
      if (wrong !== undefined && !flags.once) {
        showWhatToTry(mesh, screen);
        await Promise.race([stopped, unexpected.promise]);
      }
      screen.line("");
      screen.line("Stopping");
      return wrong === 0 && died.length === 0 ? 0 : 1;
    } finally {
      await mesh.stop();
    }
  } catch (error) {
    screen.verdict(false, error instanceof Error ? error.message : String(error));
    return 1;
  } finally {
    if (flags.keep) screen.line(`Left behind: ${workFolder}`);
    else rmSync(workFolder, { recursive: true, force: true });
  }
}

export async function runApplication(
  env: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const shown = Object.entries(env).flatMap(([name, value]) =>
    name.startsWith("PODINFO_") && value !== undefined ? [[name, value] as const] : [],
  );
  const server = await startApplication({
    host: env["HOST"] ?? "127.0.0.1",
    port: Number(env["PORT"] ?? applicationPort),
    environment: Object.fromEntries(shown),
    backendUrl: env["BACKEND_URL"] ?? "",
    httpProxy: env["http_proxy"] ?? "",
  });
  process.stdout.write("listening\n");
  await awaitStop();
  server.close();
  server.closeAllConnections();
  return 0;
}

/** Asks the same again and again on one connection, and says after each answer what it has counted. */
export async function runLoad(url: string): Promise<number> {
  const load = new Load({ url }, (counts) => process.stdout.write(`${JSON.stringify(counts)}\n`));
  await awaitStop();
  const { failures } = await load.end();
  return failures === 0 ? 0 : 1;
}

function checkFlags(flags: DemoFlags): string | undefined {
  if (!/^([1-9]|[1-5][0-9]|6[0-4])$/.test(flags.workers)) {
    return `--workers "${flags.workers}" must be a number from 1 to 64`;
  }
  if (flags.netns) {
    return flags.base === defaultBase
      ? undefined
      : "give --base or --netns, not both: pods have addresses of their own";
  }
  if (process.platform !== "linux") {
    return `needs Linux, where every address of 127.0.0.0/8 can be listened on; this is ${process.platform}`;
  }
  if (!flags.base.startsWith("127.") || parseIp(`${flags.base}.0.1`) === undefined) {
    return `--base "${flags.base}" must be the first two octets of a loopback address, such as 127.8`;
  }
  return undefined;
}

function showWhatToTry(mesh: Mesh, screen: Screen): void {
  const [frontend, backendA, backendB] = mesh.layout.pods;
  const destination = `http://backend-a.${namespace}:${applicationPort}/env`;
  screen.heading("It stays up. Try");
  for (const command of [
    `curl -s -X POST http://${frontend?.ip}:${applicationPort}/echo`,
    `curl -s -X POST -H 'x-request-id: alternative' http://${frontend?.ip}:${applicationPort}/echo`,
    `curl -s -i -x http://${frontend?.ip}:${ports.outbound} ${destination}`,
    `curl -s -i -x http://${backendB?.ip}:${ports.outbound} ${destination}`,
    `curl -s http://${backendA?.ip}:${ports.admin}/policy`,
    `curl -s http://${frontend?.ip}:${ports.admin}/metrics`,
    `curl -s http://${mesh.layout.controlIp}:9990/status`,
    `edit ${mesh.policyFolder}/2-route.yaml`,
    `rm ${mesh.policyFolder}/3-authorization.yaml`,
  ]) {
    screen.line(`  ${command}`);
  }
  screen.line(`Logs: ${mesh.logFolder}`);
  screen.line("Ctrl-C ends it.");
}
