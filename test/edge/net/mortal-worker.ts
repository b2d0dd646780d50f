/**
 * A process whose worker thread holds a connection by calls of the kernel, and dies. Arguments: port, how it dies. On standard output: `dead:CODE` when the worker
 * is, then, for each line that comes in, `closed:COUNT` after closing what it had left open. It ends when standard input does.
 */
import { createInterface } from "node:readline";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { BufferPool } from "../../../src/edge/net/buffer-pool.ts";
import { dial } from "../../../src/edge/net/dial.ts";
import { closeDescriptors } from "../../../src/edge/net/kernel.ts";
import { openKernelSockets } from "../../../src/edge/net/kernel-sockets.ts";
import { descriptorBytes, OpenDescriptors } from "../../../src/thread/open-descriptors.ts";

type Start = { readonly port: number; readonly how: string; readonly memory: SharedArrayBuffer };

if (isMainThread) runMain();
else runWorker(workerData as Start);

function runMain(): void {
  const [port = "", how = ""] = process.argv.slice(2);
  const memory = new SharedArrayBuffer(descriptorBytes);
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { port: Number(port), how, memory } satisfies Start,
    resourceLimits: { maxOldGenerationSizeMb: 32 },
  });
  worker.on("message", () => {
    if (how === "terminate") void worker.terminate();
    if (how === "process") process.exit(3);
  });
  worker.on("error", (error: NodeJS.ErrnoException) => say(`error:${error.code ?? error.message}`));
  worker.on("exit", (code) => say(`dead:${code}`));
  createInterface({ input: process.stdin }).on("line", () => {
    const left = new OpenDescriptors(memory).takeAll();
    closeDescriptors(left);
    say(`closed:${left.length}`);
  });
}

function runWorker({ port, how, memory }: Start): void {
  const sockets = openKernelSockets(new OpenDescriptors(memory));
  if (sockets === undefined) throw new Error("no sockets");
  // Nothing else keeps this thread alive.
  setInterval(() => {}, 1_000_000);
  const firstBuffer = Buffer.alloc(65_536);
  dial({
    target: { host: "127.0.0.1", port, tls: undefined },
    pool: new BufferPool(),
    sockets,
    firstBuffer,
    onOpen: (wire) => {
      wire.owner = {
        readBuffer: () => firstBuffer,
        // The other end has answered: the connection is in use.
        onBytes: () => {
          die(how);
          return true;
        },
        onWritten: () => {},
        onEnd: () => {},
        onClose: () => {},
      };
      wire.abortOnDeath?.();
      wire.send(Buffer.from("x"), 0, 1);
    },
    onFailure: ({ reason }) => {
      throw new Error(reason);
    },
  });
}

function die(how: string): void {
  if (how === "throw") throw new Error("a mistake");
  if (how === "exit") process.exit(7);
  if (how === "memory") {
    const all: number[][] = [];
    for (;;) all.push(new Array<number>(100_000).fill(all.length));
  }
  parentPort?.postMessage("in use");
}
