/** A service of gRPC in all four shapes, and a client of it, over `@grpc/grpc-js`: real peers that know nothing of proxies. */
import type { EventEmitter } from "node:events";
import {
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServiceError,
  type StatusObject,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";

const same = (bytes: Buffer): Buffer => bytes;

function shape(name: string, requestStream: boolean, responseStream: boolean): Shape {
  return {
    path: `/demo.Echo/${name}`,
    requestStream,
    responseStream,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

type Shape = MethodDefinition<Buffer, Buffer>;
export type RpcCall = keyof typeof shapes;

const shapes = {
  unary: shape("Unary", false, false),
  gather: shape("Gather", true, false),
  spread: shape("Spread", false, true),
  chat: shape("Chat", true, true),
};

/** What a request asks for in its metadata: `fail`: this status code. `initial`: metadata before anything else. */
export class RpcServer implements AsyncDisposable {
  port = 0;
  /** Calls that have begun, by path. */
  readonly seen: string[] = [];
  readonly metadata: Metadata[] = [];
  cancelled = 0;
  readonly #name: string;
  readonly #server: Server = new Server();

  private constructor(name: string) {
    this.#name = name;
  }

  /** `name`: which its trailers tell as `x-server`. */
  static async start(address: string = "127.0.0.1:0", name: string = ""): Promise<RpcServer> {
    const server = new RpcServer(name);
    server.#serve();
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    server.#server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port);
      else reject(error);
    });
    server.port = await promise;
    return server;
  }

  #serve(): void {
    const handlers = {
      unary: (call: Unary, answer: Answer) => {
        const failure = this.#note("unary", call.metadata);
        call.on("cancelled", () => {
          this.cancelled++;
        });
        if (failure === "never") return;
        if (failure !== undefined) answer({ code: Number(failure), details: "asked to fail" });
        else answer(null, call.request, this.#trailing(call.metadata));
      },
      gather: (call: Stream, answer: Answer): void => {
        this.#note("gather", call.metadata);
        const parts: Buffer[] = [];
        call.on("data", (bytes: Buffer) => parts.push(bytes));
        call.on("end", () => answer(null, Buffer.concat(parts)));
      },
      spread: (call: Unary & Stream) => {
        this.#note("spread", call.metadata);
        for (const byte of call.request) call.write(Buffer.of(byte));
        call.end();
      },
      chat: (call: Stream) => {
        this.#note("chat", call.metadata);
        call.on("cancelled", () => {
          this.cancelled++;
        });
        call.on("error", () => {});
        call.on("data", (bytes: Buffer) => call.write(bytes));
        call.on("end", () => call.end(this.#trailing(call.metadata)));
      },
    };
    this.#server.addService(shapes, handlers as unknown as UntypedServiceImplementation);
  }

  #note(name: string, metadata: Metadata): string | undefined {
    this.seen.push(name);
    this.metadata.push(metadata);
    return metadata.get("fail")[0]?.toString();
  }

  #trailing(metadata: Metadata): Metadata {
    const trailers = new Metadata();
    const wanted = metadata.get("trailing")[0];
    if (wanted !== undefined) trailers.set("x-trailing", wanted);
    if (this.#name !== "") trailers.set("x-server", this.#name);
    return trailers;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
    return Promise.resolve();
  }
}

type Unary = {
  readonly metadata: Metadata;
  readonly request: Buffer;
  on(event: string, listener: (bytes: Buffer) => void): void;
};
type Stream = {
  readonly metadata: Metadata;
  on(event: string, listener: (bytes: Buffer) => void): void;
  write(bytes: Buffer): void;
  end(trailers?: Metadata): void;
};
type Answer = (error: Partial<StatusObject> | null, value?: Buffer, trailers?: Metadata) => void;

export type RpcResult = {
  readonly code: number;
  readonly details: string;
  readonly messages: readonly Buffer[];
  readonly trailers: Metadata;
};

export class RpcClient implements Disposable {
  readonly #client: Client;

  /** `at`: a port of this machine, or an address with its port. `authority`: empty for that of the address. */
  constructor(at: number | string, authority: string = "web.demo:80") {
    const target = typeof at === "number" ? `127.0.0.1:${at}` : at;
    this.#client = new Client(target, credentials.createInsecure(), {
      ...(authority === "" ? {} : { "grpc.default_authority": authority }),
      "grpc.enable_retries": 0,
      // Each client has a connection of its own, as clients in pods of their own have.
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  /** A whole call: everything is sent, then everything is read. */
  async call(
    name: RpcCall,
    sent: readonly Buffer[],
    options: {
      readonly metadata?: Readonly<Record<string, string>>;
      readonly deadlineMs?: number;
    } = {},
  ): Promise<RpcResult> {
    const { promise, resolve } = Promise.withResolvers<RpcResult>();
    const messages: Buffer[] = [];
    const metadata = new Metadata();
    for (const [key, value] of Object.entries(options.metadata ?? {})) metadata.set(key, value);
    const { path, requestStream, responseStream } = shapes[name];
    const { deadlineMs } = options;
    const limits = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    const listen = (stream: Pick<EventEmitter, "on">, done: (result: RpcResult) => void): void => {
      stream.on("error", () => {});
      stream.on("status", ({ code, details, metadata: trailers }: StatusObject) => {
        // The value of a call with one follows its status.
        setImmediate(() => done({ code, details, messages, trailers }));
      });
      if (responseStream) stream.on("data", (bytes: Buffer) => messages.push(bytes));
    };
    const onValue = (_error: ServiceError | null, value?: Buffer): void => {
      if (value !== undefined) messages.push(value);
    };
    const first = sent[0] ?? Buffer.alloc(0);
    const client = this.#client;
    if (!requestStream) {
      const stream = responseStream
        ? client.makeServerStreamRequest(path, same, same, first, metadata, limits)
        : client.makeUnaryRequest(path, same, same, first, metadata, limits, onValue);
      listen(stream, resolve);
      return promise;
    }
    const stream = responseStream
      ? client.makeBidiStreamRequest(path, same, same, metadata, limits)
      : client.makeClientStreamRequest(path, same, same, metadata, limits, onValue);
    listen(stream, resolve);
    for (const bytes of sent) stream.write(bytes);
    stream.end();
    return promise;
  }

  chat(): ClientDuplexStream<Buffer, Buffer> {
    return this.#client.makeBidiStreamRequest(shapes.chat.path, same, same, new Metadata());
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}
