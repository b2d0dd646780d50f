/**
 * The two kinds of load. Saturating: `wrk` sends the next request of a connection when the answer to the last one is there; it shows what a request costs.
 * Paced: requests fall due at a fixed rate whatever the answers do; it shows how long they take.
 */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Stage } from "./stage.ts";

export type Request = {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBytes: number;
};

export type SaturatingOptions = {
  readonly stage: Stage;
  readonly port: number;
  readonly request: Request;
  readonly seconds: number;
  readonly connections: number;
};

export type SaturatingResult = { readonly requests: number; readonly perSecond: number };

export async function saturate(options: SaturatingOptions): Promise<SaturatingResult> {
  const { stage, port, request, seconds, connections } = options;
  const lines = Object.entries(request.headers).map(
    ([name, value]) => `wrk.headers["${name}"] = "${value}"`,
  );
  if (request.bodyBytes > 0) {
    lines.push('wrk.method = "POST"', `wrk.body = string.rep("x", ${request.bodyBytes})`);
  }
  const script = stage.write("load.lua", lines.join("\n"));
  const url = `http://127.0.0.1:${port}${request.path}`;
  const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "--timeout", "10s", "-s", script, url];
  const wrk = spawn("wrk", args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  for await (const text of wrk.stdout) output += String(text);
  const requests = Number(/(\d+) requests in/.exec(output)?.[1]);
  if (/Non-2xx|Socket errors/.test(output) || !(requests > 0)) {
    throw new Error(`The load on port ${port} went wrong:\n${output}`);
  }
  return { requests, perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1]) };
}

/** What the process of paced load is told. */
export type PacedOrder = {
  readonly port: number;
  /** The bytes of one request, as Latin-1. */
  readonly text: string;
  readonly perSecond: number;
  readonly seconds: number;
  readonly connections: number;
  /** Requests at once on each connection, over HTTP/2; 0: one at a time, over HTTP/1.1. */
  readonly streams: number;
};

/** Each time from the moment at which the request fell due, in order. */
export type PacedAnswer =
  | { readonly state: "done"; readonly sortedUs: readonly number[] }
  | { readonly state: "failed"; readonly reason: string };

export type PacedOptions = Omit<SaturatingOptions, "stage"> & { readonly streams?: number };

/** A process that lives as long as the stage, so that its code is warm and its loop free for nothing but the load. */
export class PacedLoad implements AsyncDisposable {
  readonly #child: ChildProcess = fork(fileURLToPath(new URL("paced-load.ts", import.meta.url)), {
    execArgv: ["--no-warnings", "--max-semi-space-size=64"],
  });

  async run(
    { port, request, seconds, connections, streams = 0 }: PacedOptions,
    perSecond: number,
  ): Promise<readonly number[]> {
    const text = requestText(request);
    const order: PacedOrder = { port, text, perSecond, seconds, connections, streams };
    this.#child.send(order);
    const [answer] = (await once(this.#child, "message")) as [PacedAnswer];
    if (answer.state === "failed") {
      throw new Error(`The paced load on port ${port} went wrong: ${answer.reason}`);
    }
    return answer.sortedUs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await once(this.#child, "exit");
  }
}

export function requestText({ path, headers, bodyBytes }: Request): string {
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  if (bodyBytes > 0) fields.push(`Content-Length: ${bodyBytes}\r\n`);
  const method = bodyBytes > 0 ? "POST" : "GET";
  return `${method} ${path} HTTP/1.1\r\n${fields.join("")}\r\n${"x".repeat(bodyBytes)}`;
}
