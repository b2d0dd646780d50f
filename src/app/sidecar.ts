/** `weft sidecar`, main thread: settings → ports → workers → identity → watches → ready → a signal → drain → the end. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { type Address, type Environment, formatAddress } from "../config/env.ts";
import { readSidecarConfig, type SidecarConfig } from "../config/sidecar.ts";
import { describeFaults } from "../core/std/result.ts";
import { type GrpcChannel, openChannel } from "../edge/grpc/client.ts";
import { makeLookUp } from "../edge/net/dns.ts";
import { type Admin, startAdmin } from "../edge/process/admin.ts";
import { awaitStop } from "../edge/process/signal.ts";
import { type Log, makeLog } from "../edge/telemetry/log.ts";
import { parseTrustAnchors } from "../edge/x509/pem.ts";
import { adminPages } from "../sidecar/admin.ts";
import { ControlService } from "../sidecar/control-service.ts";
import { Discovery } from "../sidecar/discovery.ts";
import { isLoopback } from "../sidecar/follow-hosts.ts";
import { settleListenPorts } from "../sidecar/listen-ports.ts";
import { rotateIdentity } from "../sidecar/rotate-identity.ts";
import { missingIn, type SidecarView } from "../sidecar/sidecar-view.ts";
import { every, systemSurroundings as surroundings } from "../sidecar/surroundings.ts";
import { EndpointWatches } from "../sidecar/watch-endpoints.ts";
import { watchInbound } from "../sidecar/watch-inbound.ts";
import { type ShardEntry, Workers } from "../sidecar/workers.ts";
import type { WorkerSettings } from "../thread/messages.ts";

const name = "weft-sidecar";
/** The settings cannot be used: starting again changes nothing. */
const unusable = 64;
const failed = 1;
/** How exact the time of the log line "ready" is. */
const readyPollMs = 20;

const dataPlane: ShardEntry = {
  module: new URL("sidecar-worker.ts", import.meta.url).href,
  name: "runShard",
};
const manifest: { readonly version: string } = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
);

export async function runSidecar(environment: Environment): Promise<number> {
  const read = readSidecarConfig(environment, availableParallelism());
  if (!read.ok) return invalid(describeFaults(read.faults));
  const config = read.value;
  const anchors = parseTrustAnchors(config.trustAnchors);
  if (!anchors.ok) return invalid(`trust anchors: ${describeFaults(anchors.faults)}`);
  const log = makeLog({ level: config.logLevel, name });

  // Signals count from here on: one that comes while the ports open must not end the process halfway.
  const stopped = awaitStop();
  const ports = await settleListenPorts(listenAddresses(config));
  if (!ports.ok) {
    log.error("not_listening", { faults: describeFaults(ports.faults) });
    return failed;
  }
  const sidecar = assembleSidecar(config, {
    anchors: anchors.value,
    addresses: ports.value.addresses,
    log,
    entry: dataPlane,
  });
  const admin = await startAdmin({
    address: config.adminListen,
    routes: adminPages(sidecar.view),
    log,
  });
  if (!admin.ok) {
    log.error("admin_not_served", { faults: describeFaults(admin.faults) });
    await Promise.all([sidecar.close(), ports.value.release()]);
    return failed;
  }
  const { workers } = sidecar.view;
  workers.start();
  const gaveUp = workers.gaveUp.then(() => "gave-up" as const);
  await Promise.race([workers.allStarted, gaveUp, stopped]);
  await ports.value.release();
  const callOffReady = whenReady(sidecar.view, () => {
    log.info("ready", boundAddresses(ports.value.addresses, admin.value));
  });

  const end = await Promise.race([stopped, gaveUp]);
  callOffReady();
  if (end !== "gave-up") {
    log.info("draining", { signal: end, graceMs: config.shutdownGraceMs });
    log.info("drained", await workers.drain(config.shutdownGraceMs));
  }
  await Promise.all([sidecar.close(), admin.value.close()]);
  return end === "gave-up" ? failed : 0;
}

function invalid(faults: string): number {
  makeLog({ level: "info", name }).error("config_invalid", { faults });
  return unusable;
}

function listenAddresses(config: SidecarConfig): readonly Address[] {
  const { outboundListen, inboundListen, inboundForwards } = config;
  return [outboundListen, inboundListen, ...inboundForwards.map(({ listen }) => listen)];
}

/** The addresses stand in the order of `listenAddresses`. */
function workerSettings(config: SidecarConfig, addresses: readonly Address[]): WorkerSettings {
  const kinds = ["outbound", "inbound-mesh"] as const;
  return {
    listeners: addresses.map((address, at) => ({ kind: kinds[at] ?? "inbound-port", ...address })),
    forwards: config.inboundForwards.map(({ application }, at) => ({
      port: addresses[kinds.length + at]?.port ?? 0,
      host: application.host,
      hostPort: application.port,
    })),
    clusterDomain: config.clusterDomain,
    namespace: config.workload.namespace,
    workers: config.workers,
    limits: config.limits,
  };
}

export type SidecarParts = {
  /** PEM, one certificate each. */
  readonly anchors: readonly string[];
  /** Those of the configuration, with their ports settled: outbound, inbound, forwards. */
  readonly addresses: readonly Address[];
  readonly log: Log;
  /** What the workers run. */
  readonly entry: ShardEntry;
};

export type Sidecar = { readonly view: SidecarView; readonly close: () => Promise<void> };

/** Puts the parts together. Streams and the first certificate are asked for at once; workers wait for `start`. */
export function assembleSidecar(config: SidecarConfig, parts: SidecarParts): Sidecar {
  const { anchors, addresses, log, entry } = parts;
  const settings = workerSettings(config, addresses);
  const policy = new ControlService("policy", formatAddress(config.policyService), log);
  const destination = new ControlService(
    "destination",
    formatAddress(config.destinationService),
    log,
  );
  const channel: GrpcChannel = openChannel(formatAddress(config.identityService));
  const workers = new Workers({
    entry,
    count: config.workers,
    settings,
    log,
    surroundings,
    onDiscover: (target) => discovery.discover(target),
    onUsed: (targets) => discovery.used(targets),
  });
  const told = { surroundings, publisher: workers, log };
  const endpoints = new EndpointWatches({
    ...told,
    service: destination,
    context: config.destinationContext,
    onKnown: (authority) => discovery.endpointsKnown(authority),
    // Peers reach this sidecar over loopback alone: then they are all on this machine.
    names: { lookUp: makeLookUp(), allowsLoopback: isLoopback(config.inboundListen.host) },
  });
  const workload = config.workloadText;
  const idleMs = config.discoveryIdleMs;
  const discovery = new Discovery({ ...told, service: policy, endpoints, workload, idleMs });
  const { identityName, tokenFile } = config;
  const trusted = { name: identityName, trustAnchors: anchors, tokenFile, channel };
  const identity = rotateIdentity({ ...told, ...trusted });
  const ports = settings.forwards.map(({ port }) => port);
  const inbound = watchInbound({ ...told, service: policy, workload }, ports);
  const services = [policy, destination];
  const seen = { services, workers, identity, inbound, discovery, endpoints };
  return {
    view: { version: manifest.version, surroundings, ...seen },
    async close() {
      for (const one of [identity, inbound, discovery, ...services, channel]) one.close();
      await workers.close();
    },
  };
}

/** Calls back once, when nothing is missing; the answer calls it off. */
function whenReady(view: SidecarView, callback: () => void): () => void {
  const callOff = every(surroundings.timers, readyPollMs, () => {
    if (missingIn(view).length > 0) return;
    callOff();
    callback();
  });
  return () => callOff();
}

function boundAddresses(addresses: readonly Address[], admin: Admin): Record<string, unknown> {
  const [outbound, inbound, ...forwards] = addresses.map(formatAddress);
  return { outbound, inbound, forwards, admin: formatAddress(admin.address) };
}
