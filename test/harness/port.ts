/** Ports of loopback for listeners that must know theirs before they listen. */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";

/** Nothing listens there on any machine that runs tests. */
export const deadPort = 1;

/**
 * A port that nobody else is given before `use` has settled. It is held by a listener that shares it, as the sidecar does:
 * a port that was free a moment ago is soon given to another test, and shared with it.
 */
export async function withPort<T>(use: (port: number) => Promise<T>): Promise<T> {
  const server = createServer((socket) => socket.destroy());
  server.listen({ host: "127.0.0.1", port: 0, reusePort: true });
  await once(server, "listening");
  try {
    return await use((server.address() as AddressInfo).port);
  } finally {
    server.close();
    await once(server, "close");
  }
}
