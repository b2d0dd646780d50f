/**
 * A node of a cluster as a network namespace: a bridge that pods are plugged into, cluster IPs, and DNS. Nothing leads from it to the machine's own network.
 * Pods know no other address on the bridge than the node's, so that every packet is routed, and rules see it without the kernel's module for bridged frames.
 *
 * What is made here carries the test's process id in its name. It is taken down when the test is over, and by a keeper of its own when the test's process
 * dies, however it dies: the keeper waits for the end of a pipe that only this process holds.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
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

export class TestNode implements PodHome, AsyncDisposable {
  /** The beginning of the names of all its namespaces. */
  readonly prefix: string;
  readonly name: string;
  /** Readable by every user; gone at the end. */
  readonly folder: string;
  readonly ip4 = "10.244.0.1";
  readonly ip6 = "fd00:244::1";
  readonly dnsIp = "10.96.0.10";
  readonly pods: Pod[] = [];
  readonly services: ClusterService[] = [];
  readonly #running: Running[] = [];
  readonly #keeper: ChildProcess;
  #dns: Running | undefined;

  private constructor() {
    this.prefix = `weft-${process.pid}-${++nodesMade}`;
    this.name = `${this.prefix}-node`;
    this.folder = mkdtempSync(path.join(os.tmpdir(), `${this.prefix}-`));
    chmodSync(this.folder, 0o755);
    const script = `trap '' HUP INT TERM; cat >/dev/null; ${takeDown}`;
    this.#keeper = spawn("sh", ["-c", script, "keeper", this.prefix, this.folder], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
  }

  static async start(): Promise<TestNode> {
    const node = new TestNode();
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
    return this.keep(new Running(name, ["ip", "netns", "exec", this.name, ...command], env));
  }

  exec(command: readonly string[], input = ""): Promise<string> {
    return must("ip", ["netns", "exec", this.name, ...command], { input });
  }

  /** Ends with the node. */
  keep(running: Running): Running {
    this.#running.push(running);
    return running;
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
    await Promise.all(this.#running.filter((one) => one.isUp).map((one) => one.stop()));
    this.#keeper.stdin?.end();
    await once(this.#keeper, "exit");
    rmSync(this.folder, { recursive: true, force: true });
  }
}
