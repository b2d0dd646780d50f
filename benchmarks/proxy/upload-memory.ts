/**
 * What uploads cost the memory of a sidecar whose backend is slow: 10 GiB over one connection and then many uploads at once, through the whole process against a
 * control plane. The backend reads little at first and then all it can. The goal is 2 MiB a stream; the exit code says whether it was met.
 *
 * Resident memory also moves by itself (the engine's heap, its compiled code), so a first upload takes that part ahead.
 */
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ControlPlane } from "../../test/sidecar/control-plane.ts";
import { endpoint, policyTo } from "../../test/sidecar/policies.ts";
import { SidecarProcess } from "../../test/sidecar/sidecar-process.ts";
import { conditions } from "../codec/machine.ts";

const mib = 1024 * 1024;
const gib = 1024 * mib;
const limitMiB = 2;
const authority = "web.demo.svc.cluster.local:8080";
const slowBytesPerSecond = 16 * mib;
const slowMs = 10_000;
const streams = 64;
const sampleMs = 50;
const chunk = Buffer.alloc(mib, "x");

/** Takes bytes off each connection at a rate, and answers when all that was announced has come. */
class Backend {
  isSlow = false;
  readonly server: Server = createServer((socket) => this.#serve(socket));

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  #serve(socket: Socket): void {
    let left = -1;
    let taken = 0;
    let startMs = performance.now();
    socket.on("error", () => {});
    socket.on("data", (bytes: Buffer) => {
      if (left < 0) {
        const text = bytes.toString("latin1");
        const head = text.indexOf("\r\n\r\n") + 4;
        left = Number(/content-length: (\d+)/i.exec(text)?.[1]) + head;
        taken = 0;
        startMs = performance.now();
      }
      left -= bytes.length;
      taken += bytes.length;
      if (left === 0) {
        left = -1;
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      } else if (this.isSlow) {
        const dueMs = (taken / slowBytesPerSecond) * 1_000 - (performance.now() - startMs);
        if (dueMs <= 1) return;
        socket.pause();
        setTimeout(() => socket.resume(), dueMs);
      }
    });
  }
}

/** Resolves when the answer has come. */
async function upload(port: number, bytes: number): Promise<void> {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  await once(socket, "connect");
  socket.write(`POST / HTTP/1.1\r\nHost: ${authority}\r\nContent-Length: ${bytes}\r\n\r\n`);
  const answered = once(socket, "data");
  for (let sent = 0; sent < bytes; sent += chunk.length) {
    if (!socket.write(chunk.subarray(0, Math.min(chunk.length, bytes - sent)))) {
      await Promise.race([once(socket, "drain"), answered]);
    }
  }
  const [answer] = (await answered) as [Buffer];
  socket.destroy();
  if (!answer.toString("latin1").startsWith("HTTP/1.1 200")) throw new Error(String(answer));
}

function residentKiB(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]);
}

class Sampler {
  readonly #samples: number[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor(pid: number) {
    this.#timer = setInterval(() => this.#samples.push(residentKiB(pid)), sampleMs);
  }

  /** The most since the last call, in MiB. */
  take(): number {
    const most = Math.max(...this.#samples.splice(0)) / 1024;
    return Math.round(most * 100) / 100;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

const { values } = parseArgs({ options: { save: { type: "boolean", default: false } } });
const backend = new Backend();
backend.server.listen(0, "127.0.0.1");
await once(backend.server, "listening");
await using plane = await ControlPlane.start();
plane.setOutbound(authority, policyTo(authority));
plane.setEndpoints(authority, { exists: true, endpoints: [endpoint(backend.port)] });
// Backend and clients share a thread here, which answers late when all begin at once.
await using sidecar = SidecarProcess.start(plane, {
  env: { WEFT_OUTBOUND_CONNECT_TIMEOUT: "30s" },
});
const port = Number((await sidecar.ready()).outbound.split(":").at(-1));
const sampler = new Sampler(sidecar.child.pid ?? 0);

await upload(port, 2 * gib);
backend.isSlow = true;
await Promise.all(Array.from({ length: 4 }, () => upload(port, 32 * mib)));
sampler.take();
await sleep(2_000);
const idleMiB = sampler.take();

const startMs = performance.now();
const one = upload(port, 10 * gib);
await sleep(slowMs);
const slowMiB = sampler.take();
backend.isSlow = false;
await one;
const fastMiB = sampler.take();
const seconds = Math.round((performance.now() - startMs) / 100) / 10;

backend.isSlow = true;
await sleep(2_000);
const beforeMiB = sampler.take();
await Promise.all(Array.from({ length: streams }, () => upload(port, 64 * mib)));
const manyMiB = sampler.take();
sampler.stop();
backend.server.close();

const results = {
  oneStream: {
    bytes: 10 * gib,
    seconds,
    idleMiB,
    slowMiB,
    fastMiB,
    grownMiB: Math.round((Math.max(slowMiB, fastMiB) - idleMiB) * 100) / 100,
  },
  manyStreams: {
    streams,
    bytesEach: 64 * mib,
    beforeMiB,
    mostMiB: manyMiB,
    grownMiBEach: Math.round(((manyMiB - beforeMiB) / streams) * 1_000) / 1_000,
  },
};
const isMet = results.oneStream.grownMiB < limitMiB && results.manyStreams.grownMiBEach < limitMiB;
console.log(JSON.stringify(results, null, 2));
if (values.save) {
  const settings = { slowMiBPerSecond: slowBytesPerSecond / mib, slowMs, sampleMs, limitMiB };
  const report = { benchmark: "proxy/upload-memory", conditions: conditions(), settings, results };
  const target = fileURLToPath(new URL("../results/proxy-upload-memory.json", import.meta.url));
  writeFileSync(target, `${JSON.stringify(report, null, 2)}\n`);
}
process.exitCode = isMet ? 0 : 1;
