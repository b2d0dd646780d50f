/** A client that sends bytes and reads responses one after the other, with no opinion about what it sends. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type ConnectionOptions, connect as tlsConnect } from "node:tls";

export type RawResponse = {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  /** The head as it came, without the empty line. */
  readonly head: string;
};

export class RawClient implements Disposable {
  readonly socket: Socket;
  /** Everything that came and was not read as a response yet. */
  text = "";
  isEnded = false;
  error: NodeJS.ErrnoException | undefined;
  #wake: () => void = () => {};

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => {
      this.text += text;
      this.#wake();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.error = error;
    });
    socket.on("end", () => this.#end());
    socket.on("close", () => this.#end());
  }

  static async open(port: number): Promise<RawClient> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    await once(socket, "connect");
    return new RawClient(socket);
  }

  static async openTls(port: number, options: ConnectionOptions): Promise<RawClient> {
    const socket = tlsConnect({ host: "127.0.0.1", port, ...options });
    await once(socket, "secureConnect");
    return new RawClient(socket);
  }

  send(text: string | Buffer): this {
    this.socket.write(typeof text === "string" ? Buffer.from(text, "latin1") : text);
    return this;
  }

  /** Resolves when the condition holds for `text`; rejects when the connection ends before. */
  async until(holds: (text: string) => boolean): Promise<void> {
    while (!holds(this.text)) {
      if (this.isEnded) {
        throw new Error(
          `The connection ended (${this.error?.code ?? "in order"}) after: ${this.text}`,
        );
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  /** The next head, up to its empty line. */
  async head(): Promise<string> {
    await this.until((text) => text.includes("\r\n\r\n"));
    const end = this.text.indexOf("\r\n\r\n");
    const head = this.text.slice(0, end);
    this.text = this.text.slice(end + 4);
    return head;
  }

  /** The next response. `bodiless`: it answers HEAD. */
  async response(bodiless: boolean = false): Promise<RawResponse> {
    const head = await this.head();
    const [startLine = "", ...lines] = head.split("\r\n");
    const headers = new Map<string, string>();
    for (const line of lines) {
      const colon = line.indexOf(":");
      headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    }
    const status = Number(startLine.split(" ")[1]);
    const empty = bodiless || status < 200 || status === 204 || status === 304;
    const body = empty ? "" : await this.#body(headers);
    return { status, headers, body, head };
  }

  /** Resolves when the other end has closed. */
  async closed(): Promise<void> {
    while (!this.isEnded) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  async #body(headers: ReadonlyMap<string, string>): Promise<string> {
    if (headers.get("transfer-encoding") === "chunked") return this.#chunks();
    const length = headers.get("content-length");
    if (length === undefined) {
      await this.closed();
      return this.#take(this.text.length);
    }
    await this.until((text) => text.length >= Number(length));
    return this.#take(Number(length));
  }

  /** With framing, so that a test sees what was forwarded. */
  async #chunks(): Promise<string> {
    await this.until((text) => /(?:^|\r\n)0\r\n(?:[^\r\n]+\r\n)*\r\n/.test(text));
    const end = /(?:^|\r\n)0\r\n(?:[^\r\n]+\r\n)*\r\n/.exec(this.text);
    return this.#take((end?.index ?? 0) + (end?.[0].length ?? 0));
  }

  #take(length: number): string {
    const taken = this.text.slice(0, length);
    this.text = this.text.slice(length);
    return taken;
  }

  #end(): void {
    this.isEnded = true;
    this.#wake();
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}
