/**
 * Where peers of the mesh come in: ends their TLS. Who comes before there is a certificate to do that with is kept waiting, as requests are for their policy,
 * and for as long.
 */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Peer } from "../core/decide/admit.ts";
import { parseIp } from "../core/std/ip.ts";
import {
  type MeshCredentials,
  MeshServer,
  type TlsPeer,
  tlsServerWire,
} from "../edge/net/mesh-tls.ts";
import type { NodeWire } from "../edge/net/node-wire.ts";
import type { OriginalDestination } from "../edge/net/original-dst.ts";
import type { Shard } from "./shard.ts";
import { Timer } from "./timer-wheel.ts";

/** A handshake takes about a millisecond, so whoever came behind so many would be served later than clients wait for. */
export const maxAwaitingCertificate = 1_000;

/** Why somebody who came before the certificate is refused. */
export const certificateLate = "the certificate has not come in time";
export const certificateCrowd: string = `${maxAwaitingCertificate} connections wait for the certificate already`;

/** A peer whose TLS was ended here. */
export type Guest = {
  readonly wire: NodeWire;
  readonly peer: Peer;
  readonly withTransportHeader: boolean;
  /** Where the connection was going; undefined: to this door, as far as is known. */
  readonly original: OriginalDestination | undefined;
};

export type MeshDoorOptions = {
  readonly shard: Shard;
  readonly kind: "inbound-mesh" | "inbound-port";
  /** The port whose policy counts, unless a transport header names another. */
  readonly port: number;
  readonly greet: (door: MeshDoor, guest: Guest) => void;
};

export class MeshDoor {
  readonly shard: Shard;
  readonly kind: "inbound-mesh" | "inbound-port";
  readonly port: number;
  readonly #greet: (door: MeshDoor, guest: Guest) => void;
  #server: MeshServer | undefined;
  #name: string | undefined;
  readonly #awaiting = new Set<() => void>();

  constructor({ shard, kind, port, greet }: MeshDoorOptions) {
    this.shard = shard;
    this.kind = kind;
    this.port = port;
    this.#greet = greet;
  }

  /** What clients call this workload; undefined until it has a certificate. */
  get name(): string | undefined {
    return this.#name;
  }

  /** Calls back when the first certificate has come; the answer calls it off. Undefined: too many wait already. */
  whenCertified(go: () => void): (() => void) | undefined {
    if (this.#awaiting.size >= maxAwaitingCertificate) return undefined;
    this.#awaiting.add(go);
    return () => this.#awaiting.delete(go);
  }

  /** Shows another certificate from the next connection on. */
  renew(credentials: MeshCredentials & { readonly name: string }): void {
    this.#name = credentials.name;
    if (this.#server !== undefined) {
      this.#server.renew(credentials);
      return;
    }
    const { shard } = this;
    this.#server = new MeshServer({
      credentials,
      handshakeTimeoutMs: shard.limits.headTimeoutMs,
      onPeer: (socket, peer) => this.#welcome(socket, peer),
      onFailure: (code) =>
        shard.refuseConnection("tls handshake", { port: this.port, detail: code }),
    });
    const waiting = [...this.#awaiting];
    this.#awaiting.clear();
    for (const go of waiting) go();
  }

  endTls(socket: Socket): void {
    if (this.#server === undefined) this.#keepWaiting(socket);
    else this.#server.accept(socket);
  }

  /** Nothing is read meanwhile. */
  #keepWaiting(socket: Socket): void {
    const { wheel, limits } = this.shard;
    const timer = new Timer(() => this.#refuse(socket, certificateLate));
    const callOff = this.whenCertified(() => {
      wheel.forget(timer);
      this.endTls(socket);
    });
    if (callOff === undefined) {
      this.#refuse(socket, certificateCrowd);
      return;
    }
    wheel.arm(timer, limits.discoveryTimeoutMs);
    socket.on("error", () => {});
    socket.once("close", () => {
      wheel.forget(timer);
      callOff();
    });
  }

  #refuse(socket: Socket, detail: string): void {
    this.shard.refuseConnection("no identity", { port: this.port, detail });
    socket.destroy();
  }

  #welcome(socket: TLSSocket, { identity, alpn }: TlsPeer): void {
    const ip = parseIp(socket.remoteAddress ?? "");
    const { shard } = this;
    const wire = tlsServerWire(socket, shard.headBuffer, shard.pool);
    // Without an address the client is gone already.
    if (ip === undefined) {
      wire.destroy();
      return;
    }
    const peer = { ip, tls: true, identity };
    const original = this.kind === "inbound-mesh" ? shard.readOriginal?.(socket) : undefined;
    this.#greet(this, { wire, peer, withTransportHeader: alpn !== undefined, original });
  }
}
