import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import test from "ava";

const holder = fileURLToPath(new URL("connection-holder.ts", import.meta.url));

type Holder = "node" | "kernel";

/** A process that holds a connection to us, and our end of it. */
async function held(by: Holder, how: "plain" | "abort-on-death") {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const warnings = "--disable-warning=ExperimentalWarning";
  const args = [warnings, holder, String(port), how, by];
  const child = spawn(process.execPath, args, { stdio: "ignore" });
  const [socket] = (await once(server, "connection")) as [Socket];
  const { promise: ending, resolve } = Promise.withResolvers<string | undefined>();
  socket.once("end", () => resolve("end"));
  socket.once("error", ({ code }: NodeJS.ErrnoException) => resolve(code));
  return {
    child,
    socket,
    ending,
    [Symbol.dispose]() {
      child.kill("SIGKILL");
      socket.destroy();
      server.close();
    },
  };
}

const cutOff = test.macro({
  exec: async (t, by: Holder) => {
    for (const [how, ending] of [
      ["plain", "end"],
      ["abort-on-death", "ECONNRESET"],
    ] as const) {
      using one = await held(by, how);
      // Its first words say that it is done with its preparations.
      await once(one.socket, "data");
      one.socket.resume();
      one.child.kill("SIGKILL");
      t.is(await one.ending, ending, how);
    }
  },
  title: (_, by: Holder) =>
    `abortOnDeath() makes an abort of the end that the death of a process is to others (${by})`,
});
test(cutOff, "node");
test(cutOff, "kernel");

const whole = test.macro({
  exec: async (t, by: Holder) => {
    using one = await held(by, "abort-on-death");
    const sizes: number[] = [];
    await once(one.socket, "data");
    one.socket.on("data", (bytes: Buffer) => sizes.push(bytes.length));
    // Read late, so that the kernel of the other side still has much to send when that is closed.
    one.socket.pause();
    one.socket.end("all");
    await once(one.child, "exit");
    one.socket.resume();
    t.is(await one.ending, "end");
    t.is(
      sizes.reduce((sum, size) => sum + size, 0),
      1_000_000,
    );
  },
  title: (_, by: Holder) =>
    `abortOnDeath() leaves the end of both sides as it is, to the last byte (${by})`,
});
test(whole, "node");
test(whole, "kernel");
