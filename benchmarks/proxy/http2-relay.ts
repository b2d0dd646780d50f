/**
 * A small HTTP/2 relay for `http2-engine.ts`, one process: `node benchmarks/proxy/http2-relay.ts node:http2 PORT` or `weft PORT`.
 * Requests are relayed over one connection to the origin. Prints the port that it listens on.
 */
import { type ClientHttp2Session, connect, createServer } from "node:http2";
import {
  type AddressInfo,
  connect as connectSocket,
  createServer as createSocketServer,
  type Socket,
} from "node:net";
import { H2FromHttp1, MessageReaders } from "../../src/codec/http2/h2-from-http1.ts";
import { Http1FromH2 } from "../../src/codec/http2/http1-from-h2.ts";
import { OutBuffer } from "../../src/codec/http2/out-buffer.ts";
import { defaultHttp2Limits } from "../../src/codec/http2/protection.ts";
import { Http2Session } from "../../src/codec/http2/session.ts";
import { Http2Shared, type SessionOwner } from "../../src/codec/http2/session-core.ts";
import type { Http2Stream, StreamConsumer } from "../../src/codec/http2/stream.ts";

const [engine = "", originPort = ""] = process.argv.slice(2);

/** What is told of a connection of its own: neither is of interest in a relay that lives as long as its load. */
const kept: readonly string[] = ["content-type", "content-length", "user-agent", "accept", "te"];

function relayByNode(): void {
  let origin: ClientHttp2Session | undefined;
  const server = createServer((request, response) => {
    origin ??= connect(`http://127.0.0.1:${originPort}`);
    const headers: Record<string, string> = {
      ":method": request.method,
      ":path": request.url,
      ":authority": request.authority,
    };
    for (const name of kept) {
      const value = request.headers[name];
      if (typeof value === "string") headers[name] = value;
    }
    const upstream = origin.request(headers);
    upstream.on("response", (answer) => {
      response.writeHead(Number(answer[":status"]), {
        "content-type": String(answer["content-type"]),
      });
      upstream.pipe(response);
    });
    request.pipe(upstream);
  });
  server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
}

const shared = new Http2Shared();
const readers = new MessageReaders();

/** A session on a socket. What it has to say is written once for each turn of the loop. */
class Connection {
  readonly session: Http2Session;
  readonly #out: OutBuffer = new OutBuffer(Buffer.allocUnsafeSlow(128 * 1024));
  readonly #socket: Socket;
  #isDue = false;

  constructor(socket: Socket, role: "client" | "server", owner: Partial<SessionOwner>) {
    this.#socket = socket;
    this.session = new Http2Session({
      role,
      limits: { ...defaultHttp2Limits, maxConcurrentStreams: 1000 },
      shared,
      out: this.#out,
      nowMs: 0,
      owner: {
        onStream: () => {},
        onGoAway: () => {},
        onDrained: () => {},
        onFailed: (_code, reason) => console.error(reason),
        ...owner,
      },
    });
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("close", () => this.session.close());
    socket.on("data", (bytes: Buffer) => {
      this.session.feed(bytes, 0, bytes.length);
      this.flushSoon();
    });
    this.flushSoon();
  }

  flushSoon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    const out = this.#out;
    this.#isDue = false;
    if (out.end === 0 || this.#socket.destroyed) return;
    // The load waits for its answers, so what the socket has not sent stays small.
    this.#socket.write(Buffer.from(out.bytes.subarray(0, out.end)));
    out.end = 0;
    this.session.resumeSending();
    if (out.end > 0) this.flushSoon();
  }
}

/** Small messages only: where a stream takes less than it is given, the relay ends. */
const scratch: Buffer = Buffer.allocUnsafeSlow(256 * 1024);

/** One direction of an exchange: what comes on a stream leaves on another, as HTTP/1.1 in between. */
function carry(
  from: { readonly connection: Connection; readonly stream: () => Http2Stream | undefined },
  to: { readonly connection: Connection; readonly sender: H2FromHttp1 },
  isRequest: boolean,
): StreamConsumer {
  const translator = new Http1FromH2();
  const request = { method: "GET", upgrade: undefined };
  const send = (end: number): void => {
    if (to.sender.take(scratch, 0, end) !== end) throw new Error("Relay small messages");
    to.connection.flushSoon();
  };
  return {
    onHead: (block, isAll) =>
      send(
        isRequest
          ? translator.request(block, isAll, "", scratch, 0)
          : translator.response(block, isAll, request, scratch, 0),
      ),
    onData: (bytes, start, end) => {
      send(translator.data(bytes, start, end, scratch, 0));
      const stream = from.stream();
      if (stream !== undefined) from.connection.session.consumed(stream, end - start);
    },
    onTrailers: (block) => send(translator.trailers(block, scratch, 0)),
    onEnd: () => send(translator.end.copy(scratch)),
    onReset: () => {},
    onWritable: () => {},
  };
}

function relayByWeft(): void {
  let upstream: Connection | undefined;
  const server = createSocketServer((socket) => {
    upstream ??= new Connection(connectSocket(Number(originPort), "127.0.0.1"), "client", {});
    const origin = upstream;
    const client: Connection = new Connection(socket, "server", {
      onStream: (stream) => {
        const sent = { kind: "response", method: "GET", isUpgrade: false } as const;
        const answer = new H2FromHttp1(client.session, stream, sent, readers);
        const asked: Http2Stream | undefined = origin.session.open(
          carry(
            { connection: origin, stream: () => asked },
            { connection: client, sender: answer },
            false,
          ),
        );
        if (asked === undefined) throw new Error("Let the origin take more streams");
        const sender = new H2FromHttp1(
          origin.session,
          asked,
          { kind: "request", scheme: "http" },
          readers,
        );
        stream.consumer = carry(
          { connection: client, stream: () => stream },
          { connection: origin, sender },
          true,
        );
      },
    });
  });
  server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
}

if (engine === "weft") relayByWeft();
else relayByNode();
