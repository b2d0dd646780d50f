/**
 * A listening socket of a worker. `reusePort` lets every worker bind the same address; the kernel spreads connections over
 * them, and no thread hands sockets to another.
 */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, Socket } from "node:net";
import type { BufferPool } from "./buffer-pool.ts";
import type { KernelSockets } from "./kernel-sockets.ts";
import { keepAliveDelayMs, NodeWire } from "./node-wire.ts";
import type { OriginalDestination, ReadOriginalDestination } from "./original-dst.ts";
import type { PlainWire } from "./wire.ts";

export type ListenOptions = {
  readonly host: string;
  readonly port: number;
  /** Where connections that become wires live; undefined: with Node.js. */
  readonly sockets?: KernelSockets | undefined;
  readonly onConnection: (accepted: AcceptedSocket) => void;
  /** Accepting failed, for want of file descriptors for example: that costs a connection, not the listener. */
  readonly onAcceptFailure: (code: string) => void;
};

export type Listener = {
  readonly host: string;
  readonly port: number;
  /** Connections that were accepted here and are open, whatever became of them. */
  readonly openCount: number;
  /** Stops accepting. Connections live on. */
  close(): void;
  /** Ends all connections that were accepted here. */
  destroyAll(): void;
};

/** Nothing is read from it before somebody takes it. */
export type AcceptedSocket = {
  readonly remoteIp: string;
  /** Where the client wanted to go before redirect rules sent it here. To be asked before the socket is taken. */
  originalDestination(read: ReadOriginalDestination): OriginalDestination | undefined;
  /** As a wire that reads into its owner's buffers. */
  toWire(firstBuffer: Buffer, pool: BufferPool): PlainWire;
  /** As Node's own socket, for TLS. */
  toSocket(): Socket;
  destroy(): void;
};

/**
 * How many connections the kernel keeps for a worker that is busy. It cuts the number to `net.core.somaxconn` (4096 on
 * today's kernels); Node's default of 511 is met by a reconnecting crowd.
 */
const backlog = 4_096;

/**
 * Sockets that listen on one address. The event loop accepts one connection from each in a turn, and a turn with hundreds
 * of busy connections takes tens of milliseconds: with a single socket a crowd of new clients waited for seconds.
 */
const socketsPerAddress = 32;

/** What was accepted and is open. */
type Open = Set<{ destroy(): void }>;

export async function listen(options: ListenOptions): Promise<Listener> {
  const { host } = options;
  const open: Open = new Set();
  const first = await openServer(options, open);
  const { address, port } = first.address() as AddressInfo;
  const servers = [first];
  while (servers.length < socketsPerAddress) {
    servers.push(await openServer({ ...options, host, port }, open));
  }
  return {
    host: address,
    port,
    get openCount() {
      return open.size;
    },
    close: () => {
      for (const server of servers) server.close();
    },
    destroyAll: () => {
      for (const socket of open) socket.destroy();
    },
  };
}

async function openServer(options: ListenOptions, open: Open): Promise<Server> {
  const { host, port, sockets, onConnection, onAcceptFailure } = options;
  const server = createServer({ pauseOnConnect: true, noDelay: true, allowHalfOpen: true });
  server.on("connection", (raw) => onConnection(accept(raw, open, sockets)));
  server.listen({ host, port, reusePort: true, backlog });
  await once(server, "listening");
  server.on("error", (error: NodeJS.ErrnoException) => onAcceptFailure(error.code ?? "unknown"));
  return server;
}

function accept(raw: Socket, open: Open, sockets: KernelSockets | undefined): AcceptedSocket {
  track(raw, open);
  return {
    remoteIp: raw.remoteAddress ?? "",
    originalDestination: (read) => read(raw),
    toWire: (firstBuffer, pool) =>
      (sockets && adopt(raw, { open, sockets, firstBuffer, pool })) ??
      new NodeWire({
        firstBuffer,
        pool,
        encrypted: false,
        open: (onread) => track(takeHandle(raw, onread), open),
      }),
    toSocket: () => raw,
    destroy: () => raw.destroy(),
  };
}

type Adopting = {
  readonly open: Open;
  readonly sockets: KernelSockets;
  readonly firstBuffer: Buffer;
  readonly pool: BufferPool;
};

/** Undefined: it cannot move, for want of descriptors for example, and stays with Node.js. */
function adopt(raw: Socket, { open, sockets, ...rest }: Adopting): PlainWire | undefined {
  raw.setKeepAlive(true, keepAliveDelayMs);
  const onGone = (heir: Socket | undefined): void => {
    if (heir !== undefined) track(heir, open);
    if (typeof wire !== "string") open.delete(wire);
  };
  const wire = sockets.adopt(raw, { ...rest, onGone });
  if (typeof wire === "string") return undefined;
  open.delete(raw);
  open.add(wire);
  return wire;
}

function track(socket: Socket, open: Open): Socket {
  open.add(socket);
  return socket.once("close", () => open.delete(socket));
}

/** What a socket is made of, which Node's types do not show. */
type Handled = { _handle: object | null };

/**
 * A server gives no `onread` to the sockets that it accepts, so their handle moves to a socket that has one. The old
 * socket is destroyed without it, so that the server does not wait for it when it closes.
 */
function takeHandle(raw: Socket, onread: object): Socket {
  const from = raw as unknown as Handled;
  const options = { handle: from._handle, allowHalfOpen: true, onread };
  from._handle = null;
  raw.destroy();
  return new Socket(options as unknown as ConstructorParameters<typeof Socket>[0]).resume();
}
