/**
 * `npm test`: makes the machine ready (Debian packages, when root), says which tiers run and which are left out and why, runs AVA, and ends with the true counts.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { stripVTControlCharacters } from "node:util";
import { whyNoNamespaces } from "../src/demo/netns/possible.ts";

type Tool = { readonly binary: string; readonly debianPackage: string; readonly for: string };

/** Programs that we did not write and that the tests hold Weft against. */
const tools: readonly Tool[] = [
  { binary: "curl", debianPackage: "curl", for: "HTTP client peer" },
  { binary: "openssl", debianPackage: "openssl", for: "TLS and X.509 peer" },
  { binary: "promtool", debianPackage: "prometheus", for: "judge of /metrics" },
  { binary: "h2load", debianPackage: "nghttp2-client", for: "HTTP/2 client peers" },
  {
    binary: "/usr/lib/python3/dist-packages/grpc/__init__.py",
    debianPackage: "python3-grpcio",
    for: "gRPC peer",
  },
];

/** The tier of network namespaces makes its pods of these. */
const namespaceTools: readonly Tool[] = [
  { binary: "ip", debianPackage: "iproute2", for: "network namespaces" },
  { binary: "iptables-nft-restore", debianPackage: "iptables", for: "redirect rules" },
  { binary: "dnsmasq", debianPackage: "dnsmasq-base", for: "DNS of the pods" },
  { binary: "tcpdump", debianPackage: "tcpdump", for: "captures on the wire" },
  { binary: "sysctl", debianPackage: "procps", for: "settings of the pods" },
  { binary: "setpriv", debianPackage: "util-linux", for: "users of the pods" },
  { binary: "wget", debianPackage: "wget", for: "HTTP client peer" },
  { binary: "nginx", debianPackage: "nginx", for: "HTTP server peer" },
  { binary: "redis-server", debianPackage: "redis-server", for: "peer whose clients speak first" },
  { binary: "psql", debianPackage: "postgresql", for: "peer whose clients speak first" },
  { binary: "mariadbd", debianPackage: "mariadb-server", for: "peer whose server speaks first" },
];

/** Each half of the suite is to stay under this; a run that hangs is ended so that CI can say so. */
const suiteDeadlineMs = 9.5 * 60_000;

/** A tool that is no program is named by one of its files. */
function present(binary: string): boolean {
  if (binary.startsWith("/")) return existsSync(binary);
  return spawnSync("sh", ["-c", `command -v ${binary}`], { stdio: "ignore" }).status === 0;
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** Debian asks this program before a package starts its service. What the tests use of a service they start themselves. */
const startPolicy = "/usr/sbin/policy-rc.d";
const mayNotStart = "#!/bin/sh\nexit 101\n";

function install(missing: readonly Tool[]): void {
  const packages = missing.map((tool) => tool.debianPackage);
  process.stdout.write(`Installing for the tests: ${packages.join(" ")}\n`);
  const hasPolicy = existsSync(startPolicy);
  if (!hasPolicy) writeFileSync(startPolicy, mayNotStart, { mode: 0o755 });
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const quiet = { stdio: ["ignore", "ignore", "inherit"] as const, env };
  spawnSync("apt-get", ["update", "-qq"], { ...quiet, stdio: [...quiet.stdio] });
  const done = spawnSync(
    "apt-get",
    ["install", "-y", "-qq", "--no-install-recommends", ...packages],
    { ...quiet, stdio: [...quiet.stdio] },
  );
  if (!hasPolicy) rmSync(startPolicy, { force: true });
  if (done.status !== 0) {
    process.stdout.write(
      `Installing failed (exit ${String(done.status)}); tests say what they miss\n`,
    );
  }
}

/** Says why, where the tier of network namespaces is left out. */
function prepare(): { readonly namespaces: boolean } {
  const wanted = isRoot() ? [...tools, ...namespaceTools] : tools;
  const missing = wanted.filter((tool) => !present(tool.binary));
  if (missing.length > 0 && isRoot() && present("apt-get")) install(missing);
  for (const tool of tools.filter(({ binary }) => !present(binary))) {
    process.stdout.write(
      `Left out: tests that need ${tool.binary} (${tool.for}); install the Debian package ${tool.debianPackage}\n`,
    );
  }
  const why = whyNoNamespaceTier();
  if (why !== undefined) process.stdout.write(`Left out: network namespaces: ${why}\n`);
  const last = why === undefined ? ", network namespaces" : "";
  process.stdout.write(
    `Tiers: unit, golden, integration on loopback, end to end, real peers${last}\n`,
  );
  return { namespaces: why === undefined };
}

function whyNoNamespaceTier(): string | undefined {
  const missing = namespaceTools.filter(({ binary }) => !present(binary));
  if (isRoot() && missing.length > 0) {
    return `needs the Debian packages ${missing.map((tool) => tool.debianPackage).join(" ")}`;
  }
  return whyNoNamespaces();
}

type Counts = { passed: number; failed: number; skipped: number };

/** AVA marks each test with a sign; what happens outside of tests only shows in its summary and is a failure of its own. */
function count(line: string, counts: Counts): void {
  const text = stripVTControlCharacters(line).trim();
  if (/^✔ /.test(text)) counts.passed += 1;
  else if (/^✘ \[fail\]/.test(text)) counts.failed += 1;
  else if (/^- \[skip\]/.test(text)) counts.skipped += 1;
  const outside =
    /^([0-9]+) (uncaught exceptions?|unhandled rejections?|tests? (remaining|timed out))/.exec(
      text,
    );
  if (outside !== null) counts.failed += Number(outside[1]);
}

/** Tests that start whole processes and hold them to promised times: they run one after the other, so that each measures the product and not its neighbour. */
const processTests = [
  "test/e2e/**/*.test.ts",
  "test/sidecar/sidecar-*.test.ts",
  "test/sidecar/*-process.test.ts",
  "test/app/secure-control-plane.test.ts",
  "test/policy-service/**/*.test.ts",
];

/** Pods of network namespaces, on machines that have them. One after the other for the same reason. */
const namespaceTests = "test/netns/**/*.test.ts";

/** Where the kernel is not called, connections are Node's sockets: the data plane does the same over them. */
const dataPlaneTests = "test/proxy/**/*.test.ts";

async function runAva(
  args: readonly string[],
  counts: Counts,
  sockets: "kernel" | "node" = "kernel",
): Promise<number> {
  const child = spawn("ava", args, {
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      ...process.env,
      NODE_OPTIONS: "--disable-warning=ExperimentalWarning",
      WEFT_TEST_SOCKETS: sockets,
    },
  });
  const deadline = setTimeout(() => {
    process.stdout.write(
      `The tests took longer than ${suiteDeadlineMs / 60_000} minutes; stopping them\n`,
    );
    child.kill("SIGTERM");
  }, suiteDeadlineMs);
  const ended = new Promise<number>((resolve) => {
    child.once("close", (code) => {
      resolve(code ?? 1);
    });
  });
  for await (const line of createInterface({ input: child.stdout })) {
    process.stdout.write(`${line}\n`);
    count(line, counts);
  }
  const code = await ended;
  clearTimeout(deadline);
  return code;
}

async function runTiers(
  chosen: readonly string[],
  namespaces: boolean,
  counts: Counts,
): Promise<number> {
  if (chosen.length > 0) return runAva(chosen, counts);
  const others = [...processTests, namespaceTests].map((pattern) => `!${pattern}`);
  const first = await runAva(["test/**/*.test.ts", ...others], counts);
  const serial = namespaces ? [...processTests, namespaceTests] : processTests;
  const second = await runAva(["--concurrency=1", "--serial", ...serial], counts);
  process.stdout.write("The data plane over Node's sockets\n");
  const third = await runAva([dataPlaneTests], counts, "node");
  return [first, second, third].find((code) => code !== 0) ?? 0;
}

const { namespaces } = prepare();
const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
const code = await runTiers(process.argv.slice(2), namespaces, counts);
// A crash before any test leaves no count; it must not read as "0 failed".
const failed = code !== 0 && counts.failed === 0 ? 1 : counts.failed;
const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
process.stdout.write(`${counts.passed} passed, ${failed} failed${skipped}\n`);
process.exitCode = code === 0 && counts.passed > 0 ? 0 : 1;
