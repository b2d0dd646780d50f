/** Where a connection to the application beside us comes from, and where it was going; `inbound-connection.ts` finds out what it speaks. */
import type { Peer } from "../core/decide/admit.ts";
import { formatIp, parseIp } from "../core/std/ip.ts";
import type { AcceptedSocket } from "../edge/net/listen.ts";
import type { OriginalDestination } from "../edge/net/original-dst.ts";
import { Arrival } from "./inbound-connection.ts";
import type { Guest, MeshDoor } from "./mesh-door.ts";
import type { Shard } from "./shard.ts";

/** A connection. Of those that come to the mesh port itself nothing is said in plain text. */
export function acceptInbound(door: MeshDoor, accepted: AcceptedSocket): void {
  const { shard } = door;
  const { readOriginal } = shard;
  const isMesh = door.kind === "inbound-mesh";
  const original =
    isMesh && readOriginal !== undefined ? accepted.originalDestination(readOriginal) : undefined;
  const redirected = original?.port === door.port ? undefined : original;
  if (isMesh && redirected === undefined) {
    door.endTls(accepted.toSocket());
    return;
  }
  if (redirected !== undefined && !isOfPod(shard, redirected)) {
    const { ip: address, port } = redirected;
    shard.refuseConnection("unknown address", { port, client: accepted.remoteIp, address });
    accepted.destroy();
    return;
  }
  const port = redirected?.port ?? door.port;
  const ip = parseIp(accepted.remoteIp);
  // Without an address the client is gone already.
  if (ip === undefined) {
    accepted.destroy();
    return;
  }
  const wire = accepted.toWire(shard.headBuffer, shard.pool);
  const peer: Peer = { ip, tls: false, identity: undefined };
  const podIp = redirected?.ip;
  new Arrival({ shard, wire, peer, port, podIp, tls: { door, wire } }).begin();
}

/** Whether the pod has the address. Without a list the redirect rules are believed. */
function isOfPod({ settings }: Shard, { ip }: OriginalDestination): boolean {
  const { podIps = [] } = settings.redirect ?? {};
  return podIps.length === 0 || podIps.includes(ip);
}

/** The same connection after its TLS was ended and the peer is known. */
export function greetGuest(door: MeshDoor, guest: Guest): void {
  const { wire, peer, withTransportHeader, original } = guest;
  const { shard } = door;
  const isRedirected = original !== undefined && original.port !== door.port;
  const isStranger = peer.identity === undefined || !withTransportHeader;
  if (door.kind === "inbound-mesh" && isStranger && !isRedirected) {
    shard.refuseConnection("identity required", { client: formatIp(peer.ip) });
    wire.destroy();
    return;
  }
  const port = withTransportHeader ? undefined : (original?.port ?? door.port);
  new Arrival({ shard, wire, peer, port, podIp: original?.ip, tls: undefined }).begin();
}
