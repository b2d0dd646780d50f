/**
 * The least that a proxy over `edge/net/kernel-sockets.ts` costs: it reads nothing of what it relays, counts nothing and has one connection to the backend for each
 * client. What it takes above HAProxy in TCP mode is Node.js and our socket layer; what a sidecar takes above it is the sidecar.
 */
import { connect, createServer, type Socket } from "node:net";
import { BufferPool } from "../../src/edge/net/buffer-pool.ts";
import { openKernelSockets } from "../../src/edge/net/kernel-sockets.ts";
import type { Wire, WireOwner } from "../../src/edge/net/wire.ts";

const [port = 0, originPort = 0] = process.argv.slice(2).map(Number);
const sockets = openKernelSockets({ add: () => true, remove: () => {} });
if (sockets === undefined) throw new Error("Run a Node.js whose node:ffi works");
const pool = new BufferPool();
const shared = Buffer.allocUnsafeSlow(131_072);

function adopt(socket: Socket): Wire {
  const wire = sockets?.adopt(socket, { firstBuffer: shared, pool });
  if (wire === undefined || typeof wire === "string") throw new Error(`No wire: ${wire}`);
  return wire;
}

/** What the kernel has no room for is copied: with small messages that does not happen. */
function relayInto(target: Wire): WireOwner {
  return {
    readBuffer: () => shared,
    onBytes: (bytes, length) => {
      const sent = target.sendNow?.(bytes, 0, length) ?? 0;
      if (sent < length) target.send(Buffer.from(bytes.subarray(sent, length)), 0, length - sent);
      return true;
    },
    onWritten: () => {},
    onEnd: () => target.end(),
    onClose: () => target.destroy(),
  };
}

createServer({ pauseOnConnect: true, noDelay: true }, (near) => {
  const far = connect({ host: "127.0.0.1", port: originPort, noDelay: true }).pause();
  far.once("connect", () => {
    const [client, origin] = [adopt(near), adopt(far)];
    client.owner = relayInto(origin);
    origin.owner = relayInto(client);
  });
}).listen({ host: "127.0.0.1", port, backlog: 4_096 });
