/** Stands in front of a service, and lets nobody through while it is shut. Unlike a service that is stopped it keeps its port, which others are given otherwise. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { pipeline } from "node:stream/promises";

export class Gate implements AsyncDisposable {
  isOpen = false;
  readonly #server: Server;
  readonly #through = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Shut at first. */
  static async before(address: string): Promise<Gate> {
    const { hostname: host, port } = new URL(`http://${address}`);
    const server = createServer();
    const gate = new Gate(server);
    server.on("connection", (client) => {
      if (gate.isOpen) gate.#pass(client, connect({ host, port: Number(port) }));
      else client.destroy();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return gate;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Whoever is through is thrown out. */
  shut(): void {
    this.isOpen = false;
    for (const socket of this.#through) socket.destroy();
  }

  #pass(client: Socket, service: Socket): void {
    this.#through.add(client);
    client.once("close", () => this.#through.delete(client));
    pipeline(client, service, client).catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.shut();
    this.#server.close();
    await once(this.#server, "close");
  }
}
