/**
 * A connection to the application whose bytes this proxy does not read: admitted as a whole by who opens it, and closed when
 * a later policy no longer admits it.
 */
import { admitConnection, explainDenial, notAdmitted, type Peer } from "../core/decide/admit.ts";
import { formatIp } from "../core/std/ip.ts";
import type { InboundTable } from "../core/table/inbound.ts";
import { type Dialing, dial } from "../edge/net/dial.ts";
import type { Wire } from "../edge/net/wire.ts";
import type { LoadedInbound } from "./loaded.ts";
import { Relay } from "./relay.ts";
import type { Connection, Shard, TlsLabel } from "./shard.ts";
import { Timer } from "./timer-wheel.ts";

/** Somebody who wants to reach a port of the application. */
export type InboundClient = {
  readonly wire: Wire;
  readonly peer: Peer;
  readonly port: number;
  /** Where a redirected connection was going. */
  readonly destination: string | undefined;
};

export function tlsLabel({ tls, identity }: Peer): TlsLabel {
  if (!tls) return "disabled";
  return identity === undefined ? "no_identity" : "true";
}

/** Counts and tells the verdict about a connection. */
export function admitOpaque(
  shard: Shard,
  { table, connections }: LoadedInbound,
  { peer, port }: InboundClient,
): boolean {
  const admitted = admitConnection(table, peer);
  if (admitted !== notAdmitted) {
    shard.counts.add(connections.allowed[admitted] ?? connections.denied);
    if (admitted === connections.audit) noteAudit(shard, table, { connections, peer, port });
    return true;
  }
  shard.counts.add(connections.denied);
  const reason = explainDenial(table, table.admitsConnection, peer);
  shard.notices.tell("inbound_connection_denied", { port, reason });
  return false;
}

type Audited = Pick<InboundClient, "peer" | "port"> & Pick<LoadedInbound, "connections">;

function noteAudit(shard: Shard, table: InboundTable, { connections, peer, port }: Audited): void {
  shard.counts.add(connections.audited ?? 0);
  const others = table.admitsConnection.filter((one) => one !== connections.audit);
  const reason = explainDenial(table, others, peer);
  shard.notices.tell("inbound_connection_audited", { port, reason });
}

export type ApplicationDialOptions = {
  readonly shard: Shard;
  readonly port: number;
  readonly destination: string | undefined;
  readonly onOpen: (wire: Wire) => void;
  readonly onFailure: (reason: string) => void;
};

/** Opens a connection to the application behind a port. One of the two functions is called, later, unless it is cancelled. */
export class ApplicationDial {
  readonly #shard: Shard;
  readonly #timer: Timer;
  readonly #dialing: Dialing | undefined;

  constructor({ shard, port, destination, onOpen, onFailure }: ApplicationDialOptions) {
    this.#shard = shard;
    const endpoint = shard.tables.application(port, destination)?.members[0]?.endpoint;
    this.#timer = new Timer(() => {
      this.#dialing?.cancel();
      onFailure("the application did not answer in time");
    });
    if (endpoint === undefined) {
      process.nextTick(onFailure, "this workload has no such port");
      return;
    }
    shard.wheel.arm(this.#timer, shard.limits.connectTimeoutMs);
    this.#dialing = dial({
      target: { host: endpoint.ip, port: endpoint.port, tls: undefined },
      pool: shard.pool,
      sockets: shard.sockets,
      firstBuffer: shard.headBuffer,
      onOpen: (wire) => {
        shard.wheel.forget(this.#timer);
        onOpen(wire);
      },
      onFailure: ({ reason }) => {
        shard.wheel.forget(this.#timer);
        onFailure(reason);
      },
    });
  }

  cancel(): void {
    this.#shard.wheel.forget(this.#timer);
    this.#dialing?.cancel();
  }
}

/** What was read of either side, and not sent on, before the two were joined. */
export type Unsent = {
  readonly fromClient: Buffer;
  /** What came from the client may still become HTTP. */
  readonly isWord: boolean;
  readonly fromServer: Buffer;
  readonly clientEnded: boolean;
};

/** The joined connection: waits for the end of both sides while the shard drains, and for policies that end it. */
export class OpaqueConnection implements Connection {
  /** Its requests cannot be told apart, so as long as it is open it may be in the middle of one. */
  readonly isBusy = true;
  readonly carries = "opaque";
  readonly #shard: Shard;
  readonly #client: InboundClient;
  readonly #relay: Relay;
  readonly #revoked: Timer = new Timer(() => this.#relay.abort());
  readonly #unfollow: () => void;

  constructor(shard: Shard, client: InboundClient, server: Wire, unsent: Unsent) {
    this.#shard = shard;
    this.#client = client;
    const downstream = shard.downstreamCounts("inbound", tlsLabel(client.peer));
    const upstream = shard.upstreamCounts("inbound", false);
    downstream.opened();
    upstream.opened();
    shard.connections.add(this);
    this.#unfollow = shard.tables.followInbound(client.port, () => this.#judgeAnew());
    this.#relay = new Relay({
      shard,
      client: client.wire,
      server,
      idleMs: shard.limits.tunnelIdleTimeoutMs,
      onOver: () => {
        downstream.closed();
        upstream.closed();
        this.#over();
      },
      onLateHttp: () => {
        const { peer, port } = client;
        shard.refuseConnection("late http", { port, client: formatIp(peer.ip) });
      },
    });
    if (unsent.isWord) this.#relay.feedWord(unsent.fromClient);
    else this.#relay.feed("client", unsent.fromClient);
    this.#relay.feed("server", unsent.fromServer);
    if (unsent.clientEnded) this.#relay.endClient();
  }

  drain(): void {}

  leave(): boolean {
    return this.#relay.leave();
  }

  cut(): void {
    this.#relay.cut();
  }

  /** The policy of the port was replaced. */
  #judgeAnew(): void {
    const shard = this.#shard;
    const { peer, port } = this.#client;
    const policy = shard.tables.inbound(port);
    if (policy === undefined) return;
    const isReadable = policy.reading === "http";
    if (!isReadable && admitConnection(policy.table, peer) !== notAdmitted) {
      shard.wheel.disarm(this.#revoked);
      return;
    }
    if (this.#revoked.dueTick !== 0) return;
    shard.counts.add(policy.connections.terminated);
    const reason = isReadable
      ? "the port is now for HTTP, and this connection was not read as HTTP"
      : explainDenial(policy.table, policy.table.admitsConnection, peer);
    shard.notices.tell("inbound_connection_terminated", {
      port,
      client: formatIp(peer.ip),
      reason,
    });
    const { revocationGraceMs } = shard.limits;
    if (revocationGraceMs === 0) this.#relay.abort();
    else shard.wheel.arm(this.#revoked, revocationGraceMs);
  }

  #over(): void {
    const shard = this.#shard;
    this.#unfollow();
    shard.wheel.forget(this.#revoked);
    shard.connections.delete(this);
    shard.onConnectionGone();
  }
}
