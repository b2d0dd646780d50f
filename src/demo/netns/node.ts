/**
 * A node of a cluster as a network namespace: a bridge that pods are plugged into, cluster IPs, and DNS. Nothing leads from it to the machine's own network.
 * Pods know no other address on the bridge than the node's, so that every packet is routed, and rules see it without the kernel's module for bridged frames.
 *
 * What is made here carries the process id of its maker in its name. It is taken down by a keeper, a process of its own: when it is asked to, and when its maker
 * dies, however it dies. The keeper waits for the end of a pipe that only the maker holds.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { must, sh } from "./command.ts";
import { Pod, type PodHome } from "./pod.ts";
import { Running } from "./running.ts";
import { type ClusterService, dnsHosts, serviceRules } from "./services.ts";

/** Namespaces are taken down by the beginning of their names. */
const takeDown = `
for file in /run/netns/"$1"-*; do
  [ -e "$file" ] || continue
  name=$(basename "$file")
  for pid in $(ip netns pids "$name"); do kill -KILL "$pid" 2>/dev/null || :; done
  ip netns del "$name" || :
  rm -rf "/etc/netns/$name"
done
rm -rf "$2"
`;

let nodesMade = 0;

export class NetnsNode implements PodHome, AsyncDisposable {
  /** The beginning of the names of all its namespaces. */
  readonly prefix: string;
  readonly name: string;
  /** Readable by every user; gone at the end. */
  readonly folder: string;
  readonly logFolder: string;
  readonly ip4: string = "10.244.0.1";
  readonly ip6: string = "fd00:244::1";
  readonly dnsIp: string = "10.96.0.10";
  readonly pods: Pod[] = [];
  readonly services: ClusterService[] = [];
  readonly #running: Running[] = [];
  readonly #keeper: ChildProcess;
  #dns: Running | undefined;
  #isHalted = false;

  private constructor() {
    this.prefix = `weft-${process.pid}-${++nodesMade}`;
    this.name = `${this.prefix}-node`;
    this.folder = mkdtempSync(path.join(os.tmpdir(), `${this.prefix}-`));
    chmodSync(this.folder, 0o755);
    this.logFolder = path.join(this.folder, "logs");
    mkdirSync(this.logFolder);
    const script = `trap '' HUP INT TERM; cat >/dev/null; ${takeDown}`;
    this.#keeper = spawn("sh", ["-c", script, "keeper", this.prefix, this.folder], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
  }

  static async start(): Promise<NetnsNode> {
    const node = new NetnsNode();
    const { name, ip4, ip6, dnsIp } = node;
    await sh(`
ip netns add ${name}
ip netns exec ${name} sh -ec '
  echo 1 > /proc/sys/net/ipv4/ip_forward
  echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
  ip link set lo up
  ip link add br0 type bridge
  for file in /proc/sys/net/bridge/bridge-nf-call-*tables; do
    if [ -e "$file" ]; then echo 0 > "$file"; fi
  done
  echo 0 > /proc/sys/net/ipv4/conf/all/send_redirects
  echo 0 > /proc/sys/net/ipv4/conf/br0/send_redirects
  ip link set br0 up
  ip addr add ${ip4}/24 dev br0
  ip -6 addr add ${ip6}/64 dev br0 nodad
  ip addr add ${dnsIp}/32 dev lo
'`);
    await node.#startDns();
    return node;
  }

  /** A pod with an address of each family. Its name is that of its hosts entry. */
  async addPod(name: string): Promise<Pod> {
    const pod = await Pod.plugIn(this, name, this.pods.length + 2);
    this.pods.push(pod);
    await this.#tellDns();
    return pod;
  }

  /** A name and cluster IPs of both families, spread over endpoints as kube-proxy does it. */
  async addService(service: Omit<ClusterService, "ip4" | "ip6">): Promise<ClusterService> {
    const at = this.services.length + 20;
    const added = { ...service, ip4: `10.96.0.${at}`, ip6: `fd00:96::${at}` };
    this.services.push(added);
    await this.#setServiceRules();
    await this.#tellDns();
    return added;
  }

  /** Other endpoints from now on; connections that are open stay where they are. */
  async setEndpoints(name: string, pods: readonly Pod[]): Promise<void> {
    const at = this.services.findIndex((service) => service.name === name);
    const service = this.services[at];
    if (service === undefined) throw new Error(`There is no service "${name}"`);
    this.services[at] = { ...service, endpoints: pods };
    await this.#setServiceRules();
  }

  /** A program in the namespace of the node, as root. */
  start(
    name: string,
    command: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Running {
    const logFile = path.join(this.logFolder, `node-${name}.log`);
    const inside = ["ip", "netns", "exec", this.name, ...command];
    return this.keep(new Running(name, inside, { env, logFile, isApart: true }));
  }

  exec(command: readonly string[], input = ""): Promise<string> {
    return must("ip", ["netns", "exec", this.name, ...command], { input });
  }

  /** Ends with the node. */
  keep(running: Running): Running {
    this.#running.push(running);
    if (this.#isHalted) running.signal("SIGKILL");
    return running;
  }

  /** Ends all programs, and whatever is started from now on. */
  async halt(): Promise<void> {
    this.#isHalted = true;
    await Promise.all(this.#running.filter((one) => one.isUp).map((one) => one.stop()));
  }

  async #startDns(): Promise<void> {
    writeFileSync(this.#hostsFile, "");
    const fixed = ["--no-daemon", "-C", "/dev/null", "--no-resolv", "--no-hosts", "--user=root"];
    const listening = [`--listen-address=${this.dnsIp}`, "--bind-interfaces"];
    const zone = [`--addn-hosts=${this.#hostsFile}`, "--local=/cluster.local/", "--pid-file="];
    this.#dns = this.start("dns", ["dnsmasq", ...fixed, ...listening, ...zone]);
    await this.#dns.untilSays(/started, version/);
  }

  get #hostsFile(): string {
    return path.join(this.folder, "hosts");
  }

  async #tellDns(): Promise<void> {
    if (this.#dns === undefined) return;
    const text = dnsHosts(this.services);
    writeFileSync(this.#hostsFile, text);
    const readBefore = this.#dns.output.length;
    this.#dns.signal("SIGHUP");
    await this.#dns.untilSays(/read .*hosts/, readBefore);
  }

  async #setServiceRules(): Promise<void> {
    await this.exec(["iptables-nft-restore", "--noflush"], serviceRules(this.services, 4));
    await this.exec(["ip6tables-nft-restore", "--noflush"], serviceRules(this.services, 6));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.halt();
    this.#keeper.stdin?.end();
    await once(this.#keeper, "exit");
    rmSync(this.folder, { recursive: true, force: true });
  }
}
