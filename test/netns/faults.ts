/** What networks do to pods, and its undoing. */
import { fileURLToPath } from "node:url";
import type { NetnsNode } from "../../src/demo/netns/node.ts";
import type { Pod } from "../../src/demo/netns/pod.ts";

/** Undoes the fault. */
export type Heal = () => Promise<void>;

const delayQueue = fileURLToPath(new URL("delay-queue.ts", import.meta.url));

type Lost = "all" | number;

export class Faults {
  readonly #node: NetnsNode;
  #queues = 0;

  constructor(node: NetnsNode) {
    this.#node = node;
  }

  /** Nothing gets from one to the other, or back. */
  async partition(one: Pod, other: Pod): Promise<Heal> {
    const there = await this.oneWay(one, other);
    const back = await this.oneWay(other, one);
    return async () => {
      await there();
      await back();
    };
  }

  /** Nothing gets from the first to the second; what goes the other way arrives. */
  oneWay(from: Pod, to: Pod): Promise<Heal> {
    return this.#drop(from, to, "all");
  }

  /** A share of the packets from one to the other is lost. */
  loss(from: Pod, to: Pod, share: number): Promise<Heal> {
    return this.#drop(from, to, share);
  }

  /** Packets from one to the other arrive later, in their order. */
  async latency(from: Pod, to: Pod, ms: number): Promise<Heal> {
    this.#queues += 1;
    const queue = String(this.#queues);
    const node = [process.execPath, "--disable-warning=ExperimentalWarning"];
    const holder = this.#node.start("latency", [...node, delayQueue, queue, String(ms)]);
    await holder.untilSays(/delaying/);
    const heal = await this.#insert(from, to, [
      "-j",
      "NFQUEUE",
      "--queue-num",
      queue,
      "--queue-bypass",
    ]);
    return async () => {
      await heal();
      await holder.stop();
    };
  }

  /** The pod's cable is pulled. */
  async unplug(pod: Pod): Promise<Heal> {
    await this.#node.exec(["ip", "link", "set", pod.link, "down"]);
    return async () => {
      await this.#node.exec(["ip", "link", "set", pod.link, "up"]);
    };
  }

  #drop(from: Pod, to: Pod, lost: Lost): Promise<Heal> {
    const chance = ["-m", "statistic", "--mode", "random", "--probability", String(lost)];
    return this.#insert(from, to, [...(lost === "all" ? [] : chance), "-j", "DROP"]);
  }

  /** A rule for both families, ahead of all others. */
  async #insert(from: Pod, to: Pod, rule: readonly string[]): Promise<Heal> {
    const change = async (verb: "-I" | "-D"): Promise<void> => {
      const there = ["FORWARD", "-s", from.ip4, "-d", to.ip4];
      await this.#node.exec(["iptables-nft", verb, ...there, ...rule]);
      const there6 = ["FORWARD", "-s", from.ip6, "-d", to.ip6];
      await this.#node.exec(["ip6tables-nft", verb, ...there6, ...rule]);
    };
    await change("-I");
    return () => change("-D");
  }
}
