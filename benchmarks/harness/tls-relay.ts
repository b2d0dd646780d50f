/**
 * The least that a proxy costs which ends mutual TLS with Node.js: it reads nothing of what it relays, admits whoever has a certificate of the mesh, counts nothing and
 * has one connection to the backend for each client. What it takes above HAProxy in TCP mode is Node's TLS; what a sidecar takes above it is the sidecar.
 */
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { createServer } from "node:tls";
import { BufferPool } from "../../src/edge/net/buffer-pool.ts";
import { openKernelSockets } from "../../src/edge/net/kernel-sockets.ts";
import { tlsServerWire } from "../../src/edge/net/mesh-tls.ts";
import type { Wire, WireOwner } from "../../src/edge/net/wire.ts";

const [port = "", originPort = "", credentials = "", anchors = ""] = process.argv.slice(2);
const pem = readFileSync(credentials, "utf8");
const sockets = openKernelSockets({ add: () => true, remove: () => {} });
if (sockets === undefined) throw new Error("Run a Node.js whose node:ffi works");
const pool = new BufferPool();
let shared = pool.take();

function relayInto(target: Wire): WireOwner {
  return {
    readBuffer: () => shared,
    onBytes: (bytes, length) => {
      if (!target.send(bytes, 0, length)) shared = pool.take();
      return true;
    },
    onWritten: () => {},
    onEnd: () => target.end(),
    onClose: () => target.destroy(),
  };
}

/** A request comes with the end of the handshake, before the backend is connected. */
function holdIn(early: Buffer[]): WireOwner {
  return {
    readBuffer: () => shared,
    onBytes: (bytes, length) => {
      early.push(Buffer.from(bytes.subarray(0, length)));
      return true;
    },
    onWritten: () => {},
    onEnd: () => {},
    onClose: () => {},
  };
}

createServer(
  {
    cert: pem,
    key: pem,
    ca: readFileSync(anchors),
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: "TLSv1.3",
    ciphers: "TLS_AES_128_GCM_SHA256",
    noDelay: true,
    allowHalfOpen: true,
  },
  (near) => {
    const client = tlsServerWire(near, shared, pool);
    const early: Buffer[] = [];
    client.owner = holdIn(early);
    const far = connect({ host: "127.0.0.1", port: Number(originPort), noDelay: true }).pause();
    far.once("connect", () => {
      const origin = sockets.adopt(far, { firstBuffer: shared, pool });
      if (typeof origin === "string") throw new Error(`No wire: ${origin}`);
      for (const bytes of early) origin.send(bytes, 0, bytes.length);
      client.owner = relayInto(origin);
      origin.owner = relayInto(client);
    });
  },
).listen({ host: "127.0.0.1", port: Number(port), backlog: 4_096 });
