/** Makes the gRPC library's description of a service out of a generated descriptor: paths, and bytes to messages and back. */
import type { DescMessage, DescMethod, DescService, MessageShape } from "@bufbuild/protobuf";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";

/** 4 MiB is the limit of Linkerd's proxy and of most implementations: what is larger, some peer would refuse anyway. */
export const maxMessageBytes: number = 4 * 1024 * 1024;

/** A method whose messages have types. The kind is left open; the functions that take one narrow it. */
export type TypedMethod<I extends DescMessage, O extends DescMessage> = DescMethod & {
  readonly input: I;
  readonly output: O;
};

export function serviceDefinition(service: DescService): ServiceDefinition {
  return Object.fromEntries(
    service.methods.map((method) => [method.localName, methodDefinition(method)]),
  );
}

export function methodDefinition<I extends DescMessage, O extends DescMessage>(
  method: TypedMethod<I, O>,
): MethodDefinition<MessageShape<I>, MessageShape<O>> {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream:
      method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream:
      method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    requestSerialize: encoder(method.input),
    requestDeserialize: decoder(method.input),
    responseSerialize: encoder(method.output),
    responseDeserialize: decoder(method.output),
  };
}

function encoder<D extends DescMessage>(schema: D): (message: MessageShape<D>) => Buffer {
  return (message) => {
    const bytes = toBinary(schema, message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

/**
 * Unknown fields are dropped: nothing here sends on what it received, so they would only take memory. The message is read
 * from a plain array, because fields of bytes are views of their source and the `slice` of a Buffer does not copy.
 */
function decoder<D extends DescMessage>(schema: D): (bytes: Buffer) => MessageShape<D> {
  return ({ buffer, byteOffset, byteLength }) =>
    fromBinary(schema, new Uint8Array(buffer, byteOffset, byteLength), {
      readUnknownFields: false,
    });
}
