/**
 * Opens connections. Endpoints are IP addresses, so no name is resolved here. A peer that is to be a certain identity is
 * spoken to only after it proved that: there is no way from a failed handshake to plain text.
 */
import { connect, type OnReadOpts, type Socket, type TcpNetConnectOpts } from "node:net";
import {
  type ConnectionOptions,
  type SecureContext,
  type TLSSocket,
  connect as tlsConnect,
} from "node:tls";
import { isChainTooLong, peerIdentity } from "../x509/peer-identity.ts";
import type { BufferPool } from "./buffer-pool.ts";
import type { KernelSockets } from "./kernel-sockets.ts";
import { transportProtocol } from "./mesh-tls.ts";
import { keepAliveDelayMs, NodeWire } from "./node-wire.ts";
import type { Wire, WireOwner } from "./wire.ts";

export type DialTarget = {
  readonly host: string;
  readonly port: number;
  /** Undefined: plain text. */
  readonly tls: DialTls | undefined;
};

type DialTls = {
  readonly context: SecureContext;
  readonly serverName: string;
  /** What the peer's certificate must say, byte for byte. */
  readonly identity: string;
  /** The transport header's protocol is offered, and insisted on. */
  readonly withTransportHeader: boolean;
};

/** `identity`: the peer is not who it must be, or does not speak TLS as it must. `connect`: nobody answered. */
type DialFailure = {
  readonly kind: "connect" | "identity";
  readonly code: string;
  readonly reason: string;
};

export type DialOptions = {
  readonly target: DialTarget;
  readonly pool: BufferPool;
  /** Where a connection in plain text goes when it stands; undefined: nowhere, it stays with Node.js. */
  readonly sockets?: KernelSockets | undefined;
  /** Where the first bytes of the other end are read to. */
  readonly firstBuffer: Buffer;
  /** Has to set the owner of the wire at once. */
  readonly onOpen: (wire: Wire) => void;
  readonly onFailure: (failure: DialFailure) => void;
};

/** `cancel` ends the attempt without a call of `onOpen` or `onFailure`. */
export type Dialing = { cancel(): void };

/** Exactly one of `onOpen` and `onFailure` is called, later, unless it is cancelled before. */
export function dial(options: DialOptions): Dialing {
  const { target, sockets } = options;
  if (sockets !== undefined && target.tls === undefined) return dialPlain(options, sockets);
  const attempt = new Attempt(options);
  return { cancel: () => attempt.cancel() };
}

function dialPlain(options: DialOptions, sockets: KernelSockets): Dialing {
  const { target, pool, firstBuffer, onOpen, onFailure } = options;
  const { host, port } = target;
  const socket = connect({ host, port, noDelay: true, allowHalfOpen: true }).pause();
  let opened: Wire | undefined;
  const fail = (code: string): void => {
    socket.destroy();
    onFailure(failureOf(code, target));
  };
  const onError = (error: NodeJS.ErrnoException): void => fail(error.code ?? "unknown");
  socket.once("error", onError);
  socket.once("connect", () => {
    socket.setKeepAlive(true, keepAliveDelayMs);
    const wire = sockets.adopt(socket, { firstBuffer, pool });
    if (typeof wire === "string") {
      fail(wire);
      return;
    }
    opened = wire;
    onOpen(wire);
  });
  return {
    cancel: () => {
      opened?.destroy();
      socket
        .removeAllListeners("connect")
        .off("error", onError)
        .on("error", () => {});
      socket.destroy();
    },
  };
}

class Attempt {
  readonly #options: DialOptions;
  readonly #wire: NodeWire;
  #over = false;
  #refusal: DialFailure | undefined;

  constructor(options: DialOptions) {
    this.#options = options;
    const { target, pool, firstBuffer } = options;
    const { tls } = target;
    this.#wire = new NodeWire({
      firstBuffer,
      pool,
      encrypted: tls !== undefined,
      open: (onread) => (tls === undefined ? this.#plain(onread) : this.#encrypted(onread, tls)),
    });
    this.#wire.owner = this.#owner();
  }

  cancel(): void {
    this.#over = true;
    this.#wire.destroy();
  }

  /** Until the connection stands, only its end matters. */
  #owner(): WireOwner {
    const { firstBuffer } = this.#options;
    return {
      readBuffer: () => firstBuffer,
      onBytes: () => true,
      onWritten: () => {},
      onEnd: () => this.#wire.destroy(),
      onClose: (code) => this.#closed(code),
    };
  }

  #plain(onread: OnReadOpts): Socket {
    const { host, port } = this.#options.target;
    const socket = connect({ host, port, onread, noDelay: true, allowHalfOpen: true });
    socket.once("connect", () => this.#open());
    return socket;
  }

  #encrypted(onread: OnReadOpts, tls: DialTls): Socket {
    const { host, port } = this.#options.target;
    const options: ConnectionOptions & TcpNetConnectOpts = {
      host,
      port,
      onread,
      noDelay: true,
      allowHalfOpen: true,
      ...tlsOptions(tls),
    };
    const socket = tlsConnect(options);
    socket.once("secureConnect", () => {
      this.#refusal = refusalOf(socket, tls);
      if (this.#refusal === undefined) this.#open();
      else this.#wire.destroy();
    });
    return socket;
  }

  #open(): void {
    if (this.#over) return;
    this.#over = true;
    this.#options.onOpen(this.#wire);
  }

  #closed(code: string): void {
    if (this.#over) return;
    this.#over = true;
    const { target } = this.#options;
    this.#options.onFailure(this.#refusal ?? failureOf(code, target));
  }
}

type DialTlsOptions = Pick<
  ConnectionOptions,
  "secureContext" | "servername" | "ALPNProtocols" | "rejectUnauthorized" | "checkServerIdentity"
>;

/** Options of a connection that proves to `refusalOf` who the other end is. */
export function tlsOptions(tls: DialTls): DialTlsOptions {
  return {
    secureContext: tls.context,
    servername: tls.serverName,
    ...(tls.withTransportHeader ? { ALPNProtocols: [transportProtocol] } : {}),
    rejectUnauthorized: true,
    // The name is checked by `refusalOf` against the whole identity; Node's rules for host names know wildcards.
    checkServerIdentity: () => undefined,
  };
}

/** Undefined: the other end of a finished handshake is who it must be, and speaks as it must. */
export function refusalOf(socket: TLSSocket, tls: DialTls): DialFailure | undefined {
  const certificate = socket.getPeerX509Certificate();
  const identity = certificate === undefined ? undefined : peerIdentity(certificate);
  if (certificate === undefined || !socket.authorized || identity !== tls.identity) {
    const reason = `the peer is "${identity ?? "nobody"}" instead of "${tls.identity}"`;
    return { kind: "identity", code: "IDENTITY", reason };
  }
  if (isChainTooLong(certificate)) {
    return {
      kind: "identity",
      code: "CHAIN",
      reason: "the peer's chain of certificates is too long",
    };
  }
  if (tls.withTransportHeader && socket.alpnProtocol !== transportProtocol) {
    const reason = `the peer does not speak "${transportProtocol}"`;
    return { kind: "identity", code: "ALPN", reason };
  }
  return undefined;
}

/** What the system says about reaching an address; every other error of a TLS connection is about who is there. */
const connectCodes: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "EADDRNOTAVAIL",
  "EMFILE",
  "ENFILE",
  "EACCES",
  "EPERM",
]);

export function failureOf(code: string, target: DialTarget): DialFailure {
  const kind = target.tls === undefined || connectCodes.has(code) ? "connect" : "identity";
  const what = kind === "connect" ? "connecting" : "the TLS handshake";
  return { kind, code, reason: `${what} failed: ${code === "" ? "closed" : code}` };
}
