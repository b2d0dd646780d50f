/**
 * Settles which port each listener has before the workers bind it. All workers share every port (`SO_REUSEPORT`), which
 * has two consequences: "any free port" must be chosen once for all of them, and two sidecars with the same address would
 * share it silently instead of failing, so a given port is first bound alone.
 */
import { type AddressInfo, createServer, type Server } from "node:net";
import { fail, fault, ok, type Result } from "../core/std/result.ts";

export type ListenAddress = { readonly host: string; readonly port: number };

export type ListenPorts = {
  /** The given addresses with their ports settled, in order. */
  readonly addresses: readonly ListenAddress[];
  /** Lets go of ports that were free for the choosing. Call it when the workers listen, else another may take them. */
  readonly release: () => Promise<void>;
};

export async function settleListenPorts(
  wanted: readonly ListenAddress[],
): Promise<Result<ListenPorts>> {
  const held: Server[] = [];
  const release = async (): Promise<void> => {
    await Promise.all(held.splice(0).map(close));
  };
  const addresses: ListenAddress[] = [];
  const faults = [];
  for (const { host, port } of wanted) {
    const server = createServer();
    try {
      addresses.push({ host, port: await listen(server, host, port) });
      if (port === 0) held.push(server);
      else await close(server);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      faults.push(fault("", `choose another address than "${host}:${port}": ${why}`));
    }
  }
  if (faults.length === 0) return ok({ addresses, release });
  await release();
  return fail(...faults);
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    // A connection to a port that nobody was told of yet is refused instead of left without an answer.
    server.on("connection", (socket) => socket.destroy());
    server.listen({ host, port, reusePort: port === 0 }, () => {
      server.off("error", reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}
