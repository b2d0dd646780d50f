import type { Socket } from "node:net";

/** What a socket is made of, which Node's types do not show. */
type Handled = { readonly _handle: { readonly fd: number } | null };

/** The number by which the kernel knows a connection, for as long as Node.js keeps it open. -1: it is not open. */
export function descriptorOf(socket: Socket): number {
  return (socket as unknown as Handled)._handle?.fd ?? -1;
}
