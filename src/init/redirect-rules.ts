/**
 * The redirect rules of a pod as text for `iptables-restore -n` and `ip6tables-restore -n`. Pure: settings in, text out.
 *
 * All rules lie in two chains of our own, so that applying them again replaces them and removing them leaves nothing. The order within a chain is
 * Linkerd's. A family that is not redirected is closed to new TCP connections instead, so that a name with addresses of both families cannot lead around
 * the mesh: a reset makes a client try the other family at once. UDP, ICMP and SCTP are left alone.
 */
import type { InitConfig, PortRange } from "../config/init.ts";
import { formatCidr } from "../core/std/ip.ts";

export type Family = 4 | 6;

/** What shall become of TCP: led through the sidecar, refused, or left as without a mesh. */
export type Treatment = "redirect" | "reject" | "none";

/** What the chains of a network namespace hold now, as `iptables-save` prints it. */
export type SavedRules = string;

const inboundChain = "WEFT_INBOUND";
const outboundChain = "WEFT_OUTBOUND";

/** iptables-extensions(8), multiport: up to 15 ports in a rule, a range counts as two. */
const maxPortsPerRule = 15;

type Table = {
  readonly name: "nat" | "filter";
  readonly treatment: Treatment;
  /** The built-in chains that lead to ours. */
  readonly hooks: ReadonlyMap<string, string>;
};

/** `nat` is asked for the first packet of a connection only. `filter` sees every packet, so its rules ask for the first. */
const tables: readonly Table[] = [
  {
    name: "nat",
    treatment: "redirect",
    hooks: new Map([
      ["PREROUTING", inboundChain],
      ["OUTPUT", outboundChain],
    ]),
  },
  {
    name: "filter",
    treatment: "reject",
    hooks: new Map([
      ["INPUT", inboundChain],
      ["OUTPUT", outboundChain],
    ]),
  },
];

/** Input for one `iptables-restore -n` that makes `saved` into what is wanted; empty when nothing is to do. */
export function restoreInput(
  config: InitConfig,
  family: Family,
  wanted: { readonly treatment: Treatment; readonly saved: SavedRules },
): string {
  const { treatment, saved } = wanted;
  return tables
    .map((table) => {
      const held = heldBy(saved, table);
      const rules = table.treatment === treatment ? chainRules(config, family, table) : [];
      if (!held.hasChains && rules.length === 0) return "";
      const chains = [inboundChain, outboundChain];
      return [
        `*${table.name}`,
        // Naming a chain makes it, or empties it.
        ...chains.map((chain) => `:${chain} - [0:0]`),
        ...held.jumps.map((jump) => jump.replace(/^-A /, "-D ")),
        ...(rules.length === 0 ? chains.map((chain) => `-X ${chain}`) : rules),
        "COMMIT",
        "",
      ].join("\n");
    })
    .join("");
}

/** Whether rules of ours, of whatever treatment, are there. */
export function holdsOurs(saved: SavedRules): boolean {
  return tables.some((table) => heldBy(saved, table).hasChains);
}

/** Jumps to the chains of linkerd-init and of Istio's, which lead the same connections to sidecars of their own. */
const foreignJump = /^-A (?:PREROUTING|OUTPUT) .*-[jg] ((?:PROXY_INIT|ISTIO)_[A-Z_]+)$/;

/** The chains of another mesh that connections of this network namespace are led to. */
export function foreignChains(saved: SavedRules): readonly string[] {
  const chains = saved.split("\n").map((line) => foreignJump.exec(line)?.[1] ?? "");
  return [...new Set(chains.filter((chain) => chain !== ""))];
}

type Held = { readonly hasChains: boolean; readonly jumps: readonly string[] };

function heldBy(saved: SavedRules, table: Table): Held {
  const lines = saved.split("\n");
  const start = lines.indexOf(`*${table.name}`);
  if (start < 0) return { hasChains: false, jumps: [] };
  const section = lines.slice(start, lines.indexOf("COMMIT", start));
  return {
    hasChains: section.some((line) => /^:WEFT_(INBOUND|OUTBOUND) /.test(line)),
    jumps: section.filter((line) => {
      const [, hook = ""] = /^-A ([A-Z]+) .*-j WEFT_(?:INBOUND|OUTBOUND)$/.exec(line) ?? [];
      return table.hooks.has(hook);
    }),
  };
}

function chainRules(config: InitConfig, family: Family, table: Table): readonly string[] {
  const redirects = table.name === "nat";
  const last = (port: number): string =>
    redirects
      ? `-p tcp -j REDIRECT --to-ports ${port}`
      : "-p tcp --syn -j REJECT --reject-with tcp-reset";
  const { proxyUid, proxyGid } = config;
  const inbound = [
    // Redirection does not happen twice to a connection that never leaves the pod; a refusal would.
    ...(redirects ? [] : ["-i lo -j RETURN"]),
    ...portRules([...config.adminPorts, ...config.skipInboundPorts]),
    ...subnets(config.skipSubnets, family).map((subnet) => `-s ${subnet} -j RETURN`),
    last(config.inboundPort),
  ];
  const outbound = [
    `-m owner --uid-owner ${proxyUid} -j RETURN`,
    ...(proxyGid === undefined ? [] : [`-m owner --gid-owner ${proxyGid} -j RETURN`]),
    "-o lo -j RETURN",
    ...portRules(config.skipOutboundPorts),
    ...subnets(config.skipOutboundSubnets, family).map((subnet) => `-d ${subnet} -j RETURN`),
    last(config.outboundPort),
  ];
  return [
    ...inbound.map((rule) => `-A ${inboundChain} ${rule}`),
    ...outbound.map((rule) => `-A ${outboundChain} ${rule}`),
    ...[...table.hooks].map(([hook, chain]) => `-A ${hook} -p tcp -j ${chain}`),
  ];
}

function subnets(cidrs: InitConfig["skipSubnets"], family: Family): readonly string[] {
  return cidrs.filter(({ ip }) => ip.family === family).map(formatCidr);
}

function portRules(ranges: readonly PortRange[]): readonly string[] {
  const rules: string[][] = [];
  let room = 0;
  for (const { from, to } of ranges) {
    const needed = from === to ? 1 : 2;
    if (needed > room) {
      rules.push([]);
      room = maxPortsPerRule;
    }
    rules.at(-1)?.push(from === to ? String(from) : `${from}:${to}`);
    room -= needed;
  }
  return rules.map((ports) => `-p tcp -m multiport --dports ${ports.join(",")} -j RETURN`);
}
