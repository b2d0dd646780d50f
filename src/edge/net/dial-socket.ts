/**
 * Opens a connection as `dial` does, under the same rules, as a socket for Node's own protocol implementations. For what the
 * proxy asks on its own account; requests that it forwards go over `Wire`.
 */
import { connect, type Socket, type TcpNetConnectOpts } from "node:net";
import { type ConnectionOptions, connect as tlsConnect } from "node:tls";
import { type DialTarget, failureOf, refusalOf, tlsOptions } from "./dial.ts";

export type DialSocketOptions = {
  readonly target: DialTarget;
  /** Sent before the socket is handed over. */
  readonly preface: Buffer | undefined;
  /** For the connection and its handshake. */
  readonly timeoutMs: number;
};

export class DialError extends Error {}

/** Resolves with a socket whose other end is who it must be. */
export function dialSocket({ target, preface, timeoutMs }: DialSocketOptions): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const open = (socket: Socket): void => {
    clearTimeout(timer);
    socket.off("error", fail);
    if (preface !== undefined) socket.write(preface);
    resolve(socket);
  };
  const refuse = (reason: string): void => {
    clearTimeout(timer);
    reject(new DialError(reason));
    socket.destroy();
  };
  const fail = (error: NodeJS.ErrnoException): void =>
    refuse(failureOf(error.code ?? "", target).reason);
  const timer = setTimeout(() => refuse("it did not answer in time"), timeoutMs);
  const socket = start(target, open, refuse);
  socket.on("error", fail);
  return promise;
}

function start(
  { host, port, tls }: DialTarget,
  open: (socket: Socket) => void,
  refuse: (reason: string) => void,
): Socket {
  if (tls === undefined) {
    const socket = connect({ host, port, noDelay: true });
    return socket.once("connect", () => open(socket));
  }
  const options: ConnectionOptions & TcpNetConnectOpts = {
    host,
    port,
    noDelay: true,
    ...tlsOptions(tls),
  };
  const socket = tlsConnect(options);
  return socket.once("secureConnect", () => {
    const refusal = refusalOf(socket, tls);
    if (refusal === undefined) open(socket);
    else refuse(refusal.reason);
  });
}
