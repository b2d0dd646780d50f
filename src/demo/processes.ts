/** The processes of the demo: start them, wait until each says that it is ready, notice when one ends, stop them all. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import http from "node:http";
import path from "node:path";

export type ProcessSpec = {
  readonly name: string;
  /** What it does, for the list that is printed at the start. */
  readonly purpose: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Answers 200 when the process is ready. */
  readonly readyUrl: string;
};

export type Running = {
  readonly name: string;
  readonly pid: number;
  readonly stop: (signal: NodeJS.Signals) => Promise<void>;
};

export type StartOptions = {
  readonly command: readonly string[];
  readonly logFolder: string;
  readonly onUnexpectedExit: (name: string, detail: string) => void;
  /** Told at once, so that whoever started it can end it whatever happens next. */
  readonly onSpawn: (child: ChildProcess) => void;
  /** Gives up waiting for processes to get ready. */
  readonly signal: AbortSignal;
};

/** A cold start of all workers on a busy machine takes some seconds; more than this is a fault worth reporting. */
const readyDeadlineMs = 30_000;
const readyPollMs = 25;
/** A process that ignores SIGTERM for this long is killed. */
const stopDeadlineMs = 10_000;

export async function startProcess(spec: ProcessSpec, options: StartOptions): Promise<Running> {
  const logFile = path.join(options.logFolder, `${spec.name}.log`);
  const log = openSync(logFile, "a");
  const [binary = process.execPath, ...prefix] = options.command;
  const child = spawn(binary, [...prefix, ...spec.args], {
    env: { PATH: process.env["PATH"] ?? "", ...spec.env },
    stdio: ["ignore", log, log],
    // Ctrl-C reaches the whole foreground group; the demo alone decides in which order its processes stop.
    detached: true,
  });
  closeSync(log);
  options.onSpawn(child);
  const state = { stopping: false };
  const ended = once(child, "exit").then(([code, signal]) => {
    const detail = `ended with ${String(signal ?? code)}; its log is ${logFile}`;
    if (!state.stopping) options.onUnexpectedExit(spec.name, detail);
    return detail;
  });
  await Promise.race([
    untilReady(spec, logFile, options.signal),
    ended.then((detail) => {
      throw new Error(`Start ${spec.name}: it ${detail}`);
    }),
  ]);
  return {
    name: spec.name,
    pid: child.pid ?? 0,
    stop: async (signal) => {
      state.stopping = true;
      await stopChild(child, signal);
    },
  };
}

async function stopChild(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), stopDeadlineMs);
  await ended;
  clearTimeout(timer);
}

async function untilReady(spec: ProcessSpec, logFile: string, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + readyDeadlineMs;
  let last = "nothing answered";
  while (performance.now() < deadline) {
    signal.throwIfAborted();
    const probe = await probeReady(spec.readyUrl);
    if (probe === undefined) return;
    last = probe;
    await new Promise((resolve) => {
      setTimeout(resolve, readyPollMs);
    });
  }
  throw new Error(
    `Start ${spec.name}: not ready after ${readyDeadlineMs / 1000} s (${last}); its log is ${logFile}`,
  );
}

/** Undefined when ready, else what it said. */
function probeReady(url: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const request = http.get(url, { agent: false }, (response) => {
      response.setEncoding("utf8");
      let text = "";
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => {
        resolve(response.statusCode === 200 ? undefined : `${response.statusCode}: ${text.trim()}`);
      });
      response.on("error", (error) => {
        resolve(error.message);
      });
    });
    request.on("error", (error) => {
      resolve(error.message);
    });
  });
}
