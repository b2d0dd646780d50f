/** The demo as a person runs it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import net from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import test from "ava";
import { needing } from "../harness/needing.ts";
import { main, ownBase, run } from "./test-mesh.ts";

test("weft demo --once shows every step and exits 0", async (t) => {
  const base = await ownBase(t);
  const { code, out } = await run(process.execPath, [main, "demo", "--once", "--base", base]);
  t.is(code, 0, out);
  for (const step of ["1. No route", "2. An HTTPRoute", "3. backend-a admits only", "Meanwhile"]) {
    t.true(out.includes(step), `${step} is missing in:\n${out}`);
  }
  t.regex(out, /0 failed, 0 connections dropped/);
  t.false(out.includes("WRONG"), out);
});

test("weft demo refuses addresses that are not loopback, with code 64", async (t) => {
  const { code, out } = await run(process.execPath, [main, "demo", "--once", "--base", "10.1"]);
  t.is(code, 64);
  t.regex(out, /--base "10\.1" must be the first two octets of a loopback address/);
});

/** The one that an administrator installed, whatever its version. */
const systemNode =
  ["/usr/bin/node", "/usr/local/bin/node"].find((file) => existsSync(file)) ?? "/usr/bin/node";

needing({ command: systemNode, trial: ["--version"], debianPackage: "nodejs" })(
  "the weft command finds its own Node.js under an older one",
  async (t) => {
    const launcher = fileURLToPath(new URL("../../src/app/weft.js", import.meta.url));
    const { code, out } = await run(systemNode, [launcher, "--help"]);
    t.is(code, 0, out);
    t.regex(out, /weft demo/);
  },
);

test("weft says how to go on after a wrong command, with code 64", async (t) => {
  const { code, out } = await run(process.execPath, [main, "sidecars"]);
  t.is(code, 64);
  t.regex(out, /unknown command 'sidecars'[\s\S]*weft --help/);
});

test("weft demo that is stopped while it starts leaves no process behind", async (t) => {
  const base = await ownBase(t);
  const demo = spawn(process.execPath, [main, "demo", "--base", base], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(demo, "exit");
  const printed: string[] = [];
  for await (const line of createInterface({ input: demo.stdout })) {
    printed.push(line);
    // One process is ready, so others are on their way.
    if (line.includes(" ready ") && !demo.killed) demo.kill("SIGTERM");
  }
  t.deepEqual(await ended, [1, null], printed.join("\n"));
  for (const address of [`${base}.1.1:8080`, `${base}.1.1:8090`, `${base}.0.1:4191`]) {
    t.is(await connectCode(address), "ECONNREFUSED", address);
  }
});

function connectCode(address: string): Promise<string> {
  const [host = "", port] = address.split(":");
  return new Promise((resolve) => {
    const socket = net.connect({ host, port: Number(port) }, () => {
      socket.destroy();
      resolve("connected");
    });
    socket.once("error", (error) => {
      resolve("code" in error ? String(error.code) : error.message);
    });
  });
}
