#!/usr/bin/env node
/**
 * The `weft` command. Weft's sources are TypeScript and run as they are on Node.js 26; whatever Node.js starts this file, it finds one that can: itself, or the one
 * that the npm package `node` put beside Weft. Plain JavaScript, because an older Node.js must be able to read it.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const neededMajor = 26;
const main = fileURLToPath(new URL("main.ts", import.meta.url));

function findNode() {
  if (Number(process.versions.node.split(".")[0]) >= neededMajor) return process.execPath;
  try {
    const manifest = createRequire(import.meta.url).resolve("node/package.json");
    const binary = path.join(path.dirname(manifest), "bin", "node");
    return existsSync(binary) ? binary : undefined;
  } catch {
    return undefined;
  }
}

const node = findNode();
if (node === undefined) {
  process.stderr.write(
    `weft: needs Node.js ${neededMajor}, and this is ${process.version}. Run "npm ci" in Weft's folder (it brings its own; ` +
      `npm must be allowed to run the install script of the package "node"), or install Node.js ${neededMajor}.\n`,
  );
  process.exit(69);
}

// node:ffi and type stripping announce themselves as experimental on every start; everything else still warns.
const args = ["--disable-warning=ExperimentalWarning", main, ...process.argv.slice(2)];
// Code that was compiled once is not stripped of its types again, from the first file on: that takes 20 MiB and a tenth of a second in each thread.
const compiled = fileURLToPath(new URL("../../node_modules/.cache/compiled", import.meta.url));
const environment = { NODE_COMPILE_CACHE: compiled, ...process.env };
// In its place where Node.js can do that: one process hears the signals, and as PID 1 of a container it is Weft itself.
if (process.execve !== undefined && process.platform !== "win32") {
  process.execve(node, [node, ...args], environment);
}
const child = spawn(node, args, { stdio: "inherit", env: environment });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  // A terminal sends Ctrl-C to the whole group: the child has it already, and only it decides when to end.
  process.on(signal, () => {
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
  });
}
child.on("exit", (code, signal) => {
  if (signal !== null) process.kill(process.pid, signal);
  process.exitCode = code ?? 1;
});
