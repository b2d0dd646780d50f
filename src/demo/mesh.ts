/**
 * A whole mesh on this machine: policy service, identity issuer, and for each pod an application and its sidecar, as separate processes that
 * know nothing of each other but addresses. The end-to-end tests start the same mesh.
 */
import type { ChildProcess } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { identityName } from "../core/model/identity.ts";
import { signServiceAccountToken } from "../edge/x509/token-signer.ts";
import {
  applicationPort,
  type DemoLayout,
  type DemoPod,
  defaultBase,
  namespace,
  ports,
} from "./layout.ts";
import { type ProcessSpec, type Running, startProcess } from "./processes.ts";

export type MeshOptions = {
  readonly layout: DemoLayout;
  /** Everything that the mesh writes lies below it: policy/, identity/, tokens/, logs/. */
  readonly workFolder: string;
  /** The resources to start from; copied, so that trying things out does not change them. */
  readonly resourceFolder: string;
  /** How to run `weft`: binary and leading arguments. */
  readonly command: readonly string[];
  readonly workers: number;
  readonly onProgress: (line: string) => void;
  readonly onUnexpectedExit: (name: string, detail: string) => void;
  /** Ends the start half-way; what was started is stopped. */
  readonly signal: AbortSignal;
};

export type Mesh = {
  readonly layout: DemoLayout;
  readonly policyFolder: string;
  readonly logFolder: string;
  readonly processes: ReadonlyMap<string, Running>;
  /** Starts a process of the mesh again, after it was stopped. */
  readonly restart: (name: string) => Promise<void>;
  readonly stop: () => Promise<void>;
};

const trustDomain = "cluster.local";
const controlNamespace = "weft";
const tokenAudience = "identity.l5d.io";
const tokenLifetimeSeconds = 86_400;

export function podIdentity(pod: DemoPod): string {
  return identityName({
    serviceAccount: pod.serviceAccount,
    namespace,
    controlNamespace,
    trustDomain,
  });
}

/** Copies YAML into a folder, with the addresses of this demo in place of those that the file was written with. */
export function copyResource(from: string, folder: string, base: string): void {
  const text = readFileSync(from, "utf8").replaceAll(`${defaultBase}.`, `${base}.`);
  writeFileSync(path.join(folder, path.basename(from)), text);
}

export async function startMesh(options: MeshOptions): Promise<Mesh> {
  const { layout, workFolder } = options;
  const policyFolder = path.join(workFolder, "policy");
  const logFolder = path.join(workFolder, "logs");
  mkdirSync(logFolder, { recursive: true });
  mkdirSync(policyFolder, { recursive: true });
  for (const file of readdirSync(options.resourceFolder)) {
    copyResource(path.join(options.resourceFolder, file), policyFolder, layout.base);
  }
  makeTokens(options);
  const specs = processSpecs(options, policyFolder);
  const processes = new Map<string, Running>();
  const children = killOnExit();
  const start = async (spec: ProcessSpec): Promise<void> => {
    const running = await startProcess(spec, {
      command: options.command,
      logFolder,
      onUnexpectedExit: options.onUnexpectedExit,
      onSpawn: (child) => {
        children.add(child);
        child.once("exit", () => children.delete(child));
      },
      signal: options.signal,
    });
    processes.set(spec.name, running);
    options.onProgress(`${spec.name.padEnd(20)} ready   ${spec.purpose}`);
  };
  const stop = async (): Promise<void> => {
    // Sidecars and applications first: they then end while their control plane still answers.
    const running = [...processes.values()];
    await Promise.all(
      running.filter(({ name }) => !isControl(name)).map((one) => one.stop("SIGTERM")),
    );
    await Promise.all(
      running.filter(({ name }) => isControl(name)).map((one) => one.stop("SIGTERM")),
    );
  };
  try {
    // Sidecars need the trust anchors, which the issuer makes on its first start.
    await Promise.all(specs.filter(({ name }) => isControl(name)).map(start));
    await Promise.all(specs.filter(({ name }) => !isControl(name)).map(start));
  } catch (error) {
    await stop();
    for (const child of children) child.kill("SIGKILL");
    throw error;
  }
  const restart = async (name: string): Promise<void> => {
    const spec = specs.find((candidate) => candidate.name === name);
    if (spec === undefined) throw new Error(`Restart "${name}": there is no such process`);
    await start(spec);
  };
  return { layout, policyFolder, logFolder, processes, restart, stop };
}

/** A fault of whoever started the mesh must not leave its processes behind. */
function killOnExit(): Set<ChildProcess> {
  const children = new Set<ChildProcess>();
  process.once("exit", () => {
    for (const child of children) child.kill("SIGKILL");
  });
  return children;
}

function isControl(name: string): boolean {
  return name === "policy" || name === "identity";
}

/** Plays the part of Kubernetes, which signs a token for each service account and mounts it into the pod. */
function makeTokens(options: MeshOptions): void {
  const folder = path.join(options.workFolder, "tokens");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  writeFileSync(
    path.join(folder, "signer.pub"),
    publicKey.export({ type: "spki", format: "pem" }).toString(),
  );
  for (const pod of options.layout.pods) {
    const token = signServiceAccountToken({
      key: privateKey,
      namespace,
      serviceAccount: pod.serviceAccount,
      audience: tokenAudience,
      lifetimeSeconds: tokenLifetimeSeconds,
      nowSeconds: Math.floor(Date.now() / 1000),
    });
    writeFileSync(path.join(folder, `${pod.name}.jwt`), token, { mode: 0o600 });
  }
}

function processSpecs(options: MeshOptions, policyFolder: string): ProcessSpec[] {
  const { layout, workFolder } = options;
  const control = layout.controlIp;
  const identity: ProcessSpec = {
    name: "identity",
    purpose: "certificate issuer",
    args: ["identity"],
    readyUrl: `http://${control}:9991/ready`,
    env: {
      WEFT_IDENTITY_LISTEN_ADDR: `${control}:${ports.identity}`,
      WEFT_ADMIN_LISTEN_ADDR: `${control}:9991`,
      WEFT_IDENTITY_ISSUER_DIR: path.join(workFolder, "identity"),
      WEFT_IDENTITY_TOKEN_KEYS_FILE: path.join(workFolder, "tokens", "signer.pub"),
      WEFT_IDENTITY_TRUST_DOMAIN: trustDomain,
      WEFT_CONTROL_NAMESPACE: controlNamespace,
    },
  };
  const policy: ProcessSpec = {
    name: "policy",
    purpose: `policy service, reads ${policyFolder}`,
    args: ["policy", "--source", `files:${policyFolder}`],
    readyUrl: `http://${control}:9990/ready`,
    env: {
      WEFT_POLICY_LISTEN_ADDR: `${control}:${ports.policy}`,
      WEFT_DESTINATION_LISTEN_ADDR: `${control}:${ports.destination}`,
      WEFT_ADMIN_LISTEN_ADDR: `${control}:9990`,
      WEFT_IDENTITY_TRUST_DOMAIN: trustDomain,
      WEFT_CONTROL_NAMESPACE: controlNamespace,
    },
  };
  return [
    identity,
    policy,
    ...layout.pods.flatMap((pod) => [applicationSpec(pod), sidecarSpec(options, pod)]),
  ];
}

function applicationSpec(pod: DemoPod): ProcessSpec {
  return {
    name: pod.name,
    purpose: `application, answers "PODINFO_UI_MESSAGE=${pod.message}"`,
    args: ["demo", "application"],
    readyUrl: `http://${pod.applicationIp}:${applicationPort}/healthz`,
    env: {
      HOST: pod.applicationIp,
      PORT: String(applicationPort),
      PODINFO_UI_MESSAGE: pod.message,
      BACKEND_URL: pod.backendUrl,
      http_proxy: `http://${pod.ip}:${ports.outbound}`,
    },
  };
}

function sidecarSpec(options: MeshOptions, pod: DemoPod): ProcessSpec {
  const { layout, workFolder } = options;
  return {
    name: `${pod.name}-sidecar`,
    purpose: `out ${pod.ip}:${ports.outbound}, in ${pod.ip}:${ports.inbound}, admin ${pod.ip}:${ports.admin}`,
    args: ["sidecar"],
    readyUrl: `http://${pod.ip}:${ports.admin}/ready`,
    env: {
      WEFT_POLICY_SVC_ADDR: `${layout.controlIp}:${ports.policy}`,
      WEFT_DESTINATION_SVC_ADDR: `${layout.controlIp}:${ports.destination}`,
      WEFT_IDENTITY_SVC_ADDR: `${layout.controlIp}:${ports.identity}`,
      WEFT_POLICY_WORKLOAD: JSON.stringify({ ns: namespace, pod: `${pod.name}-1` }),
      WEFT_IDENTITY_LOCAL_NAME: podIdentity(pod),
      WEFT_IDENTITY_TRUST_ANCHORS_FILE: path.join(workFolder, "identity", "ca.crt"),
      WEFT_IDENTITY_TOKEN_FILE: path.join(workFolder, "tokens", `${pod.name}.jwt`),
      WEFT_OUTBOUND_LISTEN_ADDR: `${pod.ip}:${ports.outbound}`,
      WEFT_INBOUND_LISTEN_ADDR: `${pod.ip}:${ports.inbound}`,
      WEFT_ADMIN_LISTEN_ADDR: `${pod.ip}:${ports.admin}`,
      WEFT_INBOUND_FORWARDS: `${pod.ip}:${applicationPort}=${pod.applicationIp}:${applicationPort}`,
      WEFT_SHUTDOWN_GRACE_PERIOD: "5s",
      // When the demo ends, nobody is left who could learn of other endpoints.
      WEFT_SHUTDOWN_QUIET_TIME: "0s",
      ...(options.workers === 0 ? {} : { WEFT_WORKERS: String(options.workers) }),
    },
  };
}
