/** The engine against another implementation, in both roles, over real sockets. */
import { once } from "node:events";
import {
  type ClientHttp2Session,
  connect,
  createServer as createHttp2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { type AddressInfo, connect as connectSocket, createServer, type Server } from "node:net";
import test, { type ExecutionContext } from "ava";
import fc from "fast-check";
import { Http2Error } from "../../../src/codec/http2/frames.ts";
import type { HeaderBlock } from "../../../src/codec/http2/header-block.ts";
import type { Http2Stream } from "../../../src/codec/http2/stream.ts";
import { EngineSocket } from "./engine-socket.ts";
import { type FieldList, sendFields } from "./hand-made.ts";

const field = fc.tuple(
  fc.stringMatching(/^x-[a-z]{1,8}$/),
  fc.stringMatching(/^[!-~]([ -~]{0,60}[!-~])?$/),
);

/** A name once: the other side joins repeated ones. */
const fields = fc.uniqueArray(field, { maxLength: 10, selector: ([name]) => name });
const bodyBytes = fc.oneof(
  fc.constant(0),
  fc.integer({ min: 1, max: 100 }),
  fc.integer({ min: 60_000, max: 400_000 }),
);
const exchange = fc.record({
  fields,
  bodyBytes,
  trailers: fields,
  path: fc.stringMatching(/^\/[a-z0-9/]{0,40}$/),
});
const round = fc.record({
  exchanges: fc.array(exchange, { minLength: 1, maxLength: 5 }),
  pieceBytes: fc.constantFrom(0, 1, 9, 1000),
});

type Exchange = typeof exchange extends fc.Arbitrary<infer T> ? T : never;

function regular(block: HeaderBlock): FieldList {
  return Array.from(
    { length: block.count },
    (_none, i) => [block.name(i), block.value(i)] as const,
  ).filter(([name]) => name.startsWith("x-"));
}

function regularOf(headers: IncomingHttpHeaders): FieldList {
  return Object.entries(headers)
    .filter(([name]) => name.startsWith("x-"))
    .map(([name, value]) => [name, String(value)] as const);
}

/** Content that waits until the stream takes it, then a trailer section or nothing. */
class Outgoing {
  readonly #engine: EngineSocket;
  readonly #stream: Http2Stream;
  readonly #body: Buffer;
  readonly #trailers: FieldList;
  #at = 0;

  constructor(engine: EngineSocket, stream: Http2Stream, body: Buffer, trailers: FieldList) {
    this.#engine = engine;
    this.#stream = stream;
    this.#body = body;
    this.#trailers = trailers;
  }

  go(): void {
    const { session } = this.#engine;
    const ends = this.#trailers.length === 0;
    const end = this.#body.length;
    this.#at += session.sendData(this.#stream, this.#body, this.#at, end, ends);
    if (this.#at === end && !ends && !this.#stream.localEnded) {
      sendFields(session, this.#stream, this.#trailers, true);
    }
    this.#engine.flush();
  }
}

/** Answers each request with its own fields, content and trailers. */
function startEcho(pieceBytes: number): Server {
  return createServer((socket) => {
    const engine = new EngineSocket(socket, {
      role: "server",
      pieceBytes,
      owner: () => ({ onStream: (stream) => echo(engine, stream) }),
    });
  });
}

function echo(engine: EngineSocket, stream: Http2Stream): void {
  let head: FieldList = [];
  let trailers: FieldList = [];
  const pieces: Buffer[] = [];
  let outgoing: Outgoing | undefined;
  stream.consumer = {
    onHead: (block) => {
      head = regular(block);
    },
    onData: (bytes, start, end) => {
      pieces.push(Buffer.from(bytes.subarray(start, end)));
      engine.session.consumed(stream, end - start);
    },
    onTrailers: (block) => {
      trailers = regular(block);
    },
    onEnd: () => {
      sendFields(engine.session, stream, [[":status", "200"], ...head], false);
      outgoing = new Outgoing(engine, stream, Buffer.concat(pieces), trailers);
      outgoing.go();
    },
    onReset: () => {},
    onWritable: () => outgoing?.go(),
  };
}

type Answered = {
  readonly fields: FieldList;
  readonly bytes: number;
  readonly trailers: FieldList;
};

async function askByNode(client: ClientHttp2Session, asked: Exchange): Promise<Answered> {
  const request = client.request(
    { ":method": "POST", ":path": asked.path, ...Object.fromEntries(asked.fields) },
    { waitForTrailers: asked.trailers.length > 0 },
  );
  request.on("wantTrailers", () => request.sendTrailers(Object.fromEntries(asked.trailers)));
  request.end(Buffer.alloc(asked.bodyBytes, "b"));
  let answered: FieldList = [];
  let trailers: FieldList = [];
  let bytes = 0;
  request.on("response", (headers) => {
    answered = regularOf(headers);
  });
  request.on("trailers", (headers) => {
    trailers = regularOf(headers);
  });
  request.on("data", (piece: Buffer) => {
    bytes += piece.length;
  });
  await once(request, "end");
  return { fields: answered, bytes, trailers };
}

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

function expected(asked: Exchange): Answered {
  return { fields: asked.fields, bytes: asked.bodyBytes, trailers: asked.trailers };
}

test("Http2Session as a server serves the client of node:http2", async (t) => {
  await fc.assert(
    fc.asyncProperty(round, async ({ exchanges, pieceBytes }) => {
      const server = startEcho(pieceBytes);
      const port = await listen(server);
      const client = connect(`http://127.0.0.1:${port}`);
      const answers = await Promise.all(exchanges.map((asked) => askByNode(client, asked)));
      t.deepEqual(answers, exchanges.map(expected));
      const closed = once(server, "close");
      client.close();
      server.close();
      await closed;
    }),
    { numRuns: 25 },
  );
});

async function startNode(t: ExecutionContext): Promise<number> {
  const server = createHttp2Server();
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    stream.on("error", () => {});
    if (headers[":path"] === "/reset") {
      stream.close(Http2Error.enhanceYourCalm);
      return;
    }
    const pieces: Buffer[] = [];
    let trailers: FieldList = [];
    stream.on("trailers", (received) => {
      trailers = regularOf(received);
    });
    stream.on("data", (piece: Buffer) => pieces.push(piece));
    stream.on("end", () => {
      const waitForTrailers = trailers.length > 0;
      stream.respond(
        { ":status": 200, ...Object.fromEntries(regularOf(headers)) },
        { waitForTrailers },
      );
      stream.on("wantTrailers", () => stream.sendTrailers(Object.fromEntries(trailers)));
      stream.end(Buffer.concat(pieces));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

function askByEngine(engine: EngineSocket, asked: Exchange): Promise<Answered | number> {
  return new Promise((resolve) => {
    let head: FieldList = [];
    let trailers: FieldList = [];
    let bytes = 0;
    let outgoing: Outgoing | undefined;
    const stream = engine.session.open({
      onHead: (block) => {
        head = regular(block);
      },
      onData: (_bytes, start, end) => {
        bytes += end - start;
        if (stream !== undefined) engine.session.consumed(stream, end - start);
      },
      onTrailers: (block) => {
        trailers = regular(block);
      },
      onEnd: () => resolve({ fields: head, bytes, trailers }),
      onReset: resolve,
      onWritable: () => outgoing?.go(),
    });
    if (stream === undefined) throw new Error("Open a stream");
    const pseudo: FieldList = [
      [":method", "POST"],
      [":scheme", "http"],
      [":authority", "web.demo"],
      [":path", asked.path],
    ];
    sendFields(engine.session, stream, [...pseudo, ...asked.fields], false);
    outgoing = new Outgoing(engine, stream, Buffer.alloc(asked.bodyBytes, "b"), asked.trailers);
    outgoing.go();
  });
}

async function connectEngine(
  port: number,
  pieceBytes: number,
): Promise<{ engine: EngineSocket; close: () => Promise<void> }> {
  const socket = connectSocket(port, "127.0.0.1");
  await once(socket, "connect");
  const engine = new EngineSocket(socket, { role: "client", pieceBytes, owner: () => ({}) });
  return {
    engine,
    close: async () => {
      const closed = once(socket, "close");
      engine.session.drain();
      engine.flush();
      await closed;
    },
  };
}

test("Http2Session as a client is served by node:http2", async (t) => {
  const port = await startNode(t);
  await fc.assert(
    fc.asyncProperty(round, async ({ exchanges, pieceBytes }) => {
      const { engine, close } = await connectEngine(port, pieceBytes);
      const answers = await Promise.all(exchanges.map((asked) => askByEngine(engine, asked)));
      t.deepEqual(answers, exchanges.map(expected));
      await close();
    }),
    { numRuns: 25 },
  );
});

test("Http2Session tells the code with which node:http2 resets a stream, and goes on", async (t) => {
  const port = await startNode(t);
  const { engine, close } = await connectEngine(port, 0);
  const asked: Exchange = { fields: [], bodyBytes: 10, trailers: [], path: "/reset" };
  t.is(await askByEngine(engine, asked), Http2Error.enhanceYourCalm);
  const next = { ...asked, path: "/" };
  t.deepEqual(await askByEngine(engine, next), expected(next));
  await close();
});

test("reset() tells node:http2 the code", async (t) => {
  const server = createServer((socket) => {
    const engine = new EngineSocket(socket, {
      role: "server",
      owner: () => ({
        onStream: (stream) => {
          engine.session.reset(stream, Http2Error.refusedStream);
        },
      }),
    });
  });
  const port = await listen(server);
  const client = connect(`http://127.0.0.1:${port}`);
  const request = client.request({ ":path": "/" });
  const [error] = (await once(request, "error").catch((thrown: unknown) => [thrown])) as [Error];
  t.regex(String(error), /REFUSED_STREAM/);
  client.close();
  server.close();
});

test("drain() lets node:http2 finish what it asked, and closes", async (t) => {
  const server = startEcho(0);
  const engines: EngineSocket[] = [];
  server.removeAllListeners("connection");
  server.on("connection", (socket) => {
    const engine: EngineSocket = new EngineSocket(socket, {
      role: "server",
      owner: () => ({
        onStream: (stream) => {
          echo(engine, stream);
          engine.session.drain();
          engine.flush();
        },
      }),
    });
    engines.push(engine);
  });
  const port = await listen(server);
  const client = connect(`http://127.0.0.1:${port}`);
  const closed = once(client, "close");
  const asked: Exchange = { fields: [], bodyBytes: 200_000, trailers: [], path: "/" };
  t.deepEqual(await askByNode(client, asked), expected(asked));
  await closed;
  t.is(engines.length, 1);
  server.close();
});
