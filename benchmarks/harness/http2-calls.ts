/** Calls over HTTP/2 for the paced load: several at once on each connection, spoken by the data plane's own codec. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { H2FromHttp1, MessageReaders } from "../../src/codec/http2/h2-from-http1.ts";
import type { HeaderBlock } from "../../src/codec/http2/header-block.ts";
import { OutBuffer } from "../../src/codec/http2/out-buffer.ts";
import { defaultHttp2Limits } from "../../src/codec/http2/protection.ts";
import { Http2Session } from "../../src/codec/http2/session.ts";
import { Http2Shared } from "../../src/codec/http2/session-core.ts";
import type { Http2Stream, StreamConsumer } from "../../src/codec/http2/stream.ts";

const bufferBytes = 64 * 1024;

const shared = new Http2Shared();
const readers = new MessageReaders();

/** Whoever is told of what fails; the run ends with it. */
type Fail = (error: Error) => void;

export class Http2Connection {
  readonly session: Http2Session;
  readonly #out: OutBuffer = new OutBuffer(Buffer.allocUnsafeSlow(bufferBytes));
  readonly #socket: Socket;

  constructor(port: number, fail: Fail) {
    this.session = new Http2Session({
      role: "client",
      limits: defaultHttp2Limits,
      shared,
      out: this.#out,
      nowMs: 0,
      owner: {
        onStream: () => {},
        onGoAway: () => fail(new Error("a connection was ended by GOAWAY")),
        onDrained: () => {},
        onFailed: (_code, reason) => fail(new Error(reason)),
      },
    });
    const onread = {
      buffer: Buffer.alloc(bufferBytes),
      callback: (length: number, bytes: Uint8Array) => {
        this.session.feed(bytes as Buffer, 0, length);
        this.flush();
        return true;
      },
    };
    this.#socket = connect({ host: "127.0.0.1", port, noDelay: true, onread });
    this.#socket.on("error", fail);
    this.#socket.on("close", () => fail(new Error("a connection was closed")));
  }

  async open(): Promise<void> {
    await once(this.#socket, "connect");
    this.flush();
  }

  close(): void {
    this.#socket.removeAllListeners("close");
    this.#socket.destroy();
  }

  /** The load waits for its answers, so what the socket has not sent stays small. */
  flush(): void {
    const out = this.#out;
    if (out.end === 0 || this.#socket.destroyed) return;
    this.#socket.write(Buffer.from(out.bytes.subarray(0, out.end)));
    out.end = 0;
    this.session.resumeSending();
  }
}

/** One call at a time, one after the other, on a connection that it shares with others. */
export class Http2Caller implements StreamConsumer {
  /** When the call on its way fell due. */
  dueMs = 0;
  onAnswer: () => void = () => {};
  readonly #connection: Http2Connection;
  readonly #request: Buffer;
  readonly #fail: Fail;
  #stream: Http2Stream | undefined;
  #sender: H2FromHttp1 | undefined;

  /** `text` is the request as HTTP/1.1. */
  constructor(connection: Http2Connection, text: string, fail: Fail) {
    this.#connection = connection;
    this.#request = Buffer.from(text, "latin1");
    this.#fail = fail;
  }

  send(dueMs: number): void {
    this.dueMs = dueMs;
    const { session } = this.#connection;
    const stream = session.open(this);
    if (stream === undefined) {
      this.#fail(new Error("a connection takes too few streams"));
      return;
    }
    this.#stream = stream;
    const sent = { kind: "request", scheme: "http" } as const;
    this.#sender?.begin(session, stream, sent);
    this.#sender ??= new H2FromHttp1(session, stream, sent, readers);
    const taken = this.#sender.take(this.#request, 0, this.#request.length);
    if (taken !== this.#request.length) this.#fail(new Error("a request had no room"));
    this.#connection.flush();
  }

  onHead(block: HeaderBlock): void {
    if (block.status !== 200) this.#fail(new Error(`the status was ${block.status}`));
  }

  onData(_bytes: Buffer, start: number, end: number): void {
    if (this.#stream !== undefined) this.#connection.session.consumed(this.#stream, end - start);
  }

  onTrailers(): void {}

  onEnd(): void {
    this.onAnswer();
  }

  onReset(code: number): void {
    this.#fail(new Error(`a stream was reset with ${code}`));
  }

  onWritable(): void {}
}
