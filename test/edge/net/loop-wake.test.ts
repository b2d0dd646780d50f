import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import test from "ava";

const script = fileURLToPath(new URL("mortal-worker.ts", import.meta.url));

/** A process with a worker that holds a connection to us and is about to die. */
async function dying(how: string) {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const child = spawn(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", script, String(port), how],
    { stdio: ["pipe", "pipe", "ignore"] },
  );
  const exited = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  const [socket] = (await once(server, "connection")) as [Socket];
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  socket.once("close", () => resolve());
  const endings: (string | undefined)[] = [];
  socket.once("end", () => endings.push("end"));
  socket.on("error", ({ code }: NodeJS.ErrnoException) => endings.push(code));
  socket.resume().write("die");
  return {
    child,
    socket,
    lines,
    endings,
    exited,
    closed,
    async line(start: string): Promise<string> {
      for (;;) {
        const found = lines.find((line) => line.startsWith(start));
        if (found !== undefined) return found;
        await Promise.race([
          once(reader, "line"),
          exited.then((how) => Promise.reject(new Error(`it ended: ${how.join()}`))),
        ]);
      }
    },
    [Symbol.dispose]() {
      child.kill("SIGKILL");
      socket.destroy();
      server.close();
    },
  };
}

const survived = test.macro({
  exec: async (t, how: string, code: number, error?: string) => {
    using one = await dying(how);
    t.is(await one.line("dead:"), `dead:${code}`);
    if (error !== undefined) t.is(await one.line("error:"), `error:${error}`);
    t.deepEqual(one.endings, []);
    one.child.stdin.write("close\n");
    // The connection, and what its readiness is asked of.
    t.is(await one.line("closed:"), "closed:2");
    await one.closed;
    t.deepEqual(one.endings, ["ECONNRESET"]);
    one.child.stdin.end();
    t.deepEqual(await one.exited, [0, null]);
  },
  title: (how) =>
    `a process goes on when its worker with connections ${how}, and closes them for it`,
});
test("is terminated", survived, "terminate", 1);
test("throws", survived, "throw", 1, "a mistake");
test("exits", survived, "exit", 7);
test("runs out of memory", survived, "memory", 1, "ERR_WORKER_OUT_OF_MEMORY");

test("a process can exit while its worker has connections, which are aborted", async (t) => {
  using one = await dying("process");
  t.deepEqual(await one.exited, [3, null]);
  await one.closed;
  t.deepEqual(one.endings, ["ECONNRESET"]);
});
