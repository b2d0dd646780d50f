/** `weft sidecar` as a process of its own, against the control plane of a test. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { ControlPlane } from "./control-plane.ts";

export type LogLine = Readonly<Record<string, unknown>> & { readonly event: string };

export type SidecarOptions = {
  /** On top of, or instead of, what makes a sidecar with one worker on free ports. */
  readonly env?: Readonly<Record<string, string>>;
  readonly inspect?: boolean;
};

const main = fileURLToPath(new URL("../../src/app/main.ts", import.meta.url));

export class SidecarProcess implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly lines: LogLine[] = [];
  /** Standard output: the access log, if it is on. */
  readonly accessLines: string[] = [];
  /** What else was printed, such as the address of the inspector. */
  readonly text: string[] = [];
  readonly ended: Promise<number | null>;
  readonly #folder: string;
  #wake = Promise.withResolvers<void>();

  private constructor(child: ChildProcess, folder: string) {
    this.child = child;
    this.#folder = folder;
    this.ended = once(child, "exit").then(([code]) => code as number | null);
    if (child.stderr === null) throw new Error("No standard error");
    if (child.stdout === null) throw new Error("No standard output");
    createInterface(child.stdout).on("line", (line) => {
      this.accessLines.push(line);
      this.#woken();
    });
    createInterface(child.stderr).on("line", (line) => this.#read(line));
    void this.ended.then(() => this.#woken());
    // A test that is cut off leaves nothing running.
    const kill = (): boolean => child.kill("SIGKILL");
    process.once("exit", kill);
    void this.ended.then(() => process.off("exit", kill));
  }

  static start(
    plane: ControlPlane,
    { env = {}, inspect = false }: SidecarOptions = {},
  ): SidecarProcess {
    const folder = mkdtempSync(path.join(tmpdir(), "weft-sidecar-"));
    const tokenFile = path.join(folder, "token");
    writeFileSync(tokenFile, "token");
    const flags = inspect ? ["--inspect=127.0.0.1:0"] : [];
    const child = spawn(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", ...flags, main, "sidecar"],
      {
        stdio: ["ignore", "pipe", "pipe"],
        env: {
          WEFT_POLICY_SVC_ADDR: plane.address("policy"),
          WEFT_DESTINATION_SVC_ADDR: plane.address("destination"),
          WEFT_IDENTITY_SVC_ADDR: plane.address("identity"),
          WEFT_POLICY_WORKLOAD: '{"ns":"demo","pod":"frontend-1"}',
          WEFT_IDENTITY_LOCAL_NAME: "frontend.demo.serviceaccount.identity.weft.cluster.local",
          WEFT_IDENTITY_TRUST_ANCHORS: plane.trustAnchors,
          WEFT_IDENTITY_TOKEN_FILE: tokenFile,
          WEFT_OUTBOUND_LISTEN_ADDR: "127.0.0.1:0",
          WEFT_INBOUND_LISTEN_ADDR: "127.0.0.1:0",
          WEFT_ADMIN_LISTEN_ADDR: "127.0.0.1:0",
          WEFT_WORKERS: "1",
          WEFT_LOG_LEVEL: "debug",
          WEFT_SHUTDOWN_GRACE_PERIOD: "2s",
          ...env,
        },
      },
    );
    return new SidecarProcess(child, folder);
  }

  /** The first line of this event, now or later. Fails when the process ends without it. */
  async line(event: string): Promise<LogLine> {
    for (;;) {
      const found = this.lines.find((line) => line.event === event);
      if (found !== undefined) return found;
      if (this.child.exitCode !== null) {
        throw new Error(`Ended with ${this.child.exitCode} before "${event}":\n${this.log()}`);
      }
      await this.#wake.promise;
    }
  }

  /** The first line of the access log with this in it, now or later. */
  async accessLine(part: string): Promise<string> {
    for (;;) {
      const found = this.accessLines.find((line) => line.includes(part));
      if (found !== undefined) return found;
      if (this.child.exitCode !== null) throw new Error(`Ended without a line of "${part}"`);
      await this.#wake.promise;
    }
  }

  /** Bound addresses, once the sidecar is ready. */
  async ready(): Promise<{ outbound: string; inbound: string; admin: string; forward: string }> {
    const { outbound, inbound, admin, forwards } = await this.line("ready");
    const [forward = ""] = forwards as readonly string[];
    return {
      outbound: String(outbound),
      inbound: String(inbound),
      admin: String(admin),
      forward,
    };
  }

  async inspectorUrl(): Promise<string> {
    for (;;) {
      const url = /ws:\S+/.exec(this.text.join("\n"))?.[0];
      if (url !== undefined) return url;
      await this.#wake.promise;
    }
  }

  async page(name: string): Promise<string> {
    const { admin } = await this.ready();
    const response = await fetch(`http://${admin}/${name}`);
    return response.text();
  }

  log(): string {
    return [...this.text, ...this.lines.map((line) => JSON.stringify(line))].join("\n");
  }

  stop(): Promise<number | null> {
    this.child.kill("SIGTERM");
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.ended;
    rmSync(this.#folder, { recursive: true });
  }

  #read(line: string): void {
    if (line.startsWith("{")) this.lines.push(JSON.parse(line));
    else this.text.push(line);
    this.#woken();
  }

  #woken(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }
}
