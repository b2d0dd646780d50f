/** The service of a collector of spans, as grpc-js wants it described (opentelemetry/proto/collector/trace/v1/trace_service.proto). */
import type { MethodDefinition } from "@grpc/grpc-js";

type Exports<T> = { readonly export: MethodDefinition<T, Buffer> };

/** Answers are sent as they are: an empty one says that all spans were taken. */
export function traceService<T>(read: (bytes: Buffer) => T): Exports<T> {
  return {
    export: {
      path: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
      requestStream: false,
      responseStream: false,
      requestSerialize: () => {
        throw new Error("A collector exports nothing");
      },
      requestDeserialize: read,
      responseSerialize: (bytes) => bytes,
      responseDeserialize: (bytes) => bytes,
    },
  };
}
