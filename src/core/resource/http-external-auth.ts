/** Asking another service before a request goes on (Gateway API HTTPExternalAuthFilter, experimental). */
import { type Field, quote, type Range } from "./field.ts";
import { readHeaderName } from "./http-header.ts";
import { type BackendRef, readBackendRef } from "./reference.ts";

export type HttpExternalAuth = {
  readonly backendRef: BackendRef;
  /** 0: no body is sent. */
  readonly forwardBodyMaxBytes: number;
} & (
  | { readonly protocol: "GRPC"; readonly allowedHeaders: readonly string[] }
  | {
      readonly protocol: "HTTP";
      /** Put before the path of the request. */
      readonly path: string;
      readonly allowedHeaders: readonly string[];
      readonly allowedResponseHeaders: readonly string[];
    }
);

/** The API's type of the field (int32). */
const bodyRange: Range = { min: 0, max: 2_147_483_647 };

export function readExternalAuth(field: Field, namespace: string): HttpExternalAuth {
  const protocol = field
    .at("protocol")
    .required()
    .choice(["HTTP", "GRPC"] as const, "HTTP");
  const own = field.at(protocol === "GRPC" ? "grpc" : "http");
  const other = field.at(protocol === "GRPC" ? "http" : "grpc");
  if (!own.isPresent) own.fault(`is required for protocol ${quote(protocol)}`);
  if (other.isPresent) other.fault(`must be absent for protocol ${quote(protocol)}`);
  const common = {
    backendRef: readBackendRef(field.at("backendRef").required(), namespace),
    forwardBodyMaxBytes: field.at("forwardBody").at("maxSize").optionalInteger(bodyRange) ?? 0,
    allowedHeaders: readNames(own.at("allowedHeaders")),
  };
  if (protocol === "GRPC") return { ...common, protocol };
  return {
    ...common,
    protocol,
    path: own.at("path").optionalText() ?? "",
    allowedResponseHeaders: readNames(own.at("allowedResponseHeaders")),
  };
}

function readNames(field: Field): readonly string[] {
  return field.items().map(readHeaderName);
}
