/**
 * TLS between sidecars: version 1.3 only, certificates on both sides, checked against the mesh's own trust anchors and
 * nothing else. A name is known only when the chain is good and the leaf carries exactly one name.
 */
import { constants } from "node:crypto";
import type { Socket } from "node:net";
import {
  createSecureContext,
  createServer,
  type SecureContext,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
} from "node:tls";
import { isChainTooLong, peerIdentity } from "../x509/peer-identity.ts";
import type { BufferPool } from "./buffer-pool.ts";
import { NodeWire } from "./node-wire.ts";

/** All PEM. */
export type MeshCredentials = {
  readonly certificateChain: string;
  readonly privateKey: string;
  readonly trustAnchors: string;
};

/** The other end of a connection whose TLS this process ended. */
export type TlsPeer = {
  /** Undefined: the peer showed no certificate. */
  readonly identity: string | undefined;
  readonly alpn: string | undefined;
};

/** Tells the server that a transport header comes first (Linkerd's proxy-to-proxy protocol). */
export const transportProtocol = "transport.l5d.io/v1";

/** The suites and groups that Linkerd's proxies offer, in their order. */
const suites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
const groups = "X25519MLKEM768:X25519:P-256:P-384";

/** What both sides of every connection agree on. */
const versionOptions: SecureContextOptions = {
  minVersion: "TLSv1.3",
  maxVersion: "TLSv1.3",
  ciphers: suites,
  ecdhCurve: groups,
  secureOptions: constants.SSL_OP_NO_TICKET,
};

/**
 * Options of every context. Without tickets, and without a session store, nothing can be resumed: each connection proves
 * both identities anew, so a replaced certificate or trust anchor counts from the next connection on.
 */
export function contextOptions(credentials: MeshCredentials): SecureContextOptions {
  return {
    cert: credentials.certificateChain,
    key: credentials.privateKey,
    ca: credentials.trustAnchors,
    ...versionOptions,
  };
}

/** For connections that this process opens before it has a certificate. */
export function anchorsContext(trustAnchors: string): SecureContext {
  return createSecureContext({ ca: trustAnchors, ...versionOptions });
}

/** For connections that this process opens. */
export function clientContext(credentials: MeshCredentials): SecureContext {
  return createSecureContext(contextOptions(credentials));
}

export type MeshServerOptions = {
  readonly credentials: MeshCredentials;
  readonly handshakeTimeoutMs: number;
  readonly onPeer: (socket: TLSSocket, peer: TlsPeer) => void;
  /** The handshake failed; the socket is gone. */
  readonly onFailure: (code: string) => void;
};

/** Ends TLS on sockets that were accepted elsewhere. */
export class MeshServer {
  readonly #server: Server;
  readonly #options: MeshServerOptions;

  constructor(options: MeshServerOptions) {
    this.#options = options;
    this.#server = createServer({
      ...contextOptions(options.credentials),
      requestCert: true,
      // Checked in `#greet`: a client may come without a certificate, but not with a bad one.
      rejectUnauthorized: false,
      ALPNProtocols: [transportProtocol],
      handshakeTimeout: options.handshakeTimeoutMs,
      allowHalfOpen: true,
    });
    this.#server.on("secureConnection", (socket) => this.#greet(socket));
    this.#server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
      socket.destroy();
      options.onFailure(error.code ?? "unknown");
    });
  }

  /** For connections from now on. */
  renew(credentials: MeshCredentials): void {
    this.#server.setSecureContext(contextOptions(credentials));
  }

  accept(socket: Socket): void {
    this.#server.emit("connection", socket);
  }

  #greet(socket: TLSSocket): void {
    const certificate = socket.getPeerX509Certificate();
    const identity = certificate === undefined ? undefined : peerIdentity(certificate);
    const isGood =
      certificate === undefined ||
      (socket.authorized && identity !== undefined && !isChainTooLong(certificate));
    if (!isGood) {
      // Nobody reads the error of a socket that is refused.
      socket.on("error", ignore);
      socket.destroy();
      this.#options.onFailure(refusalCode(socket));
      return;
    }
    this.#options.onPeer(socket, { identity, alpn: socket.alpnProtocol || undefined });
  }
}

/** The wire of a socket that `MeshServer` announced. */
export function tlsServerWire(socket: TLSSocket, firstBuffer: Buffer, pool: BufferPool): NodeWire {
  const wire = new NodeWire({ firstBuffer, pool, encrypted: true, open: () => socket });
  wire.readData();
  return wire;
}

function refusalCode(socket: TLSSocket): string {
  const reason: unknown = socket.authorizationError;
  return typeof reason === "string" ? reason : "NO_SINGLE_NAME_OR_LONG_CHAIN";
}

function ignore(): void {}
