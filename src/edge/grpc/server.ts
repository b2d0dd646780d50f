/**
 * A gRPC server over HTTP/2, in clear text or TLS of the mesh.
 * Concurrent streams are not limited: a sidecar holds one stream per destination on one connection.
 */
import type { DescMessage, DescService, MessageShape } from "@bufbuild/protobuf";
import type {
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  sendUnaryData,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { logVerbosity, Server, ServerCredentials, setLogVerbosity } from "@grpc/grpc-js";
import { grpcCode } from "../../core/model/grpc-status.ts";
import type { MeshServerCredentials } from "./mesh-credentials.ts";
import type { CallInfo } from "./reply-stream.ts";
import { callInfo, ReplyStream } from "./reply-stream.ts";
import { maxMessageBytes, serviceDefinition } from "./service.ts";
import type { GrpcFailure } from "./status.ts";

/** How often an idle connection is tried, so that the streams of a client that vanished are let go within a minute. */
const keepaliveIntervalMs = 30_000;

/** How long a client may take to answer that. Longer than a pause for garbage collection, shorter than the interval. */
const keepaliveTimeoutMs = 20_000;

type UnaryHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  call: CallInfo,
) => Promise<MessageShape<O> | GrpcFailure>;

type ServerStreamHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  stream: ReplyStream<O>,
) => void;

/** One handler per method, under the generated name (`watchPort`). Streams of requests are no part of the contract. */
export type ServiceHandlers<S extends DescService> = {
  readonly [K in keyof S["method"]]: S["method"][K] extends {
    readonly methodKind: infer Kind;
    readonly input: infer I extends DescMessage;
    readonly output: infer O extends DescMessage;
  }
    ? Kind extends "unary"
      ? UnaryHandler<I, O>
      : Kind extends "server_streaming"
        ? ServerStreamHandler<I, O>
        : never
    : never;
};

/** A service with its handlers, whose types have been checked and are not needed any more. */
export type BoundService = {
  readonly service: DescService;
  readonly handlers: ReadonlyMap<string, unknown>;
};

export type GrpcServerOptions = {
  /** `ip:port`; port 0 takes a free one. */
  readonly address: string;
  readonly services: readonly BoundService[];
  /** Told what a handler threw. The caller of the method learns nothing but INTERNAL. */
  readonly onBug: (error: unknown, method: string) => void;
  /** Undefined: clear text. */
  readonly credentials?: MeshServerCredentials | undefined;
};

export type GrpcServer = {
  readonly port: number;
  /** Ends every stream with UNAVAILABLE, lets unary calls finish for so long, then cuts what is left. */
  readonly close: (graceMs: number) => Promise<void>;
};

export function bindService<S extends DescService>(
  service: S,
  handlers: ServiceHandlers<S>,
): BoundService {
  return { service, handlers: new Map(Object.entries(handlers)) };
}

export async function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  // What the library would print arrives as a rejection, or concerns one call of a peer.
  setLogVerbosity(logVerbosity.NONE);
  const server = new Server({
    "grpc.keepalive_time_ms": keepaliveIntervalMs,
    "grpc.keepalive_timeout_ms": keepaliveTimeoutMs,
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_send_message_length": maxMessageBytes,
  });
  const open = new Set<ReplyStream<DescMessage>>();
  for (const bound of options.services) {
    server.addService(...implement(bound, open, options.onBug));
  }
  const port = await bind(server, options);
  let closing: Promise<void> | undefined;
  return {
    port,
    close(graceMs) {
      closing ??= shutDown(server, open, graceMs);
      return closing;
    },
  };
}

function bind(server: Server, { address, credentials }: GrpcServerOptions): Promise<number> {
  const secured = credentials ?? ServerCredentials.createInsecure();
  return new Promise((resolve, reject) => {
    server.bindAsync(address, secured, (error, port) => {
      if (error === null) resolve(port);
      else reject(new Error(`Cannot listen on "${address}": ${error.message}`, { cause: error }));
    });
  });
}

function shutDown(
  server: Server,
  open: ReadonlySet<ReplyStream<DescMessage>>,
  graceMs: number,
): Promise<void> {
  for (const stream of [...open]) {
    stream.fail(grpcCode.unavailable, "The server is shutting down");
  }
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.forceShutdown(), graceMs);
    server.tryShutdown(() => {
      clearTimeout(cut);
      resolve();
    });
  });
}

function implement(
  { service, handlers }: BoundService,
  open: Set<ReplyStream<DescMessage>>,
  onBug: GrpcServerOptions["onBug"],
): [ServiceDefinition, UntypedServiceImplementation] {
  const implementation: UntypedServiceImplementation = {};
  for (const method of service.methods) {
    const name = `${service.typeName}/${method.name}`;
    const handler = handlers.get(method.localName);
    // `ServiceHandlers` gave each method the handler of its kind; the map only forgot it.
    if (method.methodKind === "unary") {
      const answer = handler as UnaryHandler<DescMessage, DescMessage>;
      implementation[method.localName] = (call: UnaryCall, reply: UnaryReply) => {
        void answerUnary(answer, call, reply, (error) => onBug(error, name));
      };
    } else {
      const answer = handler as ServerStreamHandler<DescMessage, DescMessage>;
      implementation[method.localName] = (call: StreamCall) => {
        const stream = new ReplyStream<DescMessage>(call);
        open.add(stream);
        stream.onClose(() => open.delete(stream));
        answerStream(answer, call, stream, (error) => onBug(error, name));
      };
    }
  }
  return [serviceDefinition(service), implementation];
}

type AnyMessage = MessageShape<DescMessage>;
type UnaryCall = ServerUnaryCall<AnyMessage, AnyMessage>;
type UnaryReply = sendUnaryData<AnyMessage>;
type StreamCall = ServerWritableStream<AnyMessage, AnyMessage>;

async function answerUnary(
  handler: UnaryHandler<DescMessage, DescMessage>,
  call: UnaryCall,
  reply: UnaryReply,
  onBug: (error: unknown) => void,
): Promise<void> {
  try {
    const answer = await handler(call.request, callInfo(call));
    if ("$typeName" in answer) reply(null, answer);
    else reply({ code: answer.code, details: answer.message.toWellFormed() });
  } catch (error) {
    onBug(error);
    reply({ code: grpcCode.internal, details: "Internal error" });
  }
}

function answerStream(
  handler: ServerStreamHandler<DescMessage, DescMessage>,
  call: StreamCall,
  stream: ReplyStream<DescMessage>,
  onBug: (error: unknown) => void,
): void {
  try {
    handler(call.request, stream);
  } catch (error) {
    onBug(error);
    stream.fail(grpcCode.internal, "Internal error");
  }
}
