/** Two sessions that speak with each other without a socket, and carry HTTP/1.1 messages as the data plane does. */
import { Http2Error } from "../../../src/codec/http2/frames.ts";
import { H2FromHttp1, MessageReaders, type Sent } from "../../../src/codec/http2/h2-from-http1.ts";
import type { HeaderBlock } from "../../../src/codec/http2/header-block.ts";
import {
  chunkOverhead,
  Http1FromH2,
  headRoom,
  trailersRoom,
} from "../../../src/codec/http2/http1-from-h2.ts";
import { OutBuffer } from "../../../src/codec/http2/out-buffer.ts";
import { defaultHttp2Limits } from "../../../src/codec/http2/protection.ts";
import { Http2Session } from "../../../src/codec/http2/session.ts";
import { Http2Shared, type SessionOwner } from "../../../src/codec/http2/session-core.ts";
import type { Http2Stream, StreamConsumer } from "../../../src/codec/http2/stream.ts";

const readers = new MessageReaders();

class End {
  readonly out: OutBuffer = new OutBuffer(Buffer.alloc(128 * 1024));
  readonly session: Http2Session;

  constructor(role: "client" | "server", shared: Http2Shared, owner: Partial<SessionOwner>) {
    this.session = new Http2Session({
      role,
      limits: defaultHttp2Limits,
      shared,
      out: this.out,
      nowMs: 0,
      owner: {
        onStream: () => {},
        onGoAway: () => {},
        onDrained: () => {},
        onFailed: (code, reason) => {
          throw new Error(`Failed with ${code}: ${reason}`);
        },
        ...owner,
      },
    });
  }

  /** What was written since, which is forgotten. */
  taken(): Buffer {
    const bytes = Buffer.from(this.out.bytes.subarray(0, this.out.end));
    this.out.end = 0;
    return bytes;
  }
}

type WriteHead = (
  translator: Http1FromH2,
  block: HeaderBlock,
  isAll: boolean,
  out: Buffer,
) => number;

/** Writes what comes on a stream as HTTP/1.1. */
class Received implements StreamConsumer {
  text = "";
  code: number | undefined;
  ended = false;
  onWritable: () => void = () => {};
  readonly #translator: Http1FromH2;
  readonly #writeHead: WriteHead;
  readonly #paid: (bytes: number) => void;

  constructor(translator: Http1FromH2, writeHead: WriteHead, paid: (bytes: number) => void) {
    this.#translator = translator;
    this.#writeHead = writeHead;
    this.#paid = paid;
  }

  onHead(block: HeaderBlock, isAll: boolean): void {
    const out = Buffer.alloc(headRoom(block));
    this.text += out.toString("latin1", 0, this.#writeHead(this.#translator, block, isAll, out));
  }

  onData(bytes: Buffer, start: number, end: number): void {
    const out = Buffer.alloc(end - start + chunkOverhead);
    this.text += out.toString("latin1", 0, this.#translator.data(bytes, start, end, out, 0));
    this.#paid(end - start);
  }

  onTrailers(block: HeaderBlock): void {
    const out = Buffer.alloc(trailersRoom(block));
    this.text += out.toString("latin1", 0, this.#translator.trailers(block, out, 0));
  }

  onEnd(): void {
    this.text += this.#translator.end.toString("latin1");
    this.ended = true;
  }

  onReset(code: number): void {
    this.code = code;
  }
}

export type Crossed = {
  readonly request: string;
  readonly response: string;
  readonly sentRequest: number;
  readonly sentResponse: number;
  readonly whole: boolean;
  readonly code: number | undefined;
  /** What the sender of the request knows of it. */
  readonly asked: {
    readonly method: string;
    readonly protocol: string;
    readonly webSocketKey: string;
  };
};

/** Sends a message in pieces, as far as the stream takes it each time. */
function send(
  translator: H2FromHttp1,
  text: string,
  pieceBytes: number,
  consumer: Received,
): () => number {
  const bytes = Buffer.from(text, "latin1");
  let at = 0;
  let refusal = 0;
  const go = (): number => {
    while (at < bytes.length && refusal === 0) {
      const end = Math.min(bytes.length, at + pieceBytes);
      const after = translator.take(bytes, at, end);
      if (after < 0) refusal = after;
      else at = after;
      if (after < end) break;
    }
    return refusal;
  };
  consumer.onWritable = go;
  return go;
}

/** One direction of each exchange, used again for the next. */
class Sender {
  #translator: H2FromHttp1 | undefined;

  begin(session: Http2Session, stream: Http2Stream, sent: Sent): H2FromHttp1 {
    this.#translator?.begin(session, stream, sent);
    this.#translator ??= new H2FromHttp1(session, stream, sent, readers);
    return this.#translator;
  }
}

export class SessionPair {
  readonly shared: Http2Shared = new Http2Shared();
  readonly client: End = new End("client", this.shared, {});
  readonly server: End = new End("server", this.shared, {
    onStream: (stream) => {
      this.#served = stream;
      if (this.#atServer !== undefined) stream.consumer = this.#atServer;
    },
  });
  /** What the client has written for the request that crossed last. */
  clientBytes: Buffer = Buffer.alloc(0);
  #served: Http2Stream | undefined;
  #atServer: Received | undefined;
  readonly #toServer = new Sender();
  readonly #toClient = new Sender();
  readonly #requestReader = new Http1FromH2();
  readonly #responseReader = new Http1FromH2();

  /** A request and its response cross the sessions. */
  cross(requestText: string, responseText: string, pieceBytes: number = 1_000_000): Crossed {
    const method = requestText.slice(0, requestText.indexOf(" "));
    const isUpgrade = /^upgrade:/im.test(requestText);
    const { client, server } = this;
    this.#served = undefined;
    const atServer = this.#newAtServer();
    this.#settle();
    const atClient = this.#newAtClient(method, isUpgrade);
    const asked = client.session.open(atClient);
    if (asked === undefined) throw new Error("Open a stream");
    atClient.stream = asked;
    const request = { kind: "request", scheme: "http" } as const;
    const toServer = this.#toServer.begin(client.session, asked, request);
    const sendRequest = send(toServer, requestText, pieceBytes, atClient);
    this.clientBytes = Buffer.alloc(0);
    let sentRequest = sendRequest();
    this.#settle();
    sentRequest ||= sendRequest();
    let sentResponse = 0;
    const served = this.#served as Http2Stream | undefined;
    if (served !== undefined && sentRequest === 0) {
      const response = { kind: "response", method, isUpgrade } as const;
      const toClient = this.#toClient.begin(server.session, served, response);
      const sendResponse = send(toClient, responseText, pieceBytes, atServer);
      sentResponse = sendResponse();
      this.#settle();
      sentResponse ||= sendResponse();
      if (sentResponse < 0) server.session.reset(served, Http2Error.internal);
      else toClient.finish();
      this.#settle();
    }
    return {
      request: atServer.text,
      response: atClient.text,
      sentRequest,
      sentResponse,
      whole: atServer.ended && atClient.ended,
      code: atClient.code,
      asked: {
        method: toServer.method,
        protocol: toServer.protocol,
        webSocketKey: toServer.webSocketKey,
      },
    };
  }

  #newAtServer(): Received {
    const { server } = this;
    this.#atServer = new Received(
      this.#requestReader,
      (translator, block, isAll, out) => translator.request(block, isAll, "made-key", out, 0),
      (bytes) => this.#served && server.session.consumed(this.#served, bytes),
    );
    return this.#atServer;
  }

  #newAtClient(method: string, isUpgrade: boolean): Received & { stream: Http2Stream | undefined } {
    const { client } = this;
    const upgrade = isUpgrade ? { protocol: "websocket", proof: "made-proof" } : undefined;
    const received: Received & { stream: Http2Stream | undefined } = Object.assign(
      new Received(
        this.#responseReader,
        (translator, block, isAll, out) =>
          translator.response(block, isAll, { method, upgrade }, out, 0),
        (bytes) => received.stream && client.session.consumed(received.stream, bytes),
      ),
      { stream: undefined },
    );
    return received;
  }

  #settle(): void {
    for (;;) {
      const asked = this.client.taken();
      this.clientBytes = Buffer.concat([this.clientBytes, asked]);
      if (asked.length > 0) this.server.session.feed(asked, 0, asked.length);
      this.client.session.resumeSending();
      const answered = this.server.taken();
      if (answered.length > 0) this.client.session.feed(answered, 0, answered.length);
      this.server.session.resumeSending();
      if (asked.length + answered.length === 0) return;
    }
  }
}
