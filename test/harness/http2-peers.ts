/** Peers that speak HTTP/2 with prior knowledge and nothing else, over `node:http2`. */
import { once } from "node:events";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

export type Fields = Readonly<Record<string, unknown>>;
export type Answer = { readonly head: Fields; readonly trailers: Fields; readonly body: string };

/** A client with one connection, which tells its frames from nothing but the answers. */
export class Peer implements Disposable {
  readonly session: ClientHttp2Session;

  constructor(port: number) {
    this.session = connect(`http://127.0.0.1:${port}`);
    this.session.on("error", () => {});
  }

  open(headers: Record<string, string>, endStream: boolean = false): ClientHttp2Stream {
    const stream = this.session.request({ ":authority": "web", ...headers }, { endStream });
    stream.on("error", () => {});
    return stream;
  }

  async ask(headers: Record<string, string>, body?: string): Promise<Answer> {
    const stream = this.open(headers, body === undefined);
    let trailers: Fields = {};
    stream.on("trailers", (fields: IncomingHttpHeaders) => {
      trailers = { ...fields };
    });
    const answered = once(stream, "response") as Promise<[Fields]>;
    if (body !== undefined) stream.end(body);
    const closed = new Promise((resolve) => {
      stream.once("close", resolve);
    });
    const [head] = await answered;
    const content = (await buffer(stream)).toString("latin1");
    await closed;
    return { head: { ...head }, trailers, body: content };
  }

  [Symbol.dispose](): void {
    this.session.destroy();
  }
}

type Serve = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

/** A backend that speaks HTTP/2 with prior knowledge and nothing else. */
export class H2Origin implements AsyncDisposable {
  readonly port: number;
  readonly seen: IncomingHttpHeaders[] = [];
  sessions = 0;
  readonly #server: Http2Server;
  readonly #open: Set<{ destroy(): void }> = new Set();

  private constructor(server: Http2Server, serve: Serve) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on("session", (session) => {
      this.sessions++;
      this.#open.add(session);
      session.on("error", () => {});
    });
    server.on("stream", (stream: ServerHttp2Stream, headers) => {
      stream.on("error", () => {});
      this.seen.push(headers);
      serve(stream, headers);
    });
  }

  static async start(
    serve: Serve = echo,
    settings: { readonly maxConcurrentStreams?: number } = {},
  ): Promise<H2Origin> {
    const server = createServer({ settings: { enableConnectProtocol: true, ...settings } });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new H2Origin(server, serve);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#open) session.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** Sends the body back, and says its length in a trailer. */
export const echo: Serve = (stream, headers) => {
  buffer(stream).then(
    (body) => {
      stream.respond({ ":status": 200, "x-path": headers[":path"] }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": String(body.length) }));
      stream.end(body);
    },
    () => {},
  );
};
