/**
 * `onread` for a socket that stands already. Node.js takes the option when a socket is made, and `tls.Server` makes its sockets without it: each read of a server then
 * allocates, and goes through a stream's queue. With this a request of 100 bytes over mutual TLS cost 0.85 and a POST of 4 KiB 0.75 of the CPU (`benchmarks/proxy/inbound.ts`).
 *
 * Node.js keeps what it needs under symbols of its own, which every socket has from the start. Where they are not as expected, the socket reads as it did before.
 */
import type { OnReadOpts, Socket } from "node:net";

type Kept = "kBuffer" | "kBufferCb" | "kBufferGen";

type Handled = { readonly _handle: { useUserBuffer?(buffer: Uint8Array): void } | null };

/** False: it cannot be done, and nothing has been. Something may have been read before it was asked for. */
export function readInto(socket: Socket, { buffer, callback }: OnReadOpts): boolean {
  const { _handle: handle } = socket as unknown as Handled;
  const [first, call, next] = [
    symbolOf(socket, "kBuffer"),
    symbolOf(socket, "kBufferCb"),
    symbolOf(socket, "kBufferGen"),
  ];
  if (first === undefined || call === undefined || next === undefined) return false;
  if (typeof buffer !== "function" || socket.readableLength > 0) return false;
  if (typeof handle?.useUserBuffer !== "function") return false;
  const bytes = buffer();
  handle.useUserBuffer(bytes);
  Object.assign(socket, { [first]: bytes, [call]: callback, [next]: buffer });
  return true;
}

function symbolOf(socket: Socket, name: Kept): symbol | undefined {
  return Object.getOwnPropertySymbols(socket).find(({ description }) => description === name);
}
