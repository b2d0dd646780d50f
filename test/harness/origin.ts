/** Applications behind a proxy: one that echoes what it was asked, and one that says whatever bytes a test wants. */
import { once } from "node:events";
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { buffer } from "node:stream/consumers";

export type SeenRequest = {
  readonly method: string;
  readonly url: string;
  /** Names and values in turn, as they came. */
  readonly rawHeaders: readonly string[];
  readonly body: string;
};

/** Answers 200 with `<name> <method> <url>`, and remembers what it was asked. */
export class EchoOrigin implements AsyncDisposable {
  readonly name: string;
  readonly port: number;
  readonly seen: SeenRequest[] = [];
  /** Connections that were opened so far. */
  connections = 0;
  readonly #server: Server;

  private constructor(name: string, server: Server) {
    this.name = name;
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", () => {
      this.connections++;
    });
  }

  static async start(name: string): Promise<EchoOrigin> {
    let origin: EchoOrigin | undefined;
    const server = createHttpServer((request, response) => {
      // A request that breaks off is the subject of some tests.
      origin?.answer(request, response).catch(() => response.destroy());
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    origin = new EchoOrigin(name, server);
    return origin;
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url = "", rawHeaders } = request;
    const body = (await buffer(request)).toString("latin1");
    this.seen.push({ method, url, rawHeaders, body });
    response.setHeader("x-origin", this.name);
    response.end(`${this.name} ${method} ${url}`);
  }

  /** The value of a header of the newest request. */
  header(name: string): string | undefined {
    const headers = this.seen.at(-1)?.rawHeaders ?? [];
    const at = headers.findIndex((text, i) => i % 2 === 0 && text.toLowerCase() === name);
    return at < 0 ? undefined : headers[at + 1];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    (this.#server as ReturnType<typeof createHttpServer>).closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** Hands each connection to `serve`, and remembers all bytes that came. */
export class RawOrigin implements AsyncDisposable {
  readonly port: number;
  readonly sockets: Socket[] = [];
  received = "";
  readonly server: Server;
  #wake: () => void = () => {};

  private constructor(server: Server) {
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  /** `serve` gets each connection, and all that has come on it after each read. */
  static async start(
    serve: (socket: Socket, soFar: string) => void,
    options: { readonly port?: number; readonly readsNothing?: boolean } = {},
  ): Promise<RawOrigin> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    server.listen(options.port ?? 0, "127.0.0.1");
    await once(server, "listening");
    const origin = new RawOrigin(server);
    server.on("connection", (socket) => {
      origin.sockets.push(socket);
      socket.on("error", () => {});
      socket.on("close", () => origin.#wake());
      origin.#wake();
      if (options.readsNothing === true) return;
      let soFar = "";
      socket.setEncoding("latin1");
      socket.on("data", (text: string) => {
        soFar += text;
        origin.received += text;
        serve(socket, soFar);
        origin.#wake();
      });
      socket.on("end", () => socket.end());
    });
    return origin;
  }

  /** Answers each request without a body by the same bytes. */
  static answering(response: string): Promise<RawOrigin> {
    return RawOrigin.start((socket, soFar) => {
      if (soFar.endsWith("\r\n\r\n")) socket.write(response, "latin1");
    });
  }

  /** Resolves when the condition holds; it is looked at whenever something happens. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  get openCount(): number {
    return this.sockets.filter((socket) => !socket.destroyed).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, "close");
  }
}
