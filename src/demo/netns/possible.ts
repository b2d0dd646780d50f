/** Whether this machine lets us make network namespaces with what pods need, and if not, why. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { users } from "./pod.ts";

/** Ends with 2 when there can be no namespaces, with 3 when they lack something. */
const probe = `
ip netns add "$1" || exit 2
trap 'ip netns del "$1"' EXIT
ip netns exec "$1" sh -ec '
  echo 1 > /proc/sys/net/ipv4/ip_forward
  ip link add br0 type bridge
  ip link add v1 type veth peer name v2
  for program in iptables-nft-restore ip6tables-nft-restore; do
    printf "*nat\\n-A OUTPUT -p tcp -m owner --uid-owner 1 -j REDIRECT --to-ports 1\\nCOMMIT\\n" | $program
  done
' || exit 3
`;

const rights = "root with CAP_NET_ADMIN and CAP_SYS_ADMIN";

/** Undefined when they can be made. */
export function whyNoNamespaces(): string | undefined {
  if (process.platform !== "linux") return "needs Linux";
  if (!hasRights()) return `needs ${rights}`;
  const name = `weft-probe-${process.pid}`;
  const ran = spawnSync("sh", ["-c", probe, "probe", name], { encoding: "utf8" });
  if (ran.status === 0) return undefined;
  if (ran.status === 2) return `needs ${rights}`;
  return `needs bridges, veth pairs and NAT in the kernel: ${ran.stderr.trim().split("\n").at(-1) ?? ""}`;
}

type Program = { readonly binary: string; readonly debianPackage: string };

/** What nodes and pods are made of. */
const programs: readonly Program[] = [
  { binary: "ip", debianPackage: "iproute2" },
  { binary: "iptables-nft-restore", debianPackage: "iptables" },
  { binary: "dnsmasq", debianPackage: "dnsmasq-base" },
  { binary: "setpriv", debianPackage: "util-linux" },
  { binary: "curl", debianPackage: "curl" },
];

/** What to do before a mesh of namespaces can be started here; nothing when it can. `sources`: files that the users of the pods must be able to read. */
export function whatIsMissing(sources: readonly string[]): readonly string[] {
  if (process.platform !== "linux") {
    return [`run it on Linux: network namespaces are its own, and this is ${process.platform}`];
  }
  const advice: string[] = [];
  const missing = programs.filter(({ binary }) => !isPresent(binary));
  if (missing.length > 0) {
    const packages = missing.map(({ debianPackage }) => debianPackage).join(" ");
    const binaries = missing.map(({ binary }) => binary).join(", ");
    advice.push(`install ${binaries} (Debian: apt-get install ${packages}); not found in PATH`);
  }
  if (!hasRights()) {
    const reason = "this process may not make network namespaces";
    return [...advice, `run it as ${rights}, such as with sudo: ${reason}`];
  }
  if (missing.length > 0) return advice;
  const why = whyNoNamespaces();
  if (why !== undefined) return [`run it where network namespaces can be made: it ${why}`];
  const hidden = sources.filter((file) => !mayRead(file));
  return hidden.map(
    (file) =>
      `move Weft to a folder that every user may enter: the user ${users.sidecar} of the sidecars cannot read ${JSON.stringify(file)}`,
  );
}

/** Bits of linux/capability.h. */
const capabilities = { netAdmin: 12n, sysAdmin: 21n } as const;

function hasRights(): boolean {
  const status = readFileSync("/proc/self/status", "utf8");
  const held = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  const { netAdmin, sysAdmin } = capabilities;
  return process.getuid?.() === 0 && ((held >> netAdmin) & (held >> sysAdmin) & 1n) === 1n;
}

function isPresent(binary: string): boolean {
  const ran = spawnSync("/bin/sh", ["-c", `command -v ${binary}`], { stdio: "ignore" });
  return ran.status === 0;
}

function mayRead(file: string): boolean {
  const id = users.sidecar;
  const script = `setpriv --reuid=${id} --regid=${id} --clear-groups test -r "$1"`;
  return spawnSync("sh", ["-c", script, "sh", file], { stdio: "ignore" }).status === 0;
}
