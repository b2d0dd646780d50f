/**
 * Settings of `weft init`. Each can be a flag or a variable (`--proxy-uid`, `WEFT_INIT_PROXY_UID`), because people type commands and injectors write
 * environments; the flag wins. Ports and the sidecar's user id have Linkerd's defaults. Linkerd's charts skip 4567 and 4568 as well, for Galera; nothing
 * goes around the mesh here that nobody named.
 */
import type { Cidr } from "../core/std/ip.ts";
import type { Result } from "../core/std/result.ts";
import { type Environment, EnvReader } from "./env.ts";

/** Bounds are inclusive. */
export type PortRange = { readonly from: number; readonly to: number };

const iptablesModes = ["auto", "nft", "legacy", "plain"] as const;
export type IptablesMode = (typeof iptablesModes)[number];

export type InitConfig = {
  /** Where the sidecar listens for redirected connections. */
  readonly inboundPort: number;
  readonly outboundPort: number;
  /** What runs as this user, or in this group, is the sidecar: its own connections are left alone. */
  readonly proxyUid: number;
  readonly proxyGid: number | undefined;
  /** Reached from outside as they are: probes and scrapers come before the sidecar is ready. */
  readonly adminPorts: readonly PortRange[];
  readonly skipInboundPorts: readonly PortRange[];
  readonly skipOutboundPorts: readonly PortRange[];
  /** Clients from there are not redirected. */
  readonly skipSubnets: readonly Cidr[];
  /** Targets there are not redirected. */
  readonly skipOutboundSubnets: readonly Cidr[];
  readonly ipv4Only: boolean;
  readonly iptablesMode: IptablesMode;
};

const maxPort = 65_535;
/** 2^32 - 1 means "no user" to the kernel. */
const maxId = 4_294_967_294;

/** A flag's variable: `--proxy-uid` is `WEFT_INIT_PROXY_UID`. */
function variableOf(flag: string): string {
  return `WEFT_INIT_${flag.slice(2).replaceAll("-", "_").toUpperCase()}`;
}

/** `flags` holds what was given on the command line, by name: `--proxy-uid`. */
export function readInitConfig(
  environment: Environment,
  flags: ReadonlyMap<string, string>,
): Result<Readonly<InitConfig>> {
  const env = new EnvReader({ ...environment, ...Object.fromEntries(flags) });
  // Faults name what the reader wrote.
  const name = (flag: string): string => (flags.has(flag) ? flag : variableOf(flag));
  const port = (flag: string, fallback: number): number =>
    env.integer(name(flag), { fallback, min: 1, max: maxPort });
  const ports = (flag: string, fallback: string): readonly PortRange[] =>
    portRanges(env, name(flag), fallback);
  const inboundPort = port("--redirect-inbound-to", 4143);
  const outboundPort = port("--redirect-outbound-to", 4140);
  if (inboundPort === outboundPort) {
    env.refuse(
      name("--redirect-outbound-to"),
      `set another port than --redirect-inbound-to: both are ${outboundPort}`,
    );
  }
  return env.finish({
    inboundPort,
    outboundPort,
    // Zero is refused: every program that runs as root would go around the mesh.
    proxyUid: env.integer(name("--proxy-uid"), { fallback: 2102, min: 1, max: maxId }),
    proxyGid:
      env.optional(name("--proxy-gid")) === undefined
        ? undefined
        : env.integer(name("--proxy-gid"), { min: 1, max: maxId }),
    adminPorts: ports("--admin-ports", "4190,4191"),
    skipInboundPorts: ports("--skip-inbound-ports", ""),
    skipOutboundPorts: ports("--skip-outbound-ports", ""),
    skipSubnets: env.cidrList(name("--skip-subnets"), []),
    skipOutboundSubnets: env.cidrList(name("--skip-outbound-subnets"), []),
    ipv4Only: env.boolean(name("--ipv4-only"), false),
    iptablesMode: env.choice(name("--iptables-mode"), iptablesModes, "auto"),
  });
}

/** `25,8000-8100`, as Linkerd's annotations write ports. */
function portRanges(env: EnvReader, name: string, fallback: string): readonly PortRange[] {
  const ranges: PortRange[] = [];
  for (const entry of env.list(name, fallback === "" ? [] : fallback.split(","))) {
    const [, first = "", last = first] = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(entry) ?? [];
    const range = { from: Number(first), to: Number(last) };
    if (first !== "" && range.from >= 1 && range.from <= range.to && range.to <= maxPort) {
      ranges.push(range);
    } else {
      env.refuse(name, `write ports such as "25,8000-8100" instead of ${JSON.stringify(entry)}`);
    }
  }
  return ranges;
}
