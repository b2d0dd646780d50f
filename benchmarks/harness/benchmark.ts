/** What a benchmark is to the command that runs it. */
import type { ScenarioResult } from "./rounds.ts";

export type Settings = {
  readonly rounds: number;
  /** Of each kind of load, for each contender in each round. */
  readonly seconds: number;
  /** Only scenarios with this in their name. */
  readonly only: string | undefined;
};

export type Benchmark = {
  readonly name: string;
  readonly title: string;
  /** Commands that must be installed. */
  readonly needs: readonly Tool[];
  /** Rounds and seconds where the caller asks for none. */
  readonly defaults: { readonly rounds: number; readonly seconds: number };
  /** The metrics that are drawn, in order. */
  readonly plots: readonly string[];
  readonly run: (settings: Settings) => Promise<readonly ScenarioResult[]>;
};

/** Commands and the Debian packages that bring them. */
export const packages = {
  haproxy: "haproxy",
  nginx: "nginx-light",
  wrk: "wrk",
  h2load: "nghttp2-client",
  nghttpd: "nghttp2-server",
} as const;

export type Tool = keyof typeof packages;

/** What metrics are called in tables and plots. */
export const metricTitles: ReadonlyMap<string, string> = new Map([
  ["cpuUs", "CPU µs/req"],
  ["userUs", "user"],
  ["systemUs", "system"],
  ["perSecond", "req/s"],
  ["pacedCpuUs", "CPU µs/req at 1,000/s"],
  ["p50Us", "p50 µs"],
  ["p99Us", "p99 µs"],
  ["p999Us", "p99.9 µs"],
  ["residentMiB", "RSS MiB"],
  ["readyMs", "ready ms"],
  ["idleMiB", "idle MiB"],
  ["warmMiB", "after a first crowd MiB"],
  ["with1000MiB", "1,000 connections MiB"],
  ["with10000MiB", "10,000 connections MiB"],
  ["afterMiB", "after 10,000 connections MiB"],
  ["connectionKiB", "KiB/connection"],
  ["servicesMiB", "1,000 Services MiB"],
  ["serviceKiB", "KiB/Service"],
  ["nanoseconds", "ns/call"],
  ["spansPerRequest", "spans/req"],
]);

export function wants({ only }: Settings, scenario: string): boolean {
  return only === undefined || scenario.includes(only);
}
