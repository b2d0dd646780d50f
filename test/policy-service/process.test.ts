import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import test from "ava";
import {
  OutboundPolicies,
  TrafficSpecSchema,
} from "../../src/core/wire/gen/linkerd/outbound_pb.ts";
import { callUnary, openChannel } from "../../src/edge/grpc/client.ts";
import { mesh } from "./files.ts";

const main = fileURLToPath(new URL("../../src/app/main.ts", import.meta.url));

const freePorts = {
  WEFT_POLICY_LISTEN_ADDR: "127.0.0.1:0",
  WEFT_DESTINATION_LISTEN_ADDR: "127.0.0.1:0",
  WEFT_ADMIN_LISTEN_ADDR: "127.0.0.1:0",
};

type Line = { readonly event: string; readonly faults?: string; readonly policy?: string };

/** `weft policy` with these settings, and its log. */
function startProcess(
  source: string,
  env: Readonly<Record<string, string>>,
): { readonly child: ChildProcess; readonly lines: AsyncIterable<Line> } {
  const child = spawn(process.execPath, [main, "policy", "--source", source], {
    env: { PATH: process.env["PATH"] ?? "", ...freePorts, ...env },
    stdio: ["ignore", "inherit", "pipe"],
  });
  return { child, lines: parseLines(child) };
}

/** Lines that are not JSON are Node's own warnings. */
async function* parseLines(child: ChildProcess): AsyncIterable<Line> {
  if (child.stderr === null) return;
  for await (const line of createInterface(child.stderr)) {
    if (line.startsWith("{")) yield JSON.parse(line) as Line;
  }
}

async function find(lines: AsyncIterable<Line>, event: string): Promise<Line> {
  for await (const line of lines) {
    if (line.event === event) return line;
  }
  throw new Error(`the process ended without the line ${event}`);
}

async function exitCode(child: ChildProcess): Promise<unknown> {
  if (child.exitCode === null) await once(child, "exit");
  return child.exitCode;
}

test("weft policy says where it listens, serves, and ends with 0 on SIGTERM", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "weft-policy-"));
  await writeFile(join(dir, "mesh.yaml"), mesh);
  const { child, lines } = startProcess(`files:${dir}`, {});
  t.teardown(() => {
    child.kill("SIGKILL");
    return rm(dir, { recursive: true });
  });
  const { policy = "" } = await find(lines, "serving");
  const channel = openChannel(policy);
  const request = create(TrafficSpecSchema, {
    sourceWorkload: "demo:web-1",
    target: { case: "authority", value: "a:8080" },
  });
  const { method } = OutboundPolicies;
  const answer = await callUnary(channel, method.get, request, { deadlineMs: 5_000 });
  channel.close();
  t.true(answer.ok);
  child.kill("SIGTERM");
  t.is(await exitCode(child), 0);
});

const unusable = test.macro({
  exec: async (t, source: string, env: Readonly<Record<string, string>>, faults: string) => {
    const { child, lines } = startProcess(source, env);
    t.teardown(() => child.kill("SIGKILL"));
    t.is((await find(lines, "config_invalid")).faults, faults);
    t.is(await exitCode(child), 64);
  },
  title: (given) => `weft policy ends with 64 ${given}`,
});
test(
  "for a source that does not exist",
  unusable,
  "kubernetes",
  {},
  'source: use "files:DIR", a folder of YAML and JSON files: there is no source "kubernetes"',
);
test(
  "for a folder that does not exist",
  unusable,
  "files:/no/such/folder",
  {},
  'source: create the folder "/no/such/folder", or name another',
);
test(
  "and names every bad variable",
  unusable,
  "files:",
  { WEFT_DEFAULT_INBOUND_POLICY: "open", WEFT_CLUSTER_NETWORKS: "10.0.0.0/33" },
  'WEFT_CLUSTER_NETWORKS: set networks such as "10.0.0.0/8" or "fd00::/8" instead of "10.0.0.0/33"; WEFT_DEFAULT_INBOUND_POLICY: set one of "deny", "audit", "all-unauthenticated", "all-authenticated", "cluster-unauthenticated", "cluster-authenticated" instead of "open"; source: name the folder: "files:DIR", a folder of YAML and JSON files',
);
