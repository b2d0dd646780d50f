/** Runs iptables. Which of its programs a machine has, and which of them its kernel understands, is only known by trying. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { IptablesMode } from "../config/init.ts";
import type { Family } from "./redirect-rules.ts";

export type Flavour = Exclude<IptablesMode, "auto">;

/** `failure` is one line for people. */
export type Ran =
  | { readonly kind: "done"; readonly output: string }
  | { readonly kind: "missing"; readonly program: string }
  | { readonly kind: "failed"; readonly failure: string };

/** Rules take milliseconds; what waits longer waits for a lock that nobody gives back. */
const deadlineMs = 10_000;
/** The legacy programs lock a file that all network namespaces of a machine share. */
const lockWaitSeconds = 5;
/** A node's rule set can have tens of thousands of lines; a pod's has dozens. */
const maxOutputBytes = 67_108_864;

/** All tables that exist, as text. Asking for a table by name would make it. */
export function saveRules(flavour: Flavour, family: Family): Ran {
  return run(programName(flavour, family, "save"), []);
}

/** One transaction for each table; what is not named stays. */
export function restoreRules(flavour: Flavour, family: Family, input: string): Ran {
  const args = ["--noflush", "--wait", String(lockWaitSeconds)];
  return run(programName(flavour, family, "restore"), args, input);
}

function programName(flavour: Flavour, family: Family, verb: "save" | "restore"): string {
  const base = family === 4 ? "iptables" : "ip6tables";
  return flavour === "plain" ? `${base}-${verb}` : `${base}-${flavour}-${verb}`;
}

function run(program: string, args: readonly string[], input = ""): Ran {
  const ran = spawnSync(program, args, {
    input,
    encoding: "utf8",
    timeout: deadlineMs,
    maxBuffer: maxOutputBytes,
  });
  const error: NodeJS.ErrnoException | undefined = ran.error;
  if (error?.code === "ENOENT") return { kind: "missing", program };
  // A program that gives up before it has read its input says why, like any other.
  if (error !== undefined && error.code !== "EPIPE") {
    return { kind: "failed", failure: `${program}: ${error.message}` };
  }
  if (ran.status === 0 && error === undefined) return { kind: "done", output: ran.stdout };
  const said = `${ran.stderr}${ran.stdout}`
    .trim()
    .split("\n")
    .filter((line) => !line.startsWith("#"));
  const end = ran.signal ?? `exit code ${String(ran.status)}`;
  return { kind: "failed", failure: `${program}: ${said.slice(0, 3).join(" ") || end}` };
}

/** Whether anything but loopback can speak IPv6 in this network namespace, now or as soon as it has an address. */
export function speaksIpv6(): boolean {
  const folder = "/proc/sys/net/ipv6/conf";
  // A kernel without IPv6 has no such folder. Anything else that cannot be read counts as IPv6.
  if (!existsSync(folder)) return false;
  return readdirSync(folder)
    .filter((name) => name !== "lo" && name !== "all")
    .some((name) => {
      try {
        return readFileSync(`${folder}/${name}/disable_ipv6`, "latin1").trim() === "0";
      } catch {
        return true;
      }
    });
}

/** Linux, capabilities(7). */
const netAdminBit = 12n;

export function mayChangeNetwork(): boolean {
  const [, hex = "0"] =
    /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "latin1")) ?? [];
  return ((BigInt(`0x${hex}`) >> netAdminBit) & 1n) === 1n;
}
