/**
 * What a large mesh costs the policy service: the most memory that the process has ever held with 10,000 routes over 1,000 Services, all of them
 * watched, and after a change. The goal is 300 MB; the exit code says whether it was met.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import {
  OutboundPolicies,
  type OutboundPolicy,
  TrafficSpecSchema,
} from "../../src/core/wire/gen/linkerd/outbound_pb.ts";
import { openChannel } from "../../src/edge/grpc/client.ts";
import { type Reader, read, workload } from "../../test/policy-service/harness.ts";
import { conditions } from "../codec/machine.ts";

const main = fileURLToPath(new URL("../../src/app/main.ts", import.meta.url));

const services = 1_000;
const routesPerService = 10;
const servicesPerFile = 10;

/** 300 MB, in the unit of /proc. */
const limitKiB = 300_000_000 / 1_024;

function manifestsOf(service: number): string {
  const ip = `10.96.${service >> 8}.${service & 255}`;
  const routes = Array.from(
    { length: routesPerService },
    (_, at) => `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: r${service}-${at}, namespace: demo }
spec:
  parentRefs: [{ group: "", kind: Service, name: s${service}, port: 8080 }]
  rules:
    - matches: [{ path: { value: /api/${at} }, headers: [{ name: x-version, value: "${at}" }] }]
      filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: x-route, value: r${at} }] } }]
      timeouts: { request: 5s }
      retry: { codes: [503], attempts: 2 }
      backendRefs:
        - { name: s${service}, port: 8080, weight: 9 }
        - { name: s${(service + 1) % services}, port: 8080 }
`,
  );
  return `---
apiVersion: v1
kind: Service
metadata: { name: s${service}, namespace: demo }
spec: { clusterIP: ${ip}, ports: [{ name: http, port: 8080 }] }
${routes.join("")}`;
}

function manifests(from: number, to: number): string {
  return Array.from({ length: to - from }, (_, at) => manifestsOf(from + at)).join("");
}

async function writeWorld(dir: string): Promise<void> {
  for (let first = 0; first < services; first += servicesPerFile) {
    await writeFile(join(dir, `${first}.yaml`), manifests(first, first + servicesPerFile));
  }
}

async function addressOf(child: ChildProcess): Promise<string> {
  if (child.stderr === null) throw new Error("the process has no log");
  for await (const text of createInterface(child.stderr)) {
    if (!text.includes('"event":"serving"')) continue;
    return (JSON.parse(text) as { readonly policy: string }).policy;
  }
  throw new Error("the process ended before it served");
}

/** The most that the process has ever held. */
async function peakKiB(child: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${child.pid}/status`, "utf8");
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]);
}

const dir = await mkdtemp(join(tmpdir(), "weft-memory-"));
await writeWorld(dir);
const address = "127.0.0.1:0";
const child = spawn(process.execPath, [main, "policy", "--source", `files:${dir}`], {
  env: {
    PATH: process.env["PATH"] ?? "",
    WEFT_POLICY_LISTEN_ADDR: address,
    WEFT_DESTINATION_LISTEN_ADDR: address,
    WEFT_ADMIN_LISTEN_ADDR: address,
  },
  stdio: ["ignore", "inherit", "pipe"],
});
const channel = openChannel(await addressOf(child));
child.stderr.resume();
const readers: Reader<OutboundPolicy>[] = [];
for (let service = 0; service < services; service++) {
  const target = { case: "authority", value: `s${service}:8080` } as const;
  const request = create(TrafficSpecSchema, { sourceWorkload: workload, target });
  readers.push(read(channel, OutboundPolicies.method.watch, request));
}
await Promise.all(readers.map((reader) => reader.next()));
const watchedKiB = await peakKiB(child);

const changed = manifestsOf(0).replaceAll("weight: 9", "weight: 8");
await writeFile(join(dir, ".next"), changed + manifests(1, servicesPerFile));
await rename(join(dir, ".next"), join(dir, "0.yaml"));
await readers[0]?.next();
const changedKiB = await peakKiB(child);
for (const reader of readers) reader.close();
channel.close();
child.kill("SIGKILL");
await rm(dir, { recursive: true });
console.log(
  JSON.stringify({
    ...conditions(),
    services,
    routes: services * routesPerService,
    watchedKiB,
    changedKiB,
    limitKiB,
  }),
);
process.exitCode = changedKiB < limitKiB ? 0 : 1;
