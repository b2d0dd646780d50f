/**
 * The contract between the main thread and the workers. Only what is declared here may cross. Everything is plain data; a snapshot is whole and
 * carries a revision, so that a worker that starts late (or again) needs the newest of each and nothing else.
 */
import type { DecisionReport } from "../core/decide/explain-decision.ts";
import { unreachable } from "../core/std/unreachable.ts";
import type { EndpointTable } from "../core/table/endpoints.ts";
import type { InboundTable } from "../core/table/inbound.ts";
import type { OutboundTable } from "../core/table/outbound.ts";
import type { SpanBatch } from "./spans.ts";

/** Certificate, key and trust anchors as PEM. The key never leaves this process. */
export type IdentitySnapshot = {
  readonly kind: "identity";
  readonly revision: number;
  readonly name: string;
  readonly certificateChain: string;
  readonly privateKey: string;
  readonly trustAnchors: string;
};

export type OutboundSnapshot = {
  readonly kind: "outbound";
  /** What the worker asked for: `authority` of the request, normalised (see core/model/authority). */
  readonly target: string;
  readonly revision: number;
  readonly answer:
    | { readonly kind: "policy"; readonly table: OutboundTable }
    /** The policy service knows no such destination. */
    | { readonly kind: "unknown"; readonly reason: string };
};

export type EndpointSnapshot = {
  readonly kind: "endpoints";
  readonly authority: string;
  readonly revision: number;
  readonly table: EndpointTable;
};

export type InboundSnapshot = {
  readonly kind: "inbound";
  readonly port: number;
  readonly revision: number;
  readonly table: InboundTable;
};

/** The public keys of a source that policies name (`keySourceName`). */
export type KeysSnapshot = {
  readonly kind: "keys";
  readonly source: string;
  readonly revision: number;
  /** A JSON Web Key Set. */
  readonly jwks: string;
  /** Milliseconds since 1970 from which on they admit nobody. */
  readonly staleAtMs: number;
};

/** What replaces its predecessor of the same scope. */
export type Snapshot =
  | IdentitySnapshot
  | OutboundSnapshot
  | EndpointSnapshot
  | InboundSnapshot
  | KeysSnapshot;

export type ToWorker =
  | Snapshot
  | { readonly kind: "drop-outbound"; readonly target: string }
  | { readonly kind: "drop-endpoints"; readonly authority: string }
  | { readonly kind: "drop-inbound"; readonly port: number }
  /** What was decided as number `sequence`. The answer carries the same `ask`. */
  | { readonly kind: "ask-decision"; readonly ask: number; readonly sequence: number }
  /** A batch of spans has arrived, so that another may come. */
  | { readonly kind: "spans-taken" }
  | ({ readonly kind: "drain" } & DrainLimits);

/** How a shard ends: it goes on and says `Connection: close`, then accepts nothing new, then ends, whatever is left. */
export type DrainLimits = {
  /** All of it. */
  readonly graceMs: number;
  /** Nothing new is accepted from when nothing has come for so long. 0, as by default: from the beginning. */
  readonly quietMs?: number;
  /** Nothing new is accepted this long before the end in any case, and no longer than half of the whole. */
  readonly refuseMs?: number;
};

/** What would be cut off by an end, by what a connection carries. */
export type UnderWay = {
  readonly requests: number;
  readonly tunnels: number;
  /** Connections that are not read. */
  readonly opaque: number;
};

export type DrainReport = {
  /** When it was told to drain. */
  readonly waitedFor: UnderWay;
  /** Connections since then. */
  readonly accepted: number;
  /** Those that would not have ended by themselves, a moment before its time was over. */
  readonly closedPolitely: UnderWay;
  /** When its time was over. */
  readonly cutOff: UnderWay;
};

export type ToMain =
  | {
      readonly kind: "listening";
      readonly listeners: readonly BoundListener[];
      /** Who reads and writes connections in plain text. */
      readonly sockets: SocketLayer;
    }
  /** A request wants a destination that this worker has no table for. */
  | { readonly kind: "discover"; readonly target: string }
  /** A connection is for a port whose policy this worker does not have. */
  | { readonly kind: "port-wanted"; readonly port: number }
  /** Destinations used since the last message of this kind; keeps them from idle eviction. */
  | { readonly kind: "used"; readonly targets: readonly string[] }
  /** A token is signed by a key that the newest keys of a source lack. */
  | { readonly kind: "keys-wanted"; readonly source: string }
  /** A snapshot is in force in this worker. `scope` as `snapshotScope` names it. */
  | { readonly kind: "applied"; readonly scope: string; readonly revision: number }
  /** A counter, gauge or histogram was given a place in this worker's shared buffer. */
  | { readonly kind: "series"; readonly series: Series }
  /** For the log. The worker has limited how many there are. */
  | { readonly kind: "notice"; readonly event: NoticeEvent; readonly fields: NoticeFields }
  | { readonly kind: "decision"; readonly ask: number; readonly answer: DecisionAnswer }
  /** Only where something is traced; each is answered by `spans-taken`. */
  | { readonly kind: "spans"; readonly batch: SpanBatch }
  | ({ readonly kind: "drained" } & DrainReport);

export type DecisionAnswer =
  | { readonly state: "found"; readonly report: DecisionReport }
  /** Newer ones have taken its place; a worker keeps the last `kept`. */
  | { readonly state: "overwritten"; readonly kept: number }
  | { readonly state: "unknown" };

export type NoticeEvent =
  /** Before it was clear what it speaks, or because the port is not for that. */
  | "inbound_connection_refused"
  /** The same for a connection of the application. */
  | "outbound_connection_refused"
  /** No authorization admits an opaque connection. */
  | "inbound_connection_denied"
  /** It was admitted by an earlier policy. */
  | "inbound_connection_terminated"
  /** They were let through by a policy in audit mode; nobody admits them. */
  | "inbound_request_audited"
  | "inbound_connection_audited";

export type NoticeFields = Readonly<Record<string, string | number>>;

/** What a snapshot is about. */
export type SnapshotKey =
  | Pick<IdentitySnapshot, "kind">
  | Pick<OutboundSnapshot, "kind" | "target">
  | Pick<EndpointSnapshot, "kind" | "authority">
  | Pick<InboundSnapshot, "kind" | "port">
  | Pick<KeysSnapshot, "kind" | "source">;

/** The key as text. Two snapshots of one scope replace each other. */
export function snapshotScope(key: SnapshotKey): string {
  switch (key.kind) {
    case "identity":
      return "identity";
    case "outbound":
      return `outbound ${key.target}`;
    case "endpoints":
      return `endpoints ${key.authority}`;
    case "inbound":
      return `inbound ${key.port}`;
    case "keys":
      return `keys ${key.source}`;
    default:
      return unreachable(key);
  }
}

export type BoundListener = {
  readonly side: "inbound" | "outbound";
  readonly host: string;
  readonly port: number;
};

export type Series = {
  readonly slot: number;
  readonly metric: string;
  readonly labels: Readonly<Record<string, string>>;
};

/** `kernel`: calls of the kernel (`edge/net/kernel-sockets.ts`); `node`: Node.js. */
export type SocketLayer = "kernel" | "node";

/** One task of the pool: a shard of the data plane, from start to drain. */
export type WorkerStart = {
  readonly shard: number;
  readonly settings: WorkerSettings;
  /** What the ids of this worker's decisions begin with; another one with each start. */
  readonly decisionPrefix: string;
  /** Shared memory with the layout of counters.ts, written by this worker only. */
  readonly counters: SharedArrayBuffer;
  /** Shared memory with the layout of rate-limits.ts, written by all workers. */
  readonly rateLimits: SharedArrayBuffer;
  /** Shared memory of open-descriptors.ts, written by this worker; undefined: all connections stay with Node.js. */
  readonly descriptors: SharedArrayBuffer | undefined;
  /** The newest snapshots at the time of the start. */
  readonly snapshots: readonly ToWorker[];
};

export type WorkerSettings = {
  readonly listeners: readonly ListenerSettings[];
  /** Where the application of this pod listens, by the port that peers know. Without redirect rules a port that is not listed is refused. */
  readonly forwards: readonly ForwardSettings[];
  /** Undefined: no redirect rules lead connections here. */
  readonly redirect?: RedirectSettings;
  readonly clusterDomain: string;
  readonly namespace: string;
  /** How many workers share what the limits of a policy allow. */
  readonly workers: number;
  readonly limits: WorkerLimits;
  /** Which answers carry the id of their decision. */
  readonly decisionHeader: "off" | "errors" | "always";
  readonly accessLog: "off" | "apache" | "json";
  /** Of requests that bring no trace. Undefined: nothing is traced. */
  readonly traceSampleRatio?: number;
};

/** Transparent mode: the kernel is asked where each connection was going. */
type RedirectSettings = {
  /** False: where the kernel cannot be asked, connections are taken as not redirected. */
  readonly isRequired: boolean;
  /** Addresses of this pod in canonical text, the only ones that inbound connections may have been going to. Empty: any. */
  readonly podIps: readonly string[];
};

export type ListenerSettings =
  /** Applications name the destination in the target or the Host header (explicit mode), or are redirected. */
  | { readonly kind: "outbound"; readonly host: string; readonly port: number }
  /** Other sidecars: mutual TLS, then a transport header that names the port. What is redirected here comes for the port that it was going to. */
  | { readonly kind: "inbound-mesh"; readonly host: string; readonly port: number }
  /** Stands in front of one application port (explicit mode, no redirect rules). */
  | { readonly kind: "inbound-port"; readonly host: string; readonly port: number };

export type ForwardSettings = {
  readonly port: number;
  readonly host: string;
  readonly hostPort: number;
};

/** Each limit with its default and reason is in config/sidecar.ts. */
export type WorkerLimits = {
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
  readonly http2: WorkerHttp2Limits;
};

/** Each with its default and reason is in config/http2.ts. */
type WorkerHttp2Limits = {
  readonly maxConcurrentStreams: number;
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  readonly sendStallMs: number;
  readonly keepAliveMs: number;
  readonly keepAliveTimeoutMs: number;
};
