/** Whether this machine lets us make network namespaces with what pods need, and if not, why. */
import { spawnSync } from "node:child_process";

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

/** Undefined when they can be made. */
export function whyNoNamespaces(): string | undefined {
  if (process.platform !== "linux") return "needs Linux";
  const name = `weft-probe-${process.pid}`;
  const ran = spawnSync("sh", ["-c", probe, "probe", name], { encoding: "utf8" });
  if (ran.status === 0) return undefined;
  if (ran.status === 2) return "needs root with CAP_NET_ADMIN and CAP_SYS_ADMIN";
  return `needs bridges, veth pairs and NAT in the kernel: ${ran.stderr.trim().split("\n").at(-1) ?? ""}`;
}
