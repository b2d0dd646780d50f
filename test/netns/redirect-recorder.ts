/**
 * Stands where a sidecar would: listens on 4140 and 4143 and on both families, and answers every HTTP request with the port that it came in by and the
 * destination that it was meant for. With the argument `worker` all of it happens in a worker thread.
 */
import { isMainThread, Worker } from "node:worker_threads";
import { type AcceptedSocket, listen } from "../../src/edge/net/listen.ts";
import { openOriginalDst } from "../../src/edge/net/original-dst.ts";

async function record(): Promise<void> {
  const read = openOriginalDst();
  if (!read.ok) throw new Error(JSON.stringify(read.faults));
  const answer = (port: number, accepted: AcceptedSocket): void => {
    const meant = accepted.originalDestination(read.value);
    const body = JSON.stringify({ port, meant, peer: accepted.remoteIp });
    const socket = accepted.toSocket();
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.end(
        `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
      );
    });
    socket.resume();
  };
  for (const port of [4140, 4143]) {
    await listen({
      host: "::",
      port,
      onConnection: (accepted) => answer(port, accepted),
      onAcceptFailure: (code) => process.stdout.write(`${code}\n`),
    });
  }
  process.stdout.write("recording\n");
}

if (isMainThread && process.argv.includes("worker")) new Worker(new URL(import.meta.url));
else await record();
