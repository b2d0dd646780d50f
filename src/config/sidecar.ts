/**
 * Settings of `weft sidecar`. Names are those of Linkerd's proxy with our prefix, wherever Linkerd has the setting; so are
 * the defaults, unless the reason beside one says otherwise. Limits of connections and requests hold for each worker,
 * because workers share nothing.
 */
import type { Workload } from "../core/model/workload.ts";
import { parseWorkload } from "../core/model/workload.ts";
import { formatIp, parseIp } from "../core/std/ip.ts";
import { describeFaults, type Result } from "../core/std/result.ts";
import { type Address, type Environment, EnvReader, type LogLevel } from "./env.ts";
import { defaultHttp2Settings, type Http2Settings, readHttp2Settings } from "./http2.ts";
import { controlAddress, readTrustAnchors, serviceName } from "./mesh-identity.ts";
import { readTracing, type TracingConfig } from "./tracing.ts";

export type SidecarConfig = {
  readonly policyService: Address;
  readonly destinationService: Address;
  readonly identityService: Address;
  readonly serviceNames: ServiceNames;
  readonly workload: Workload;
  /** As the policy service is told it: the text of the variable. */
  readonly workloadText: string;
  /** As the destination service is told it. */
  readonly destinationContext: string;
  readonly identityName: string;
  /** PEM bundle. */
  readonly trustAnchors: string;
  /** Where the bundle is from, and is read again; undefined: from the environment, for good. */
  readonly trustAnchorsFile: string | undefined;
  readonly tokenFile: string;
  /** One for each address family. */
  readonly outboundListen: readonly Address[];
  readonly inboundListen: Address;
  /** What redirect rules lead here; undefined: nothing. */
  readonly redirect: Redirect | undefined;
  /** Ports of the application whose policies are asked for at the start. */
  readonly inboundPorts: readonly number[];
  readonly adminListen: Address;
  readonly inboundForwards: readonly InboundForward[];
  readonly workers: number;
  /** Who reads and writes connections in plain text. */
  readonly sockets: SocketLayer;
  readonly clusterDomain: string;
  readonly shutdown: ShutdownLimits;
  readonly discoveryIdleMs: number;
  readonly limits: SidecarLimits;
  readonly logLevel: LogLevel;
  /** Which answers carry the id of their decision. */
  readonly decisionHeader: DecisionHeader;
  readonly accessLog: AccessLogFormat;
  /** Undefined: nothing is traced. */
  readonly tracing: TracingConfig | undefined;
};

type DecisionHeader = "off" | "errors" | "always";
type SocketLayer = "kernel" | "node";
type AccessLogFormat = "off" | "apache" | "json";

/** What the certificate of each service says; undefined: it is spoken to in clear text. */
type ServiceNames = {
  readonly policy: string | undefined;
  readonly destination: string | undefined;
  readonly identity: string | undefined;
};

type Redirect = {
  /** The kernel must be able to say where connections were going. */
  readonly isRequired: boolean;
  /** Canonical text. Empty: any address is taken for one of the pod. */
  readonly podIps: readonly string[];
};

/** What a machine has that the defaults go by. */
export type Machine = {
  /** What this process may use; it is the default number of workers. */
  readonly cores: number;
  readonly hasIpv6: boolean;
};

/** Explicit mode: the sidecar stands at the address that peers know, the application at another that only we dial. */
type InboundForward = { readonly listen: Address; readonly application: Address };

/** From the signal to the end. */
type ShutdownLimits = {
  readonly graceMs: number;
  readonly quietMs: number;
  readonly refuseMs: number;
};

/** What one worker allows itself. */
export type SidecarLimits = {
  readonly connectTimeoutMs: number;
  readonly headTimeoutMs: number;
  readonly detectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly revocationGraceMs: number;
  readonly poolIdleTimeoutMs: number;
  readonly maxIdlePerEndpoint: number;
  readonly maxConnections: number;
  readonly discoveryTimeoutMs: number;
  readonly externalAuthTimeoutMs: number;
  readonly maxWaitingForDiscovery: number;
  readonly maxInFlight: number;
  readonly maxInFlightPerBackend: number;
  readonly tunnelIdleTimeoutMs: number;
  readonly failFastTimeoutMs: number;
  readonly maxWaitingForEndpoint: number;
  readonly maxMirrorBytes: number;
  readonly maxMirrorBytesInAll: number;
  readonly http2: Http2Settings;
};

/** A thread costs some 20 MiB; more threads than this serve no machine that a pod is placed on. */
export const maxWorkers = 64;
/** Kubernetes gives a pod 30 s by default; Linkerd waits longer, for those who raised that. */
const defaultShutdownGraceMs = 120_000;
/**
 * Clients learn late that a pod ends: until kube-proxy and every sidecar have the newer endpoints, new connections keep coming. Once nobody has come for this
 * long they all have; longer than the 3 s for which sidecars keep a connection that is idle, so that it is mostly they who close it. With 0 the ports close at
 * once, as Linkerd's do.
 */
const defaultShutdownQuietMs = 5_000;
/** Who comes in the last seconds would be cut off rather than answered; refused, a client can go elsewhere. */
const defaultShutdownRefuseMs = 10_000;
/**
 * Linkerd's figure for the inbound side. Its outbound figure of 5 s makes every seldom used destination wait for the
 * control plane anew, and fail while that is away; a kept policy costs one idle stream.
 */
const defaultDiscoveryIdleMs = 90_000;

/** Workers tell once a second what they use. */
const minDiscoveryIdleMs = 5_000;

export const defaultLimits: SidecarLimits = {
  /** Linkerd. Within a cluster a connection takes a millisecond; another endpoint is tried after this. */
  connectTimeoutMs: 1_000,
  /** A head is one or two packets. A client that takes longer is broken, or holds connections on purpose. */
  headTimeoutMs: 10_000,
  /** Clients that speak first send at once. */
  detectTimeoutMs: 1_000,
  /** Longer than the pools of common clients keep a connection (Go 90 s), so that it is the client that closes. */
  idleTimeoutMs: 300_000,
  /** From the moment a policy no longer admits an open connection that is not read. Who withdraws a permission means now. */
  revocationGraceMs: 0,
  /** Linkerd. Shorter than what common servers keep (Node.js 5 s), so that it is seldom the server that closes. */
  poolIdleTimeoutMs: 3_000,
  /** Linkerd. What bounds a pool in practice is its idle time. */
  maxIdlePerEndpoint: 10_000,
  /** With some 20 KiB for an idle connection these are 200 MiB, which a sidecar's memory limit should outlast. */
  maxConnections: 10_000,
  /** Linkerd's fail-fast: a control plane that is there answers in milliseconds. */
  discoveryTimeoutMs: 3_000,
  /** For a verdict, all tries together. Envoy's 200 ms is less than a service needs that asks a database of its own. */
  externalAuthTimeoutMs: 1_000,
  /** Linkerd's queue capacity. */
  maxWaitingForDiscovery: 10_000,
  /** Linkerd. */
  maxInFlight: 100_000,
  /** Linkerd's queue capacity. A backend that is that far behind does not catch up by being given more. */
  maxInFlightPerBackend: 10_000,
  /**
   * Of WebSockets, CONNECT and connections that are not read, without a byte in either direction. Longer than what people leave a terminal or a debugger alone
   * for; protocols that are made to be silent for longer send pings. A peer that vanished is noticed by the kernel long before.
   */
  tunnelIdleTimeoutMs: 3_600_000,
  /** Linkerd. Longer than a breaker's first pause, so that a service which stumbles once is not seen to. With 0 nobody waits. */
  failFastTimeoutMs: 3_000,
  /** Linkerd's queue capacity, for each backend. */
  maxWaitingForEndpoint: 10_000,
  /** Of a copy that its mirror has not taken. A fast upload of some MiB runs ahead of its mirror by about half of that. */
  maxMirrorBytes: 1_048_576,
  /** Of all copies together: a quarter of the memory that sidecars are commonly given. */
  maxMirrorBytesInAll: 67_108_864,
  http2: defaultHttp2Settings,
};

const hourMs = 3_600_000;
const dayMs = 86_400_000;
const maxCount = 1_000_000;
/** A copy needs room for its head (`codec/http1-head.ts`). */
const minMirrorBytes: number = 64 * 1024;
const maxBytes: number = 2 ** 40;

export function readSidecarConfig(
  environment: Environment,
  { cores, hasIpv6 }: Machine,
): Result<Readonly<SidecarConfig>> {
  const env = new EnvReader(environment);
  const workloadText = env.required("WEFT_POLICY_WORKLOAD");
  const workload = workloadOf(env, workloadText);
  const outboundListen = outboundListenOf(env, hasIpv6);
  const anyAddress = hasIpv6 ? "[::]" : "0.0.0.0";
  const inboundListen = env.address("WEFT_INBOUND_LISTEN_ADDR", `${anyAddress}:4143`);
  const serviceNames = {
    policy: serviceName(env, "WEFT_POLICY_SVC_NAME"),
    destination: serviceName(env, "WEFT_DESTINATION_SVC_NAME"),
    identity: serviceName(env, "WEFT_IDENTITY_SVC_NAME"),
  };
  return env.finish({
    policyService: controlAddress(env, "WEFT_POLICY_SVC_ADDR"),
    destinationService: controlAddress(env, "WEFT_DESTINATION_SVC_ADDR"),
    identityService: controlAddress(env, "WEFT_IDENTITY_SVC_ADDR"),
    serviceNames,
    workload,
    workloadText,
    destinationContext:
      env.optional("WEFT_DESTINATION_CONTEXT") ??
      JSON.stringify({ ns: workload.namespace, pod: workload.pod }),
    identityName: env.dnsName("WEFT_IDENTITY_LOCAL_NAME"),
    ...readTrustAnchors(env),
    tokenFile: env.path("WEFT_IDENTITY_TOKEN_FILE"),
    outboundListen,
    inboundListen,
    redirect: redirectOf(env),
    inboundPorts: portsOf(env, "WEFT_INBOUND_PORTS"),
    adminListen: env.address("WEFT_ADMIN_LISTEN_ADDR", "127.0.0.1:4191"),
    inboundForwards: forwardsOf(env, [...outboundListen, inboundListen]),
    workers: env.integer("WEFT_WORKERS", {
      fallback: Math.min(Math.max(cores, 1), maxWorkers),
      min: 1,
      max: maxWorkers,
    }),
    clusterDomain: env.dnsName("WEFT_CLUSTER_DOMAIN", "cluster.local"),
    shutdown: shutdownOf(env),
    discoveryIdleMs: env.durationMs("WEFT_OUTBOUND_DISCOVERY_IDLE_TIMEOUT", {
      fallback: defaultDiscoveryIdleMs,
      min: minDiscoveryIdleMs,
      max: dayMs,
    }),
    limits: limitsOf(env),
    logLevel: env.logLevel("WEFT_LOG_LEVEL"),
    decisionHeader: env.choice("WEFT_DECISION_HEADER", ["off", "errors", "always"], "errors"),
    sockets: env.choice("WEFT_SOCKETS", ["kernel", "node"], "kernel"),
    accessLog: env.choice("WEFT_ACCESS_LOG", ["off", "apache", "json"], "off"),
    tracing: readTracing(env, workload),
  });
}

function shutdownOf(env: EnvReader): ShutdownLimits {
  const wait = (name: string, fallback: number): number =>
    env.durationMs(name, { fallback, min: 0, max: dayMs });
  return {
    graceMs: wait("WEFT_SHUTDOWN_GRACE_PERIOD", defaultShutdownGraceMs),
    quietMs: wait("WEFT_SHUTDOWN_QUIET_TIME", defaultShutdownQuietMs),
    refuseMs: wait("WEFT_SHUTDOWN_REFUSE_BEFORE", defaultShutdownRefuseMs),
  };
}

function limitsOf(env: EnvReader): SidecarLimits {
  const wait = (name: string, fallback: number): number =>
    env.durationMs(name, { fallback, min: 1, max: hourMs });
  const count = (name: string, fallback: number): number =>
    env.integer(name, { fallback, min: 1, max: maxCount });
  const bytes = (name: string, fallback: number): number =>
    env.integer(name, { fallback, min: minMirrorBytes, max: maxBytes });
  const d = defaultLimits;
  return Object.freeze({
    connectTimeoutMs: wait("WEFT_OUTBOUND_CONNECT_TIMEOUT", d.connectTimeoutMs),
    headTimeoutMs: wait("WEFT_HTTP1_HEAD_TIMEOUT", d.headTimeoutMs),
    detectTimeoutMs: wait("WEFT_INBOUND_DETECT_TIMEOUT", d.detectTimeoutMs),
    idleTimeoutMs: wait("WEFT_HTTP1_IDLE_TIMEOUT", d.idleTimeoutMs),
    revocationGraceMs: env.durationMs("WEFT_INBOUND_REVOCATION_GRACE", {
      fallback: d.revocationGraceMs,
      min: 0,
      max: hourMs,
    }),
    poolIdleTimeoutMs: wait(
      "WEFT_OUTBOUND_HTTP1_CONNECTION_POOL_IDLE_TIMEOUT",
      d.poolIdleTimeoutMs,
    ),
    maxIdlePerEndpoint: count("WEFT_OUTBOUND_MAX_IDLE_CONNS_PER_ENDPOINT", d.maxIdlePerEndpoint),
    maxConnections: count("WEFT_MAX_CONNECTIONS", d.maxConnections),
    discoveryTimeoutMs: wait("WEFT_DISCOVERY_TIMEOUT", d.discoveryTimeoutMs),
    externalAuthTimeoutMs: wait("WEFT_EXTERNAL_AUTH_TIMEOUT", d.externalAuthTimeoutMs),
    maxWaitingForDiscovery: count("WEFT_DISCOVERY_QUEUE_CAPACITY", d.maxWaitingForDiscovery),
    maxInFlight: count("WEFT_MAX_IN_FLIGHT", d.maxInFlight),
    maxInFlightPerBackend: count(
      "WEFT_OUTBOUND_MAX_IN_FLIGHT_PER_BACKEND",
      d.maxInFlightPerBackend,
    ),
    tunnelIdleTimeoutMs: env.durationMs("WEFT_TUNNEL_IDLE_TIMEOUT", {
      fallback: d.tunnelIdleTimeoutMs,
      min: 1,
      max: 7 * dayMs,
    }),
    failFastTimeoutMs: env.durationMs("WEFT_OUTBOUND_HTTP_FAILFAST_TIMEOUT", {
      fallback: d.failFastTimeoutMs,
      min: 0,
      max: hourMs,
    }),
    maxWaitingForEndpoint: count("WEFT_OUTBOUND_HTTP_QUEUE_CAPACITY", d.maxWaitingForEndpoint),
    maxMirrorBytes: bytes("WEFT_OUTBOUND_MIRROR_BUFFER", d.maxMirrorBytes),
    maxMirrorBytesInAll: bytes("WEFT_OUTBOUND_MIRROR_BUFFER_IN_ALL", d.maxMirrorBytesInAll),
    http2: readHttp2Settings(env),
  });
}

const outboundName = "WEFT_OUTBOUND_LISTEN_ADDR";

/** Redirect rules lead connections to loopback, each to that of its own family. */
function outboundListenOf(env: EnvReader, hasIpv6: boolean): readonly Address[] {
  const listName = `${outboundName}S`;
  if (env.optional(outboundName) !== undefined) {
    if (env.optional(listName) !== undefined) {
      env.refuse(outboundName, `unset it or ${listName}: both are set`);
    }
    return [env.address(outboundName)];
  }
  const defaults = ["127.0.0.1:4140", ...(hasIpv6 ? ["[::1]:4140"] : [])];
  return env.list(listName, defaults).map((text) => {
    const reader = new EnvReader({ [listName]: text });
    const address = reader.address(listName);
    const read = reader.finish(address);
    if (!read.ok) for (const { reason } of read.faults) env.refuse(listName, reason);
    return address;
  });
}

function redirectOf(env: EnvReader): Redirect | undefined {
  const mode = env.choice("WEFT_TRANSPARENT", ["auto", "always", "never"], "auto");
  const podIps = env.list("WEFT_INBOUND_IPS", []).map((text) => {
    const ip = parseIp(text);
    if (ip === undefined) {
      env.refuse(
        "WEFT_INBOUND_IPS",
        `list IP addresses of the pod instead of ${JSON.stringify(text)}`,
      );
    }
    return ip === undefined ? "" : formatIp(ip);
  });
  if (mode === "never") return undefined;
  return { isRequired: mode === "always" || podIps.length > 0, podIps };
}

const maxPort = 65_535;

function portsOf(env: EnvReader, name: string): readonly number[] {
  const ports = env.list(name, []).map((text) => {
    const port = /^[1-9][0-9]{0,4}$/.test(text) ? Number(text) : 0;
    if (port === 0 || port > maxPort) {
      env.refuse(name, `list ports from 1 to ${maxPort} instead of ${JSON.stringify(text)}`);
    }
    return port;
  });
  return [...new Set(ports)];
}

function workloadOf(env: EnvReader, text: string): Workload {
  const workload = text === "" ? undefined : parseWorkload(text);
  if (workload !== undefined) return workload;
  if (text !== "") {
    env.refuse("WEFT_POLICY_WORKLOAD", 'set JSON such as {"ns":"demo","pod":"frontend-0"}');
  }
  return { namespace: "", pod: "" };
}

const forwardsName = "WEFT_INBOUND_FORWARDS";
const forwardForm = 'write entries such as "10.0.0.7:8080=127.0.0.1:8080"';

function forwardsOf(env: EnvReader, taken: readonly Address[]): readonly InboundForward[] {
  const forwards: InboundForward[] = [];
  for (const entry of env.list(forwardsName, [])) {
    const forward = forwardOf(env, entry);
    if (forward === undefined) continue;
    const { listen, application } = forward;
    if (sameAddress(listen, application)) {
      env.refuse(forwardsName, `let "${entry}" lead to another address: it leads to itself`);
    } else if (taken.some((address) => sameAddress(address, listen))) {
      env.refuse(forwardsName, `choose another listening address in "${entry}": it is taken`);
    } else if (listen.port !== 0 && forwards.some((one) => one.listen.port === listen.port)) {
      // A policy is known by its port alone, so two applications behind one port would share theirs.
      env.refuse(forwardsName, `name port ${listen.port} once: "${entry}" repeats it`);
    }
    forwards.push(forward);
  }
  return forwards;
}

function forwardOf(env: EnvReader, entry: string): InboundForward | undefined {
  const [listenText = "", applicationText = "", ...more] = entry.split("=");
  const reader = new EnvReader({ listen: listenText, application: applicationText });
  const forward = { listen: reader.address("listen"), application: reader.address("application") };
  const read = reader.finish(forward);
  if (!read.ok || more.length > 0) {
    const why = read.ok ? "" : ` (${describeFaults(read.faults)})`;
    env.refuse(forwardsName, `${forwardForm} instead of "${entry}"${why}`);
    return undefined;
  }
  if (forward.application.port !== 0) return forward;
  env.refuse(forwardsName, `name the application's port in "${entry}" instead of 0`);
  return undefined;
}

function sameAddress(left: Address, right: Address): boolean {
  return left.port !== 0 && left.port === right.port && left.host === right.host;
}
