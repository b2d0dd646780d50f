/** What really went over the bridge. */
import { readFileSync } from "node:fs";
import path from "node:path";
import type { NetnsNode } from "../../src/demo/netns/node.ts";
import type { Running } from "../../src/demo/netns/running.ts";

export class Capture {
  readonly #tcpdump: Running;
  readonly #file: string;

  private constructor(tcpdump: Running, file: string) {
    this.#tcpdump = tcpdump;
    this.#file = file;
  }

  /** Records all TCP that crosses the bridge. */
  static async start(node: NetnsNode): Promise<Capture> {
    const file = path.join(node.folder, "bridge.pcap");
    const args = [
      "-i",
      "br0",
      "-U",
      "--immediate-mode",
      "-Z",
      "root",
      "-s",
      "0",
      "-w",
      file,
      "tcp",
    ];
    const tcpdump = node.start("capture", ["tcpdump", ...args]);
    await tcpdump.untilSays(/listening on/);
    return new Capture(tcpdump, file);
  }

  /** Ends it, and gives the bytes of all packets. */
  async stop(): Promise<Buffer> {
    await this.#tcpdump.stop("SIGINT");
    return readFileSync(this.#file);
  }
}
