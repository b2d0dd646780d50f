/**
 * The contract between the main thread and the workers. Only what is declared here may cross. Everything is plain data; a snapshot is whole and
 * carries a revision, so that a worker that starts late (or again) needs the newest of each and nothing else.
 */
import { unreachable } from "../core/std/unreachable.ts";
import type { EndpointTable } from "../core/table/endpoints.ts";
import type { InboundTable } from "../core/table/inbound.ts";
import type { OutboundTable } from "../core/table/outbound.ts";

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

/** What replaces its predecessor of the same scope. */
export type Snapshot = IdentitySnapshot | OutboundSnapshot | EndpointSnapshot | InboundSnapshot;

export type ToWorker =
  | Snapshot
  | { readonly kind: "drop-outbound"; readonly target: string }
  | { readonly kind: "drop-endpoints"; readonly authority: string }
  /** Stop accepting, answer with `Connection: close`, end when the last exchange is over or after `graceMs`. */
  | { readonly kind: "drain"; readonly graceMs: number };

export type ToMain =
  | { readonly kind: "listening"; readonly listeners: readonly BoundListener[] }
  /** A request wants a destination that this worker has no table for. */
  | { readonly kind: "discover"; readonly target: string }
  /** Destinations used since the last message of this kind; keeps them from idle eviction. */
  | { readonly kind: "used"; readonly targets: readonly string[] }
  /** A snapshot is in force in this worker. `scope` as `snapshotScope` names it. */
  | { readonly kind: "applied"; readonly scope: string; readonly revision: number }
  /** A counter, gauge or histogram was given a place in this worker's shared buffer. */
  | { readonly kind: "series"; readonly series: Series }
  | { readonly kind: "drained"; readonly aborted: number };

/** What a snapshot is about. */
export type SnapshotKey =
  | Pick<IdentitySnapshot, "kind">
  | Pick<OutboundSnapshot, "kind" | "target">
  | Pick<EndpointSnapshot, "kind" | "authority">
  | Pick<InboundSnapshot, "kind" | "port">;

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

/** One task of the pool: a shard of the data plane, from start to drain. */
export type WorkerStart = {
  readonly shard: number;
  readonly settings: WorkerSettings;
  /** Shared memory with the layout of counters.ts, written by this worker only. */
  readonly counters: SharedArrayBuffer;
  /** The newest snapshots at the time of the start. */
  readonly snapshots: readonly ToWorker[];
};

export type WorkerSettings = {
  readonly listeners: readonly ListenerSettings[];
  /** Where the application of this pod listens, by the port that peers know. A port that is not listed is refused. */
  readonly forwards: readonly ForwardSettings[];
  readonly clusterDomain: string;
  readonly namespace: string;
  /** How many workers share what the limits of a policy allow. */
  readonly workers: number;
  readonly limits: WorkerLimits;
};

export type ListenerSettings =
  /** Applications name the destination in the target or the Host header (explicit mode). */
  | { readonly kind: "outbound"; readonly host: string; readonly port: number }
  /** Other sidecars: mutual TLS, then a transport header that names the port (`forwards` tells where it leads). */
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
  readonly poolIdleTimeoutMs: number;
  readonly maxIdlePerEndpoint: number;
  readonly maxConnections: number;
  readonly discoveryTimeoutMs: number;
  readonly externalAuthTimeoutMs: number;
  readonly maxWaitingForDiscovery: number;
  readonly maxInFlight: number;
  readonly maxInFlightPerBackend: number;
};
