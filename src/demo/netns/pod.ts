/** A pod as a network namespace: an address of each family, the cluster's DNS, and programs under users of their own. */
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { type Ran, type RunOptions, run, sh } from "./command.ts";
import { Running } from "./running.ts";

/** As whom things run in a pod. */
export const users: Readonly<Record<User, number>> = { root: 0, application: 1000, sidecar: 2102 };
export type User = "root" | "application" | "sidecar";

export const namespace = "demo";

/** How `weft` is started: without the launcher between, so that signals and process ids are its own. */
export const weft: readonly string[] = [
  process.execPath,
  "--disable-warning=ExperimentalWarning",
  fileURLToPath(new URL("../../app/main.ts", import.meta.url)),
];

/** What a pod needs to know of its node. */
export type PodHome = {
  readonly prefix: string;
  readonly name: string;
  readonly ip4: string;
  readonly ip6: string;
  readonly dnsIp: string;
  readonly logFolder: string;
  keep(running: Running): Running;
};

export class Pod {
  readonly name: string;
  /** Of the network namespace. */
  readonly netns: string;
  /** The node's end of its cable. */
  readonly link: string;
  readonly ip4: string;
  readonly ip6: string;
  readonly #node: PodHome;

  private constructor(node: PodHome, name: string, at: number) {
    this.#node = node;
    this.name = name;
    this.netns = `${node.prefix}-${name}`;
    this.link = `v${at}`;
    this.ip4 = `10.244.0.${at}`;
    this.ip6 = `fd00:244::${at.toString(16)}`;
  }

  static async plugIn(node: PodHome, name: string, at: number): Promise<Pod> {
    const pod = new Pod(node, name, at);
    const settings = `/etc/netns/${pod.netns}`;
    mkdirSync(settings, { recursive: true });
    const search = `${namespace}.svc.cluster.local svc.cluster.local cluster.local`;
    writeFileSync(
      `${settings}/resolv.conf`,
      `nameserver ${node.dnsIp}\nsearch ${search}\noptions ndots:5\n`,
    );
    writeFileSync(
      `${settings}/hosts`,
      `127.0.0.1 localhost\n::1 localhost\n${pod.ip4} ${name}\n${pod.ip6} ${name}\n`,
    );
    await sh(`
ip netns add ${pod.netns}
ip link add ${pod.link} netns ${node.name} type veth peer name eth0 netns ${pod.netns}
ip -n ${node.name} link set ${pod.link} master br0 up
ip netns exec ${pod.netns} sh -ec '
  echo 0 > /proc/sys/net/ipv4/conf/all/accept_redirects
  echo 0 > /proc/sys/net/ipv4/conf/eth0/accept_redirects
  echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_redirects
  ip link set lo up
  ip link set eth0 up
  ip addr add ${pod.ip4}/32 dev eth0
  ip -6 addr add ${pod.ip6}/128 dev eth0 nodad
  ip route add ${node.ip4} dev eth0
  ip -6 route add ${node.ip6} dev eth0
  ip route add default via ${node.ip4} src ${pod.ip4}
  ip -6 route add default via ${node.ip6} src ${pod.ip6}
'
`);
    return pod;
  }

  /** Runs a program to its end. */
  exec(user: User, command: readonly string[], options: RunOptions = {}): Promise<Ran> {
    const [file = "", ...args] = this.inside(user, command);
    return run(file, args, options);
  }

  /** `weft init` with these arguments. */
  init(...args: readonly string[]): Promise<Ran> {
    return this.exec("root", [...weft, "init", ...args]);
  }

  /** Starts a program that stays up until the node is taken down. */
  start(
    user: User,
    command: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Running {
    const logFile = path.join(this.#node.logFolder, `${this.name}-${user}.log`);
    const name = `${this.name}: ${command.join(" ")}`;
    return this.#node.keep(
      new Running(name, this.inside(user, command), { env, logFile, isApart: true }),
    );
  }

  /** The command for a shell of the machine. */
  inside(user: User, command: readonly string[]): readonly string[] {
    const id = users[user];
    const as = id === 0 ? [] : ["setpriv", `--reuid=${id}`, `--regid=${id}`, "--clear-groups"];
    return ["ip", "netns", "exec", this.netns, ...as, ...command];
  }
}
