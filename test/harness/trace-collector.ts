/** A collector of spans: a gRPC server that reads what OTLP sends, by the numbers of its published messages (opentelemetry-proto, trace.proto). */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { traceService } from "./trace-service.ts";

export type CollectedSpan = {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty: there is no parent. */
  readonly parentId: string;
  readonly name: string;
  readonly kind: "server" | "client" | "other";
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: ReadonlyMap<string, Value>;
  /** 0 unset, 1 ok, 2 error. */
  readonly statusCode: number;
  readonly statusText: string;
  /** Of the process that sent it. */
  readonly resource: ReadonlyMap<string, Value>;
};

export type Value = string | number | boolean;

export type CollectorOptions = {
  readonly port?: number;
  readonly credentials?: ServerCredentials;
};

export class TraceCollector implements AsyncDisposable {
  readonly spans: CollectedSpan[] = [];
  readonly port: number;
  readonly #server: Server;
  #wake = Promise.withResolvers<void>();

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async start({ port = 0, credentials }: CollectorOptions = {}): Promise<TraceCollector> {
    const server = new Server();
    let received = (_spans: readonly CollectedSpan[]): void => {};
    server.addService(traceService(readRequest), {
      export: (call: { request: CollectedSpan[] }, done: (error: null, answer: Buffer) => void) => {
        received(call.request);
        done(null, Buffer.alloc(0));
      },
    });
    const bound = await new Promise<number>((resolve, reject) => {
      const secured = credentials ?? ServerCredentials.createInsecure();
      server.bindAsync(`127.0.0.1:${port}`, secured, (error, at) => {
        if (error === null) resolve(at);
        else reject(error);
      });
    });
    const collector = new TraceCollector(server, bound);
    received = (spans) => {
      collector.spans.push(...spans);
      collector.#wake.resolve();
      collector.#wake = Promise.withResolvers();
    };
    return collector;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Waits until so many spans have come for which the condition holds. */
  async until(
    count: number,
    holds: (span: CollectedSpan) => boolean = () => true,
  ): Promise<readonly CollectedSpan[]> {
    for (;;) {
      const found = this.spans.filter(holds);
      if (found.length >= count) return found;
      await this.#wake.promise;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
  }
}

/** A message as its fields: the number, and the value as it lies there. */
type Fields = ReadonlyMap<number, readonly Raw[]>;
type Raw = Uint8Array | bigint;

function readFields(bytes: Uint8Array): Fields {
  const reader = new BinaryReader(bytes);
  const fields = new Map<number, Raw[]>();
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    const values = fields.get(number) ?? [];
    fields.set(number, values);
    if (type === WireType.LengthDelimited) values.push(reader.bytes());
    else if (type === WireType.Varint) values.push(BigInt(reader.uint64()));
    else if (type === WireType.Bit64) values.push(BigInt(reader.fixed64()));
    else if (type === WireType.Bit32) values.push(BigInt(reader.fixed32()));
    else throw new Error(`Send no field of wire type ${type}`);
  }
  return fields;
}

function messages(fields: Fields, number: number): readonly Fields[] {
  return (fields.get(number) ?? []).map((value) => readFields(bytesOf(value)));
}

function bytesOf(value: Raw | undefined): Uint8Array {
  if (value === undefined) return new Uint8Array(0);
  if (typeof value === "bigint") throw new Error("Send bytes where bytes belong");
  return value;
}

function textOf(fields: Fields | undefined, number: number): string {
  return Buffer.from(bytesOf(fields?.get(number)?.[0])).toString("utf8");
}

function hexOf(fields: Fields, number: number): string {
  return Buffer.from(bytesOf(fields.get(number)?.[0])).toString("hex");
}

function numberOf(fields: Fields | undefined, number: number): number {
  return Number(fields?.get(number)?.[0] ?? 0n);
}

function readRequest(bytes: Uint8Array): CollectedSpan[] {
  return messages(readFields(bytes), 1).flatMap((resourceSpans) => {
    const [resource] = messages(resourceSpans, 1);
    const about = resource === undefined ? new Map() : readAttributes(resource, 1);
    return messages(resourceSpans, 2).flatMap((scopeSpans) =>
      messages(scopeSpans, 2).map((span) => readSpan(span, about)),
    );
  });
}

function readSpan(span: Fields, resource: ReadonlyMap<string, Value>): CollectedSpan {
  const [status] = messages(span, 15);
  const kind = numberOf(span, 6);
  return {
    traceId: hexOf(span, 1),
    spanId: hexOf(span, 2),
    parentId: hexOf(span, 4),
    name: textOf(span, 5),
    kind: kind === 2 ? "server" : kind === 3 ? "client" : "other",
    startMs: numberOf(span, 7) / 1e6,
    endMs: numberOf(span, 8) / 1e6,
    attributes: readAttributes(span, 9),
    statusCode: numberOf(status, 3),
    statusText: textOf(status, 2),
    resource,
  };
}

function readAttributes(fields: Fields, number: number): ReadonlyMap<string, Value> {
  return new Map(
    messages(fields, number).map((pair) => [textOf(pair, 1), readValue(messages(pair, 2)[0])]),
  );
}

/** The kinds that proxies send: text, truth, whole number, number. */
function readValue(value: Fields | undefined): Value {
  if (value?.has(1)) return textOf(value, 1);
  if (value?.has(2)) return numberOf(value, 2) === 1;
  if (value?.has(3)) return numberOf(value, 3);
  const bits = value?.get(4)?.[0];
  if (typeof bits !== "bigint") throw new Error("Send a value that is known");
  return new Float64Array(new BigUint64Array([bits]).buffer)[0] ?? 0;
}
