/**
 * gRPC status codes and how a call fails. A failure is a value: handlers return it, calls answer with it. What handlers
 * throw is a bug, and its text stays in the process.
 */
import { grpcCode } from "../../core/model/grpc-status.ts";

/** In the order of the codes, spelled as logs and metrics of every gRPC implementation spell them. */
const codeNames: readonly string[] = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
];

/** The code is a plain number, because a peer may send one that the specification does not know. */
export type GrpcFailure = { readonly code: number; readonly message: string };

export function grpcFailure(code: number, message: string): GrpcFailure {
  return { code, message };
}

export function codeName(code: number): string {
  return codeNames[code] ?? `CODE_${code}`;
}

/** One line for people: `NOT_FOUND: unknown target`. */
export function describeFailure({ code, message }: GrpcFailure): string {
  return message === "" ? codeName(code) : `${codeName(code)}: ${message}`;
}

/** Reads what a gRPC call ended with: a status, or an error that carries one. Anything else is UNKNOWN. */
export function toFailure(error: unknown): GrpcFailure {
  if (typeof error === "object" && error !== null && "code" in error) {
    const { code } = error;
    if (typeof code === "number") {
      const details = "details" in error ? error.details : undefined;
      return { code, message: typeof details === "string" ? details : "" };
    }
  }
  return {
    code: grpcCode.unknown,
    message: Error.isError(error) ? error.message : String(error),
  };
}
