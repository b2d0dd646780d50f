/** `weft sidecar`, main thread: settings → ports → workers → identity → watches → ready → a signal → drain → the end. */
import { readFileSync } from "node:fs";
import type { SecureContext } from "node:tls";
import { type Address, formatAddress } from "../config/env.ts";
import type { SidecarConfig } from "../config/sidecar.ts";
import { describeFaults, type Result } from "../core/std/result.ts";
import { type GrpcChannel, openChannel } from "../edge/grpc/client.ts";
import { type ChannelTls, MeshChannelCredentials } from "../edge/grpc/mesh-credentials.ts";
import { CredentialSlot } from "../edge/identity/credential-slot.ts";
import { type IdentityRotation, rotateIdentity } from "../edge/identity/rotate-identity.ts";
import { watchAnchors } from "../edge/identity/trust-anchors.ts";
import { fetchKeySet, readKeySetFile } from "../edge/jwt/read-key-set.ts";
import { makeLookUp } from "../edge/net/dns.ts";
import { anchorsContext } from "../edge/net/mesh-tls.ts";
import { type Admin, startAdmin } from "../edge/process/admin.ts";
import { writeCompiled } from "../edge/process/compile-cache.ts";
import { awaitStop } from "../edge/process/signal.ts";
import { collectGarbage, dropProgramPages, trimAllocator } from "../edge/process/spare-memory.ts";
import { type Log, makeLog } from "../edge/telemetry/log.ts";
import { parseTrustAnchors } from "../edge/x509/pem.ts";
import { adminPages } from "../sidecar/admin.ts";
import { ControlService } from "../sidecar/control-service.ts";
import { Discovery } from "../sidecar/discovery.ts";
import { isLoopback } from "../sidecar/follow-hosts.ts";
import { KeyFollower } from "../sidecar/follow-keys.ts";
import { settleListenPorts } from "../sidecar/listen-ports.ts";
import { endThreads, type ShardEntry, type ShardThread } from "../sidecar/shard-thread.ts";
import { missingIn, type SidecarView } from "../sidecar/sidecar-view.ts";
import { SpanExport } from "../sidecar/span-export.ts";
import { every, systemSurroundings as surroundings } from "../sidecar/surroundings.ts";
import { EndpointWatches } from "../sidecar/watch-endpoints.ts";
import { watchInbound } from "../sidecar/watch-inbound.ts";
import { Workers } from "../sidecar/workers.ts";
import type { WorkerSettings } from "../thread/messages.ts";

const name = "weft-sidecar";
/** The settings cannot be used: starting again changes nothing. */
const unusable = 64;
const failed = 1;
/** How exact the time of the log line "ready" is. */
const readyPollMs = 5;
/** From ready on: the streams have brought their first answers, and the workers have looked twice whether they are idle. */
const settledMs = 2_500;

const manifest: { readonly version: string } = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
);

/** What the workers run, and their threads, which load it meanwhile. */
export type DataPlane = {
  readonly entry: ShardEntry;
  readonly threads: readonly ShardThread[];
};

export async function runSidecar(
  read: Result<SidecarConfig>,
  dataPlane: DataPlane,
): Promise<number> {
  if (!read.ok) return invalid(describeFaults(read.faults));
  const config = read.value;
  const anchors = parseTrustAnchors(config.trustAnchors);
  if (!anchors.ok) {
    await endThreads(dataPlane.threads);
    return invalid(`trust anchors: ${describeFaults(anchors.faults)}`);
  }
  const log = makeLog({ level: config.logLevel, name });

  // Signals count from here on: one that comes while the ports open must not end the process halfway.
  const stopped = awaitStop();
  const ports = await settleListenPorts(listenAddresses(config));
  if (!ports.ok) {
    log.error("not_listening", { faults: describeFaults(ports.faults) });
    await endThreads(dataPlane.threads);
    return failed;
  }
  const sidecar = assembleSidecar(config, {
    anchors: anchors.value,
    addresses: ports.value.addresses,
    log,
    ...dataPlane,
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
    log.info("ready", boundAddresses(config, ports.value.addresses, admin.value));
    // A container that is killed does not write it at its end.
    writeCompiled();
    giveBackMemory();
  });

  const end = await Promise.race([stopped, gaveUp]);
  callOffReady();
  if (end !== "gave-up") {
    log.info("draining", { signal: end, ...config.shutdown });
    log.info("drained", await workers.drain(config.shutdown));
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
  return [...outboundListen, inboundListen, ...inboundForwards.map(({ listen }) => listen)];
}

/** The addresses stand in the order of `listenAddresses`. */
function workerSettings(config: SidecarConfig, addresses: readonly Address[]): WorkerSettings {
  const kinds = [...config.outboundListen.map(() => "outbound" as const), "inbound-mesh" as const];
  return {
    listeners: addresses.map((address, at) => ({ kind: kinds[at] ?? "inbound-port", ...address })),
    forwards: config.inboundForwards.map(({ application }, at) => ({
      port: addresses[kinds.length + at]?.port ?? 0,
      host: application.host,
      hostPort: application.port,
    })),
    ...(config.redirect === undefined ? {} : { redirect: config.redirect }),
    clusterDomain: config.clusterDomain,
    namespace: config.workload.namespace,
    workers: config.workers,
    limits: config.limits,
    decisionHeader: config.decisionHeader,
    accessLog: config.accessLog,
    ...(config.tracing === undefined ? {} : { traceSampleRatio: config.tracing.sampleRatio }),
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
  readonly threads?: readonly ShardThread[];
};

export type Sidecar = { readonly view: SidecarView; readonly close: () => Promise<void> };

/** Puts the parts together. Streams and the first certificate are asked for at once; workers wait for `start`. */
export function assembleSidecar(config: SidecarConfig, parts: SidecarParts): Sidecar {
  const { anchors, addresses, log, entry, threads = [] } = parts;
  const settings = workerSettings(config, addresses);
  const plane = openControlPlane(config, anchors, log);
  const { policy, destination } = plane;
  const spans = startSpanExport(config, plane, log);
  const workers = new Workers({
    entry,
    threads,
    count: config.workers,
    settings,
    sockets: config.sockets,
    log,
    surroundings,
    onDiscover: (target) => discovery.discover(target),
    onPortWanted: (port) => inbound.want(port),
    onUsed: (targets) => discovery.used(targets),
    onKeysWanted: (source) => keys.want(source),
    onSpans: (batch) => spans?.take(batch),
  });
  const told = { surroundings, publisher: workers, log };
  const keys = new KeyFollower({
    ...told,
    read: ({ from, location }) =>
      from === "file" ? readKeySetFile(location) : fetchKeySet(location),
  });
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
  const discovery = new Discovery({
    ...told,
    service: policy,
    endpoints,
    profiles: { service: destination, context: config.destinationContext },
    workload,
    idleMs,
  });
  const identity = startIdentity(config, { plane, anchors, workers, log });
  const ports = new Set([...settings.forwards.map(({ port }) => port), ...config.inboundPorts]);
  const inbound = watchInbound(
    {
      ...told,
      service: policy,
      workload,
      onTable: (port, table) => keys.follow(port, table),
    },
    ports,
  );
  const services = [policy, destination];
  const seen = { services, workers, identity, inbound, discovery, endpoints, spans };
  return {
    view: { version: manifest.version, surroundings, ...seen },
    async close() {
      for (const one of [identity, inbound, keys, discovery, ...services, plane.identity])
        one.close();
      await workers.close();
      await spans?.close();
    },
  };
}

/** Undefined: nothing is traced, and nothing that traces is loaded. */
function startSpanExport(
  { tracing }: SidecarConfig,
  { shown }: ControlPlane,
  log: Log,
): SpanExport | undefined {
  if (tracing === undefined) return undefined;
  const { collectorName: serverName, serviceName, resource } = tracing;
  const collector = formatAddress(tracing.collector);
  const context = (): Promise<SecureContext> => shown.context();
  return new SpanExport({
    collector,
    log,
    timers: surroundings.timers,
    async open(events) {
      const { openOtlpSink } = await import("../sidecar/otlp-sink.ts");
      const credentials =
        serverName === undefined ? undefined : new MeshChannelCredentials({ serverName, context });
      const { version } = manifest;
      return openOtlpSink({ collector, credentials, serviceName, resource, version }, events);
    },
  });
}

type ControlPlane = {
  readonly policy: ControlService;
  readonly destination: ControlService;
  readonly identity: GrpcChannel;
  /** What we prove ourselves with to the first two. */
  readonly shown: CredentialSlot;
  /** Other trust anchors from the next connection on. */
  readonly trust: (anchors: readonly string[]) => void;
};

function openControlPlane(
  config: SidecarConfig,
  anchors: readonly string[],
  log: Log,
): ControlPlane {
  const { serviceNames } = config;
  const shown = new CredentialSlot();
  let trusted = anchors;
  const withOurs = (): Promise<SecureContext> => shown.context();
  // Who asks for a first certificate has none to show.
  const without = async (): Promise<SecureContext> => anchorsContext(trusted.join(""));
  const tlsTo = (
    serverName: string | undefined,
    context: ChannelTls["context"],
  ): ChannelTls | undefined => (serverName === undefined ? undefined : { serverName, context });
  // The first request of the application is not to wait until the control plane has been connected to.
  const keptOpen = (address: Address, serverName: string | undefined): GrpcChannel =>
    openChannel(formatAddress(address), { tls: tlsTo(serverName, withOurs), isKeptOpen: true });
  const policy = keptOpen(config.policyService, serviceNames.policy);
  const destination = keptOpen(config.destinationService, serviceNames.destination);
  // Asked at the start anyway, and then seldom.
  const identity = openChannel(formatAddress(config.identityService), {
    tls: tlsTo(serviceNames.identity, without),
  });
  return {
    policy: new ControlService("policy", policy, log),
    destination: new ControlService("destination", destination, log),
    identity,
    shown,
    trust: (newer) => {
      trusted = newer;
    },
  };
}

type IdentityParts = {
  readonly plane: ControlPlane;
  readonly anchors: readonly string[];
  readonly workers: Workers;
  readonly log: Log;
};

function startIdentity(
  config: SidecarConfig,
  { plane, anchors, workers, log }: IdentityParts,
): IdentityRotation {
  const { identityName: name, tokenFile, trustAnchorsFile: file, trustAnchors: text } = config;
  const rotation = rotateIdentity({
    surroundings,
    log,
    name,
    trustAnchors: anchors,
    tokenFile,
    channel: plane.identity,
    publish: (credentials) => {
      const revision = workers.nextRevision();
      workers.publish({ kind: "identity", revision, name, ...credentials });
      plane.shown.put(credentials);
      return revision;
    },
  });
  const onChange = (newer: readonly string[]): void => {
    plane.trust(newer);
    rotation.trust(newer);
  };
  const { timers } = surroundings;
  // Anchors that came in the environment stay what they are.
  const stop = file === undefined ? undefined : watchAnchors({ file, text, timers, log, onChange });
  return {
    ...rotation,
    close() {
      stop?.();
      rotation.close();
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

/** What only the start needed. The workers give back theirs by themselves, a little earlier. */
function giveBackMemory(): void {
  setTimeout(() => {
    collectGarbage();
    trimAllocator();
    dropProgramPages();
  }, settledMs).unref();
}

function boundAddresses(
  { outboundListen }: SidecarConfig,
  addresses: readonly Address[],
  admin: Admin,
): Record<string, unknown> {
  const texts = addresses.map(formatAddress);
  const [inbound, ...forwards] = texts.slice(outboundListen.length);
  const outbound = texts.slice(0, outboundListen.length).join(",");
  return { outbound, inbound, forwards, admin: formatAddress(admin.address) };
}
