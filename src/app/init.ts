/** `weft init`: settings → the rules of this network namespace → the end. */
import type { Environment } from "../config/env.ts";
import { type InitConfig, readInitConfig } from "../config/init.ts";
import { describeFaults } from "../core/std/result.ts";
import { type Applied, applyRules, cleanRules, describeRules } from "../init/apply.ts";
import type { Treatment } from "../init/redirect-rules.ts";

/** Options as commander gives them: camel case, absent when not given. */
export type InitOptions = Readonly<Record<string, string | boolean | undefined>>;

const usageError = 64;
const failed = 1;

export function runInit(options: InitOptions, environment: Environment): number {
  const { dryRun = false, clean = false, ...settings } = options;
  const config = readInitConfig(environment, flagsOf(settings));
  if (!config.ok) return complain(describeFaults(config.faults), usageError);
  if (clean === true)
    return dryRun === true
      ? complain("give --clean or --dry-run, not both", usageError)
      : takeAway(config.value);
  if (dryRun === true) {
    process.stdout.write(describeRules(config.value));
    return 0;
  }
  const applied = applyRules(config.value);
  if (!applied.ok) return complain(describeFaults(applied.faults), failed);
  process.stdout.write(`${describeApplied(config.value, applied.value)}\n`);
  return 0;
}

function takeAway(config: InitConfig): number {
  const cleaned = cleanRules(config);
  if (!cleaned.ok) return complain(describeFaults(cleaned.faults), failed);
  const held = cleaned.value.join(" and ");
  process.stdout.write(
    held === "" ? "There were no rules to remove\n" : `Removed the rules (${held})\n`,
  );
  return 0;
}

/** `{ proxyUid: "2102" }` → `--proxy-uid` → `2102`: the name that was typed, for messages. */
function flagsOf(options: InitOptions): ReadonlyMap<string, string> {
  const flags = new Map<string, string>();
  for (const [name, value] of Object.entries(options)) {
    const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    if (value !== undefined) flags.set(flag, String(value));
  }
  return flags;
}

const done: Readonly<Record<Treatment, string>> = {
  redirect: "redirected",
  reject: "refused",
  none: "absent",
};

function describeApplied(config: InitConfig, { flavour, ipv4, ipv6 }: Applied): string {
  const { inboundPort, outboundPort, proxyUid } = config;
  return `TCP over IPv4 is ${done[ipv4]}, over IPv6 ${done[ipv6]}: inbound to ${inboundPort}, outbound to ${outboundPort} but for uid ${proxyUid} (iptables flavour ${flavour})`;
}

function complain(text: string, code: number): number {
  process.stderr.write(`weft init: ${text}\n`);
  return code;
}
