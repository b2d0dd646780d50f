/** `weft await`: blocks until the sidecar of this pod is ready. For a container's postStart hook, or in front of an application's own command. */
import http from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { parseDurationMs } from "../core/std/duration.ts";

export type AwaitFlags = { readonly timeout: string; readonly port: string };

const usageError = 64;
const failed = 1;
/** Not ready is the usual answer of the first second; asking costs the sidecar some microseconds. */
const pollMs = 100;
/** A sidecar that is hung does not use up the whole wait with one question. */
const answerDeadlineMs = 2_000;
const maxPort = 65_535;
const maxTimeoutMs = 86_400_000;

export async function runAwait(flags: AwaitFlags): Promise<number> {
  const port = /^[0-9]{1,5}$/.test(flags.port) ? Number(flags.port) : 0;
  const timeoutMs = parseDurationMs(flags.timeout);
  if (port < 1 || port > maxPort) {
    return complain(
      `set --port to a number from 1 to ${maxPort} instead of "${flags.port}"`,
      usageError,
    );
  }
  if (timeoutMs === undefined || timeoutMs < 1 || timeoutMs > maxTimeoutMs) {
    return complain(
      `set --timeout to a duration such as "30s" or "2m" instead of "${flags.timeout}"`,
      usageError,
    );
  }
  const deadline = performance.now() + timeoutMs;
  let last = "";
  // An admin port listens on one family where a pod has only that one.
  for (let hosts = ["127.0.0.1", "::1"]; performance.now() < deadline; hosts = hosts.toReversed()) {
    const [host = "127.0.0.1"] = hosts;
    const left = Math.max(1, deadline - performance.now());
    const answer = await askReady(host, port, Math.min(left, answerDeadlineMs));
    if (answer === undefined) return 0;
    // A refused connection says less than what an answering sidecar said.
    if (answer.isAnswer || last === "") last = answer.text;
    await pause(Math.min(pollMs, Math.max(0, deadline - performance.now())));
  }
  return complain(
    `the sidecar at port ${port} is not ready after ${flags.timeout}: ${last}`,
    failed,
  );
}

/** Undefined when ready. */
function askReady(
  host: string,
  port: number,
  timeoutMs: number,
): Promise<{ readonly text: string; readonly isAnswer: boolean } | undefined> {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(Math.ceil(timeoutMs));
    const request = http.get({ host, port, path: "/ready", agent: false, signal });
    request.on("response", (response) => {
      response.setEncoding("utf8");
      let text = "";
      response.on("data", (chunk: string) => {
        text += chunk.slice(0, maxQuotedLength - Math.min(maxQuotedLength, text.length));
      });
      response.on("end", () => {
        const { statusCode = 0 } = response;
        resolve(
          statusCode === 200 ? undefined : { text: `${statusCode} ${text.trim()}`, isAnswer: true },
        );
      });
      response.on("error", (error) => resolve({ text: error.message, isAnswer: false }));
    });
    request.on("error", (error) => {
      resolve({ text: signal.aborted ? "no answer" : error.message, isAnswer: false });
    });
  });
}

/** A page that is no sidecar's may be of any length. */
const maxQuotedLength = 200;

function complain(text: string, code: number): number {
  process.stderr.write(`weft await: ${text}\n`);
  return code;
}
