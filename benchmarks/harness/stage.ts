/** Where the processes of one benchmark run: a folder for their files, and the end of all of them. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

/** Something that load is put on. `pids` are all processes whose cost counts. */
export type Contender = {
  readonly name: string;
  readonly pids: readonly number[];
  readonly port: number;
};

const pollMs = 10;
const startLimitMs = 10_000;

export class Stage implements AsyncDisposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "weft-benchmark-"));
  readonly #ends: (() => unknown)[] = [];

  /** Its end is that of the stage at the latest. */
  spawn(command: string, args: readonly string[]): ChildProcess {
    const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit"] });
    const kill = (): boolean => child.kill("SIGKILL");
    process.once("exit", kill);
    this.#ends.push(async () => {
      process.off("exit", kill);
      if (child.exitCode !== null || child.signalCode !== null) return;
      kill();
      await once(child, "exit");
    });
    return child;
  }

  use<T extends AsyncDisposable>(part: T): T {
    this.#ends.push(() => part[Symbol.asyncDispose]());
    return part;
  }

  write(name: string, text: string): string {
    const file = join(this.folder, name);
    writeFileSync(file, text);
    return file;
  }

  /** A server in a process of its own, as soon as it takes connections. */
  async serve(name: string, port: number, start: () => ChildProcess): Promise<Contender> {
    const { pid = 0 } = start();
    await takesConnections(port);
    return { name, pids: [pid], port };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#ends.toReversed()) await end();
    rmSync(this.folder, { recursive: true });
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

export async function takesConnections(port: number): Promise<void> {
  const end = performance.now() + startLimitMs;
  while (performance.now() < end) {
    if (await isOpen(port)) return;
    await pause(pollMs);
  }
  throw new Error(`Nothing listens on port ${port} after ${startLimitMs} ms`);
}

async function isOpen(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
