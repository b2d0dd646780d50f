/** The demo as a person runs it. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import test from "ava";
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

test("the weft command finds its own Node.js under an older one", async (t) => {
  const launcher = fileURLToPath(new URL("../../src/app/weft.js", import.meta.url));
  const systemNode = ["/usr/bin/node", "/usr/local/bin/node"].find((file) => existsSync(file));
  if (systemNode === undefined) {
    t.log("skipped: this machine has no Node.js of its own");
    t.pass();
    return;
  }
  const { code, out } = await run(systemNode, [launcher, "--help"]);
  t.is(code, 0, out);
  t.regex(out, /weft demo/);
});

test("weft says how to go on after a wrong command, with code 64", async (t) => {
  const { code, out } = await run(process.execPath, [main, "sidecars"]);
  t.is(code, 64);
  t.regex(out, /unknown command 'sidecars'[\s\S]*weft --help/);
});
