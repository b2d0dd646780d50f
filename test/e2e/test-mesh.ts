/** The demo's mesh for end-to-end tests: real processes, real sockets, addresses that no other test uses. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { ExecutionContext } from "ava";
import { demoLayout, ports } from "../../src/demo/layout.ts";
import { copyResource, type Mesh, startMesh } from "../../src/demo/mesh.ts";

export const main: string = fileURLToPath(new URL("../../src/app/main.ts", import.meta.url));
const examples = fileURLToPath(new URL("../../examples", import.meta.url));

export type TestMesh = {
  readonly mesh: Mesh;
  readonly ip: (pod: string) => string;
  readonly drop: (step: string) => void;
  readonly workFolder: string;
};

export type TestMeshOptions = { readonly workers?: number; readonly inspect?: boolean };

export async function startTestMesh(
  t: ExecutionContext,
  options: TestMeshOptions = {},
): Promise<TestMesh> {
  const base = await ownBase(t);
  const workFolder = mkdtempSync(path.join(os.tmpdir(), "weft-e2e-"));
  const mesh = await startMesh({
    layout: demoLayout(base),
    workFolder,
    resourceFolder: path.join(examples, "mesh"),
    command: [
      process.execPath,
      "--disable-warning=ExperimentalWarning",
      ...(options.inspect === true ? ["--inspect=127.0.0.1:0"] : []),
      main,
    ],
    workers: options.workers ?? 1,
    onProgress: () => {},
    signal: new AbortController().signal,
    onUnexpectedExit: (name, detail) => {
      t.log(`${name} ${detail}`);
    },
  });
  t.teardown(async () => {
    await mesh.stop();
    rmSync(workFolder, { recursive: true, force: true });
  });
  return {
    mesh,
    workFolder,
    ip: (pod) => mesh.layout.pods.find(({ name }) => name === pod)?.ip ?? "",
    drop: (step) => {
      copyResource(path.join(examples, "steps", step), mesh.policyFolder, base);
    },
  };
}

/** First two octets of loopback addresses for this test alone; holding one port of them keeps other tests away. */
export async function ownBase(t: ExecutionContext): Promise<string> {
  const first = process.pid % 200;
  for (let step = 0; step < 200; step++) {
    const base = `127.${20 + ((first + step) % 200)}`;
    const lock = net.createServer();
    const taken = await new Promise<boolean>((resolve) => {
      lock.once("error", () => {
        resolve(true);
      });
      lock.listen(4999, `${base}.255.1`, () => {
        resolve(false);
      });
    });
    if (taken) continue;
    t.teardown(() => {
      lock.close();
    });
    return base;
  }
  throw new Error("Every loopback block is taken");
}

/** Nothing that is run here takes seconds on an idle machine; the rest is for one that runs other tests as well. */
const commandDeadlineMs = 120_000;

export type CommandResult = { readonly code: number; readonly out: string };

/** Runs a program with a deadline; standard output and error together. */
export function run(file: string, args: readonly string[], input = ""): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = execFile(
      file,
      [...args],
      { timeout: commandDeadlineMs, maxBuffer: 16_777_216 },
      (error, stdout, stderr) => {
        const code = typeof error?.code === "number" ? error.code : error === null ? 0 : 1;
        resolve({ code, out: `${stdout}${stderr}` });
      },
    );
    // A program that is done may close its input unread.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(input);
  });
}

export function adminUrl(ip: string, page: string): string {
  return `http://${ip}:${ports.admin}/${page}`;
}

export function getText(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    http
      .get(url, { agent: false }, (response) => {
        response.setEncoding("utf8");
        let text = "";
        response.on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () => {
          resolve(text);
        });
      })
      .on("error", reject);
  });
}

/** Asks again until the answer is as wanted; the deadline is what the product promises. */
export async function eventually<T>(
  ask: () => Promise<T>,
  wanted: (value: T) => boolean,
  deadlineMs: number,
): Promise<{ readonly value: T; readonly tookMs: number }> {
  const startMs = performance.now();
  for (;;) {
    const value = await ask();
    const tookMs = performance.now() - startMs;
    if (wanted(value)) return { value, tookMs };
    if (tookMs > deadlineMs) {
      throw new Error(`Not as wanted after ${deadlineMs} ms: ${JSON.stringify(value)}`);
    }
  }
}
